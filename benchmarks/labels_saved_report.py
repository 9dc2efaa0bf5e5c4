"""Ratios of labels, and what other learners make of the picks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.isotonic import isotonic_regression

from benchmarks.report import environment, markdown
from benchmarks.sets import TABLES
from benchmarks.tabular_runs import as_table, interval
from skal.simulation.statistics import mean_interval

mpl.use("Agg")
import matplotlib.pyplot as plt

BASELINE = (
    "CatBoost",
    "Gaussian process",
    "extra trees",
    "ridge / logistic regression",
)
#: skal's model, in the column of learners.
OWN_NAME = "skal"
#: Learners that are also fitted to skal's picks.
ON_PICKS = BASELINE[:3]
#: Labels of skal at which the ratio is taken.
TARGETS = (100, 200, 300)
#: Numbers of labels on the axes of the picture.
TICKS = (20, 50, 100, 200, 500, 1000)


class Ratio(NamedTuple):
    """Labels of the baseline over those of skal, with the same loss.

    Attributes
    ----------
    value : float
        NaN if skal has not so many labels.
    bound : str
        ">" if the baseline does not reach the loss, so that the value is a lower
        bound; "<" if its first size does.
    """

    value: float
    bound: str = ""

    def __str__(self) -> str:
        return "" if np.isnan(self.value) else f"{self.bound}{self.value:.2f}"


def chosen(data: pd.DataFrame) -> pd.DataFrame:
    """Of the fits to random rows, those with the least held-out loss."""
    random = data[(data["rows"] == "random") & (data["learner"] != OWN_NAME)]
    best = random.groupby(["set", "seed", "n"])["held_out"].idxmin()
    return random.loc[best]


def curve(rows: pd.DataFrame) -> pd.Series:
    """Mean loss by n of the seeds that have the most sizes, made to fall."""
    table = rows.pivot(index="n", columns="seed", values="loss").sort_index()
    most = table.notna().sum()
    table = table.loc[:, most == most.max()].dropna()
    falling = isotonic_regression(table.mean(axis=1), increasing=False)
    return pd.Series(falling, index=table.index)


def label_ratio(own: pd.Series, baseline: pd.Series, n: int) -> Ratio:
    """Compare falling curves: labels to reach the loss that one has with n labels.

    Interpolated linearly in the logarithm of the labels.
    """
    if own.empty or baseline.empty or not own.index[0] <= n <= own.index[-1]:
        return Ratio(np.nan)
    target = np.interp(np.log(n), np.log(own.index), own)
    reached = np.flatnonzero(baseline.to_numpy() <= target)
    if len(reached) == 0:
        return Ratio(baseline.index[-1] / n, ">")
    k = int(reached[0])
    if k == 0:
        return Ratio(baseline.index[0] / n, "<")
    around = baseline.iloc[[k, k - 1]]
    needed = np.exp(np.interp(target, around, np.log(around.index)))
    return Ratio(float(needed) / n)


def own_rows(data: pd.DataFrame, rows: str = "picked") -> pd.DataFrame:
    """Select the losses of skal's model, fitted to rows of a kind."""
    return data[(data["learner"] == OWN_NAME) & (data["rows"] == rows)]


def ratios(own: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Label ratios of two curves for each set: a row a set, a column a target."""
    lines = {}
    for name, rows in own.groupby("set", sort=False):
        seeds = set(rows["seed"]) & set(other["seed"][other["set"] == name])
        if not seeds:
            continue
        others = other[(other["set"] == name) & other["seed"].isin(seeds)]
        falling = curve(rows[rows["seed"].isin(seeds)])
        lines[name] = {n: label_ratio(falling, curve(others), n) for n in TARGETS}
    return pd.DataFrame.from_dict(lines, orient="index", columns=list(TARGETS))


def mean_table(table: pd.DataFrame) -> pd.DataFrame:
    """Geometric means with their intervals: a row for all sets and for each task."""
    lines: dict[Any, dict[str, Any]] = {}
    tasks = table.index.map(TABLES)
    for task in ("all", *dict.fromkeys(tasks)):
        part = table if task == "all" else table[tasks == task]
        line: dict[str, Any] = {"sets": str(len(part))}
        for n in table:
            values = part[n].map(lambda ratio: ratio.value).dropna()
            line[f"at {n}"] = _geometric(np.log(values.to_numpy(float)))
        lines[task] = line
    return as_table(lines).rename_axis("task")


def _geometric(logs: np.ndarray) -> str:
    if len(logs) == 0:
        return ""
    mean, low, high = np.exp(mean_interval(logs))
    return f"{mean:.2f}" + (f" ({low:.2f} to {high:.2f})" if len(logs) > 1 else "")


def split_text(data: pd.DataFrame) -> list[str]:
    """Write which part of the ratios is due to the model, and which to the picks."""
    random = own_rows(data, "random")
    if random.empty:
        return []
    return [
        "## By the model: the same with random labels for both",
        "Labels that the baseline needs for the loss that skal's model has with n "
        "random labels, over n.",
        markdown(mean_table(ratios(random, chosen(data)))),
        "## By the picks: the same model for both",
        "Random labels that skal's model needs for the loss that it has with n picked "
        "ones, over n.",
        markdown(mean_table(ratios(own_rows(data), random))),
    ]


def set_table(data: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Losses, ratios and the baseline's choices: a row a set."""
    best, lines = chosen(data), {}
    for name in table.index:
        own = curve(own_rows(data[data["set"] == name]))
        random = best[best["set"] == name]
        other = curve(random)
        line: dict[str, Any] = {}
        for n in TARGETS:
            losses = [
                np.interp(np.log(n), np.log(c.index), c, left=np.nan, right=np.nan)
                for c in (own, other)
            ]
            texts = ["-" if np.isnan(v) else f"{v:.3f}" for v in losses]
            line[f"skal / baseline at {n}"] = " / ".join(texts)
        line |= {f"ratio at {n}": str(table.loc[name, n]) for n in TARGETS}
        counts = random["learner"].value_counts()
        line["baseline chose"] = ", ".join(f"{k} {v}" for k, v in counts.items())
        lines[name] = line
    return as_table(lines).rename_axis("set")


def picks_table(data: pd.DataFrame) -> pd.DataFrame:
    """Loss on random rows minus that on skal's picks: a row a learner and task."""
    rows = data[data["learner"].isin(ON_PICKS)]
    cells = ["set", "seed", "n", "learner"]
    wide = rows.pivot(index=cells, columns="rows", values="loss")
    wide = wide.reindex(columns=["random", "picked"]).dropna()
    lines: dict[Any, dict[str, Any]] = {}
    gains = (wide["random"] - wide["picked"]).rename("gain").reset_index()
    gains["task"] = gains["set"].map(TABLES)
    for (task, learner), part in gains.groupby(["task", "learner"]):
        by_set = part.groupby("set")["gain"].mean()
        line = {
            f"n = {n}": f"{some.groupby('set')['gain'].mean().mean():+.3f}"
            for n, some in part.groupby("n")
        }
        line |= {"mean": f"{by_set.mean():+.3f}", "95 % over sets": interval(by_set)}
        line["sets better"] = f"{int((by_set > 0).sum())} of {len(by_set)}"
        lines[f"{learner}, {task}"] = line
    return as_table(lines).rename_axis("fitted to the picks")


def draw_curves(data: pd.DataFrame, names: Sequence[str], file: Path) -> None:
    """Draw the loss of skal and of the baseline, a panel a set."""
    best = chosen(data)
    n_rows = -(-len(names) // 4)
    figure, axes = plt.subplots(
        n_rows, 4, figsize=(13, 2.8 * n_rows), layout="constrained", squeeze=False
    )
    for ax, name in zip(axes.flat, names, strict=False):
        part = data[data["set"] == name]
        shown = {
            "skal, picked": own_rows(part),
            "skal, random": own_rows(part, "random"),
            "baseline, random": best[best["set"] == name],
        }
        for label, rows in shown.items():
            if rows.empty:
                continue
            means = rows.groupby("n")["loss"].mean()
            ax.plot(means.index, means, marker="o", ms=3, label=label)
        ax.set(xscale="log", title=name)
        ax.set_xticks(TICKS, [str(n) for n in TICKS])
        ax.minorticks_off()
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    axes[0, 0].legend()
    figure.supxlabel("labels")
    figure.supylabel("log RMSE, or share of errors")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def report(data: pd.DataFrame, command: str, text: str, folder: Path) -> str:
    """Write CSV, picture and Markdown; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / "labels_saved.csv", index=False, float_format="%.5g")
    table = ratios(own_rows(data), chosen(data))
    parts = ["# Labels that another learner needs", f"`{command}`", text]
    if len(table):
        draw_curves(data, list(table.index), folder / "labels_saved.png")
        parts += [
            "Ratio: labels that the baseline needs for the loss that skal has with n "
            "labels, over n. Curves are means over seeds, made to fall, and "
            "interpolated in the logarithm of the labels. '>': the baseline does not "
            "reach it with its most labels, which then count; '<': its fewest reach "
            "it. Loss: log RMSE of targets at unit variance, or share of errors.",
            f"## Geometric mean over sets, {data['seed'].nunique()} seeds",
            markdown(mean_table(table)),
            *split_text(data),
            "## Each set",
            markdown(set_table(data, table)),
            "![curves](labels_saved.png)",
        ]
    picks = picks_table(data)
    if len(picks):
        parts += [
            "## Other learners on the picks",
            "Loss on random rows minus loss on as many rows that skal picked, paired "
            "by set, seed and n; positive: the picks serve the learner.",
            markdown(picks),
        ]
    parts.append("\n".join(f"- {line}" for line in environment()))
    written = "\n\n".join(parts) + "\n"
    (folder / "labels_saved.md").write_text(written)
    return written
