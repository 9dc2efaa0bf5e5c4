"""The study of settings of noise stability and label dispersion, on small sets."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import stability_dispersion as study


def test_losses_are_log_errors_or_percent_of_what_all_have_played():
    rows = [
        (study.DISPERSION, "digits", name, seed, step, score)
        for name in study.PARTS[study.DISPERSION][2]
        for seed in (0, 1)
        for step, score in enumerate([0.1, 0.5, 0.7])
        if (name, seed) != ("last 15", 1)
    ]
    rows += [
        (study.STABILITY, "yacht", name, 0, step, score)
        for name in study.PARTS[study.STABILITY][2]
        for step, score in enumerate([-9, 1.0, 2.0])
    ]
    data = pd.DataFrame(rows, columns=[*study.KEYS, "step", "score"])
    found = study.losses(data, study.DISPERSION)
    assert found.index.tolist() == [("digits", 0)]
    np.testing.assert_allclose(found, 40)
    np.testing.assert_allclose(study.losses(data, study.STABILITY), -1.5)


def test_bins_of_dispersion_hold_all_rows_of_the_test():
    table = study.find_errors("digits", "every 10th", 0, 999)
    bins = table[table["bin"] != "all"]
    assert bins["rows"].sum() == 797
    accuracy = 1 - bins["wrong"].sum() / bins["rows"].sum()
    assert 0.8 < accuracy < 1
    assert 0.5 < table["score"][0] < 1


@pytest.mark.slow
def test_a_quick_run_reports_and_resumes(tables, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "REGRESSION", ("yacht",))
    monkeypatch.setattr(study, "CLASSES", ("digits",))
    few = {name: study.SETTINGS[name] for name in ("default", "program")}
    monkeypatch.setattr(study, "SETTINGS", few)
    epochs = ("all 60 epochs", "last 30")
    few_epochs = {name: study.EPOCHS_READ[name] for name in epochs}
    monkeypatch.setattr(study, "EPOCHS_READ", few_epochs)
    for part, sets, names in (
        (study.STABILITY, ("yacht",), ["Random", *few]),
        (study.OF_CLASSES, ("digits",), ["Random", "Margin", *few]),
        (study.DISPERSION, ("digits",), ["Random", "Margin", *epochs]),
        (study.ERRORS, ("digits",), ["Margin", *epochs]),
    ):
        monkeypatch.setitem(study.PARTS, part, (study.PARTS[part][0], sets, names))
    out = tmp_path / "out"
    arguments = ["--quick", "--work", str(tmp_path), "--output", str(out)]
    assert study.main(arguments) == 0
    kept = (tmp_path / "stability_dispersion_quick.csv").read_text()
    text = (out / "stability_dispersion.md").read_text()
    assert "## Noise stability: 1 sets, 2 seeds" in text
    assert "## Noise stability for classes: 1 sets, 2 seeds" in text
    assert "## Label dispersion: 1 sets, 2 seeds" in text
    assert "| digits | last 30 |" in text
    assert study.main(arguments) == 0
    assert (tmp_path / "stability_dispersion_quick.csv").read_text() == kept
