"""The Python of README and CONTRIBUTING runs, and nothing in them is stale."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

import skal
from skal.strategies import BALD, QueryStrategy
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


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """What the examples of CONTRIBUTING define; some also check themselves."""
    names: dict[str, Any] = {}
    for source in _snippets("CONTRIBUTING.md"):
        names |= _run(source)
    return names


@pytest.mark.parametrize(
    "make",
    [
        lambda names: names["TemperedEntropy"](),
        lambda names: names["FarthestFirst"](),
        lambda names: BALD(names["ScaledWeights"](std=0.5), random_state=0),
    ],
    ids=["score", "batch", "posterior"],
)
def test_parts_of_contributing_select(
    make: Callable[[dict[str, Any]], QueryStrategy], examples: dict[str, Any]
) -> None:
    X, y = make_data("classification")
    net = make_net("classification").fit(X[:30], y[:30])
    picked = make(examples).select(net, X[30:], 5)
    assert len(set(picked.indices)) == 5
    assert len(set(picked.scores)) > 1


def test_selector_of_contributing_draws_by_its_scores(
    examples: dict[str, Any],
) -> None:
    scores = torch.tensor([0.9, 0.1]).log()
    rng = torch.Generator().manual_seed(0)
    firsts = [
        int(examples["softmax_sample"](scores, 1, rng).indices) for _ in range(1000)
    ]
    assert np.mean(firsts) == pytest.approx(0.1, abs=0.03)


def test_net_of_contributing_is_an_estimator(examples: dict[str, Any]) -> None:
    X, y = make_data("regression")
    net = clone(examples["RobustNetRegressor"](max_epochs=2)).fit(X, y)
    assert isinstance(net.criterion_, nn.HuberLoss)
    assert net.predict(X).shape == y.shape


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_targets_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert link.startswith("http") or (ROOT / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=`|\s+#)", text)) <= targets


def test_citation_has_the_version_and_the_words_of_the_readme() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert f"version: {skal.__version__}\n" in text
    readme = " ".join((ROOT / "README.md").read_text().split())
    abstract = text.split("abstract: >-\n")[1].split("\ntype:")[0]
    assert " ".join(abstract.split()) in readme
    title = re.findall(r'^title: "skal: (.*)"$', text, re.MULTILINE)
    assert title[0].lower() in readme.lower()


def test_badges_are_true() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.findall(r"!\[[^]]*\]\((http[^)]*)\)", text) == []  # needs no service
    setup = (ROOT / "setup.cfg").read_text()
    versions = re.findall(r"Python :: (3\.\d+)$", setup, re.MULTILINE)
    python = (ROOT / "docs" / "images" / "badge_python.svg").read_text()
    assert f"<title>python: {' | '.join(versions)}</title>" in python
    assert f"python {versions[0]} to {versions[-1]}]" in text
    license_ = re.findall(r"^license = (.*)$", setup, re.MULTILINE)[0]
    badge = (ROOT / "docs" / "images" / "badge_license.svg").read_text()
    assert f"<title>license: {license_}</title>" in badge
