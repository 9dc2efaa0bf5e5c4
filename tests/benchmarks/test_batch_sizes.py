"""The study of batch sizes and starts, on small tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import batch_sizes as study


def campaign(strategy, n_labeled, loss, batch=20):
    seconds = np.arange(len(loss)) * 1.0
    return pd.DataFrame(
        {
            "set": "concrete",
            "start": 20,
            "batch": batch,
            "strategy": strategy,
            "seed": 0,
            "n_labeled": n_labeled,
            "loss": loss,
            "query_time": seconds,
            "fit_time": 2 * seconds,
        }
    )


def test_campaigns_are_compared_where_the_numbers_of_labels_agree():
    steps = [20, 80, 140, 200, 260, 320]
    random = campaign("Random", steps, [0.9, 0.5, 0.4, 0.3, 0.2, 0.1])
    lcmd = campaign("LCMD", steps[:4], [0.9, 0.4, 0.25, 0.2], batch=60)
    short = campaign("BAIT", steps[:3], [0.9, 0.4, 0.3])
    (line,) = study.compared(pd.concat([random, lcmd, short])).to_dict("records")
    assert line["strategy"] == "LCMD"
    assert line["gain"] == pytest.approx((0.1 + 0.15 + 0.1) / 3)
    assert line["saved"] == pytest.approx(90)  # 0.25 is half way from 200 to 260
    assert (line["query_time"], line["fit_time"]) == (2, 4)


@pytest.mark.parametrize(
    ("loss", "expected"), [(0.95, 20), (0.9, 20), (0.45, 110), (0.05, 200)]
)
def test_labels_are_read_off_a_curve_that_is_made_to_fall(loss, expected):
    curve = campaign("Random", [20, 80, 140, 200], [0.9, 0.5, 0.6, 0.4])
    curve.loc[2, "loss"] = 0.4 if loss == 0.45 else 0.6
    assert study.labels_for(curve, loss) == pytest.approx(expected)


def test_a_quick_run_reports_and_resumes(tables, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "AT", (20, 30, 40))
    monkeypatch.setattr(study, "BATCHES", ((10, 10),))
    monkeypatch.setattr(study, "RANDOM", (10, 10))
    monkeypatch.setattr(study, "MOST_RANDOM", 50)
    out = tmp_path / "out"
    arguments = ["--quick", "--sets", "yacht", "glass"]
    arguments += ["--work", str(tmp_path), "--output", str(out)]
    assert study.main(arguments) == 0
    kept = (tmp_path / "batch_sizes_quick.csv").read_text()
    assert len(pd.read_csv(tmp_path / "batch_sizes_quick.csv")) == 2 * 5 + 7 * 4
    text = (out / "batch_sizes.md").read_text()
    assert "Gain in log RMSE, 1 sets (yacht), 1 seeds:" in text
    assert "| Margin | 10 |" in text
    assert study.main(arguments) == 0
    assert (tmp_path / "batch_sizes_quick.csv").read_text() == kept
