"""The study of LDM as a measure of uncertainty."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import ldm_measure as study
from skal.measures import least_disagree_metric


def test_closed_form_is_the_angle_over_pi():
    rows = np.array([[1.0, 0.0], [2.0, 2.0], [0.0, -3.0], [1.0, np.sqrt(3)]])
    found = study.closed_form(rows, np.array([0.0, 5.0]))
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 1 / 3])


def test_many_draws_reach_the_closed_form_in_the_plane():
    rng = np.random.default_rng(0)
    v, rows = np.array([0.3, -1.0]), rng.normal(size=(60, 2))
    reference = rng.normal(size=(4000, 2))
    truth = study.closed_form(rows, v)
    biases = [
        (study.fixed_draws(rows, v, reference, n, 0) - truth).mean()
        for n in (1, 10, 100)
    ]
    assert biases[0] > biases[1] > biases[2]
    assert abs(biases[2]) < 0.01
    torch_parts = (torch.from_numpy(part) for part in (rows, v[None]))
    other = least_disagree_metric(
        *torch_parts,
        None,
        torch.from_numpy(reference),
        rng=torch.Generator().manual_seed(0),
    )
    found = study.fixed_draws(rows, v, reference, 100, 0)
    # Rows that are nearly at right angles have few heads that flip nothing else.
    assert np.abs(found - other.numpy()).mean() < 0.01


def test_rows_in_common_count_ties_by_chance():
    a = np.array([0.1, 0.2, 0.3, 0.4])
    assert study.in_common(a, a, 2) == 1
    assert study.in_common(a, -a, 2) == 0
    assert study.in_common(a, np.array([0.2, 0.1, 0.9, 0.9]), 2) == 1
    # The first two of four equal rows are two given ones by half.
    assert study.in_common(a, np.zeros(4), 2) == 0.5
    # Each list breaks its ties by itself.
    assert study.in_common(np.zeros(4), np.zeros(4), 2) == 0.5


def test_table_has_paired_differences():
    data = pd.DataFrame(
        [
            ("letter", rule, seed, value)
            for rule, values in {"LDM": [0.7, 0.9], "Margin": [0.6, 0.8]}.items()
            for seed, value in enumerate(values)
        ],
        columns=["set", "rule", "seed", "rank"],
    )
    found = study.table(data, {"rank": ("rank", 2)}, "Margin")
    half = 12.706 * np.std([0.7, 0.9], ddof=1) / np.sqrt(2)
    assert found["rank"].iloc[0] == f"0.80 ± {half:.2f}"
    assert found["rank, minus Margin"].tolist() == ["+0.10 ± 0.00 *", ""]
    assert found["seeds"].tolist() == ["2", "2"]


@pytest.mark.slow
def test_a_quick_run_reports_and_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(study.PARTS, study.STOP, (study.compare_stops, ("digits",)))
    monkeypatch.setitem(
        study.PARTS, study.CLOSED, (study.compare_with_closed_form, ("d = 2",))
    )
    out = tmp_path / "out"
    arguments = ["--quick", "--sets", "digits"]
    arguments += ["--work", str(tmp_path), "--output", str(out)]
    assert study.main(arguments) == 0
    kept = (tmp_path / "ldm_measure_quick.csv").read_text()
    text = (out / "ldm_measure.md").read_text()
    assert "| d = 2 | pool, unchanged 1 |" in text
    assert "| digits | LDM |" in text
    assert "| digits | row, unchanged 10 |" in text
    assert study.main(arguments) == 0
    assert (tmp_path / "ldm_measure_quick.csv").read_text() == kept
    found = pd.read_csv(tmp_path / "ldm_measure_quick.csv")
    same = found[(found["part"] == "stop") & (found["rule"] == study.PROGRAM)]
    assert same["rank"].tolist() == pytest.approx([1])
    assert 0.5 < same["common"].item() <= 1
