"""The Python of README and CONTRIBUTING runs, and nothing in them is stale."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skal.strategies import all_strategies
from tests.models import make_data, make_net

ROOT = Path(__file__).parents[1]


def _snippets(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


def _run(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "snippet"}
    exec(compile(source, "snippet", "exec"), names)
    return names


@pytest.fixture
def houses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a table where `load_ames` looks, with a few of its columns."""
    rng = np.random.default_rng(0)
    area = rng.uniform(50, 300, size=150)
    table = pd.DataFrame(
        {
            "Order": range(150),
            "Gr Liv Area": area,
            "Neighborhood": rng.choice(["NAmes", "Gilbert", "OldTown"], size=150),
            "SalePrice": 1000 * area + rng.normal(0, 1e4, size=150),
        }
    )
    table.to_csv(tmp_path / "AmesHousing.csv", index=False)
    monkeypatch.setenv("SKAL_DATA", str(tmp_path))


@pytest.mark.usefixtures("houses")
def test_regression_snippet_labels_what_it_says() -> None:
    names = _run(_snippets("README.md")[0])
    assert len(names["learner"].X_training) == 50 + 3 * 20
    assert len(names["pool"]) == 150 - 50 - 3 * 20


def test_classification_snippet_learns(capsys: pytest.CaptureFixture[str]) -> None:
    names = _run(_snippets("README.md")[1])
    assert len(names["learner"].X_training) == 60
    assert float(capsys.readouterr().out) > 0.5


def test_simulation_snippet_compares(capsys: pytest.CaptureFixture[str]) -> None:
    mpl.use("Agg")
    names = _run(_snippets("README.md")[2])
    assert set(names["comparison"].strategies) == {"Random", "Margin", "Entropy"}
    assert "Margin" in capsys.readouterr().out
    plt.close("all")


def test_readme_has_no_other_snippets() -> None:
    assert len(_snippets("README.md")) == 3


@pytest.mark.parametrize("number", [0, 1])
def test_strategies_of_contributing_select(number: int) -> None:
    names = _run(_snippets("CONTRIBUTING.md")[number])
    (strategy,) = (
        names[name] for name in ("TemperedEntropy", "FarthestFirst") if name in names
    )
    X, y = make_data("classification")
    net = make_net("classification").fit(X[:30], y[:30])
    assert len(set(strategy().select(net, X[30:], 5).indices)) == 5


def test_readme_names_every_strategy() -> None:
    text = (ROOT / "README.md").read_text()
    missing = [c.__name__ for c in all_strategies() if f"`{c.__name__}`" not in text]
    assert missing == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_and_targets_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("http") or (ROOT / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=`|\s+#)", text)) <= targets
