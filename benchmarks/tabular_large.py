"""Regression on large tables: how a campaign is played, and what it is worth.

The protocol is that of Holzmüller, Zaverkin, Kästner and Steinwart (JMLR 2023), on at
most 200 000 rows of a table.  In a random order of the rows, the last 20 % are the
test, the first 256 are labeled, the next 1024 are for validation, and the rest is the
pool.  Features are standardized by the labeled rows and the pool, then 5 tanh(x / 5);
the target is standardized by all rows, which scales all errors alike. The net has two
hidden layers of 512 ReLU units, z = 0.2 (W x / sqrt(n) + b) with W from N(0, 1) and b =
0, n the inputs of the layer.  Adam, 256 epochs, batches of 256, a learning rate that
falls from 0.375 to 0 in equal steps, and the weights of the epoch with the smallest
validation error.  256 labels are added 16 times, each time followed by training a new
net. TESSAR and NoiseStability pick from 10 000 rows that are drawn from the pool at
each query, all others from the whole pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from torch import nn

from benchmarks.ames import PROGRAM
from benchmarks.report import environment, markdown
from benchmarks.sets import load_large
from benchmarks.tabular_runs import (
    KEYS,
    Split,
    as_table,
    campaign,
    error,
    interval,
    mean_logs,
)
from skal import NetRegressor
from skal.nets.data import ArrayDataset
from skal.strategies import (
    BAIT,
    LCMD,
    TESSAR,
    KMeansPP,
    MaxDist,
    NoiseStability,
    Random,
    Subsample,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

# NoiseStability keeps 30 x 512 elements per row, and TESSAR computes 50 distances from
# each row to each labeled one: these two see a random part of the pool.
STRATEGIES: dict[str, Any] = {
    "Random": Random(),
    "LCMD-grad": LCMD(space="gradients", n_components=512, mode="TP"),
    "LCMD-ll": LCMD(space="last_layer", mode="TP"),
    "BADGE": KMeansPP(space="last_layer", mode="P", condition_on_labels=True),
    "CoreSet": MaxDist(space="last_layer", mode="TP"),
    "BAIT-F-grad": BAIT(space="gradients", n_components=512, condition_on_labels=True),
    "BAIT-FB-ll": BAIT(space="last_layer", condition_on_labels=True, backward=True),
    "NoiseStability (program)": Subsample(NoiseStability(**PROGRAM), max_rows=10_000),
    "TESSAR": Subsample(TESSAR(), max_rows=10_000),
}


# Random's mean log RMSE minus theirs, on 15 sets and 20 splits.
PUBLISHED = {
    "LCMD-grad": 0.188,
    "LCMD-ll": 0.143,
    "BADGE": 0.129,
    "CoreSet": 0.089,
    "BAIT-F-grad": 0.184,
    "BAIT-FB-ll": 0.140,
}


class Protocol(NamedTuple):
    """Sizes of a campaign."""

    n_initial: int = 256
    n_instances: int = 256
    n_queries: int = 16
    n_valid: int = 1024
    test_share: float = 0.2
    max_epochs: int = 256


class ScaledMLP(nn.Module):
    """Net in the scaling of the neural tangent kernel.

    A layer is 0.2 (W x / sqrt(n) + b), with n inputs.  The scales stand around plain
    linear layers, whose gradients skal reads as factors.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int = 1,
        hidden_sizes: tuple[int, ...] = (512, 512),
        gain: float = 0.2,
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden_sizes, n_outputs]
        self.gain = gain
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        for layer in self.layers:
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        for k, layer in enumerate(self.layers):
            X = torch.relu(X) if k else X
            X = self.gain * layer(X * layer.in_features**-0.5)
        return X


class LinearDecay(Callback):
    """Decrease the learning rate to 0, step by step."""

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, **kwargs: Any
    ) -> None:
        self.n_steps_ = net.max_epochs * -(-len(dataset_train) // net.batch_size)
        if len(net.history) == 1:
            self.step_ = 0

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if training:
            for group in net.optimizer_.param_groups:
                group["lr"] = net.lr * (1 - self.step_ / self.n_steps_)
            self.step_ += 1


class BestEpoch(Callback):
    """Restore the weights of the epoch with the smallest validation loss."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.loss_, self.epoch_ = np.inf, 0
        self.weights_: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        loss = net.history[-1, "valid_loss"]
        if loss < self.loss_:
            self.loss_, self.epoch_ = loss, len(net.history)
            weights = net.module_.state_dict()
            self.weights_ = {name: w.clone() for name, w in weights.items()}

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.weights_:
            net.module_.load_state_dict(self.weights_)
            self.weights_ = {}


def split(X: np.ndarray, y: np.ndarray, seed: int, how: Protocol) -> Split:
    """Split a table by a random order of its rows."""
    order = np.random.default_rng(seed).permutation(len(X))
    order, test = np.split(order, [len(X) - int(how.test_share * len(X))])
    first, valid, pool = np.split(order, [how.n_initial, how.n_initial + how.n_valid])
    own = np.concatenate([first, pool])
    mean, std = X[own].mean(axis=0), X[own].std(axis=0, ddof=1)
    scaled = (X - mean) / np.where(std > 0, std, 1)
    scaled = (5 * np.tanh(scaled / 5)).astype(np.float32)
    y = y.astype(np.float32)
    return Split(scaled[own], y[own], scaled[test], y[test], scaled[valid], y[valid])


def make_net(data: Split, how: Protocol) -> NetRegressor:
    """Make the net, with the rows that it is validated on."""
    return NetRegressor(
        ScaledMLP,
        optimizer=torch.optim.Adam,
        lr=0.375,
        max_epochs=how.max_epochs,
        batch_size=256,
        train_split=predefined_split(ArrayDataset(data.X_valid, data.y_valid)),
        callbacks=[("decay", LinearDecay()), ("best", BestEpoch())],
        optimizer__fused=True,  # the same steps, faster
    )


def play_protocol(name: str, seed: int, strategy: Any, how: Protocol) -> pd.DataFrame:
    """Play one campaign; a row a step."""
    torch.set_num_threads(1)
    data = split(*load_large(name), seed, how)
    return campaign(
        data,
        make_net(data, how),
        strategy,
        seed,
        (how.n_initial, how.n_instances, how.n_queries),
        lambda net: {"best_epoch": dict(net.callbacks_)["best"].epoch_},
    )


def play(name: str, split: int, strategy: str) -> pd.DataFrame:
    """Play one campaign on a large set, by the names of its parts."""
    return play_protocol(name, split, STRATEGIES[strategy], Protocol())


def average_table(logs: pd.DataFrame) -> pd.DataFrame:
    """Average over sets, of the strategies that have played wherever Random has.

    Splits are averaged first, so that sets weigh the same.
    """
    rmse = logs["rmse"].unstack("strategy")
    rmse = rmse[rmse["Random"].notna()].dropna(axis="columns")
    lines = {}
    for name in rmse:
        own = logs.xs(name, level="strategy").loc[rmse.index]
        line = own.groupby("set", observed=True).mean().mean()
        splits = rmse[name].groupby("split").mean()
        lines[name] = {f"log {m}": f"{v:.3f}" for m, v in line.items()}
        lines[name]["s.e. over splits"] = error(splits)
        if name == "Random":
            continue
        gains = (rmse["Random"] - rmse[name]).groupby("set", observed=True).mean()
        lines[name] |= {
            "gain": f"{gains.mean():+.3f}",
            "95 % over sets": interval(gains),
            "sets better": f"{int((gains > 0).sum())} of {len(gains)}",
            "published gain": f"{PUBLISHED[name]:+.3f}" if name in PUBLISHED else "",
        }
    return as_table(lines)


def average_tables(logs: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Average over the first splits, for each number of them that a strategy played.

    A split counts once it was played on as many sets as the first.
    """
    split = logs.index.get_level_values("split")
    n_sets = logs.xs("Random", level="strategy").groupby("split").size()
    tables: dict[int, pd.DataFrame] = {}
    most: set[Any] = {"Random"}  # strategies of the tables over more splits
    for n in range((n_sets == n_sets.iloc[0]).cumprod().sum(), 0, -1):
        table = average_table(logs[split < n])
        if not set(table.index) <= most:
            tables[n], most = table, most | set(table.index)
    return dict(sorted(tables.items()))


def set_table(logs: pd.DataFrame, times: pd.DataFrame, name: str) -> pd.DataFrame:
    """Results on one set: mean log RMSE, gain paired by split, seconds."""
    rmse = logs["rmse"].xs(name, level="set").unstack("strategy")
    lines = {}
    for strategy in rmse:
        values = rmse[strategy].dropna()
        gains = (rmse["Random"] - rmse[strategy]).dropna()
        lines[strategy] = {
            "splits": len(values),
            "log rmse": f"{values.mean():.3f}",
            "s.e.": error(values),
            "gain": "" if strategy == "Random" else f"{gains.mean():+.3f}",
            "95 %": "" if strategy == "Random" else interval(gains),
            "s a query": f"{times.loc[(name, strategy), 'query_time']:.1f}",
            "s a fit": f"{times.loc[(name, strategy), 'fit_time']:.1f}",
        }
    return as_table(lines)


def failed_fits(data: pd.DataFrame) -> str:
    """Name the fits whose error is twice that of the fit with fewer labels before."""
    ordered = data.sort_values("n_labeled")
    before = ordered.groupby(KEYS, observed=True)["rmse"].shift()
    failed = ordered[ordered["rmse"] > 2 * before]
    named = [
        f"{row.set}, split {row.split}, {row.strategy}, {row.n_labeled} labels "
        f"(RMSE {row.rmse:.2f})"
        for row in failed.itertuples()
    ]
    listed = "; ".join(named) or "none"
    return (
        "Fits whose RMSE is more than twice that of the fit before them, with fewer "
        f"labels, of {len(data)}, all counted above: {listed}."
    )


def draw(data: pd.DataFrame, file: Path) -> None:
    """Draw mean log RMSE by labels, a panel a set."""
    sets = data["set"].cat.categories
    figure, axes = plt.subplots(
        1, len(sets), figsize=(4 * len(sets), 3.6), squeeze=False, layout="constrained"
    )
    for name, ax in zip(sets, axes[0], strict=True):
        part = data[data["set"] == name].assign(log=lambda d: np.log(d["rmse"]))
        curves = part.pivot_table(
            index="n_labeled", columns="strategy", values="log", observed=True
        )
        for k, strategy in enumerate(curves):
            style = {"color": "k", "ls": "--"} if strategy == "Random" else {}
            color = {"color": plt.cm.tab10.colors[k % 10]}
            ax.plot(curves[strategy], label=strategy, lw=1.2, **{**color, **style})
        ax.set(title=name, xlabel="labels", xscale="log")
        doubled = 2 ** np.arange(int(np.log2(len(curves))) + 1) - 1
        ax.set_xticks(curves.index[doubled])
        ax.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
        ax.minorticks_off()
    axes[0, 0].set_ylabel("mean log RMSE")
    axes[0, 0].legend(fontsize=7)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV, picture and Markdown of `ordered` campaigns; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / "tabular.csv", index=False, float_format="%.5g")
    draw(data, folder / "tabular.png")
    logs = mean_logs(data)
    keys = ["set", "strategy"]
    times = data.groupby(keys, observed=True)[["query_time", "fit_time"]].median()
    averages = average_tables(logs)
    in_average = {s for table in averages.values() for s in table.index}
    late = [s for s in data["strategy"].cat.categories if s not in in_average]
    parts = [
        "# Deep batch active learning on large tables",
        f"`{command}`",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        "All errors are means of natural logarithms over the 16 steps after the start, "
        "of targets at unit variance: lower is better. Gain: Random's log RMSE minus "
        "the strategy's, on the same splits and starts. The published gains are those "
        "on 15 sets; of the sets here, fried, diamonds, protein and sgemm are among "
        "them, with duplicates. Seconds are medians over steps; campaigns ran side by "
        "side, each on one core.",
    ]
    n_sets = len(data["set"].cat.categories)
    for n, table in averages.items():
        heading = f"## Average over {n_sets} sets, {n} split{'s' * (n > 1)}"
        parts += [heading, markdown(table)]
    if late:
        parts.append(f"Not played wherever Random was: {', '.join(late)}.")
    parts += [failed_fits(data), "![mean log RMSE by labels](tabular.png)"]
    for name in data["set"].cat.categories:
        rows, columns = load_large(name)[0].shape
        heading = f"## {name}: {rows} rows, {columns} columns"
        parts += [heading, markdown(set_table(logs, times, name))]
    parts.append("\n".join(f"- {line}" for line in environment()))
    text = "\n\n".join(parts) + "\n"
    (folder / "tabular.md").write_text(text)
    return text
