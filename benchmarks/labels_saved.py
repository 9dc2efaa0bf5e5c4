"""How many random labels another learner needs for what skal reaches with few.

Run as ``python -m benchmarks.labels_saved --seeds 3 --jobs 2`` with SKAL_DATA set.
Each part is kept in the work folder at once, and a second run continues from there,
seed by seed; ``--report-only`` reports what has been computed.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import partial
from itertools import product
from time import process_time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import KFold

from benchmarks.campaigns import collect, command_of, kept, study_parser, work_file
from benchmarks.labels_saved_report import BASELINE, ON_PICKS, OWN_NAME, report
from benchmarks.learners_models import LEARNERS, fixed_gp
from benchmarks.sets import TABLES
from benchmarks.sets import draw_table as draw
from skal.simulation import ActiveLearningSimulation
from skal.strategies import BADGE, LCMD, Margin

SETS = (
    *("concrete", "energy", "kin8nm", "cpu_act", "abalone", "power_plant"),
    *("cal_housing", "diamonds", "vehicle", "pendigits", "spambase", "car"),
)
#: By default skal's learner is the first of these that there is.
OWN = (
    "skal: make_tabular",
    "skal: fold ensemble",
    "skal: NetRegressor / NetClassifier",
)
STRATEGIES = {"LCMD": LCMD, "Margin": Margin, "BADGE": BADGE}
KEYS = ["set", "seed", "part", "player"]
COLUMNS = ["n", "learner", "rows", "loss", "held_out", "seconds"]
FOLDS = 5


class Plan(NamedTuple):
    """Sizes of the study.

    Attributes
    ----------
    n_initial, n_instances, n_queries : int
        Of the campaigns.
    picks : tuple of int
        Labels at which other learners are fitted to the picks.
    sizes : tuple of int
        Random labels of the baseline, `picks` among them.
    """

    n_initial: int = 20
    n_instances: int = 30
    n_queries: int = 10
    picks: tuple[int, ...] = (110, 200, 320)
    sizes: tuple[int, ...] = (50, 110, 200, 320, 500, 750, 1000)


QUICK = Plan(20, 15, 2, (50,), (20, 35, 50))


def loss(predicted: Any, y: np.ndarray, task: str) -> float:
    """Log RMSE, or the share of errors."""
    predicted = np.ravel(predicted)
    if task == "classification":
        return float(np.mean(predicted != y))
    return float(np.log(np.mean((predicted - y) ** 2)) / 2)


def fit(learner: str, seed: int, X: pd.DataFrame, y: np.ndarray, task: str) -> Any:
    """Fit a learner by its name."""
    return LEARNERS[learner].make(task, seed, X, y).fit(X, y)


def held_out_loss(
    learner: str, model: Any, seed: int, X: pd.DataFrame, y: np.ndarray, task: str
) -> float:
    """Loss by five folds; a Gaussian process keeps the scales of `model`."""
    predicted = np.empty_like(y)
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(X):
        part, labels = X.iloc[train], y[train]
        if learner == "Gaussian process" and task == "regression":
            fold = fixed_gp(model).fit(part, labels)
        else:
            fold = fit(learner, seed, part, labels, task)
        predicted[test] = np.ravel(fold.predict(X.iloc[test]))
    return loss(predicted, y, task)


def play(plan: Plan, name: str, seed: int, part: str, player: str) -> pd.DataFrame:
    """Play a campaign, or fit the baseline to random labels, on one thread.

    Parameters
    ----------
    plan : Plan
    name, seed : str, int
        Of the draw.
    part : str
        "campaign", or "random 50", and "own 50" for skal's own model on random labels.
    player : str
        Learner, its version, and the strategy of a campaign, by `player_of`.
    """
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if part == "campaign":
            return _campaign(player, plan, name, seed)
        whose, n = part.split()
        return _random(player, name, seed, int(n), own=whose == "own")


def player_of(learner: str, strategy: str | None = None) -> str:
    """Name a learner, its version, and its strategy if it has one."""
    parts = [learner, str(LEARNERS[learner].version), strategy]
    return ", ".join(part for part in parts if part)


def _campaign(player: str, plan: Plan, name: str, seed: int) -> pd.DataFrame:
    own, _, strategy = player.split(", ")
    X, y, X_test, y_test, task = draw(name, seed)
    rows: list[dict[str, Any]] = []

    def note(step: Any) -> None:
        row = {"n": step.n_labeled, "learner": OWN_NAME, "rows": "picked"}
        row["loss"] = loss(step.estimator.predict(X_test), y_test, task)
        rows.append(row | {"seconds": step.fit_time + np.nan_to_num(step.query_time)})

    start = np.arange(plan.n_initial)  # the first labels of the baseline
    simulation = ActiveLearningSimulation(
        LEARNERS[own].make(task, seed, X[: plan.n_initial], y[: plan.n_initial]),
        STRATEGIES[strategy](),
        initial=start,
        n_instances=plan.n_instances,
        n_queries=min(plan.n_queries, (len(X) - len(start)) // plan.n_instances),
        random_state=seed,
        keep="none",
        callback=note,
    ).fit(X, y)
    labeled = np.concatenate([start, simulation.queried_indices_.ravel()])
    for n in plan.picks:
        if n > len(labeled):
            continue
        part, labels = X.iloc[labeled[:n]], y[labeled[:n]]
        for learner in ON_PICKS:
            what = LEARNERS[learner]
            if not (what.available() and what.takes(task, n)):
                continue
            begin = process_time()
            model = fit(learner, seed, part, labels, task)
            row = {"n": n, "learner": learner, "rows": "picked"}
            row["loss"] = loss(model.predict(X_test), y_test, task)
            rows.append(row | {"seconds": process_time() - begin})
    return pd.DataFrame(rows, columns=COLUMNS)


def _random(player: str, name: str, seed: int, n: int, own: bool) -> pd.DataFrame:
    learner = player.split(", ")[0]
    X, y, X_test, y_test, task = draw(name, seed)
    X, y = X[:n], y[:n]
    begin = process_time()
    model = fit(learner, seed, X, y, task)
    row = {"n": n, "learner": OWN_NAME if own else learner, "rows": "random"}
    row["loss"] = loss(model.predict(X_test), y_test, task)
    if not own:  # it is not chosen from
        row["held_out"] = held_out_loss(learner, model, seed, X, y, task)
    row["seconds"] = process_time() - begin
    return pd.DataFrame([row], columns=COLUMNS)


def tasks_of(
    plan: Plan,
    sets: Sequence[str],
    seeds: int,
    own: str,
    strategy: str | None,
    baseline: Sequence[str],
) -> list[tuple[str, int, str, str]]:
    """List campaigns and fits to random labels, seed by seed."""
    found = []
    for seed, name in product(range(seeds), sets):
        task = TABLES[name]
        default = "LCMD" if task == "regression" else "Margin"
        found.append((name, seed, "campaign", player_of(own, strategy or default)))
        most = len(draw(name, seed)[0])
        found += [
            (name, seed, f"own {n}", player_of(own)) for n in plan.sizes if n <= most
        ]
        found += [
            (name, seed, f"random {n}", player_of(learner))
            for n, learner in product(plan.sizes, baseline)
            if n <= most and LEARNERS[learner].takes(task, n)
        ]
    return found


def whole(data: pd.DataFrame, asked: pd.DataFrame) -> pd.DataFrame:
    """Keep what was asked for, of sizes that all learners of the baseline have."""
    there = asked.merge(data[KEYS].drop_duplicates(), on=KEYS)
    counts = [part.groupby(KEYS[:3]).size() for part in (asked, there)]
    complete = counts[0][counts[0] == counts[1].reindex(counts[0].index)]
    there = there.merge(complete.index.to_frame(index=False), on=KEYS[:3])
    return data.merge(there, on=KEYS)


def main(argv: list[str] | None = None) -> int:
    """Play what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, seeds=3, n_jobs=2, quick="two sets, 50 labels")
    parser.add_argument("--sets", nargs="+", choices=list(TABLES), default=list(SETS))
    parser.add_argument("--learner", choices=OWN, help="skal's, by default the best")
    parser.add_argument(
        "--strategy",
        choices=list(STRATEGIES),
        help="by default LCMD for regression, Margin for classification",
    )
    names = [name for name in LEARNERS if not LEARNERS[name].own]
    parser.add_argument("--baseline", nargs="+", choices=names, default=list(BASELINE))
    args = parser.parse_args(argv)
    plan = Plan()
    if args.quick:
        args.sets, args.seeds, plan = ["yacht", "glass"], 1, QUICK
    own = args.learner or next(name for name in OWN if LEARNERS[name].available())
    baseline = list(args.baseline)
    for name in args.baseline:
        if not (args.report_only or LEARNERS[name].available()):
            print(f"{name} is left out: {LEARNERS[name].needs} is not there.")
            baseline.remove(name)
    file, failed = work_file(args, "labels_saved"), 0
    try:
        tasks = tasks_of(plan, args.sets, args.seeds, own, args.strategy, baseline)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    if not args.report_only:
        failed = collect(partial(play, plan), tasks, KEYS, args.n_jobs, file)
    data = whole(kept(file, KEYS), pd.DataFrame(tasks, columns=KEYS))
    if data.empty:
        print(f"{file} has no result of these sets.", file=sys.stderr)
        return 1
    command = command_of("benchmarks.labels_saved", argv)
    print(report(data, command, _text(own, args.strategy, plan, baseline), args.output))
    return int(failed > 0)


def _text(own: str, strategy: str | None, plan: Plan, baseline: Sequence[str]) -> str:
    picks = strategy or "LCMD in regression, Margin in classification"
    return (
        f"{own} with {picks}, {plan.n_initial} random labels, then "
        f"{plan.n_queries} times {plan.n_instances}. Baseline: random labels, and at "
        f"each size the best of {', '.join(baseline)} by {FOLDS}-fold cross-validation "
        f"on these labels, with {', '.join(map(str, plan.sizes))} labels. The first "
        f"{plan.n_initial} labels are the same. Tests, preprocessing and settings are "
        "those of the study of learners."
    )


if __name__ == "__main__":
    sys.exit(main())
