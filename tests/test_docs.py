"""The documentation names what is public, and its examples run."""

from __future__ import annotations

import doctest
import importlib
import itertools
import re
import runpy
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge

from docs import tables
from docs.claims import CLAIMS, VERDICTS
from skal.strategies import (
    BADGE,
    BALD,
    EMCM,
    LCMD,
    Entropy,
    LeastConfident,
    LossPrediction,
    Margin,
    QueryStrategy,
    Random,
    ViaProxy,
    all_strategies,
    recommended_strategy,
)

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.rst"))
DECISIONS = sorted((DOCS / "decisions").glob("*.rst"))
#: Packages and modules whose every public name has a page in the reference.
PUBLIC = [
    *(
        "skal.nets",
        "skal.nets.bayesian",
        "skal.learners",
        "skal.strategies",
        "skal.posteriors",
    ),
    *(
        "skal.measures",
        "skal.spaces",
        "skal.selection",
        "skal.simulation",
    ),
    *("skal.campaign", "skal.datasets", "skal.evaluation", "skal.exceptions"),
    "skal.saving",
    "skal.tabular",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_the_pages_run(page: Path) -> None:
    if page.stem == "campaign":
        pytest.importorskip("sqlalchemy", reason="needs the extra `campaign`")
    if page.stem == "saving":
        pytest.importorskip("safetensors", reason="needs the extra `save`")
    failed, _ = doctest.testfile(
        str(page),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert failed == 0


def test_most_pages_have_examples() -> None:
    shown = [page.stem for page in PAGES if ">>> " in page.read_text()]
    assert {"nets", "learners", "strategies", "simulation"} <= set(shown)


def _reference() -> dict[str, set[str]]:
    """Names that the reference lists, by module."""
    listed: dict[str, set[str]] = {}
    module, in_list = "", False
    for line in (DOCS / "api.rst").read_text().splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        in_list = line.startswith(".. autosummary") or (
            in_list and line[:3] in ("", "   ")
        )
        if in_list and re.fullmatch(r"   \w+", line):
            listed.setdefault(module, set()).add(line.strip())
    return listed


@pytest.mark.parametrize("module", PUBLIC)
def test_reference_lists_every_public_name(module: str) -> None:
    public = set(importlib.import_module(module).__all__)
    assert public - _reference().get(module, set()) == set()


def test_reference_lists_nothing_that_is_not_there() -> None:
    for module, names in _reference().items():
        missing = [n for n in names if not hasattr(importlib.import_module(module), n)]
        assert missing == [], module


def test_guide_names_every_strategy() -> None:
    text = (DOCS / "strategies.rst").read_text()
    missing = [c.__name__ for c in all_strategies() if f"`{c.__name__}`" not in text]
    assert missing == []


def test_the_gallery_shows_the_picks_of_every_strategy() -> None:
    code = (DOCS / "examples" / "plot_families.py").read_text().split("Rows alone")[1]
    made = set(re.findall(r"\b(\w+)\(", code))
    assert {cls.__name__ for cls in all_strategies()} - made == set()


@pytest.mark.parametrize("file", tables.FILES, ids=lambda file: file.name)
def test_generated_parts_are_current(file: Path) -> None:
    text = file.read_text()
    assert "generated: " in text
    assert tables.refreshed(text) == text, "run `make tables`"


def test_tables_are_made_from_the_classes() -> None:
    """A strategy is described by its docstring and its class attributes."""

    class Farthest(QueryStrategy):
        """Farthest [1]_: rows far from `others`.

        References
        ----------
        .. [1] A and B, "First",
           2001.
        .. [2] C, "Second", 2002.

        Examples
        --------
        >>> Farthest()
        """

        _task = "regression"
        _requires = "net"

    assert tables.summary(Farthest) == "Rows far from `others`."
    assert tables.family(Farthest) == "net"
    assert tables.references(Farthest) == [
        'A and B, "First", 2001.',
        'C, "Second", 2002.',
    ]


def test_every_strategy_stands_in_one_table() -> None:
    listed = [cls for name in tables.FAMILIES for cls in tables.members(name)]
    assert sorted(listed, key=lambda cls: cls.__name__) == all_strategies()
    assert {Entropy, LeastConfident, Margin} <= set(tables.members("proba"))
    assert {BALD, EMCM} <= set(tables.members("models"))
    assert {BADGE, LossPrediction} <= set(tables.members("net"))
    assert {LCMD, Random} <= set(tables.members("any"))
    assert ViaProxy in tables.members("strategies")


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"^   (\w+)$", (DOCS / "decisions/index.rst").read_text(), re.M)
    pages = {page.stem for page in DECISIONS} - {"index"}
    assert sorted(listed) == sorted(pages)


def _headers(page: str) -> str:
    lines = (DOCS / f"{page}.rst").read_text().splitlines()
    rules = re.compile(r"([=\-~])\1{2,}")
    pairs = itertools.pairwise(lines)
    return "\n".join(a for a, b in pairs if a and rules.fullmatch(b))


@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("save", "faq"),
        ("Saving", "saving"),
        ("CSV", "faq"),
        ("Excel", "faq"),
        ("stop", "simulation"),
        ("Explain", "strategies"),
        ("groups", "splitting"),
        ("time", "splitting"),
        ("Cross-validation", "splitting"),
        ("Imbalance", "imbalance"),
        ("CatBoost", "other_learners"),
        ("Gaussian processes", "other_learners"),
        ("GPU", "gpu"),
        ("Batches", "batches"),
        ("Reproducibility", "reproducibility"),
        ("Large pools", "large_pools"),
        ("Pipelines", "data"),
    ],
)
def test_a_search_for_a_word_finds_a_header(word: str, page: str) -> None:
    """Search ranks titles and headers first; the index links the page."""
    assert re.search(rf"\b{word}\b", _headers(page))
    index = (DOCS / "index.rst").read_text()
    questions, pages = index.split("By question\n", 1)[1].split(":caption:", 1)
    assert f"   {page}\n" in pages
    links = set(re.findall(r":(?:doc|ref):`([\w-]+)`", questions))
    assert page in links


def test_every_page_is_in_the_contents() -> None:
    text = (DOCS / "index.rst").read_text()
    listed = set(re.findall(r"^   ([a-z_]+)$", text, re.M)) | {"index"}
    assert {page.stem for page in PAGES} - listed == set()


# -- which strategy --------------------------------------------------------------------

FIRST = {
    "regression": type(recommended_strategy(Ridge())).__name__,
    "classification": type(recommended_strategy(LogisticRegression())).__name__,
}
ROOT = DOCS.parent


def _between(page: Path, start: str, end: str) -> str:
    return page.read_text().split(start, 1)[1].split(end, 1)[0]


@pytest.mark.parametrize(
    ("page", "start", "end", "task"),
    [
        ("README.md", "## Regression", "## Classification", "regression"),
        ("README.md", "## Classification", "## Strategies", "classification"),
        ("README.md", "## Strategies\n\nStart with", "for regression", "regression"),
        ("README.md", "for regression, and with", "classification", "classification"),
        ("docs/getting_started.rst", "regression on a table,", "and for", "regression"),
        ("docs/getting_started.rst", "Without a learner", "Next steps", "regression"),
        ("docs/which_strategy.rst", "\nStart with", "for regression", "regression"),
        ("docs/which_strategy.rst", "for regression,", "cation.", "classification"),
        ("docs/strategies.rst", "\nRegression\n   ", "with any", "regression"),
        ("docs/strategies.rst", "\nClassification\n   ", "with any", "classification"),
        ("docs/index.rst", "python -m pip install .", "A simulation", "regression"),
        ("docs/faq.rst", "Which strategy sh", "for regression", "regression"),
        ("docs/faq.rst", "for regression, and", "classification", "classification"),
        ("docs/batches.rst", "our studies, ", "for regression", "regression"),
        ("docs/batches.rst", "256 rows,", "for classif", "classification"),
        ("docs/other_learners.rst", "Start with", "for regression", "regression"),
        ("docs/other_learners.rst", "and with", "classification", "classification"),
        ("docs/imbalance.rst", "\nQuery\n", "Strategies that", "classification"),
        ("docs/examples/plot_ames.py", "What was queried", "no two", "regression"),
        ("docs/examples/plot_which_learner.py", "# %%", "order =", "classification"),
        ("docs/examples/plot_1_first_campaign.py", "# %%", "In each", "regression"),
        ("skal/learners/modal.py", "needs class prob", "regressor", "regression"),
    ],
)
def test_pages_name_the_strategy_that_is_recommended(
    page: str, start: str, end: str, task: str
) -> None:
    """And no other one."""
    known = {cls.__name__ for cls in all_strategies()} - {"Random"}
    text = _between(ROOT / page, start, end)
    assert known & set(re.findall(r"\w+", text)) == {FIRST[task]}


def test_every_strategy_has_its_claim_and_results_that_name_it() -> None:
    assert set(CLAIMS) == {cls.__name__ for cls in all_strategies()}
    for name, claim in CLAIMS.items():
        assert claim.verdict in VERDICTS
        assert claim.results or claim.verdict == "not studied", name
        for file in claim.results:
            text = (tables.RESULTS / f"{file}.md").read_text().lower()
            # Stochastic is named by what it wraps: "Margin, stochastic".
            assert name.lower() in text, f"{name} in {file}"


def test_gains_are_those_of_the_results() -> None:
    found = tables.results("tabular_small", "## Average")
    assert found["LCMD"]["rank"] == "2.20"
    assert len(found) == 23
    assert tables.results("tabular_small", "## No such part") == {}
    assert "+0.104 in log RMSE (better on 11 of 11)" in tables.gains("LCMD")
    assert tables.gains("Random") == ""


def test_the_recommended_strategies_are_the_best_of_the_tables() -> None:
    for file, part in (
        ("tabular_small", "## Average"),
        ("plain_regressors", "## Ridge"),
        ("plain_regressors", "## SVM"),
        ("plain_regressors", "## Nearest"),
    ):
        found = tables.results(file, part)
        assert next(iter(found)) == FIRST["regression"], (file, part)


@pytest.mark.parametrize(
    "part",
    ["## Net", "## All strategies, net", "## Logistic", "## Random forest", "## CatB"],
)
def test_the_recommended_strategy_for_classes_is_not_clearly_worse(part: str) -> None:
    text = (tables.RESULTS / "tabular_classification.md").read_text()
    found = tables.results("tabular_classification", part)
    critical = re.search(r"ranks differ by (\d+\.\d+)", text.split(f"\n{part}")[1])
    assert critical is not None
    margin = found[FIRST["classification"]]
    best = min(float(row["rank"]) for row in found.values())
    assert float(margin["rank"]) - best < float(critical[1])
    assert float(margin["95 % over sets"].split(" to ")[0]) > 0


def test_code_that_replaces_other_packages_runs() -> None:
    text = (DOCS / "coming_from.rst").read_text()
    blocks = re.findall(r"^(   # skal\n(?:   .*\n|\n)+)", text, re.MULTILINE)
    assert len(blocks) == 3
    order = np.random.default_rng(0).permutation(150)
    X, y = (part[order] for part in load_iris(return_X_y=True))
    for block in blocks:
        given: dict[str, Any] = {
            **{"model": LogisticRegression(max_iter=999), "X": X, "y_true": y},
            **{"X_start": X[:20], "y_start": y[:20], "X_pool": X[20:]},
            **{"y_pool": y[20:], "X_train": X[:20], "y_train": y[:20] - 1.0},
            "LogisticRegression": partial(LogisticRegression, max_iter=999),
        }
        exec(dedent(block), given)
        assert given["learner"].predict(X).shape == (150,)
        assert len(given["positions"]) in (5, 64)


def test_classes_of_other_pages_exist() -> None:
    text = (DOCS / "coming_from.rst").read_text()
    for name in re.findall(r":class:`~(skal[\w.]+)`", text):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.slow
def test_coverage_of_intervals_is_that_of_the_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    runpy.run_path(str(DOCS / "examples" / "plot_uncertainty.py"))
    plt.close("all")
    found = re.findall(r"^(.+): (\d+)% of", capsys.readouterr().out, re.MULTILINE)
    text = (DOCS / "uncertainty.rst").read_text()
    table = re.findall(r"^   \* - (.+?),.*\n     - (\d+) %", text, re.MULTILINE)
    assert {name.lower() for name, _ in table} == {name.lower() for name, _ in found}
    stated = {name.lower(): int(share) for name, share in table}
    for name, share in found:
        assert abs(stated[name.lower()] - int(share)) <= 3, name
