"""The published table that is played again, on a table of a few rows."""

import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import dump_svmlight_file
from sklearn.svm import SVC

from benchmarks import binary26, sets


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A set of 45 rows under a name of the table, and published means."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(45, 2))
    y = np.where(X[:, 0] + 0.3 * rng.normal(size=45) > 0, 1, -1)
    home = tmp_path / "binary26"
    home.mkdir()
    with gzip.open(home / "heart.txt.gz", "wb") as stream:
        dump_svmlight_file(X, y, stream, zero_based=False)
    pd.DataFrame(
        {"set": "heart", "strategy": ["random", "US-C"], "mean_aubc": [0.9, 0.8]}
    ).assign(sd_aubc=0.1).to_csv(home / "published_aubc.csv", index=False)
    sets.load_binary26.cache_clear()
    monkeypatch.setenv("SKAL_DATA", str(tmp_path))
    yield tmp_path
    sets.load_binary26.cache_clear()


def test_margin_is_that_of_a_loop_by_hand(folder):
    """The protocol, played with scikit-learn alone."""
    data, start = binary26.split("heart", 1)
    labeled = list(start)
    unlabeled = [k for k in range(len(data.y_pool)) if k not in labeled]
    accuracies = []
    while unlabeled:
        model = SVC().fit(data.X_pool[labeled], data.y_pool[labeled])
        values = np.abs(model.decision_function(data.X_pool[unlabeled]))
        labeled.append(unlabeled.pop(int(values.argmin())))
        model = SVC().fit(data.X_pool[labeled], data.y_pool[labeled])
        accuracies.append(model.score(data.X_test, data.y_test))
    assert len(accuracies) == 7
    (row,) = binary26.play("heart", binary26.US_C, 1, 100).to_dict("records")
    assert row["aubc"] == pytest.approx(np.mean(accuracies))
    assert row["n_queries"] == len(accuracies)


def test_start_has_both_classes(folder, monkeypatch):
    X, _ = binary26.load_binary26("heart")
    rare = np.where(np.arange(45) == 3, 1, -1)
    monkeypatch.setattr(binary26, "load_binary26", lambda _: (X, rare))
    found = 0
    for seed in range(8):
        pool = np.random.default_rng(seed).permutation(45)[:27]
        if 3 in pool:
            data, start = binary26.split("heart", seed)
            assert len(set(data.y_pool[start])) == 2
            assert len(set(start)) == 20
            found += 1
    assert found > 2


def test_z_is_the_difference_over_the_error_of_both():
    data = pd.DataFrame(
        {"set": "heart", "strategy": "Random", "seed": [0, 1], "aubc": [0.8, 0.9]}
    )
    published = pd.DataFrame(
        {
            "set": ["heart", "sonar"],
            "strategy": "random",
            "mean_aubc": 0.7,
            "sd_aubc": 0.3,
        }
    )
    (row,) = binary26.agreement(data, published).to_dict("records")
    # a deviation of 0.3, of two seeds and of a hundred
    assert row["z"] == pytest.approx(0.15 / (0.3 * np.sqrt(1 / 2 + 1 / 100)))


def test_the_gain_is_compared_by_paired_seeds():
    shift = np.array([0.02, -0.01, 0.03])
    rows = [("heart", "Random", k, 0.7 + 0.1 * k) for k in range(3)]
    rows += [("heart", binary26.US_C, k, 0.7 + 0.1 * k + shift[k]) for k in range(3)]
    rows.append(("heart", "Random", 3, 0.1))  # not paired
    data = pd.DataFrame(rows, columns=[*binary26.KEYS[:2], "seed", "aubc"])
    published = pd.DataFrame(
        {"set": "heart", "strategy": ["random", "US-C"], "mean_aubc": [0.8, 0.81]}
    )
    found = binary26.gain_agreement(data, published).loc["heart"]
    assert found["seeds"] == 3
    assert found["ours"] == pytest.approx(100 * shift.mean())
    assert found["published"] == pytest.approx(1)
    error = shift.std(ddof=1) * np.sqrt(1 / 3 + 1 / 100)
    assert found["z"] == pytest.approx((shift.mean() - 0.01) / error)


def test_a_quick_run_reports_and_resumes(folder, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--quick", "--sets", "heart", "--strategies", "Random"]
    arguments += [binary26.US_C, "--work", str(tmp_path), "--output", str(out)]
    assert binary26.main(arguments) == 0
    kept = (tmp_path / "binary26_quick.csv").read_text()
    text = (out / "binary26.md").read_text()
    assert "| Margin (US-C) | 1 |" in text
    assert "0.8000 ± 0.0100" in text
    assert binary26.main(arguments) == 0
    assert (tmp_path / "binary26_quick.csv").read_text() == kept
