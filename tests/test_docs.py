"""The documentation names what is public, and its examples run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from docs import tables
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
    *("skal.campaign", "skal.datasets", "skal.exceptions", "skal.tabular"),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_the_pages_run(page: Path) -> None:
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
