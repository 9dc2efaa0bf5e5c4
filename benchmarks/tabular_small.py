"""Regression on small tables: how a campaign is played, and what it is worth.

The pool is a random 80 % of a table, at most 2000 rows, and the test at most 2000 of
the others.  Columns are converted by `make_tabular_preprocessor`, fitted on the pool;
the target is standardized by the labeled rows only.  There are 20 labels at the start,
then 15 times 20 more, or until three quarters of the pool are labeled (yacht: 8 times).

The scored net is the same for all strategies: an MLP of two hidden layers of 64 units
with dropout 0.05, Adam at 0.01, 60 epochs in batches of 64.  It was chosen by Random's
log RMSE on one seed of some of the sets, where other settings changed it by up to 0.04
(yacht). Strategies that read several models use 20 dropout masks, VariationOfPrediction
the epochs of the second half, and QBCVariance 5 nets that are trained on the same
labels at each query, only to pick.  LossPrediction trains the same net together with a
loss module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

from benchmarks.campaigns import ByEnsemble
from benchmarks.report import environment, markdown
from benchmarks.sets import load_small
from benchmarks.tabular_ranks import (
    average_ranks,
    average_table,
    draw_ranks,
    gains_table,
    shared_ratio,
)
from benchmarks.tabular_runs import KEYS, Split, campaign, mean_logs, strategies_for
from skal.nets import (
    MLP,
    DeepEnsembleRegressor,
    LossPredictionRegressor,
    NetRegressor,
    WeightSnapshots,
)
from skal.posteriors import Members
from skal.strategies import NoiseStability, QBCVariance
from skal.tabular import make_tabular_preprocessor

#: Rows of each set.
N_ROWS = {
    "ames": 2930,
    "house_prices": 1460,
    "concrete": 1005,
    "energy": 768,
    "yacht": 308,
    "power_plant": 9527,
    "naval": 11934,
    "kin8nm": 8192,
    "cpu_act": 8192,
    "abalone": 4177,
    "cal_housing": 20640,
}
#: Its rows are also rows of ames, which would count twice in the ranks.
NOT_RANKED = ("house_prices",)
N_INITIAL = N_INSTANCES = 20
N_QUERIES = 15
MOST_ROWS = 2000
EPOCHS = 60
NET: dict[str, Any] = {
    "module": MLP,
    "optimizer": torch.optim.Adam,
    "module__hidden_sizes": (64, 64),
    "module__dropout": 0.05,
    "lr": 1e-2,
    "max_epochs": EPOCHS,
    "batch_size": 64,
    "optimizer__fused": True,
}
# For a regressor, BALD orders rows in the same way as PredictiveVariance.
LEFT_OUT = ("BALD",)
#: Other readings than the default, which has predictions and labeled rows as centers.
NOISE_STABILITY: dict[str, dict[str, Any]] = {
    "NoiseStability (clusters)": {"selection": "lcmd"},
    "NoiseStability (paper)": {"scaling": "global", "centers": "origin"},
    "NoiseStability (program)": {
        "outputs": "features",
        "normalize": True,
        "centers": "origin",
    },
}
#: Trains nets on the pool, a minute per campaign: played only if it is named.
SLOW = ("VAAL",)


def regressor(net: Any) -> TransformedTargetRegressor:
    """Scale the target by the labeled rows."""
    return TransformedTargetRegressor(
        net, transformer=StandardScaler(), check_inverse=False
    )


def strategies() -> dict[str, Any]:
    """All of skal's strategies for regressors that do not wrap others, by name."""
    found = strategies_for("regression", left_out=LEFT_OUT)
    for name, options in NOISE_STABILITY.items():
        found[name] = NoiseStability(**options)
    ensemble = regressor(DeepEnsembleRegressor(NetRegressor(**NET), 5))
    found["QBCVariance"] = ByEnsemble(QBCVariance(Members()), ensemble)
    return found


def make_net(strategy: str) -> TransformedTargetRegressor:
    """Make the net that is scored, in a form that the strategy can read."""
    if strategy == "LossPrediction":  # detached: the same net as for the others
        return regressor(LossPredictionRegressor(**NET, detach_after=0))
    if strategy == "VariationOfPrediction":
        snapshots = WeightSnapshots(every=3, warmup=EPOCHS // 2)
        return regressor(NetRegressor(**NET, callbacks=[("snapshots", snapshots)]))
    return regressor(NetRegressor(**NET))


def split(name: str, seed: int) -> Split:
    """Draw pool and test of a table."""
    X, y = load_small(name)
    order = np.random.default_rng(seed).permutation(len(X))
    pool, test = np.split(order, [int(0.8 * len(X))])
    pool, test = pool[:MOST_ROWS], test[:MOST_ROWS]
    prepare = make_tabular_preprocessor().fit(X.iloc[pool])
    parts = (np.asarray(prepare.transform(X.iloc[p]), np.float32) for p in (pool, test))
    X_pool, X_test = parts
    y = y.astype(np.float32)
    return Split(X_pool, y[pool], X_test, y[test], X_test[:0], y[:0])


def ratios(most_pool: int = MOST_ROWS) -> dict[str, float]:
    """Correct intervals for the rows that the splits of each set share."""
    found = {}
    for name, n in N_ROWS.items():
        n_pool = int(0.8 * n)
        n_test = min(n - n_pool, MOST_ROWS)
        found[name] = shared_ratio(n, min(n_pool, most_pool), n_test)
    return found


def n_queries(n_rows: int) -> int:
    """Count the queries until three quarters of the pool are labeled, at most 15."""
    return min(N_QUERIES, (3 * n_rows // 4 - N_INITIAL) // N_INSTANCES)


def play(name: str, seed: int, strategy: str) -> pd.DataFrame:
    """Play one campaign, given the names of its parts."""
    torch.set_num_threads(1)
    data = split(name, seed)
    sizes = (N_INITIAL, N_INSTANCES, n_queries(len(data.X)))
    return campaign(data, make_net(strategy), strategies()[strategy], seed, sizes)


def curves(data: pd.DataFrame) -> pd.DataFrame:
    """RMSE by labels, and mean seconds, a row a campaign."""
    rmse = data.pivot(index=KEYS, columns="n_labeled", values="rmse")
    seconds = data.groupby(KEYS, observed=True)[["query_time", "fit_time"]].mean()
    return rmse.join(seconds)


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV, picture and Markdown of `ordered` campaigns; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    curves(data).to_csv(folder / "tabular_small.csv", float_format="%.4g")
    logs = mean_logs(data)
    # A strategy counts on a set, and in the average, if it has played all of Random's.
    rmse = logs["rmse"].unstack("strategy")
    whole = rmse[rmse["Random"].notna()].dropna(axis="columns")
    by_set = whole.groupby("set", observed=True).mean()
    ranked = by_set.drop(index=[s for s in NOT_RANKED if s in by_set.index])
    ranks = None
    picture: list[str] = []
    if ranked.shape[0] > 1 and ranked.shape[1] > 2:
        ranks = average_ranks(ranked)
        draw_ranks(ranks, folder / "tabular_small_ranks.png")
        picture = [
            f"Friedman's test of equal ranks on {ranks.n_sets} sets: p = "
            f"{ranks.p_value:.2g}; two strategies are told apart (Nemenyi, 5 %) if "
            f"their average ranks differ by {ranks.critical:.2f}. house_prices is a "
            "part of ames and is not ranked.",
            "![average ranks](tabular_small_ranks.png)",
        ]
    late = [s for s in data["strategy"].cat.categories if s not in by_set]
    seeds = data.groupby("set", observed=True)["split"].nunique()
    least, most = seeds.min(), seeds.max()
    times = data.groupby("strategy", observed=True)[["query_time", "fit_time"]].mean()
    parts = [
        "# Strategies for regression on small tables",
        f"`{command}`",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        "Log RMSE: mean of natural logarithms over the steps after the start, of "
        "targets at unit variance. Gain: Random's minus the strategy's, on the same "
        "splits, starts and weights; higher is better.",
        f"## Average over {len(by_set)} sets, "
        f"{most if least == most else f'{least} to {most}'} seeds",
        markdown(average_table(by_set, ranks, "log rmse")),
        *picture,
    ]
    if late:
        parts.append(f"Not played wherever Random was: {', '.join(late)}.")
    parts += [
        "## Gain over Random by set",
        "With the half width of the 95 % interval, paired by seed and corrected for "
        "the rows that splits share; a star: the interval leaves out 0, each by "
        "itself.",
        markdown(gains_table(logs["rmse"].unstack("strategy"), ratio=ratios())),
        "## Seconds a query and a fit, other campaigns running beside",
        markdown(times.map(lambda v: f"{v:.2f}")),
        "\n".join(f"- {line}" for line in environment()),
    ]
    text = "\n\n".join(parts) + "\n"
    (folder / "tabular_small.md").write_text(text)
    return text
