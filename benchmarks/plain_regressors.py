"""Strategies for regressors that are compared by their inputs alone.

Run as ``python -m benchmarks.plain_regressors --seeds 5`` with SKAL_DATA set.  Each
finished campaign is kept in the work folder, and a second run continues from there.

Ridge regression, an SVM and nearest neighbors have no space of their own, so that
strategies compare rows as these receive them: numbers are standardized and levels
one-hot encoded.  The pool has at most 800 rows of a table, the test 500; 20 random
labels, then 8 times 20, or until three quarters of the pool are labeled.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVR

from benchmarks.campaigns import (
    Split,
    can_load,
    collect,
    command_of,
    kept,
    play_simulation,
    study_parser,
    work_file,
)
from benchmarks.learners_models import encoded
from benchmarks.report import markdown, write_report
from benchmarks.sets import draw_table
from benchmarks.tabular_ranks import average_ranks, average_table, gains_table
from skal.strategies import BAIT, LCMD, CoreSet, GreedySampling, MaxHerding, Random

KEYS = ["set", "learner", "strategy", "seed"]
SETS = (
    *("concrete", "energy", "yacht", "kin8nm", "cpu_act", "abalone"),
    *("power_plant", "cal_housing"),
)
N_INITIAL = N_INSTANCES = 20
N_QUERIES = 8
MOST_ROWS, MOST_TEST = 800, 500


def models() -> dict[str, Any]:
    """Make the learners of standardized rows."""
    return {
        "ridge regression": RidgeCV(np.logspace(-3, 4, 8)),
        "SVM": SVR(C=10.0),
        "nearest neighbors": KNeighborsRegressor(3),
    }


def strategies() -> dict[str, Any]:
    """Make the strategies."""
    return {
        "Random": Random(),
        "LCMD": LCMD(),
        "BAIT": BAIT(),
        "CoreSet": CoreSet(),
        "MaxHerding": MaxHerding(),
        "GreedySampling": GreedySampling(),
        "GreedySampling, inputs": GreedySampling("inputs"),
    }


def split(name: str, seed: int) -> Split:
    """Draw pool and test of a table, as arrays."""
    X, y, X_test, y_test, _ = draw_table(name, seed)
    X, y, X_test, y_test = X[:MOST_ROWS], y[:MOST_ROWS], X_test[:MOST_TEST], y_test
    prepare = encoded().fit(X)
    return Split(prepare.transform(X), prepare.transform(X_test), y, y_test[:MOST_TEST])


def play(
    name: str, learner: str, strategy: str, seed: int, most_queries: int = N_QUERIES
) -> pd.DataFrame:
    """Play one campaign; its mean log RMSE over the steps after the start."""
    data = split(name, seed)
    most = (3 * len(data.y_pool) // 4 - N_INITIAL) // N_INSTANCES
    steps, _ = play_simulation(
        models()[learner],
        strategies()[strategy],
        data,
        seed,
        n_initial=N_INITIAL,
        n_instances=N_INSTANCES,
        n_queries=min(most_queries, most),
        scoring="neg_root_mean_squared_error",
    )
    log_rmse = np.log(-steps["score"].to_numpy()[1:]).mean()
    seconds = steps["query_time"].mean()
    return pd.DataFrame({"log_rmse": log_rmse, "query_time": seconds}, index=[0])


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV and Markdown; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    data = data.sort_values(KEYS, ignore_index=True)
    data.to_csv(folder / "plain_regressors.csv", index=False, float_format="%.5g")
    parts = [
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "Gain: of the mean log RMSE over the steps after the start, over Random, with "
        "the same learner, split and start; higher is better. By set, the interval is "
        "paired by seed and corrected for the rows that splits share; a star: it "
        "leaves out 0.",
    ]
    for learner in models():
        part = data[data["learner"] == learner]
        losses = part.pivot(
            index=["set", "seed"], columns="strategy", values="log_rmse"
        )
        losses = losses[[s for s in strategies() if s in losses]].dropna()
        if "Random" not in losses:
            continue
        by_set = losses.groupby("set").mean()
        ranks = average_ranks(by_set) if min(by_set.shape) > 2 else None
        seeds = losses.groupby("set").size()
        parts += [
            f"## {learner[0].upper() + learner[1:]}: {len(by_set)} sets, {seeds.min()} "
            f"to {seeds.max()} seeds",
            markdown(average_table(by_set, ranks, "log rmse")),
            markdown(gains_table(losses, ratio=MOST_TEST / MOST_ROWS)),
        ]
    text = "\n\n".join(parts) + "\n"
    title = "Strategies for regressors that are compared by their inputs"
    write_report(folder / "plain_regressors.md", title, command, text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Play what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, quick="two steps, one seed")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    args = parser.parse_args(argv)
    file = work_file(args, "plain_regressors")
    n_failed = 0
    if not args.report_only:
        if not can_load(lambda name: draw_table(name, 0), args.sets):
            return 1
        seeds, most = (1, 2) if args.quick else (args.seeds, N_QUERIES)
        tasks = [
            (name, learner, strategy, seed)
            for seed in range(seeds)
            for name in args.sets
            for learner in models()
            for strategy in strategies()
        ]
        play_some = partial(play, most_queries=most)
        n_failed = collect(play_some, tasks, KEYS, args.n_jobs, file)
    command = command_of("benchmarks.plain_regressors", argv)
    print(report(kept(file, KEYS), command, args.output))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
