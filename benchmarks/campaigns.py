"""Campaigns of several strategies on several sets: played, kept, resumed, reported.

What the worth studies share.  Every campaign that ends is added to a file in the work
folder, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from benchmarks.report import comparison_table, environment, markdown
from skal.simulation import ActiveLearningSimulation, StrategyComparison
from skal.simulation.result import score_label

mpl.use("Agg")


class Split(NamedTuple):
    """Rows and labels, of the pool and of the test."""

    X_pool: np.ndarray
    X_test: np.ndarray
    y_pool: np.ndarray
    y_test: np.ndarray


class Entry(NamedTuple):
    """What plays: a model and the strategy that picks for it."""

    model: Any
    strategy: Any


@dataclass(frozen=True)
class Study:
    """What is compared on what.

    Attributes
    ----------
    stem : str
        Name of the files that are written.
    heading, text : str
        Of the report.
    sets : tuple of str
        Names of the sets.
    split : callable
        ``(set, seed) -> Split``; OSError if the set is not to be had.
    entries : callable
        ``set -> {name: Entry}``, in the order of the report; "Random" is among them.
    test_train_ratio : float
        Rows of the test over rows of the pool.
    scoring : dict
        Scorer of each set.
    """

    stem: str
    heading: str
    text: str
    sets: tuple[str, ...]
    split: Callable[[str, int], Split]
    entries: Callable[[str], Mapping[str, Entry]]
    test_train_ratio: float
    scoring: Mapping[str, str]
    n_initial: int
    n_instances: int
    n_queries: int
    initial: str = "random"
    digits: int = 3

    @property
    def budgets(self) -> list[int]:
        """Numbers of labels that the table shows."""
        steps = sorted({0, 1, self.n_queries // 2, self.n_queries})
        return [self.n_initial + self.n_instances * k for k in steps]


def play(study: Study, name: str, strategy: str, seed: int) -> pd.DataFrame:
    """Play one campaign; a row a step."""
    torch.set_num_threads(1)
    data = study.split(name, seed)
    entry = study.entries(name)[strategy]
    simulation = ActiveLearningSimulation(
        entry.model,
        entry.strategy,
        n_initial=study.n_initial,
        n_instances=study.n_instances,
        n_queries=study.n_queries,
        initial=study.initial,
        scoring=study.scoring[name],
        random_state=seed,
    ).fit(data.X_pool, data.y_pool)
    return pd.DataFrame(
        {
            "set": name,
            "strategy": strategy,
            "fold": seed,
            "repeat": 0,
            "seed": seed,
            "step": np.arange(study.n_queries + 1),
            "n_labeled": simulation.n_labeled_,
            "score": simulation.learning_curve(data.X_test, data.y_test),
            "query_time": np.concatenate([[np.nan], simulation.query_times_]),
            "fit_time": simulation.fit_times_,
        }
    )


def collect(
    study: Study, sets: list[str], seeds: int, n_jobs: int, file: Path
) -> pd.DataFrame:
    """Play what the file lacks, adding each campaign to it as it ends."""
    done = pd.read_csv(file) if file.exists() else pd.DataFrame()
    keys = ["set", "strategy", "fold"]
    have = set() if done.empty else set(done[keys].itertuples(index=False, name=None))
    wanted = [(d, s, k) for k in range(seeds) for d in sets for s in study.entries(d)]
    todo = [task for task in wanted if task not in have]
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    file.parent.mkdir(parents=True, exist_ok=True)
    tables = parallel(delayed(play)(study, *task) for task in todo)
    for table in tqdm(tables, total=len(todo), desc="campaigns"):
        table.to_csv(file, mode="a", header=not file.exists(), index=False)
    return whole_campaigns(study, pd.read_csv(file), sets, seeds)


def whole_campaigns(
    study: Study, data: pd.DataFrame, sets: list[str], seeds: int
) -> pd.DataFrame:
    """Keep what has played all seeds of a set, in the order of the study."""
    data = data[data["set"].isin(sets) & (data["fold"] < seeds)]
    played = data.groupby(["set", "strategy"])["fold"].transform("nunique")
    data = data[played == seeds]
    order = {s: k for name in sets for k, s in enumerate(study.entries(name))}
    return data.sort_values(
        ["set", "fold", "strategy", "step"],
        key=lambda column: column.map(order) if column.name == "strategy" else column,
        ignore_index=True,
    )


def report(
    study: Study, data: pd.DataFrame, sets: list[str], command: str, folder: Path
) -> str:
    """Write CSV, pictures and Markdown; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / f"{study.stem}.csv", index=False, float_format="%.6g")
    parts = [
        f"# {study.heading}",
        f"`{command}`",
        f"A campaign: {study.n_initial} labels, {study.initial}, then "
        f"{study.n_queries} times {study.n_instances}. {study.text} Gain: mean score "
        "over the budget minus Random's, with its 95 % interval and the p-value of the "
        "paired t-test, both corrected for the rows that splits share. 'no gain': the "
        "interval includes 0.",
    ]
    for name in sets:
        part = data[data["set"] == name].drop(columns="set")
        if part.empty:
            continue
        label = score_label(None, study.scoring[name])
        comparison = StrategyComparison(part, label, study.test_train_ratio)
        display = comparison.plot()
        display.ax_.set_title(f"{name}: {part['fold'].nunique()} seeds")
        picture = f"{study.stem}_{name}.png"
        display.figure_.savefig(folder / picture, dpi=120)
        times = part.groupby("strategy")["query_time"].mean()
        table = comparison_table(comparison, study.budgets, digits=study.digits)
        table["s a query"] = [f"{times[s]:.2f}" for s in table.index]
        parts += [
            f"## {name}, {part['fold'].nunique()} seeds, {label.name}",
            markdown(table),
            *_left_out(study, name, part),
            f"![learning curves on {name}]({picture})",
        ]
    parts.append("\n".join(f"- {line}" for line in environment()))
    text = "\n\n".join(parts) + "\n"
    (folder / f"{study.stem}.md").write_text(text)
    return text


def _left_out(study: Study, name: str, part: pd.DataFrame) -> list[str]:
    missing = [s for s in study.entries(name) if s not in set(part["strategy"])]
    if not missing:
        return []
    return [f"Not played to the end, so not shown: {'; '.join(missing)}."]


def main(study: Study, module: str, doc: str | None, argv: list[str] | None) -> int:
    """Play and report; 1 if the data could not be had."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sets = list(study.sets)
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--report-only", action="store_true", help="of the strategies that are complete"
    )
    args = parser.parse_args(argv)
    file = args.work / f"{study.stem}.csv"
    if args.report_only:
        data = whole_campaigns(study, pd.read_csv(file), args.sets, args.seeds)
    else:
        try:
            for name in args.sets:
                study.split(name, 0)
        except OSError as error:
            print(error, file=sys.stderr)
            return 1
        data = collect(study, args.sets, args.seeds, args.n_jobs, file)
    command = (
        f"python -m {module} --sets {' '.join(args.sets)} "
        f"--seeds {args.seeds} --n-jobs {args.n_jobs}"
    )
    print(report(study, data, args.sets, command, args.output))
    return 0
