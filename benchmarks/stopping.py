"""What stopping rules save, and what they cost: ``python -m benchmarks.stopping``.

Each campaign is played to its end, and each rule says at which step it would have
stopped.  Shown are labels and error there, and the cost labels · price + error / best
error, of Pullar-Strecker et al. (2022), with its excess over the cheapest step in
hindsight.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal.simulation import PlayedStep, compare_strategies
from skal.stopping import (
    Budget,
    ConfidentPredictions,
    SmallGain,
    StablePredictions,
    StoppingRule,
)
from skal.strategies import LCMD, LeastConfident, Margin, PredictiveVariance

RESULTS = Path(__file__).parent / "results"
#: What a label costs, relative to the error at the end of the campaigns.
PRICES = (0.0005, 0.002, 0.008)


def _process() -> Any:
    kernel = ConstantKernel() * RBF(3.0) + WhiteKernel(0.3)
    return GaussianProcessRegressor(kernel, normalize_y=True)


def problems() -> dict[str, tuple[Any, Any, Any, Any]]:
    """List rows, labels, estimator and strategy of each problem."""
    found = {}
    for load in (load_digits, load_breast_cancer, load_wine):
        X, y = load(return_X_y=True)
        name = load.__name__.removeprefix("load_")
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        found[f"{name}, logistic regression"] = X, y, linear, Margin(random_state=0)
        trees = ExtraTreesClassifier(100, random_state=0)
        found[f"{name}, extra trees"] = X, y, trees, Margin(random_state=0)
    X, y = load_diabetes(return_X_y=True)
    for name, model in [
        ("Bayesian ridge", BayesianRidge()),
        ("extra trees", ExtraTreesRegressor(100, random_state=0)),
        ("Gaussian process", _process()),
    ]:
        scaled = make_pipeline(StandardScaler(), model)
        found[f"diabetes, {name}"] = X, y, scaled, LCMD(random_state=0)
    return found


def rules_for(X: Any, y: Any) -> dict[str, StoppingRule]:
    """Make the rules that are compared, with their usual settings."""
    rows = X[np.random.default_rng(0).permutation(len(X))[:500]]
    is_classes = np.issubdtype(np.asarray(y).dtype, np.integer)
    sure: Any = LeastConfident() if is_classes else PredictiveVariance()
    # A variance of 2 % of that of the labels; a least probability of .95 in the mean.
    threshold = -0.95 if is_classes else 0.02 * float(np.var(y))
    return {
        "budget of 60": Budget(60),
        "budget of 120": Budget(120),
        "stable predictions": StablePredictions(rows, tol=0.02 if is_classes else 0.1),
        "confident predictions": ConfidentPredictions(sure, rows, threshold),
        **{f"small gain, {price:g}": SmallGain(price, n_ahead=30) for price in PRICES},
    }


class Recorder:
    """Remember at how many labels each rule first says to stop."""

    def __init__(self, rules: dict[str, StoppingRule]) -> None:
        self.rules = rules
        self.stops: dict[tuple[str, int], int] = {}

    def __call__(self, step: PlayedStep) -> bool:
        for name, rule in self.rules.items():
            if rule(step):
                self.stops.setdefault((name, step.fold), step.n_labeled)
        return False


def play(
    problem: tuple[Any, Any, Any, Any], n_folds: int, n_queries: int
) -> pd.DataFrame:
    """Rows of price, fold, rule, labels, relative error and excess cost."""
    X, y, estimator, strategy = problem
    is_classes = np.issubdtype(np.asarray(y).dtype, np.integer)
    n_instances = 5
    recorder = Recorder(rules_for(X, y))
    data = compare_strategies(
        estimator,
        {"strategy": strategy},
        X,
        y,
        cv=n_folds,
        n_initial=20,
        n_instances=n_instances,
        n_queries=n_queries,
        initial="stratified" if is_classes else "random",
        scoring=_negative_error(is_classes),
        random_state=0,
        callback=recorder,
    ).data
    rows = []
    for fold, run in data.groupby("fold"):
        error = -run.set_index("n_labeled")["score"]
        for price, name in product(PRICES, recorder.rules):
            rule, _, of_price = name.partition(", ")
            if of_price not in ("", f"{price:g}"):
                continue
            cost = price * error.index.to_numpy() + error
            at = recorder.stops.get((name, int(fold)), int(error.index[-1]))
            rows.append(
                {
                    "price": price,
                    "fold": fold,
                    "rule": rule,
                    "labels": at,
                    "error": error[at] / error.iloc[-1] if error.iloc[-1] else np.nan,
                    "excess": cost[at] - cost.min(),
                    "stopped": (name, int(fold)) in recorder.stops,
                }
            )
    return pd.DataFrame(rows)


def _negative_error(is_classes: bool) -> Callable[[Any, Any, Any], float]:
    def score(estimator: Any, X: Any, y: Any) -> float:
        predicted = estimator.predict(X)
        if is_classes:
            return -float(np.mean(predicted != y))
        return -float(np.sqrt(np.mean((predicted - y) ** 2)) / np.std(y))

    return score


def main(argv: list[str] | None = None) -> int:
    """Play all problems and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one problem, two folds")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args(argv)
    todo = problems()
    if args.quick:
        todo = {name: todo[name] for name in list(todo)[-3:-2]}
    n_folds, n_queries = (2, 12) if args.quick else (5, 24)
    parts = []
    for name, problem in todo.items():
        size = len(problem[0]) * (n_folds - 1) // n_folds
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            part = play(problem, n_folds, min(n_queries, (size - 20) // 5))
        parts.append(part.assign(problem=name))
        print(name, file=sys.stderr)
    data = pd.concat(parts)
    args.output.mkdir(parents=True, exist_ok=True)
    stem = "stopping_quick" if args.quick else "stopping"
    data.to_csv(args.output / f"{stem}.csv", index=False, float_format="%.5g")
    text = report(data)
    (args.output / f"{stem}.md").write_text(text)
    print(text)
    return 0


def report(data: pd.DataFrame) -> str:
    """Tables of means over problems and folds."""
    command = "python -m benchmarks.stopping"
    lines = [
        "# Stopping rules",
        "",
        f"`{command}`: {data['problem'].nunique()} problems, {data['fold'].nunique()} "
        "folds, from 20 labels in steps of 5. The error is relative to that at the end "
        "of the campaign; the excess is the cost (labels times price, plus error rate "
        "or RMSE over the standard deviation) over that of the best step in hindsight. "
        "Small gain sees the scores on the test rows, whose labels are not counted; "
        "the other rules need none. Thresholds were set beforehand, the same for all "
        "problems: that of confident predictions is never reached.",
    ]
    for price, part in data.groupby("price"):
        by_rule = part.groupby("rule")[["labels", "error", "excess", "stopped"]].mean()
        lines += ["", f"## A label costs {price:g}", ""]
        lines += ["| rule | labels | relative error | excess | stopped |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        for rule, row in by_rule.sort_values("excess").iterrows():
            lines.append(
                f"| {rule} | {row['labels']:.0f} | {row['error']:.2f} | "
                f"{row['excess']:.3f} | {row['stopped']:.0%} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
