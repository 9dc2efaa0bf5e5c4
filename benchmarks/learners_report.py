"""Tables and pictures of what learners reach with few random labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd

from benchmarks.learners_models import LEARNERS
from benchmarks.report import environment, markdown
from benchmarks.sets import TABLES
from benchmarks.tabular_ranks import average_ranks, draw_ranks
from benchmarks.tabular_runs import as_table, interval
from benchmarks.tabular_small import NOT_RANKED

mpl.use("Agg")
import matplotlib.pyplot as plt

#: Sizes that the purpose is about: these count in ranks, gains and shares.
FEW = (100, 200, 400)
CELL = ["set", "seed", "n"]


class Measure(NamedTuple):
    """A measure of error, lower is better.

    Attributes
    ----------
    task, name : str
    loss : callable
        From the rows of results.
    near : float
        Excess over the best competitor that counts as near.
    near_text : str
    digits : int
    """

    task: str
    name: str
    loss: Callable[[pd.DataFrame], pd.Series]
    near: float
    near_text: str
    digits: int = 3


MEASURES = (
    Measure(
        "regression",
        "log RMSE",
        lambda rows: np.log(rows["rmse"]),
        np.log(1.05),
        "within 5 % of the RMSE",
        2,
    ),
    Measure(
        "classification",
        "error in %",
        lambda rows: 100 * (1 - rows["accuracy"]),
        1.5,
        "within 1.5 points of the accuracy",
        1,
    ),
    Measure(
        "classification",
        "log loss",
        lambda rows: rows["log_loss"],
        0.05,
        "within 0.05 of the log loss",
    ),
)


def losses(data: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Losses of a measure: a row per set, seed and n, a column per learner."""
    rows = data[data["set"].map(TABLES) == measure.task]
    rows = rows.assign(loss=measure.loss(rows)).dropna(subset=["loss"])
    table = rows.pivot(index=CELL, columns="learner", values="loss")
    return table[[name for name in LEARNERS if name in table]]


def by_set(table: pd.DataFrame, sizes: Sequence[int] = FEW) -> pd.DataFrame:
    """Mean over seeds, then over those of the sizes that a set has; a row a set.

    A learner is missing on a set if it lacks one of the sizes that any other has.
    """
    table = table[table.index.get_level_values("n").isin(sizes)]
    means = table.groupby(["set", "n"]).apply(_balanced_mean)
    whole = means.notna().groupby("set").all()
    return means.groupby("set").mean().where(whole)


def _balanced_mean(seeds: pd.DataFrame) -> pd.Series:
    """Mean over seeds; a learner without some is corrected by how hard its seeds are.

    That is by what the learners with all seeds lose on them.
    """
    difficulty = seeds.dropna(axis="columns").mean(axis=1)
    if difficulty.isna().any():  # no learner has all
        return seeds.mean()
    return seeds.sub(difficulty - difficulty.mean(), axis=0).mean()


def common(sets: pd.DataFrame) -> pd.DataFrame:
    """Leave out sets until no loss is missing, of the learners on most sets.

    Learners that lack more than half of the sets are left out first.
    """
    sets = sets.loc[:, sets.notna().mean() > 0.5]
    return sets.dropna()


def size_table(table: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Mean over sets by n, of the sets that all learners of a column have."""
    columns: dict[str, pd.Series] = {}
    for n in sorted(table.index.unique("n")):
        sets = common(by_set(table, [n]))
        if len(sets):
            columns[f"n = {n} ({len(sets)} sets)"] = sets.mean()
    shown = pd.DataFrame(columns).reindex(list(table))
    text = shown.map(lambda v: "" if np.isnan(v) else f"{v:.{measure.digits}f}")
    return text.rename_axis("learner")


def competitors(sets: pd.DataFrame) -> pd.DataFrame:
    """Select the learners that are not skal's."""
    return sets[[name for name in sets if not LEARNERS[name].own]]


def near_best(table: pd.DataFrame, measure: Measure, n: int) -> pd.Series:
    """Share of sets on which a learner is near the best competitor of the set."""
    sets = by_set(table, [n])
    near = sets.sub(competitors(sets).min(axis=1), axis=0).le(measure.near + 1e-12)
    return near.where(sets.notna()).astype(float).mean()


def summary_table(table: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Rank, shares of sets, and paired differences from skal's best."""
    sets = by_set(table)
    whole = common(sets)
    ranked = whole.drop(index=[s for s in NOT_RANKED if s in whole.index])
    ranks = ranked.rank(axis=1)
    best = ranked.le(competitors(ranked).min(axis=1), axis=0)
    near = {n: near_best(table, measure, n) for n in FEW if n in table.index.levels[2]}
    own = [name for name in whole if LEARNERS[name].own]
    reference = whole[own].mean().idxmin() if own and len(whole) else None
    lines: dict[Any, dict[str, Any]] = {}
    for name in table:
        line = {"sets": str(int(sets[name].notna().sum()))}
        if name in ranked and len(ranked):
            line["mean rank"] = f"{ranks[name].mean():.1f}"
            line["best on"] = str(int(best[name].sum()))
        for n, share in near.items():
            if not np.isnan(share[name]):
                line[f"near, n = {n}"] = f"{100 * share[name]:.0f} %"
        if reference is not None:
            line |= _difference(table, name, reference, measure)
        lines[name] = line
    return as_table(lines).rename_axis("learner")


def _difference(
    table: pd.DataFrame, name: str, reference: str, measure: Measure
) -> dict[str, str]:
    """Loss minus that of the reference, paired by set, seed and n."""
    table = table[table.index.get_level_values("n").isin(FEW)]
    differences = (table[name] - table[reference]).dropna().groupby("set").mean()
    if name == reference or differences.empty:
        return {}
    mean = f"{differences.mean():+.{measure.digits}f}"
    return {f"minus {reference}": mean, "95 % over sets": interval(differences)}


def set_table(table: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    """Write each set's mean loss, the best in bold; a row a set."""
    sets = by_set(table)
    text = sets.map(lambda v: "" if np.isnan(v) else f"{v:.{measure.digits}f}")
    best = sets.eq(sets.min(axis=1), axis=0)
    return text.where(~best, "**" + text + "**")


def time_table(data: pd.DataFrame) -> pd.DataFrame:
    """Mean seconds of a fit by task and n."""
    rows = data.assign(task=data["set"].map(TABLES))
    means = rows.groupby(["learner", "task", "n"])["fit_time"].mean().unstack([1, 2])
    means = means.reindex([name for name in LEARNERS if name in means.index])
    means = means.sort_index(axis=1, ascending=[False, True])
    means.columns = [f"{task}, {n}" for task, n in means.columns]
    return means.map(lambda v: "" if np.isnan(v) else f"{v:.2f}")


def coverage_table(data: pd.DataFrame) -> pd.DataFrame:
    """Mean coverage of 90 % intervals by n."""
    rows = data.dropna(subset=["coverage"])
    means = rows.pivot_table(index="learner", columns="n", values="coverage")
    means.columns = [f"n = {n}" for n in means.columns]
    return means.map(lambda v: "" if np.isnan(v) else f"{v:.2f}")


def draw_curves(data: pd.DataFrame, file: Path) -> None:
    """Draw the mean over sets by the number of labels, a panel a measure."""
    figure, axes = plt.subplots(1, len(MEASURES), figsize=(13, 5), layout="constrained")
    for measure, ax in zip(MEASURES, axes, strict=True):
        table = losses(data, measure)
        points: dict[str, list[tuple[int, float]]] = {}
        for n in sorted(table.index.unique("n")):
            for name, value in common(by_set(table, [n])).mean().dropna().items():
                points.setdefault(str(name), []).append((n, float(value)))
        for place, name in enumerate(LEARNERS):
            if name in points:
                own = LEARNERS[name].own
                style = {"lw": 2.5, "ls": "-"} if own else {"lw": 1.2, "ls": "--"}
                ax.plot(
                    *zip(*points[name], strict=True),
                    marker="o",
                    ms=3,
                    label=name,
                    color=f"C{place % 10}",
                    **style,
                )
        ax.set(xscale="log", xlabel="labels", ylabel=f"{measure.name}, mean of sets")
        ticks = sorted(data["n"].unique())
        ax.set_xticks(ticks, [str(n) for n in ticks])
        ax.minorticks_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _part(data: pd.DataFrame, measure: Measure, folder: Path) -> list[str]:
    table = losses(data, measure)
    if table.empty:
        return []
    parts = [
        f"## {measure.task.capitalize()}: {measure.name}",
        "Mean over the sets that all learners of a column have; lower is better.",
        markdown(size_table(table, measure)),
    ]
    few = [n for n in FEW if n in table.index.unique("n")]
    if not few:
        return parts
    parts += [
        f"Mean of n = {', '.join(map(str, few))}. Rank, 'best on' (among competitors "
        "and itself) and the picture: over sets on which all learners have these n, "
        f"without {', '.join(NOT_RANKED)}, whose rows are also in ames. Near: share of "
        f"sets on which the mean over seeds is {measure.near_text} of the best "
        "competitor of this set and n, which is chosen by the test, or better. "
        "Differences: paired by set, seed and n; positive: the learner is worse.",
        markdown(summary_table(table, measure)),
    ]
    whole = common(by_set(table))
    whole = whole.drop(index=[s for s in NOT_RANKED if s in whole.index])
    if whole.shape[0] > 1 and whole.shape[1] > 2:
        stem = f"learners_{measure.name.replace(' in %', '').replace(' ', '_')}.png"
        ranks = average_ranks(whole)
        draw_ranks(ranks, folder / stem)
        parts += [
            f"Friedman's test of equal ranks on {ranks.n_sets} sets: p = "
            f"{ranks.p_value:.2g}; critical difference (Nemenyi, 5 %): "
            f"{ranks.critical:.2f}.",
            f"![average ranks]({stem})",
        ]
    parts += ["By set, the best in bold:", markdown(set_table(table, measure))]
    return parts


def _extremes(counts: pd.Series) -> tuple[int, int]:
    return int(counts.max()), int(counts.min())


def report(data: pd.DataFrame, command: str, text: str, folder: Path) -> str:
    """Write CSV, pictures and Markdown of results; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / "learners.csv", index=False, float_format="%.5g")
    counts = [
        f"{most} with n = {n}"
        + (f" ({least} of some learners)" if least < most else "")
        for n, of_n in data.groupby("n")
        for most, least in [_extremes(of_n.groupby("learner")["seed"].nunique())]
    ]
    parts = ["# Learners with few random labels", f"`{command}`", text]
    parts.append(f"Seeds: {'; '.join(counts)}.")
    if data["set"].map(TABLES).nunique() == 2:
        draw_curves(data, folder / "learners.png")
        parts.append("![errors by the number of labels](learners.png)")
    for measure in MEASURES:
        parts += _part(data, measure, folder)
    parts += [
        "## Seconds of a fit",
        "Of the processor, on one thread, scaling and choice of C included; other work "
        "ran beside.",
        markdown(time_table(data)),
    ]
    if data["coverage"].notna().any():
        parts += ["## Coverage of 90 % intervals", markdown(coverage_table(data))]
    parts.append("\n".join(f"- {line}" for line in environment()))
    written = "\n\n".join(parts) + "\n"
    (folder / "learners.md").write_text(written)
    return written
