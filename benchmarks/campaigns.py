"""Campaigns of several strategies on several sets: play, keep, resume, report.

Shared by all studies of what strategies are worth.  Every finished campaign is added
to a file in the work folder, and a second run continues from there.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
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
    """A model, and the strategy that picks for it."""

    model: Any
    strategy: Any


@dataclass(frozen=True)
class Study:
    """A comparison of strategies on some data sets.

    Attributes
    ----------
    stem : str
        Name of the files that are written.
    heading, text : str
        Of the report.
    sets : tuple of str
        Names of the sets.
    split : callable
        ``(set, seed) -> Split``; OSError if the set is missing.
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
        """Label counts that the table shows."""
        steps = sorted({0, 1, self.n_queries // 2, self.n_queries})
        return [self.n_initial + self.n_instances * k for k in steps]


class ByEnsemble(BaseEstimator):
    """Query with an ensemble that is trained on the learner's labels."""

    def __init__(self, strategy: Any, ensemble: Any) -> None:
        self.strategy = strategy
        self.ensemble = ensemble

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        """Pick rows of the pool."""
        ensemble = clone(self.ensemble).fit(learner.X_training, learner.y_training)
        picked = self.strategy.select(ensemble, X_pool, n_instances)
        return picked.indices, picked.scores


def play_simulation(
    model: Any, strategy: Any, data: Sequence[Any], seed: int, **settings: Any
) -> tuple[pd.DataFrame, ActiveLearningSimulation]:
    """Play one campaign on one thread.

    Parameters
    ----------
    model, strategy : objects
    data : Split
        Or a tuple of the same order.
    seed : int
    **settings : dict
        Of `ActiveLearningSimulation`.

    Returns
    -------
    table : DataFrame
        A row per step.
    simulation : ActiveLearningSimulation
        Fitted.
    """
    torch.set_num_threads(1)
    X_pool, X_test, y_pool, y_test = data
    simulation = ActiveLearningSimulation(
        model, strategy, random_state=seed, **settings
    ).fit(X_pool, y_pool)
    table = pd.DataFrame(
        {
            "repeat": 0,
            "seed": seed,
            "step": np.arange(len(simulation.n_labeled_)),
            "n_labeled": simulation.n_labeled_,
            "score": simulation.learning_curve(X_test, y_test),
            "query_time": np.concatenate([[np.nan], simulation.query_times_]),
            "fit_time": simulation.fit_times_,
        }
    )
    return table, simulation


def study_parser(
    doc: str | None, *, seeds: int = 5, n_jobs: int = 1, quick: str | None = None
) -> argparse.ArgumentParser:
    """Make a parser with the arguments that all studies have.

    Parameters
    ----------
    doc : str or None
        Docstring of the module, shown by ``--help``.
    seeds, n_jobs : int
        Defaults.
    quick : str, optional
        Help of ``--quick``; by default there is no such argument.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--n-jobs", "--jobs", type=int, default=n_jobs)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--report-only", action="store_true", help="report what has been computed"
    )
    if quick is not None:
        parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def work_file(args: argparse.Namespace, stem: str) -> Path:
    """Return the file of finished campaigns; a quick run has a separate one.

    Exit if it would be in the folder of the report, whose CSV may have its name.
    """
    work: Path = args.work
    if work.resolve() == args.output.resolve():
        sys.exit("--work and --output must be different folders.")
    return work / f"{stem}{'_quick' if getattr(args, 'quick', False) else ''}.csv"


def can_load(load: Callable[[str], Any], names: Sequence[str]) -> bool:
    """Load all sets once; print what is missing."""
    try:
        for name in names:
            load(name)
    except OSError as error:
        print(error, file=sys.stderr)
        return False
    return True


def command_of(module: str, argv: Sequence[str] | None) -> str:
    """Return the command line of a study, for its report."""
    given = sys.argv[1:] if argv is None else argv
    return f"python -m {module} {shlex.join(given)}".strip()


def kept(file: Path, keys: Sequence[str]) -> pd.DataFrame:
    """Read the campaigns in a file; an empty table if there is no file."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame(columns=list(keys))


def collect(
    play: Callable[..., pd.DataFrame],
    tasks: Sequence[tuple[Any, ...]],
    keys: Sequence[str],
    n_jobs: int,
    file: Path,
) -> int:
    """Play the campaigns that are missing in a file, and append each to it.

    Parameters
    ----------
    play : callable
        Called with the parts of a task; returns a row per step.
    tasks : sequence of tuple
        In the order to be played.
    keys : sequence of str
        Names of the parts of a task, which become columns.
    n_jobs : int
    file : Path

    Returns
    -------
    n_failed : int
        Campaigns that raised.  Each is reported, and the others continue.
    """
    keys = list(keys)
    done = set(kept(file, keys)[keys].itertuples(index=False, name=None))
    todo = [task for task in tasks if task not in done]
    file.parent.mkdir(parents=True, exist_ok=True)
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    results = parallel(delayed(_attempt)(play, task, keys) for task in todo)
    n_failed = 0
    for result in tqdm(results, total=len(todo), desc="campaigns"):
        if isinstance(result, str):
            n_failed += 1
            print(result, file=sys.stderr, flush=True)
        else:
            result.to_csv(file, mode="a", header=not file.exists(), index=False)
    return n_failed


def _attempt(
    play: Callable[..., pd.DataFrame], task: tuple[Any, ...], keys: Sequence[str]
) -> pd.DataFrame | str:
    try:
        table = play(*task)
    except Exception:
        return f"{task} failed:\n{traceback.format_exc()}"
    for place, (key, value) in enumerate(zip(keys, task, strict=True)):
        table.insert(place, key, value)
    return table


def play(study: Study, name: str, strategy: str, seed: int) -> pd.DataFrame:
    """Play one campaign of a study; a row per step."""
    entry = study.entries(name)[strategy]
    table, _ = play_simulation(
        entry.model,
        entry.strategy,
        study.split(name, seed),
        seed,
        n_initial=study.n_initial,
        n_instances=study.n_instances,
        n_queries=study.n_queries,
        initial=study.initial,
        scoring=study.scoring[name],
    )
    return table


def whole_campaigns(
    study: Study, data: pd.DataFrame, sets: list[str], seeds: int
) -> pd.DataFrame:
    """Keep the strategies that played all seeds of a set, in the study's order."""
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
    """Play and report; return 1 if data are missing or a campaign failed."""
    parser = study_parser(doc, n_jobs=2)
    sets = list(study.sets)
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    args = parser.parse_args(argv)
    file = work_file(args, study.stem)
    n_failed = 0
    if not args.report_only:
        if not can_load(lambda name: study.split(name, 0), args.sets):
            return 1
        tasks = [
            (name, strategy, seed)
            for seed in range(args.seeds)
            for name in args.sets
            for strategy in study.entries(name)
        ]
        keys = ["set", "strategy", "fold"]
        n_failed = collect(partial(play, study), tasks, keys, args.n_jobs, file)
    data = whole_campaigns(study, pd.read_csv(file), args.sets, args.seeds)
    command = (
        f"python -m {module} --sets {' '.join(args.sets)} "
        f"--seeds {args.seeds} --n-jobs {args.n_jobs}"
    )
    print(report(study, data, args.sets, command, args.output))
    return int(n_failed > 0)
