"""The study of LDM-Seeding, on digits."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from benchmarks import ldm_campaigns, ldm_worth
from benchmarks.ldm_campaigns import CLASSES, CLEAN, ROWS, WRONG, problem
from skal.strategies import LDMSeeding, Margin, Random


@pytest.mark.parametrize("pool", list(WRONG))
def test_so_many_labels_of_the_pool_are_wrong(pool):
    clean, wrong = problem("digits", CLEAN, 3), problem("digits", pool, 3)
    assert (clean.y != wrong.y).sum() == round(1000 * WRONG[pool])
    np.testing.assert_array_equal(clean.X, wrong.X)
    np.testing.assert_array_equal(clean.y_test, wrong.y_test)
    assert wrong.wanted.all()


def test_foreign_classes_are_in_the_pool_only():
    data = problem("digits", CLASSES, 0)
    np.testing.assert_array_equal(data.wanted, ~np.isin(data.y, ["8", "9"]))
    assert set(data.y_test) == set("01234567")
    assert 0.1 < 1 - data.wanted.mean() < 0.3


def test_foreign_rows_have_values_of_the_pool_and_belong_to_no_row():
    clean, data = problem("digits", CLEAN, 0), problem("digits", ROWS, 0)
    assert (~data.wanted).sum() == 200
    np.testing.assert_array_equal(clean.X[data.wanted], data.X[data.wanted])
    known = {row.tobytes() for row in clean.X}
    assert not any(row.tobytes() in known for row in data.X[~data.wanted])
    for column in range(64):
        assert set(data.X[:, column]) <= set(clean.X[:, column])


@pytest.mark.parametrize("n", [3, 20])
def test_start_has_all_wanted_classes(n):
    data = problem("digits", CLASSES, 1)
    rows = ldm_campaigns.first_rows(data.y, data.wanted, n, 1)
    assert len(set(rows)) == len(rows) == max(n, 8)
    assert set(data.y[rows]) == set("01234567")
    assert list(rows) != list(ldm_campaigns.first_rows(data.y, data.wanted, n, 2))


def test_foreign_rows_cost_labels_and_are_not_taught():
    data = problem("digits", ROWS, 0)

    def foreign_first(learner, X, n_instances):
        unwanted = {row.tobytes() for row in data.X[~data.wanted]}
        found = [k for k, row in enumerate(X) if row.tobytes() in unwanted]
        others = [k for k in range(len(X)) if k not in set(found)]
        return np.array([*found, *others][:n_instances]), None

    foreign_first.get_params = foreign_first.set_params = lambda **_: {}
    model = LogisticRegression(max_iter=300)
    table = ldm_campaigns.campaign(data, model, foreign_first, 0, (20, 150, 2))
    assert table["n_labeled"].tolist() == [20, 170, 320]
    assert table["rejected"].tolist() == [0, 150, 200]
    assert table["score"][0] == table["score"][1] < table["score"][2]


def campaigns(strategy, scores, name="letter", batch=20, pool=CLEAN):
    """One campaign a seed, given scores by seed and step."""
    return pd.DataFrame(
        [
            (pool, batch, name, strategy, seed, step, score, 0, 0.1)
            for seed, row in enumerate(scores)
            for step, score in enumerate(row)
        ],
        columns=[*ldm_worth.KEYS, "step", "score", "rejected", "query_time"],
    )


def test_losses_leave_out_the_start_and_seeds_that_are_not_complete():
    data = pd.concat(
        [
            campaigns("Random", [[0.1, 0.5, 0.7], [0.1, 0.2, 0.4]]),
            campaigns("Margin", [[0.1, 0.6, 0.8]]),
        ]
    )
    found = ldm_worth.losses(data, ["Random", "Margin"])
    assert found.index.tolist() == [("letter", 0)]
    np.testing.assert_allclose(found.to_numpy(), [[40, 30]])
    assert ldm_worth.losses(data, ["Random", "LDM"]).empty


def test_interval_is_that_of_the_mean_over_sets():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [["digits", "letter"], range(4)], names=["set", "seed"]
    )
    table = pd.DataFrame(rng.normal(size=(8, 2)), index, ["Random", "LDM"])
    gains = (table["Random"] - table["LDM"]).to_numpy().reshape(2, 4)
    # digits has 797 rows left for the test, and every split uses all of its rows.
    factors = np.array([1 / 4 + 0.797, 1 / 4 + 2000 / 18668])
    error = np.sqrt((gains.var(axis=1, ddof=1) * factors).sum()) / 2
    half = stats.t.ppf(0.975, 3) * error
    expected = f"{gains.mean():+.2f} ± {half:.2f}"
    assert ldm_worth.contrast(table, "LDM", "Random") == expected
    table["better"] = table["Random"] - 1
    assert ldm_worth.contrast(table, "better", "Random") == "+1.00 ± 0.00 *"


def test_means_are_over_the_seeds_that_most_sets_have():
    def table(**seeds):
        pairs = [(name, k) for name, n in seeds.items() for k in range(n)]
        index = pd.MultiIndex.from_tuples(pairs, names=["set", "seed"])
        return pd.DataFrame({"Random": 1.0}, index)

    found, note = ldm_worth.played_most(table(letter=2, digits=2, mnist=1))
    assert found.index.equals(table(letter=2, digits=2).index)
    assert note == "Not in the means, with fewer seeds: mnist (1)."
    found, note = ldm_worth.played_most(table(letter=2, digits=1, mnist=1))
    assert found.index.equals(table(letter=1, digits=1, mnist=1).index)
    assert note == ""


def test_penalties_count_the_steps_at_which_one_is_better():
    noise = np.array([[0, 0.01, 0.02], [0, 0.02, 0.01], [0, 0.015, 0.015]])
    data = pd.concat(
        [
            campaigns("a", 0.5 + noise, batch=batch)
            for batch in (20, 100)
        ]
        + [
            # better at one of two steps, worse at none
            campaigns("b", 0.5 + noise + np.array([[0.3, 0.3, 0.0]]), batch=batch)
            for batch in (20, 100)
        ]
        + [campaigns(s, 0.5 + noise[:2], "digits") for s in "ab"]  # too few seeds
    )  # fmt: skip
    matrix, n_settings = ldm_worth.penalties(data, ["a", "b"])
    assert n_settings == 2
    assert matrix.to_numpy().tolist() == [[0, 0], [1, 0]]


def test_parts_are_played_in_an_order_that_may_be_cut():
    tasks = ldm_worth.tasks(3, [CLEAN, ROWS], ["letter", "digits"])
    place = {task: k for k, task in enumerate(tasks)}
    assert len(place) == len(tasks)
    first = place[CLEAN, 20, "digits", "Random", 1]
    assert first < place[ROWS, 20, "letter", "Random", 1]
    assert first < place[CLEAN, 100, "letter", "Random", 0]
    assert not {(t[0], t[3]) for t in tasks} & {(ROWS, "LDM"), (ROWS, "BatchBALD")}


@pytest.mark.slow
def test_a_quick_run_reports_and_resumes(tmp_path, monkeypatch, capsys):
    few = {"Random": Random(), "Margin": Margin(), "LDMSeeding": LDMSeeding(50)}
    monkeypatch.setattr(ldm_campaigns, "strategies", lambda batch: few)
    monkeypatch.setitem(ldm_campaigns.NET, "max_epochs", 3)
    for pool in (CLASSES, "30 % wrong"):
        monkeypatch.setitem(ldm_campaigns.PLAYED, pool, {20: ("digits",)})
    out = tmp_path / "out"
    arguments = ["--quick", "--sets", "digits", "--pools", CLEAN, CLASSES, "30 % wrong"]
    arguments += ["--work", str(tmp_path), "--output", str(out)]
    assert ldm_worth.main(arguments) == 0
    kept = (tmp_path / "ldm_worth_quick.csv").read_text()
    assert kept.count("\n") == 1 + 5 * 3 * 2 * 3
    text = (out / "ldm_worth.md").read_text()
    for batch in (1, 20, 100):
        assert f"## Clean pool, batches of {batch}: 1 sets, 2 seeds" in text
    assert "Share of foreign rows" in text
    assert "| Random, error in % |" in text
    assert ldm_worth.main(arguments) == 0
    assert (tmp_path / "ldm_worth_quick.csv").read_text() == kept
