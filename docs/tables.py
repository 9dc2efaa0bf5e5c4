"""Write the parts of README and docs that follow from the code.

Run as ``python -m docs.tables`` (``make tables``).  A generated part stands between a
comment ``generated: KIND ARGUMENT`` and a comment ``end of generated part``; what is
between them is replaced.  A test fails when a file is out of date.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path

from docs.claims import CLAIMS, VERDICTS
from skal.strategies import WrappingStrategy, all_strategies
from skal.strategies.recommended import CHOICES
from skal.strategies.suitable import summary

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
#: Strategies that answer each learner, written by ``python -m tests.matrix.learners``.
ANSWERS = ROOT / "docs" / "answers.json"
_PAGES = ("strategies", "other_learners", "which_strategy", "literature", "api")
FILES = [ROOT / "README.md", *(ROOT / "docs" / f"{page}.rst" for page in _PAGES)]
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


def list_table(widths: str, rows: list[list[str]]) -> list[str]:
    """Write a table of reStructuredText; the first row is its header."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in rows:
        marks = ["   * - ", *["     - "] * (len(row) - 1)]
        cells = (mark + cell for mark, cell in zip(marks, row, strict=True))
        lines += [line.rstrip() for line in cells]
    return lines


def learners(place: str = "") -> list[str]:
    """Table of README or of the guide: the mean error of each learner by labels."""
    parts = {"log RMSE": "## Regression: log", "error in %": "## Classification: error"}
    found = {name: results("learners", part) for name, part in parts.items()}
    columns, cells = ["learner"], {name: [name] for name in found["log RMSE"]}
    for measure, rows in found.items():
        labels = [name for name in next(iter(rows.values())) if name.startswith("n =")]
        columns += [f"{measure}, {name.split(' (')[0]}" for name in labels]
        for learner, row in rows.items():
            cells[learner] += [row[name] for name in labels]
    if place == "guide":
        widths = " ".join(["28", *["10"] * (len(columns) - 1)])
        return list_table(widths, [columns, *cells.values()])
    rule = ["---"] * len(columns)
    return [f"| {' | '.join(row)} |" for row in (columns, rule, *cells.values())]


def strategies(name: str) -> list[str]:
    """Table of the guide: the strategies of one family."""
    rows = [["strategy", "task", "summary", "gain over random sampling in our studies"]]
    for cls in members(name):
        task = "both" if cls._task == "any" else cls._task
        labeled = ", with labeled rows" if cls._requires_labeled else ""
        role = f":class:`{cls.__name__}`"
        rows.append([role, f"{task}{labeled}", summary(cls), gains(cls.__name__)])
    return list_table("20 16 40 24", rows)


#: Tables of results with a column of gains: file, part, and what the gain is called.
#: A part is read for strategies that no part before it has under the same words.
_GAINS = (
    ("tabular_small", "## Average", "regression: {} in log RMSE"),
    ("noise_stability", "## Average", "regression: {} in log RMSE"),
    ("tabular_small_newer", "## Average", "regression: {} in log RMSE"),
    *(
        ("tabular_classification", f"## {part}", f"{words}: {{}} percentage points")
        for words, parts in {
            "classification with a net": ("Net", "All strategies, net"),
            "classification with logistic regression": (
                "Logistic regression",
                "All strategies, logistic regression",
            ),
            "classification with a forest": (
                "Random forest",
                "All strategies, random forest",
            ),
            "classification with CatBoost": ("CatBoost",),
        }.items()
        for part in parts
    ),
)


def results(file: str, part: str) -> dict[str, dict[str, str]]:
    """Read the first table of a part of a report; a row a strategy.

    Empty if there is no such part.
    """
    lines = (RESULTS / f"{file}.md").read_text().splitlines()
    start = next((k for k, line in enumerate(lines) if line.startswith(part)), None)
    rows: list[list[str]] = []
    for line in lines[start:] if start is not None else []:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def gains(strategy: str) -> str:
    """Say what a strategy gained over random sampling, and on how many sets."""
    found: dict[str, str] = {}
    for file, part, words in _GAINS:
        row = results(file, part).get(strategy)
        if row is not None and row["gain"] and words not in found:
            gain = words.format(row["gain"])
            found[words] = f"{gain} (better on {row['sets better']})"
    return "; ".join(found.values())


def decision(_: str = "") -> list[str]:
    """Table of the choices of `skal.recommended_strategy`."""
    rows = [["task", "learner", "start with", "reason"]]
    for choice in CHOICES:
        link = f":class:`~skal.strategies.{choice.strategy.__name__}`"
        why = f"{choice.why} {sources(choice.results)}".strip()
        rows.append([choice.task, choice.learner, link, why])
    return list_table("14 30 16 40", rows)


def answers(task: str) -> list[str]:
    """Table of the learners of a task, and of the strategies that answer each."""
    names = {cls.__name__ for cls in all_strategies() if cls._task in (task, "any")}
    rows = [["learner", "suitable strategies", "unsuitable strategies for this task"]]
    for learner, found in json.loads(ANSWERS.read_text())[task].items():
        others = ", ".join(sorted(names - set(found)))
        rows.append([f"`{learner}`", str(len(found)), others])
    return list_table("30 10 60", rows)


def sources(files: tuple[str, ...]) -> str:
    """Link reports of results."""
    links = (f":download:`{f} <../benchmarks/results/{f}.md>`" for f in files)
    return f"({', '.join(links)})" if files else ""


def ranks(argument: str) -> list[str]:
    """Table of gains of a report; the argument is its file and a part, by a dot."""
    file, part = argument.split(".")
    found = results(file, f"## {part.replace('_', ' ')}")
    named = {
        "rank": ("rank", "10"),
        "gain": ("gain", "14"),
        "median gain": ("median gain", "14"),
        "95 % over sets": ("95 % interval over sets", "26"),
        "sets better": ("sets improved", "18"),
    }
    columns = [c for c in named if any(row.get(c) for row in found.values())]
    rows = [["strategy", *(named[column][0] for column in columns)]]
    known = {cls.__name__ for cls in all_strategies()}
    for name, row in found.items():
        link = f":class:`~skal.strategies.{name}`" if name in known else name
        rows.append([link, *(row.get(column, "") for column in columns)])
    return list_table(" ".join(["32", *(named[c][1] for c in columns)]), rows)


def table(argument: str) -> list[str]:
    """Table of a report, as it is; the argument is its file and a part, by a dot."""
    file, part = argument.split(".")
    found = list(results(file, f"## {part.replace('_', ' ')}").values())
    known = {cls.__name__ for cls in all_strategies()}
    rows = [list(found[0])]
    for row in found:
        name, *cells = row.values()
        link = f":class:`~skal.strategies.{name}`" if name in known else name
        rows.append([link, *cells])
    return list_table(" ".join(["30", *["20"] * (len(rows[0]) - 1)]), rows)


def others(task: str) -> list[str]:
    """Table of what strategies gain with learners that are not nets; a column each."""
    lines = (RESULTS / "any_learner.md").read_text().split(f"## {task.capitalize()}")[1]
    cells: dict[str, dict[str, str]] = {}
    learners: dict[str, None] = {}
    for line in lines.split("## ")[0].splitlines():
        if line.startswith("| ") and "---" not in line:
            learner, name, gain, _, better = (c.strip() for c in line.split("|")[1:-1])
            if learner != "learner":
                learners[learner] = None
                digits = 3 if task == "regression" else 1  # log RMSE, or points
                found = f"{float(gain):+.{digits}f} ({better})"
                cells.setdefault(name, {})[learner] = found
    known = {cls.__name__ for cls in all_strategies()}
    rows = [["strategy", *learners]]
    for name in sorted(cells, key=lambda n: (-_mean_of(cells[n]), n)):
        link = f":class:`~skal.strategies.{name}`" if name in known else name
        rows.append([link, *(cells[name].get(learner, "") for learner in learners)])
    return list_table(" ".join(["30", *["20"] * len(learners)]), rows)


def _mean_of(cells: dict[str, str]) -> float:
    gains = [float(cell.split(" (")[0]) for cell in cells.values()]
    return sum(gains) / len(gains)


def claims(_: str = "") -> list[str]:
    """Table of what papers claim, and of what our studies found."""
    order = list(VERDICTS)
    rows = [["strategy", "claim", "verdict", "our studies"]]
    for name in sorted(CLAIMS, key=lambda n: (order.index(CLAIMS[n].verdict), n)):
        claim = CLAIMS[name]
        found = f"{claim.found} {sources(claim.results)}".strip()
        link = f":class:`~skal.strategies.{name}`"
        rows.append([link, claim.claim, claim.verdict, found])
    return list_table("16 28 12 44", rows)


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
    rows = [[reference, ", ".join(cited[reference])] for reference in sorted(cited)]
    return list_table("70 30", [["paper", "strategies"], *rows])


_KINDS: dict[str, Callable[[str], list[str]]] = {
    "overview": overview,
    "learners": learners,
    "strategies": strategies,
    "names": names,
    "papers": papers,
    "decision": decision,
    "ranks": ranks,
    "table": table,
    "others": others,
    "claims": claims,
    "answers": answers,
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
