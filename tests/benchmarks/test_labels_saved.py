import numpy as np
import pandas as pd
import pytest

from benchmarks import labels_saved, labels_saved_report
from benchmarks.labels_saved_report import label_ratio

RIDGE, TREES = "ridge / logistic regression", "extra trees"


def falling(n, power):
    """The curve n ** power, whose logarithm is linear in that of n."""
    return pd.Series(np.log(np.asarray(n, float)) * power, index=n)


@pytest.mark.parametrize("n", [100, 200, 300])
def test_ratio_of_two_known_curves(n):
    # n ** -1 is reached by m ** -0.9 at m = n ** (1 / 0.9).
    own = falling([20, 50, 110, 320], -1.0)
    other = falling([50, 110, 200, 500, 1000], -0.9)
    found = label_ratio(own, other, n)
    assert found.value == pytest.approx(n ** (1 / 0.9) / n)
    assert found.bound == ""


def test_ratio_is_a_bound_where_the_baseline_ends():
    own, sizes = falling([20, 320], -1.0), [50, 1000]
    assert label_ratio(own, falling(sizes, -0.1), 200) == (5.0, ">")
    assert label_ratio(own, falling(sizes, -9.0), 200) == (0.25, "<")
    assert np.isnan(label_ratio(own, falling(sizes, -1.0), 400).value)
    assert str(label_ratio(own, falling(sizes, -0.1), 200)) == ">5.00"


def test_baseline_is_chosen_by_held_out_loss():
    rows = [
        # set, seed, n, learner, rows, loss, held out
        ("yacht", 0, 50, RIDGE, "random", 0.5, 0.1),
        ("yacht", 0, 50, TREES, "random", 0.4, 0.2),
        ("yacht", 0, 110, RIDGE, "random", 0.3, 0.2),
        ("yacht", 0, 110, TREES, "random", 0.2, 0.1),
        ("yacht", 0, 110, TREES, "picked", 0.1, np.nan),
        ("yacht", 0, 110, "skal", "picked", 0.05, np.nan),
    ]
    columns = ["set", "seed", "n", "learner", "rows", "loss", "held_out"]
    best = labels_saved_report.chosen(pd.DataFrame(rows, columns=columns))
    assert best["loss"].tolist() == [0.5, 0.2]


def test_ratios_are_split_into_those_of_the_model_and_of_the_picks():
    sizes, power = [50, 110, 200, 320, 500, 1000], {"picked": -1.0, "random": -0.95}
    rows = [
        ("yacht", 0, n, "skal", kind, np.log(n) * k, np.nan)
        for kind, k in power.items()
        for n in sizes
    ]
    rows += [("yacht", 0, n, RIDGE, "random", np.log(n) * -0.9, 0.1) for n in sizes]
    data = pd.DataFrame(
        rows, columns=["set", "seed", "n", "learner", "rows", "loss", "held_out"]
    )
    own, random = (labels_saved_report.own_rows(data, kind) for kind in power)
    best = labels_saved_report.chosen(data)
    assert set(best["learner"]) == {RIDGE}
    both, model, picks = (
        labels_saved_report.ratios(*pair).loc["yacht", 100].value
        for pair in ((own, best), (random, best), (own, random))
    )
    assert both == pytest.approx(100 ** (1 / 0.9 - 1))
    assert model == pytest.approx(100 ** (0.95 / 0.9 - 1))
    assert picks == pytest.approx(100 ** (1 / 0.95 - 1))
    text = "".join(labels_saved_report.split_text(data))
    assert f"{model:.2f}" in text
    assert f"{picks:.2f}" in text
    assert labels_saved_report.split_text(data[data["rows"] == "picked"]) == []


def test_sizes_that_a_learner_lacks_are_left_out():
    keys = labels_saved.KEYS
    asked = pd.DataFrame(
        [
            ("yacht", 0, "random 50", "a, 1"),
            ("yacht", 0, "random 50", "b, 1"),
            ("yacht", 0, "random 110", "a, 1"),
            ("yacht", 0, "campaign", "own, 1, LCMD"),
        ],
        columns=keys,
    )
    data = pd.concat([asked.iloc[[0, 2, 3]], asked.iloc[[3]]])
    older = data.assign(player="a, 0")
    found = labels_saved.whole(pd.concat([data, older]), asked)
    assert found["part"].tolist() == ["random 110", "campaign", "campaign"]


@pytest.mark.slow
def test_quick_run_plays_both_sides_and_continues(tables, monkeypatch, capsys):
    options = ["--quick", "--jobs", "1", "--baseline", RIDGE, "--work", str(tables)]
    options += ["--output", str(tables / "out"), "--learner", labels_saved.OWN[-1]]
    monkeypatch.setattr(labels_saved, "ON_PICKS", (RIDGE,))
    monkeypatch.setattr(labels_saved_report, "ON_PICKS", (RIDGE,))
    assert labels_saved.main(options) == 0
    data = pd.read_csv(tables / "labels_saved_quick.csv")
    for name in ("yacht", "glass"):
        part = data[data["set"] == name]
        own = part[part["learner"] == "skal"]
        for rows in ("picked", "random"):
            assert own["n"][own["rows"] == rows].tolist() == [20, 35, 50]
        assert own["loss"].notna().all()
        random = part[(part["rows"] == "random") & (part["learner"] == RIDGE)]
        assert random["n"].tolist() == [20, 35, 50]
        picked = part[(part["rows"] == "picked") & (part["learner"] == RIDGE)]
        assert picked["n"].tolist() == [50]
    text = (tables / "out" / "labels_saved.md").read_text()
    assert "Other learners on the picks" in text
    # The loss of ridge on 50 random rows is that of the study of learners.
    from benchmarks import learners

    row = learners.fit_and_score("yacht", 0, 50, RIDGE).iloc[0]
    there = data[(data["set"] == "yacht") & (data["part"] == "random 50")]
    assert there["loss"].iloc[-1] == pytest.approx(np.log(row["rmse"]))

    monkeypatch.setattr(labels_saved, "play", lambda *_: pytest.fail("played again"))
    monkeypatch.setattr(labels_saved, "report", lambda data, *_: len(data))
    assert labels_saved.main(options) == 0
    assert len(pd.read_csv(tables / "labels_saved_quick.csv")) == len(data)
