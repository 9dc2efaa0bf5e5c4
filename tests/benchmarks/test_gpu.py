"""The benchmark of the GPU, on the CPU twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import gpu


def test_each_device_is_asked_and_picks_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    file = tmp_path / "gpu.md"
    options = "--device cpu:0 --rows 80 --labeled 60 --batch 4 --repeats 1 --threads 1"
    only = ["--no-fits", "--only", "Margin", "LCMD", "LossPrediction", "EMCM"]
    gpu.main([*options.split(), *only, "--output", str(file)])
    lines = [line for line in file.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    head, _, *found = cells
    assert {tuple(line[:2]) for line in found} == {
        ("classification", "Margin"),
        ("images", "Margin"),
        *((task, "LossPrediction") for task in ("classification", "regression")),
        *((task, "LCMD") for task in ("classification", "regression")),
        ("regression", "EMCM"),
    }
    for line in found:
        values = dict(zip(head, line, strict=True))
        assert float(values["in common"]) == 1
        assert values["same again"] == "yes"
        assert float(values["cpu, s"]) > 0
        assert float(values["cpu:0, s"]) > 0


def test_fits_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fitted:
        def __init__(self, *args: object, **options: object) -> None:
            self.device = options["device"]

        def fit(self, X: object, y: object) -> Fitted:
            asked.append(self.device)
            return self

    asked: list[object] = []
    for name in ("NetRegressor", "NetClassifier", "FoldEnsembleRegressor"):
        monkeypatch.setattr(gpu, name, Fitted)
    options = gpu.parse(["--rows", "50", "--repeats", "1"])
    lines = list(gpu.fits(["cpu", "cpu:0"], options))
    assert len(lines) == 4
    assert asked == ["cpu", "cpu", "cpu:0", "cpu:0"] * 4
