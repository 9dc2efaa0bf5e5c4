"""Tables of reports."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.report import comparison_table, mean_text
from skal.simulation import StrategyComparison
from skal.simulation.result import score_label


def comparison(better, n_runs=2):
    """Curves of Random, and of Margin with other scores, of 10, 20 and 30 labels."""
    rows = [
        (name, fold, 0, step, 10 * (step + 1), score + 0.001 * fold, 0.1, 0.1)
        for fold in range(n_runs)
        for name, scores in {"Random": [0.5, 0.6, 0.7], "Margin": better}.items()
        for step, score in enumerate(scores)
    ]
    names = ["strategy", "fold", "repeat", "step", "n_labeled", "score"]
    data = pd.DataFrame(rows, columns=[*names, "query_time", "fit_time"])
    return StrategyComparison(data, score_label(None, "accuracy"), 0.3)


def test_labels_saved_are_those_to_the_last_score_of_random():
    table = comparison_table(comparison([0.5, 0.7, 0.8]), [10, 30])
    assert table.loc["Margin", "labels saved"] == "+10 (+10 to +10)"
    assert table.loc["Random", "labels saved"] == ""


def test_a_score_that_is_not_reached_and_a_single_run():
    table = comparison_table(comparison([0.5, 0.5, 0.6]), [10])
    assert table.loc["Margin", "labels saved"].startswith("not reached")
    with np.errstate(invalid="ignore"):
        table = comparison_table(comparison([0.5, 0.7, 0.8], n_runs=1), [10])
    assert table.loc["Margin", "labels saved"] == "+10"


def test_means_have_the_half_width_of_their_interval():
    half = 12.706 * np.std([0.7, 0.9], ddof=1) / np.sqrt(2)
    assert mean_text([0.7, 0.9], 2) == f"0.80 ± {half:.2f}"
    assert mean_text(pd.Series([0.25]), 1, "+") == "+0.2"
    assert mean_text([-0.25], 2, "+") == "-0.25"
