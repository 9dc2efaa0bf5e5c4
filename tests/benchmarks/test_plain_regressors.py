"""The study of regressors that are compared by their inputs, on a small table."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from benchmarks import plain_regressors as study


def test_score_is_the_mean_log_error_after_the_start(tables):
    played = study.play("yacht", "ridge regression", "Random", 0)
    data = study.split("yacht", 0)
    # 68 rows: the start, one query of 20, and no other, so the picks can be fitted.
    simulation = study.play_simulation(
        RidgeCV(np.logspace(-3, 4, 8)),
        study.Random(),
        data,
        0,
        n_initial=20,
        n_instances=20,
        n_queries=1,
    )[1]
    rows = [*simulation.initial_indices_, *simulation.queried_indices_[0]]
    model = RidgeCV(np.logspace(-3, 4, 8)).fit(data.X_pool[rows], data.y_pool[rows])
    error = np.sqrt(np.mean((model.predict(data.X_test) - data.y_test) ** 2))
    assert played["log_rmse"].item() == pytest.approx(np.log(error))


def test_a_quick_run_reports_and_resumes(tables, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--quick", "--sets", "yacht", "--work", str(tmp_path)]
    arguments += ["--output", str(out)]
    assert study.main(arguments) == 0
    kept = (tmp_path / "plain_regressors_quick.csv").read_text()
    assert "| LCMD |" in (out / "plain_regressors.md").read_text()
    assert study.main(arguments) == 0
    assert (tmp_path / "plain_regressors_quick.csv").read_text() == kept
