"""What disagreement is worth: measures and posteriors on letter, pendigits and MNIST.

Run as ``python -m benchmarks.worth_classification --sets letter pendigits mnist --seeds
5 --n-jobs 2``.  Campaigns done are kept in the work folder, and a second run goes on
from there.  Every strategy picks for the same net, an MLP with dropout, which alone is
scored: an ensemble is trained on the labels at each query and only asked which rows.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, clone
from tqdm import tqdm

from benchmarks.classification_sets import POOL, TEST, load, split
from benchmarks.report import comparison_table, environment, markdown
from skal.nets import DeepEnsembleClassifier, NetClassifier, WeightSnapshots
from skal.posteriors import MCDropout, Members
from skal.simulation import ActiveLearningSimulation, StrategyComparison
from skal.simulation.labels import ScoreLabel
from skal.strategies import (
    BALD,
    BatchBALD,
    Entropy,
    LabelDispersion,
    Margin,
    Random,
    VoteEntropy,
)

mpl.use("Agg")

SETS = ("letter", "pendigits", "mnist")
N_INITIAL, N_INSTANCES, N_QUERIES = 100, 100, 6
BUDGETS = [100, 200, 400, 700]
NET: dict[str, Any] = {
    "module__hidden_sizes": (128,),
    "module__dropout": 0.2,
    "lr": 3e-3,
    "max_epochs": 40,
    "batch_size": 64,
}


class ByEnsemble(BaseEstimator):
    """Ask a strategy of an ensemble that is trained on the learner's labels."""

    def __init__(self, strategy: Any, ensemble: Any) -> None:
        self.strategy = strategy
        self.ensemble = ensemble

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        """Pick rows of the pool."""
        ensemble = clone(self.ensemble).fit(learner.X_training, learner.y_training)
        picked = self.strategy.select(ensemble, X_pool, n_instances)
        return picked.indices, picked.scores


def net() -> NetClassifier:
    """Make the net that all strategies pick for; every second epoch is kept."""
    return NetClassifier(**NET, callbacks=[WeightSnapshots(every=2, last=None)])


def _by_ensemble(strategy: Any) -> ByEnsemble:
    return ByEnsemble(strategy, DeepEnsembleClassifier(NetClassifier(**NET), 5))


def strategies() -> dict[str, Any]:
    """Name all strategies; 20 draws of dropout, 20 epochs, 5 nets."""
    dropout = MCDropout(20)
    samples = {"n_samples": 2000}  # the default, without its warning
    return {
        "Random": Random(),
        "Entropy": Entropy(),
        "Margin": Margin(),
        "LabelDispersion": LabelDispersion(),
        "VoteEntropy, dropout": VoteEntropy(dropout),
        "BALD, dropout": BALD(dropout),
        "BatchBALD, dropout": BatchBALD(dropout, **samples),
        "VoteEntropy, ensemble": _by_ensemble(VoteEntropy(Members())),
        "BALD, ensemble": _by_ensemble(BALD(Members())),
        "BatchBALD, ensemble": _by_ensemble(BatchBALD(Members(), **samples)),
    }


def play(name: str, strategy: str, seed: int) -> pd.DataFrame:
    """Play one campaign; a row a step."""
    torch.set_num_threads(1)
    data = split(name, seed)
    simulation = ActiveLearningSimulation(
        net(),
        strategies()[strategy],
        n_initial=N_INITIAL,
        n_instances=N_INSTANCES,
        n_queries=N_QUERIES,
        initial="stratified",
        scoring="accuracy",
        random_state=seed,
    ).fit(data.X_pool, data.y_pool)
    return pd.DataFrame(
        {
            "set": name,
            "strategy": strategy,
            "fold": seed,
            "repeat": 0,
            "seed": seed,
            "step": np.arange(N_QUERIES + 1),
            "n_labeled": simulation.n_labeled_,
            "score": simulation.learning_curve(data.X_test, data.y_test),
            "query_time": np.concatenate([[np.nan], simulation.query_times_]),
            "fit_time": simulation.fit_times_,
        }
    )


def collect(sets: list[str], seeds: int, n_jobs: int, file: Path) -> pd.DataFrame:
    """Play what the file lacks, adding each campaign to it as it ends."""
    names = list(strategies())
    done = pd.read_csv(file) if file.exists() else pd.DataFrame()
    keys = ["set", "strategy", "fold"]
    have = set() if done.empty else set(done[keys].itertuples(index=False, name=None))
    # BatchBALD, by far the slowest, last; otherwise seed by seed.
    wanted = [(d, s, k) for k in range(seeds) for d in sets for s in names]
    wanted.sort(key=lambda task: task[1].startswith("BatchBALD"))
    todo = [task for task in wanted if task not in have]
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    file.parent.mkdir(parents=True, exist_ok=True)
    tables = parallel(delayed(play)(*task) for task in todo)
    for table in tqdm(tables, total=len(todo), desc="campaigns"):
        table.to_csv(file, mode="a", header=not file.exists(), index=False)
    return whole_campaigns(pd.read_csv(file), sets, seeds)


def whole_campaigns(data: pd.DataFrame, sets: list[str], seeds: int) -> pd.DataFrame:
    """Keep what has played all seeds of a set, in the strategies' order."""
    names = list(strategies())
    data = data[data["set"].isin(sets) & (data["fold"] < seeds)]
    played = data.groupby(["set", "strategy"])["fold"].transform("nunique")
    data = data[played == seeds]
    order = {name: k for k, name in enumerate(names)}
    return data.sort_values(
        ["set", "fold", "strategy", "step"],
        key=lambda column: column.map(order) if column.name == "strategy" else column,
        ignore_index=True,
    )


def report(data: pd.DataFrame, sets: list[str], command: str, folder: Path) -> str:
    """Write CSV, pictures and Markdown; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "posteriors_worth"
    data.to_csv(folder / f"{stem}.csv", index=False, float_format="%.6g")
    parts = [
        "# What disagreement is worth on letter, pendigits and MNIST",
        f"`{command}`",
        f"A campaign: {N_INITIAL} labels, stratified, then {N_QUERIES} times "
        f"{N_INSTANCES} from a pool of {POOL} rows; accuracy on {TEST} others (exact "
        "duplicates are dropped first). Scored is always the same net, an MLP with "
        "128 hidden units and dropout 0.2, 40 epochs. 'dropout' reads it by 20 masks, "
        "LabelDispersion by its every second epoch; 'ensemble' trains 5 such nets on "
        "the same labels at each query, only to pick. "
        "Gain: mean accuracy over the budget minus Random's, with its 95 % interval "
        "and the p-value of the paired t-test, both "
        "corrected for the rows that splits share. 'no gain': the interval includes "
        "0.",
    ]
    for name in sets:
        part = data[data["set"] == name].drop(columns="set")
        if part.empty:
            continue
        comparison = StrategyComparison(part, ScoreLabel("accuracy"), TEST / POOL)
        display = comparison.plot()
        display.ax_.set_title(f"{name}: {part['fold'].nunique()} seeds")
        display.figure_.savefig(folder / f"{stem}_{name}.png", dpi=120)
        times = part.groupby("strategy")["query_time"].mean()
        table = comparison_table(comparison, BUDGETS)
        table["s a query"] = [f"{times[s]:.2f}" for s in table.index]
        parts += [
            f"## {name}, {part['fold'].nunique()} seeds",
            markdown(table),
            *_left_out(part),
            f"![learning curves on {name}]({stem}_{name}.png)",
        ]
    parts.append("\n".join(f"- {line}" for line in environment()))
    text = "\n\n".join(parts) + "\n"
    (folder / f"{stem}.md").write_text(text)
    return text


def _left_out(part: pd.DataFrame) -> list[str]:
    missing = [name for name in strategies() if name not in set(part["strategy"])]
    return [f"Not played to the end, so not shown: {'; '.join(missing)}."] * bool(
        missing
    )


def main(argv: list[str] | None = None) -> int:
    """Play and report; 1 if the data could not be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--report-only", action="store_true", help="of the strategies that are complete"
    )
    args = parser.parse_args(argv)
    file = args.work / "worth_classification.csv"
    if args.report_only:
        data = whole_campaigns(pd.read_csv(file), args.sets, args.seeds)
    else:
        try:
            for name in args.sets:
                load(name)
        except OSError as error:
            print(error, file=sys.stderr)
            return 1
        data = collect(args.sets, args.seeds, args.n_jobs, file)
    command = (
        f"python -m benchmarks.worth_classification --sets {' '.join(args.sets)} "
        f"--seeds {args.seeds} --n-jobs {args.n_jobs}"
    )
    print(report(data, args.sets, command, args.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
