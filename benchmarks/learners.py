"""Learners on tables with few labels: errors by the number of random labels.

Run as ``python -m benchmarks.learners --seeds 5 --jobs 2`` with SKAL_DATA set.  Each
result is kept in the work folder at once, and a second run continues from there, seed
by seed; ``--report-only`` reports what has been computed.
"""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from benchmarks.campaigns import collect, kept, study_parser
from benchmarks.learners_models import LEARNERS
from benchmarks.learners_report import report
from benchmarks.sets import TABLES
from benchmarks.sets import draw_table as draw

__all__ = ["draw", "fit_and_score", "main"]

SIZES = (50, 100, 200, 400, 1000)
TEXT = (
    "The labeled rows are the first n of a random order of the pool, the same for all "
    "learners. A test has the rows beyond 1000 of at most 5000, at least a quarter and "
    "at most 2000. Regression targets have unit variance on the whole set. Log loss: "
    "the least probability of a label is 0.0001, also of classes without a label. "
    "skal's nets, linear models, MLP, forests, SVM and Gaussian process have numbers "
    "imputed by the median, standardized and clipped at 5, and one-hot levels of which "
    "those seen once are one; CatBoost, histogram boosting, RealMLP-TD-S and TabM "
    "take levels as they are, and so does make_tabular. Ridge: alpha by "
    "leave-one-out; logistic regression and SVM: C by 5 folds; forests: 300 trees; "
    "CatBoost: 500 trees, no combinations of categories where more than 10 "
    "columns have such; MLP: until it converges, at most 1000 epochs. Gaussian "
    "process: RBF (with white noise for regression, Laplace for classification), a "
    "length scale per column and class up to 128, else one; beyond 400 labels those of "
    "the first 400, for classification 200 labels at most."
)
KEYS = ["set", "seed", "n", "learner", "version"]
METRICS = ["rmse", "coverage", "accuracy", "log_loss"]
#: Least probability of a label in the log loss, since trees give zeros.
LEAST = 1e-4
#: Half width of the 90 % interval of a normal distribution.
_HALF_WIDTH = 1.6449


def log_loss(probabilities: np.ndarray, classes: np.ndarray, y: np.ndarray) -> float:
    """Mean of -log p(label); classes without a label have probability `LEAST`."""
    places = np.searchsorted(classes, y).clip(max=len(classes) - 1)
    p = np.take_along_axis(np.asarray(probabilities), places[:, None], axis=1)[:, 0]
    return float(
        -np.log(np.clip(np.where(classes[places] == y, p, 0), LEAST, 1)).mean()
    )


def interval(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Predict 90 % intervals, or those of a normal distribution, if the model can."""
    if isinstance(model, Pipeline):
        return interval(model[-1], model[:-1].transform(X))
    if isinstance(model, TransformedTargetRegressor):
        ends = interval(model.regressor_, X)
        if ends is None:
            return None
        low, high = (model.transformer_.inverse_transform(e[:, None]) for e in ends)
        return np.ravel(low), np.ravel(high)
    if hasattr(model, "predict_interval"):
        low, high = model.predict_interval(X)
        return np.ravel(low), np.ravel(high)
    try:
        mean, std = model.predict(X, return_std=True)
    except (TypeError, ValueError):
        return None
    half = _HALF_WIDTH * np.ravel(std)
    return np.ravel(mean) - half, np.ravel(mean) + half


def scores(model: Any, X: pd.DataFrame, y: np.ndarray, task: str) -> dict[str, float]:
    """Score a fitted model on the test."""
    if task == "regression":
        error = np.ravel(model.predict(X)) - y
        found = {"rmse": float(np.sqrt(np.mean(error**2)))}
        ends = interval(model, X)
        if ends is not None:
            found["coverage"] = float(np.mean((ends[0] <= y) & (y <= ends[1])))
        return found
    found = {"accuracy": float(np.mean(np.ravel(model.predict(X)) == y))}
    if hasattr(model, "predict_proba"):
        found["log_loss"] = log_loss(model.predict_proba(X), model.classes_, y)
    return found


def fit_and_score(
    name: str, seed: int, n: int, learner: str, version: int = 0
) -> pd.DataFrame:
    """Fit a learner to the first n rows of a pool, on one thread; return a row."""
    torch.set_num_threads(1)
    X, y, X_test, y_test, task = draw(name, seed)
    X, y = X[:n], y[:n]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = process_time()
        model = LEARNERS[learner].make(task, seed, X, y).fit(X, y)
        seconds = process_time() - start
        found = scores(model, X_test, y_test, task)
    row = dict.fromkeys(METRICS, np.nan) | found | {"fit_time": seconds, "threads": 1}
    return pd.DataFrame([row])


def cells(
    sets: Sequence[str], seeds: int, sizes: Sequence[int], learners: Sequence[str]
) -> list[tuple[str, int, int, str, int]]:
    """List what is to be computed, seed by seed, size by size."""
    found = []
    for seed, n, name in product(range(seeds), sizes, sets):
        if n > len(draw(name, seed)[0]):
            continue
        for learner in learners:
            what = LEARNERS[learner]
            if what.takes(TABLES[name], n) and seed < what.seeds:
                found.append((name, seed, n, learner, what.version))
    return found


def results(
    file: Path,
    sets: Sequence[str],
    sizes: Sequence[int],
    seeds: int,
    learners: Sequence[str],
) -> pd.DataFrame:
    """Read results of the learners' present versions."""
    data = kept(file, KEYS)
    versions = data["learner"].map({name: LEARNERS[name].version for name in learners})
    chosen = data["set"].isin(sets) & data["n"].isin(sizes) & (data["seed"] < seeds)
    return data[chosen & (data["version"] == versions)].reset_index(drop=True)


def main(argv: list[str] | None = None) -> int:
    """Compute what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, n_jobs=2, quick="two sets, one seed, 50 labels")
    sets, names = list(TABLES), list(LEARNERS)
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--learners", nargs="+", choices=names, default=names)
    parser.add_argument("--n", nargs="+", type=int, default=list(SIZES))
    args = parser.parse_args(argv)
    if args.quick:
        args.sets, args.n, args.seeds = ["yacht", "glass"], [50], 1
    absent = [name for name in args.learners if not LEARNERS[name].available()]
    for name in absent:
        print(f"{name} is left out: {LEARNERS[name].needs} is not there.")
    chosen = [name for name in names if name in args.learners and name not in absent]
    file, failed = args.work / "learners.csv", 0
    if not args.report_only:
        try:
            tasks = cells(args.sets, args.seeds, args.n, chosen)
        except OSError as error:
            print(error, file=sys.stderr)
            return 1
        failed = collect(fit_and_score, tasks, KEYS, args.n_jobs, file)
    data = results(file, args.sets, args.n, args.seeds, args.learners)
    if data.empty:
        print(f"{file} has no result of these.", file=sys.stderr)
        return 1
    shown = f" --learners {shlex.join(args.learners)}" if args.learners != names else ""
    command = (
        f"python -m benchmarks.learners --sets {' '.join(args.sets)} --n "
        f"{' '.join(map(str, args.n))} --seeds {args.seeds} --jobs {args.n_jobs}{shown}"
    )
    print(report(data, command, TEXT, args.output))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
