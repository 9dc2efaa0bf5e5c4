"""Labeling campaigns on real data: strategies against Random, the recommended first.

Run as ``python -m benchmarks.demo --data diabetes digits --output demo_output``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.report import comparison_table
from skal.datasets import load_ames
from skal.nets import MLP, NetClassifier, NetRegressor
from skal.simulation import compare_strategies
from skal.strategies import (
    BAIT,
    CoreSet,
    Entropy,
    LDMSeeding,
    NoiseStability,
    Random,
    recommended_strategy,
)
from skal.tabular import make_tabular_preprocessor, make_tabular_regressor

mpl.use("Agg")

# A net that is fitted in half a second, so that the demo takes three minutes.  That of
# skal's defaults takes three times as long, and has a larger error on data as noisy as
# diabetes; the fold ensemble of `make_tabular_regressor` takes ten times as long.
TRAINING = {
    "module": MLP,
    "optimizer": torch.optim.Adam,
    "lr": 1e-3,
    "batch_size": 32,
}


@dataclass
class Campaigns:
    """The campaigns to play on a data set."""

    title: str
    X: Any
    y: Any
    estimator: Any
    strategies: dict[str, Any]
    settings: dict[str, Any]
    budgets: list[int]
    unit: str | None = None
    test_size: float = 0.3
    classes: bool = False
    scoring: str = "neg_root_mean_squared_error"
    digits: int = 3
    notes: list[str] = field(default_factory=list)


def _scaled(*steps: Any) -> Any:
    return TransformedTargetRegressor(
        make_pipeline(*steps), transformer=StandardScaler(), check_inverse=False
    )


def _with_recommended(estimator: Any, **others: Any) -> dict[str, Any]:
    """Name the strategy that skal recommends, between Random and the others."""
    first = recommended_strategy(estimator)
    print(f"recommended: {first.reason}")
    return {"Random": Random(), type(first).__name__: first, **others}


def _diabetes() -> Campaigns:
    X, y = load_diabetes(return_X_y=True)
    net = _scaled(
        StandardScaler(),
        NetRegressor(max_epochs=40, optimizer__weight_decay=0.1, **TRAINING),
    )
    return Campaigns(
        "diabetes: disease progression of 442 patients",
        X,
        y,
        net,
        _with_recommended(net, NoiseStability=NoiseStability()),
        {"n_initial": 20, "n_instances": 10, "n_queries": 8, "initial": "random"},
        budgets=[20, 40, 60, 80, 100],
        digits=1,
    )


def _tabular() -> Campaigns:
    X, y = load_diabetes(return_X_y=True)
    model = make_tabular_regressor()
    return Campaigns(
        "diabetes, by the learner that is recommended for tables (slow)",
        X,
        y,
        model,
        _with_recommended(model, NoiseStability=NoiseStability()),
        {"n_initial": 20, "n_instances": 20, "n_queries": 4, "initial": "random"},
        budgets=[20, 40, 60, 80, 100],
        digits=1,
    )


def _digits() -> Campaigns:
    X, y = load_digits(return_X_y=True)
    net = NetClassifier(max_epochs=40, **{**TRAINING, "lr": 3e-3})
    return Campaigns(
        "digits: 1797 images of 8 x 8 pixels, 10 classes",
        X / 16.0,
        y,
        net,
        _with_recommended(
            net,
            Entropy=Entropy(),
            LDMSeeding=LDMSeeding(),
            NoiseStability=NoiseStability(),
        ),
        {"n_initial": 20, "n_instances": 20, "n_queries": 7, "initial": "stratified"},
        budgets=[20, 40, 80, 120, 160],
        classes=True,
        scoring="accuracy",
    )


def _ames() -> Campaigns:
    X, y = load_ames()
    net = _scaled(make_tabular_preprocessor(), NetRegressor(max_epochs=50, **TRAINING))
    return Campaigns(
        "Ames: log sale price of 2930 houses",
        X,
        np.log(y),
        net,
        _with_recommended(
            net, BAIT=BAIT(), CoreSet=CoreSet(), NoiseStability=NoiseStability()
        ),
        {"n_initial": 50, "n_instances": 50, "n_queries": 6, "initial": "random"},
        budgets=[50, 100, 200, 300, 350],
        unit="log USD",
        digits=4,
    )


DATA: dict[str, Callable[[], Campaigns]] = {
    "diabetes": _diabetes,
    "digits": _digits,
    "ames": _ames,
    "tabular": _tabular,
}


def run(campaigns: Campaigns, n_runs: int, n_jobs: int, seed: int) -> Any:
    """Play all campaigns of a data set."""
    splitter = StratifiedShuffleSplit if campaigns.classes else ShuffleSplit
    return compare_strategies(
        campaigns.estimator,
        campaigns.strategies,
        campaigns.X,
        campaigns.y,
        cv=splitter(n_runs, test_size=campaigns.test_size, random_state=seed),
        scoring=campaigns.scoring,
        random_state=seed,
        n_jobs=n_jobs,
        verbose=1,
        **campaigns.settings,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return 1 if a data set is not available."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=sorted(DATA), default=["diabetes"])
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    parser.add_argument("--runs", type=int, default=5, help="splits of each data set")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # nets this small gain nothing from more
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.data:
        start = perf_counter()
        try:
            campaigns = DATA[name]()
        except OSError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        comparison = run(campaigns, args.runs, args.n_jobs, args.seed)
        label = comparison.label
        unit = f" [{campaigns.unit}]" if campaigns.unit else ""
        table = comparison_table(comparison, campaigns.budgets, digits=campaigns.digits)
        picture = args.output / f"{name}.png"
        display = comparison.plot(score_unit=campaigns.unit)
        display.ax_.set_title(campaigns.title)
        display.figure_.savefig(picture, dpi=120)
        comparison.data.to_csv(args.output / f"{name}.csv", index=False)
        print(f"\n{campaigns.title}")
        print(
            f"{label.name}{unit} by labels used ({label.direction}); area: mean over "
            f"the budget; gain of the area with its 95 % interval and paired t-test, "
            f"{args.runs} splits; labels saved: to reach Random's last score"
        )
        print(table.to_string())
        print(f"{picture} ({perf_counter() - start:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
