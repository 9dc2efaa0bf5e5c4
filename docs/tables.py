"""Write the parts of README and docs that follow from the code.

Run as ``python -m docs.tables`` (``make tables``).  A generated part stands between a
comment ``generated: KIND ARGUMENT`` and a comment ``end of generated part``; what is
between them is replaced.  A test fails when a file is out of date.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path

from skal.strategies import WrappingStrategy, all_strategies
from skal.strategies.suitable import summary

ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{page}.rst" for page in ("strategies", "literature", "api")),
]
#: What a learner has to provide, by family; the order is that of the tables.
FAMILIES = {
    "any": "any estimator",
    "proba": "`predict_proba`, or for some `decision_function`",
    "models": "several plausible models (a posterior)",
    "net": "a skorch net",
    "strategies": "what the wrapped strategy needs",
}
_PART = re.compile(
    r"^(?P<begin>(?:\.\.|<!--) generated: (?P<kind>\w+) ?(?P<argument>[\w.]*)[^\n]*\n)"
    r".*?"
    r"^(?P<end>(?:\.\.|<!--) end of generated part)",
    re.MULTILINE | re.DOTALL,
)


def family(strategy: type) -> str:
    """Name the family of a strategy, by what it needs of a learner."""
    if issubclass(strategy, WrappingStrategy):
        return "strategies"
    parameters = inspect.signature(strategy).parameters
    if "posterior" in parameters:
        return "models"
    return {None: "any", "decision": "proba"}.get(
        strategy._requires, strategy._requires
    )


def members(name: str) -> list[type]:
    """List the strategies of a family by name."""
    return [cls for cls in all_strategies() if family(cls) == name]


def overview(_: str = "") -> list[str]:
    """Table of README: what is needed, and the strategies by task."""
    tasks = {"classification": "classification", "regression": "regression"}
    lines = [
        f"| needs | {' | '.join([*tasks, 'both'])} |",
        "| --- | --- | --- | --- |",
    ]
    for name, needs in FAMILIES.items():
        cells = [
            ", ".join(f"`{cls.__name__}`" for cls in members(name) if cls._task == task)
            for task in [*tasks, "any"]
        ]
        lines.append(f"| {needs} | {' | '.join(cells)} |")
    return lines


def strategies(name: str) -> list[str]:
    """Table of the guide: the strategies of one family."""
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 24 22 54",
        "",
        "   * - strategy",
        "     - task",
        "     - summary",
    ]
    for cls in members(name):
        task = "both" if cls._task == "any" else cls._task
        labeled = ", with labeled rows" if cls._requires_labeled else ""
        lines += [
            f"   * - :class:`{cls.__name__}`",
            f"     - {task}{labeled}",
            f"     - {summary(cls)}",
        ]
    return lines


def names(module: str) -> list[str]:
    """Reference of a module: its ``__all__``, strategies after the rest."""
    source = importlib.import_module(module)
    strategies = all_strategies()
    # A stable sort: False comes before True.
    ordered = sorted(
        source.__all__, key=lambda name: getattr(source, name) in strategies
    )
    return [
        f".. currentmodule:: {module}",
        "",
        ".. autosummary::",
        "   :toctree: generated/",
        "",
        *(f"   {name}" for name in ordered),
    ]


def references(cls: type) -> list[str]:
    """List the references of a docstring, each as one line."""
    text = inspect.getdoc(cls) or ""
    parts = re.split(r"^References\n-+\n", text, maxsplit=1, flags=re.MULTILINE)[1:]
    section = re.split(r"^\w+\n-+\n", "".join(parts), maxsplit=1, flags=re.MULTILINE)
    found = re.split(r"^\.\. \[\d+\]", section[0], flags=re.MULTILINE)[1:]
    return [" ".join(reference.split()) for reference in found]


def papers(_: str = "") -> list[str]:
    """Table of the literature: each paper, and the strategies that cite it."""
    cited: dict[str, list[str]] = {}
    for cls in all_strategies():
        for reference in references(cls):
            cited.setdefault(reference, []).append(f":class:`{cls.__name__}`")
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 70 30",
        "",
        "   * - paper",
        "     - strategies",
    ]
    for reference in sorted(cited):
        lines += [f"   * - {reference}", f"     - {', '.join(cited[reference])}"]
    return lines


_KINDS: dict[str, Callable[[str], list[str]]] = {
    "overview": overview,
    "strategies": strategies,
    "names": names,
    "papers": papers,
}


def refreshed(text: str) -> str:
    """Return a page with its generated parts made anew."""

    def part(match: re.Match[str]) -> str:
        lines = _KINDS[match["kind"]](match["argument"])
        return "\n".join([match["begin"], *lines, "", match["end"]])

    return _PART.sub(part, text)


def main() -> None:
    """Bring all files up to date."""
    for file in FILES:
        text = file.read_text()
        if (new := refreshed(text)) != text:
            file.write_text(new)
            print(f"{file.relative_to(ROOT)} was out of date")


if __name__ == "__main__":
    main()
