"""Query strategies on the Ames house prices, by two protocols.

Run as ``python -m benchmarks.ames --protocol program --trials 100 --n-jobs 2``.
Finished trials are kept in the work folder, and a second run continues from there.

``program``: the protocol of the noise-stability authors' program.  Kaggle's 1460
sales, columns without missing values, one-hot: 215 features; the first 730 rows are
the pool, the last 730 the test; features and prices unscaled; a net 128-64-32-1 with
ReLU after the first two linear layers, Adam 1e-3, squared error, batch 64, 500 epochs
with the learning rate at a tenth from epoch 160; 20 labels, then 10 times 20 more out
of 200 rows drawn from the pool; the test in batches of 64.

``honest``: De Cock's 2930 sales in random splits, 70 % pool and 30 % test;
imputation, levels and scales learned from the labeled rows alone, inside the
pipeline; log price, scaled; 50 labels, then 12 times 25 more out of all of the pool.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import LRScheduler
from torch import nn

from benchmarks.campaigns import collect, play_simulation
from benchmarks.report import comparison_table, environment, markdown
from skal.datasets import load_ames, load_house_prices
from skal.nets import MLP, NetRegressor
from skal.simulation import StrategyComparison
from skal.simulation.result import ScoreLabel
from skal.strategies import BAIT, LCMD, CoreSet, NoiseStability, Random
from skal.tabular import make_tabular_preprocessor

mpl.use("Agg")

#: How the authors' program reads a net; named, so that other defaults do not matter.
PROGRAM: dict[str, Any] = {
    "scaling": "per_tensor",
    "outputs": "features",
    "normalize": True,
    "centers": "origin",
}
#: The paper's reading: raw predictions, and all parameters moved together.
PAPER: dict[str, Any] = {
    "scaling": "global",
    "outputs": "predictions",
    "normalize": False,
    "centers": "origin",
}
STRATEGIES: dict[str, Any] = {
    "Random": Random(),
    "LCMD": LCMD(),
    "BAIT": BAIT(),
    "NoiseStability": NoiseStability(),
    "NoiseStability (clusters)": NoiseStability(selection="lcmd"),
    "NoiseStability (program)": NoiseStability(**PROGRAM),
    "NoiseStability (paper)": NoiseStability(**PAPER),
    "CoreSet": CoreSet(),
}
TEST_BATCH = 64


class ProgramNet(nn.Module):
    """The program's net, whose third linear layer has no activation."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.Linear(32, 1),
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


@dataclass
class Protocol:
    """How a trial is played, and how it is reported."""

    name: str
    split: Callable[[int], tuple[Any, Any, Any, Any]]
    estimator: Callable[[], Any]
    settings: dict[str, Any]
    budgets: list[int]
    unit: str
    digits: int
    n_trials: int


@cache
def _program_table() -> tuple[np.ndarray, np.ndarray]:
    raw, y = load_house_prices(clean=False)
    X = pd.get_dummies(raw.loc[:, raw.notna().all()]).to_numpy(np.float32)
    if X.shape != (1460, 215):
        raise ValueError(
            f"The program's table has 1460 rows and 215 features, this one {X.shape}. "
            "Use Kaggle's train.csv (SKAL_DATA, or OpenML 42165)."
        )
    return X, y.to_numpy(np.float32)


def _program_split(trial: int) -> tuple[Any, Any, Any, Any]:
    X, y = _program_table()
    return X[:730], X[730:], y[:730], y[730:]


def _program_net() -> NetRegressor:
    schedule = LRScheduler("MultiStepLR", milestones=[160], gamma=0.1)
    return NetRegressor(
        ProgramNet,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=500,
        batch_size=64,
        callbacks=[("schedule", schedule)],
        optimizer__fused=True,  # the same steps, a quarter faster
    )


@cache
def _ames() -> tuple[pd.DataFrame, pd.Series]:
    X, y = load_ames()
    return X, np.log(y)


def _honest_split(trial: int) -> tuple[Any, Any, Any, Any]:
    X, y = _ames()
    split: tuple[Any, Any, Any, Any] = tuple(
        train_test_split(X, y, test_size=0.3, random_state=trial)
    )
    return split


def _honest_net() -> TransformedTargetRegressor:
    return TransformedTargetRegressor(
        make_pipeline(
            make_tabular_preprocessor(),
            NetRegressor(
                MLP,
                optimizer=torch.optim.Adam,
                lr=1e-3,
                batch_size=32,
                max_epochs=50,
            ),
        ),
        transformer=StandardScaler(),
        check_inverse=False,
    )


PROTOCOLS = {
    "program": Protocol(
        "program",
        _program_split,
        _program_net,
        {"n_initial": 20, "n_instances": 20, "n_queries": 10, "n_candidates": 200},
        budgets=[20, 60, 100, 140, 180, 220],
        unit="USD",
        digits=0,
        n_trials=100,
    ),
    "honest": Protocol(
        "honest",
        _honest_split,
        _honest_net,
        {"n_initial": 50, "n_instances": 25, "n_queries": 12},
        budgets=[50, 100, 150, 200, 250, 300, 350],
        unit="log USD",
        digits=4,
        n_trials=10,
    ),
}


def rmse(estimator: Any, X: Any, y: Any) -> float:
    """Negative root mean squared error, as scikit-learn scores it."""
    error = np.ravel(estimator.predict(X)) - np.ravel(y)
    return -float(np.sqrt(np.mean(np.square(error, dtype=float))))


def printed_metric(estimator: Any, X: Any, y: Any) -> float:
    """Sum of the RMSE of the test batches over the number of rows, as printed there."""
    error = np.ravel(estimator.predict(X)) - np.ravel(y)
    batches = np.split(error, range(TEST_BATCH, len(error), TEST_BATCH))
    return float(
        sum(np.sqrt(np.mean(np.square(b, dtype=float))) for b in batches)
    ) / len(error)


def play(protocol: str, strategy: str, trial: int) -> pd.DataFrame:
    """Play one campaign; a row per step."""
    how = PROTOCOLS[protocol]
    X_pool, X_test, y_pool, y_test = how.split(trial)
    table, simulation = play_simulation(
        how.estimator(),
        STRATEGIES[strategy],
        (X_pool, X_test, y_pool, y_test),
        trial,
        scoring=rmse,
        **how.settings,
    )
    printed = [printed_metric(e, X_test, y_test) for e in simulation.estimators_]
    return table.assign(printed=printed)


def in_order(data: pd.DataFrame, trials: int) -> pd.DataFrame:
    """Keep the first trials, sorted as the strategies are named."""
    order = {name: k for k, name in enumerate(STRATEGIES)}
    data = data[data["fold"] < trials].drop(columns="protocol")
    return data.sort_values(
        ["fold", "strategy", "step"],
        key=lambda column: column.map(order) if column.name == "strategy" else column,
        ignore_index=True,
    )


def report(how: Protocol, data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV, picture and Markdown; return the last."""
    ratio = 1.0 if how.name == "program" else 0.3 / 0.7
    comparison = StrategyComparison(data, ScoreLabel("RMSE", -1), ratio)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"ames_{how.name}"
    data.to_csv(folder / f"{stem}.csv", index=False, float_format="%.6g")
    display = comparison.plot(score_unit=how.unit)
    display.ax_.set_title(f"Ames, protocol '{how.name}'")
    display.figure_.savefig(folder / f"{stem}.png", dpi=120)
    parts = [
        f"# Ames house prices, protocol `{how.name}`",
        f"`{command}`",
        f"{data['fold'].nunique()} trials. RMSE in {how.unit} by labels used (lower is "
        "better); area: mean over the budget; gain of the area over Random with its "
        "95 % interval and the p-value of the paired t-test. 'no gain': the interval "
        "includes 0.",
        markdown(comparison_table(comparison, how.budgets, digits=how.digits)),
    ]
    if how.name == "program":
        means = data.groupby(["strategy", "n_labeled"])["printed"].mean().unstack()
        printed = means.loc[comparison.strategies, how.budgets]
        parts += [
            "The metric that the program prints, the sum of the test batches' RMSE "
            "over the 730 rows, in USD:",
            markdown(printed.map(lambda v: f"{v:.0f}")),
        ]
    times = data.groupby("strategy")[["query_time", "fit_time"]].mean()
    parts += [
        "Seconds a query and a fit, other campaigns running beside:",
        markdown(times.loc[comparison.strategies].map(lambda v: f"{v:.3f}")),
        f"![learning curves]({stem}.png)",
        "\n".join(f"- {line}" for line in environment()),
    ]
    text = "\n\n".join(parts) + "\n"
    (folder / f"{stem}.md").write_text(text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Run a protocol; return 1 if the data are missing or a campaign failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), required=True)
    parser.add_argument(
        "--trials", "--seeds", type=int, help="100 (program), 10 (honest) by default"
    )
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument(
        "--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES)
    )
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args(argv)
    how = PROTOCOLS[args.protocol]
    trials = args.trials or how.n_trials
    try:
        how.split(0)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    file = args.work / f"ames_{how.name}.csv"
    # Trial by trial, so that an early end leaves whole trials.
    tasks = [(how.name, s, trial) for trial in range(trials) for s in args.strategies]
    failed = collect(play, tasks, ["protocol", "strategy", "fold"], args.n_jobs, file)
    data = in_order(pd.read_csv(file), trials)
    command = (
        f"python -m benchmarks.ames --protocol {how.name} --trials {trials} "
        f"--n-jobs {args.n_jobs}"
    )
    print(report(how, data, command, args.output))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
