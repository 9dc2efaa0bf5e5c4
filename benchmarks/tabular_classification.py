"""Classification on tables: which strategy, with a net and with other learners.

Run as ``python -m benchmarks.tabular_classification --seeds 5`` with SKAL_DATA set.
Each finished campaign is kept in the work folder, and a second run continues from
there; ``--report-only`` reports what has been played, ``--quick`` plays two steps.

The pool is a random sample of at most 1000 rows of a table and the test at most 500
others.  Columns are converted by `make_tabular_preprocessor`, fitted on the pool.  20
labels, or one of each class where there are more classes, are drawn stratified; then
15 times 10 are added, or until three quarters of the pool are labeled.

The net is the same for all strategies: an MLP of two hidden layers of 64 units with
dropout 0.05, Adam at 0.01, 60 epochs in batches of 64, as in the study of regression on
small tables, because skal's default net takes six times as long to fit.  The
recommended learner, the fold ensemble, takes 25 times as long; it is played only if it
is named.  Strategies that read several models use 20 dropout masks of the net, the
trees of a forest, the members of the ensemble, and otherwise 5 models that are bagged
at each query.  LossPrediction is left out, since it requires a net that is trained to
predict its losses.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

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
from benchmarks.report import markdown, write_report
from benchmarks.sets import TABLES, draw_table
from benchmarks.tabular_ranks import (
    average_ranks,
    average_table,
    draw_ranks,
    gains_table,
)
from benchmarks.tabular_runs import strategies_for
from benchmarks.tabular_small import NET as SETTINGS
from skal.nets import NetClassifier, WeightSnapshots
from skal.nets.ensembles import FoldEnsembleClassifier
from skal.posteriors import Bagged
from skal.strategies import (
    ClusterMargin,
    DiverseMiniBatch,
    InformationDensity,
    LabelDispersion,
    Margin,
    Stochastic,
    UHerding,
)
from skal.tabular import make_tabular_preprocessor

KEYS = ["set", "learner", "strategy", "seed"]
NET, FOREST, LINEAR, CATBOOST, ENSEMBLE = (
    "net",
    "random forest",
    "logistic regression",
    "CatBoost",
    "fold ensemble",
)
SETS = tuple(name for name, task in TABLES.items() if task == "classification")
N_INITIAL, N_INSTANCES, N_QUERIES = 20, 10, 15
MOST_ROWS, MOST_TEST = 1000, 500
#: Take seconds for each query: played only if they are named.
SLOW = ("VAAL", "MAL", "BatchEPIG")
#: Played with three seeds before the others are played with one.
FIRST = (
    *("Random", "Margin", "Entropy", "BADGE", "BALD", "LCMD", "CoreSet"),
    *("LDMSeeding", "NoiseStability", "TypiClust", "UHerding", "Margin, stochastic"),
)
N_AHEAD = 3


def strategies(learner: str) -> dict[str, Any]:
    """Make the strategies that a learner is asked with, "Random" first."""
    wrapped = {
        "Margin, stochastic": Stochastic(Margin()),
        "ClusterMargin": ClusterMargin(),
        "DiverseMiniBatch": DiverseMiniBatch(),
        "InformationDensity": InformationDensity(),
        "UHerding": UHerding(),
    }
    if learner == NET:
        found = strategies_for("classification", left_out=("LossPrediction",))
        # It reads the kept epochs.
        return {**found, **wrapped, "LabelDispersion": LabelDispersion()}
    posterior = Bagged(n_estimators=5) if learner == LINEAR else None
    left_out = ["LabelDispersion"]
    if learner in (FOREST, ENSEMBLE):
        left_out.append("BAIT")  # refuses 26 classes: too much memory
    found = strategies_for(
        "classification",
        left_out=left_out,
        posterior=posterior,
        nets=False,
    )
    if learner == CATBOOST:  # 5 more fits for each query of those
        found = {s: f for s, f in found.items() if not hasattr(f, "posterior")}
    return {**found, **wrapped}


def make(learner: str, seed: int) -> Any:
    """Make a learner of preprocessed rows."""
    if learner == NET:
        snapshots = WeightSnapshots(every=3, last=None)
        return NetClassifier(**SETTINGS, callbacks=[("snapshots", snapshots)])
    if learner == FOREST:
        return RandomForestClassifier(random_state=seed)
    if learner == LINEAR:
        return LogisticRegression(max_iter=1000)
    if learner == ENSEMBLE:
        return FoldEnsembleClassifier(random_state=seed)
    module = importlib.import_module("catboost")
    return module.CatBoostClassifier(
        iterations=300,
        random_seed=seed,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )


def split(name: str, seed: int) -> Split:
    """Draw pool and test of a table, as arrays."""
    X, y, X_test, y_test, _ = draw_table(name, seed)
    X, y, X_test, y_test = X[:MOST_ROWS], y[:MOST_ROWS], X_test[:MOST_TEST], y_test
    prepare = make_tabular_preprocessor().fit(X)
    parts = (np.asarray(prepare.transform(part), np.float32) for part in (X, X_test))
    return Split(*parts, y, y_test[:MOST_TEST])


def sizes(y: np.ndarray, most_queries: int = N_QUERIES) -> tuple[int, int]:
    """Count the labels of the start, and the queries."""
    start = max(N_INITIAL, len(np.unique(y)))
    return start, min(most_queries, (3 * len(y) // 4 - start) // N_INSTANCES)


def play(
    name: str, learner: str, strategy: str, seed: int, most_queries: int = N_QUERIES
) -> pd.DataFrame:
    """Play one campaign; a row a step."""
    data = split(name, seed)
    start, n_queries = sizes(data.y_pool, most_queries)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table, _ = play_simulation(
            make(learner, seed),
            strategies(learner)[strategy],
            data,
            seed,
            n_initial=start,
            n_instances=N_INSTANCES,
            n_queries=n_queries,
            initial="stratified",
            scoring="accuracy",
        )
    return table.drop(columns=["repeat", "seed"])


def losses(data: pd.DataFrame, first: float = 0.0, last: float = 1.0) -> pd.DataFrame:
    """Mean error in percent over a share of the steps after the start.

    Returns
    -------
    losses : DataFrame
        A row a set and seed, a column a strategy.
    """
    steps = data.groupby(["set", "seed"])["step"].transform("max")
    share = data["step"] / steps
    part = data[(share > first) & (share <= last)]
    means = part.groupby(["set", "seed", "strategy"], observed=True)["score"].mean()
    return 100 * (1 - means.unstack("strategy"))


def whole(data: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep the sets and seeds that all strategies shown have played.

    Sets are those on which most strategies have a seed in common with Random, so that
    one that is not finished is left out; a strategy is shown if it has such a seed on
    all of them.

    Returns
    -------
    data : DataFrame
    left_out : list of str
    """
    table = losses(data)
    table = table[table["Random"].notna()]
    played = table.groupby("set").count() > 0
    n_played = played.sum(axis=1)
    sets = n_played.index[n_played == n_played.max()]
    shown = played.columns[played.loc[sets].all()]
    table = table.loc[table.index.isin(sets, level="set"), shown].dropna()
    kept_rows = data.merge(table.index.to_frame(index=False), on=["set", "seed"])
    kept_rows = kept_rows[kept_rows["strategy"].isin(shown)]
    return kept_rows, sorted(set(data["strategy"]) - set(shown))


def groups(data: pd.DataFrame) -> list[tuple[str, pd.DataFrame, list[str]]]:
    """Divide the campaigns of a learner into those that are reported together.

    Returns
    -------
    groups : list of (title, data, strategies left out)
        First the strategies with the most seeds; then, if others have fewer, all
        of them, on the seeds and sets that all have played.
    """
    everything, left_out = whole(data)
    n_seeds = losses(data).notna().groupby("set").sum().min()
    most = n_seeds.index[n_seeds == n_seeds.max()]
    first, _ = whole(data[data["strategy"].isin(most)])
    if set(first["strategy"]) >= set(everything["strategy"]):
        return [("{}", first, left_out)]
    return [("{}", first, []), ("All strategies, {}", everything, left_out)]


def section(learner: str, data: pd.DataFrame, folder: Path) -> list[str]:
    """Write the part of a learner."""
    parts: list[str] = []
    for title, played, left_out in groups(data):
        heading = title.format(learner)
        file = f"tabular_classification_{heading.replace(', ', '_').replace(' ', '_')}"
        parts += compared(
            heading[0].upper() + heading[1:],
            played,
            [s for s in strategies(learner) if s in set(played["strategy"])],
            folder / f"{file}.png",
        )
        if left_out:
            parts.append(f"Not played on every set: {', '.join(left_out)}.")
    return parts


def compared(
    heading: str, data: pd.DataFrame, names: list[str], file: Path
) -> list[str]:
    """Write ranks and gains of campaigns that share their sets and seeds."""
    table = losses(data)[names]
    by_set = table.groupby("set").mean()
    seeds = table.groupby("set").size()
    ranks, picture = None, []
    if len(by_set) > 1 and len(names) > 2:
        ranks = average_ranks(by_set)
        draw_ranks(ranks, file)
        picture = [
            f"Friedman's test of equal ranks on {ranks.n_sets} sets: p = "
            f"{ranks.p_value:.2g}; two strategies are told apart (Nemenyi, 5 %) if "
            f"their average ranks differ by {ranks.critical:.2f}.",
            f"![average ranks]({file.name})",
        ]
    average = average_table(by_set, ranks, "error in %", digits=2)
    for column, (first, last) in {
        "gain, first third": (0, 1 / 3),
        "gain, last third": (2 / 3, 1),
    }.items():
        part = losses(data, first, last).groupby("set").mean()
        part = part.reindex(columns=names)  # empty where there are too few steps
        gains = (-part).sub(-part["Random"], axis=0).mean()
        average[column] = [
            "" if s == "Random" else f"{gains[s]:+.2f}" for s in average.index
        ]
    times = data.groupby("strategy")[["query_time", "fit_time"]].mean()
    average["s a query"] = [f"{times.query_time[s]:.2f}" for s in average.index]
    average["s a fit"] = [f"{times.fit_time[s]:.2f}" for s in average.index]
    fewest, most = seeds.min(), seeds.max()
    shown = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    return [
        f"## {heading}: {len(by_set)} sets, {shown} seeds",
        markdown(average),
        *picture,
        "Gain over Random by set:",
        markdown(gains_table(table, ratio=MOST_TEST / MOST_ROWS, digits=1)),
    ]


def curves(data: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by step, and mean seconds, a row a campaign."""
    scores = data.pivot(index=KEYS, columns="step", values="score")
    return scores.join(data.groupby(KEYS)[["query_time", "fit_time"]].mean())


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV, pictures and Markdown; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    curves(data).to_csv(folder / "tabular_classification.csv", float_format="%.4g")
    parts = [
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "Error: mean over the steps after the start, in percent. Gain: Random's error "
        "minus the strategy's, on the same splits, starts and weights; higher is "
        "better. The interval is that over sets; by set, it is paired by seed and "
        "corrected for the rows that splits share, and a star says that it leaves out "
        "0. Sets and seeds are those that all strategies shown have played. Seconds "
        "are those of one thread beside other work.",
    ]
    for learner in (NET, LINEAR, FOREST, CATBOOST, ENSEMBLE):
        part = data[data["learner"] == learner]
        if "Random" in set(part["strategy"]):
            parts += section(learner, part, folder)
    text = "\n\n".join(parts) + "\n"
    title = "Strategies for classification on tables"
    write_report(folder / "tabular_classification.md", title, command, text)
    return text


def ordered_tasks(
    sets: list[str], learners: list[str], names: list[str] | None, seeds: int
) -> list[tuple[str, str, str, int]]:
    """List the campaigns so that a cut leaves a balanced result.

    Seed by seed; the strategies of `FIRST` are `N_AHEAD` seeds ahead of the others.
    """
    tasks = [
        (name, learner, strategy, seed)
        for seed in range(seeds)
        for name in sets
        for learner in learners
        for strategy in strategies(learner)
        if (strategy not in SLOW if names is None else strategy in names)
    ]
    return sorted(tasks, key=lambda t: t[3] + (0 if t[2] in FIRST else N_AHEAD))


def main(argv: list[str] | None = None) -> int:
    """Play what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, quick="two steps, one seed")
    learners = [NET, LINEAR, FOREST]
    if importlib.util.find_spec("catboost") is not None:
        learners.append(CATBOOST)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    choices = [*learners, ENSEMBLE]
    parser.add_argument("--learners", nargs="+", choices=choices, default=learners)
    parser.add_argument("--strategies", nargs="+", help="by default all quick ones")
    args = parser.parse_args(argv)
    file = work_file(args, "tabular_classification")
    n_failed = 0
    if not args.report_only:
        if not can_load(lambda name: draw_table(name, 0), args.sets):
            return 1
        seeds, most = (1, 2) if args.quick else (args.seeds, N_QUERIES)
        tasks = ordered_tasks(args.sets, args.learners, args.strategies, seeds)
        n_failed = collect(
            partial(play, most_queries=most), tasks, KEYS, args.n_jobs, file
        )
    command = command_of("benchmarks.tabular_classification", argv)
    print(report(kept(file, KEYS), command, args.output))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
