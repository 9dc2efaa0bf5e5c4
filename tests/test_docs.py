"""The documentation names what is public, and its examples run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

from skal.strategies import all_strategies

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
    *("skal.datasets", "skal.plotting", "skal.exceptions"),
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


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"^   (\w+)$", (DOCS / "decisions/index.rst").read_text(), re.M)
    pages = {page.stem for page in DECISIONS} - {"index"}
    assert sorted(listed) == sorted(pages)
