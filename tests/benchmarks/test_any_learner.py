"""The study of learners that are not nets, on small tables."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import any_learner
from skal.strategies import LCMD, Random


def campaigns(set_, learner, strategy, scores):
    rows = [
        (set_, learner, strategy, 0, step, score) for step, score in enumerate(scores)
    ]
    return pd.DataFrame(
        rows, columns=["set", "learner", "strategy", "seed", "step", "score"]
    )


def test_gain_is_that_of_the_log_error_or_of_accuracy_without_the_start():
    data = pd.concat(
        [
            campaigns("yacht", "a", "Random", [-9, -2, -4]),
            campaigns("yacht", "a", "LCMD", [-1, -1, -4]),
            campaigns("glass", "a", "Random", [0.1, 0.5, 0.6]),
            campaigns("glass", "a", "LCMD", [0.9, 0.6, 0.6]),
            campaigns("glass", "b", "Random", [0.1, 0.5, 0.6]),  # without LCMD
        ]
    )
    found = any_learner.gains(data).set_index("set")["gain"]
    assert len(found) == 2
    assert found["yacht"] == pytest.approx(np.log(2) / 2)
    assert found["glass"] == pytest.approx(5)


def test_table_has_means_over_sets_with_intervals():
    found = pd.DataFrame(
        {
            "learner": "a",
            "strategy": "LCMD",
            "set": ["yacht", "yacht", "energy", "kin8nm"],
            "seed": [0, 1, 0, 0],
            "gain": [0.1, 0.3, 0.0, 0.4],
        }
    )
    (row,) = any_learner.gains_table(found).to_dict("records")
    half = 4.303 * np.std([0.2, 0.0, 0.4], ddof=1) / np.sqrt(3)
    assert row["gain"] == "+0.200"
    assert row["95 % over sets"] == f"{0.2 - half:+.3f} to {0.2 + half:+.3f}"
    assert row["sets better"] == "2 of 3"


def test_a_run_plays_reports_and_resumes(tables, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(any_learner, "N_QUERIES", 1)
    few = {"Random": Random(random_state=0), "LCMD": LCMD(random_state=0)}
    monkeypatch.setattr(any_learner, "strategies", lambda *_: few)
    out = tmp_path / "out"
    arguments = ["--sets", "yacht", "--seeds", "1", "--learners", "extra trees"]
    arguments += ["--jobs", "1", "--work", str(tmp_path), "--output", str(out)]
    assert any_learner.main(arguments) == 0
    kept = (tmp_path / "any_learner.csv").read_text()
    assert "| extra trees | LCMD |" in (out / "any_learner.md").read_text()
    assert any_learner.main(arguments) == 0
    assert (tmp_path / "any_learner.csv").read_text() == kept
