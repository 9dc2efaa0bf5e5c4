"""What campaigns on small tables are worth: ranks, gains, picture, text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import tabular_small
from benchmarks.report import environment, markdown
from benchmarks.tabular_ranks import Ranks, average_ranks, draw_ranks
from benchmarks.tabular_report import as_table, interval, mean_logs
from benchmarks.tabular_runs import KEYS
from skal.simulation.statistics import mean_interval

#: All its rows are rows of ames, too: in the ranks it would count twice.
NOT_RANKED = ("house_prices",)


def average_table(rmse: pd.DataFrame, ranks: Ranks | None) -> pd.DataFrame:
    """Average over sets, best rank first.

    Parameters
    ----------
    rmse : DataFrame
        Mean log RMSE: a row a set, a column a strategy.
    ranks : Ranks or None
        None where there are too few sets for ranks.
    """
    names = list(rmse) if ranks is None else list(ranks.mean.index)
    lines: dict[Any, dict[str, Any]] = {}
    for name in names:
        gains = rmse["Random"] - rmse[name]
        lines[name] = {"log rmse": f"{rmse[name].mean():.3f}"}
        if ranks is not None:
            lines[name] = {"rank": f"{ranks.mean[name]:.2f}", **lines[name]}
        if name != "Random":
            lines[name] |= {
                "gain": f"{gains.mean():+.3f}",
                "95 % over sets": interval(gains),
                "sets better": f"{int((gains > 0).sum())} of {len(gains)}",
            }
    return as_table(lines)


def gains_table(logs: pd.DataFrame) -> pd.DataFrame:
    """Gain over Random on every set, with the half width of its 95 % interval.

    A set a column; a star where the interval, paired by seed, leaves out 0.
    """
    rmse = logs["rmse"].unstack("strategy")
    lines: dict[Any, dict[str, Any]] = {}
    for strategy in rmse.columns.drop("Random"):
        gains = (rmse["Random"] - rmse[strategy]).dropna()
        lines[strategy] = {
            name: _gain(part) for name, part in gains.groupby("set", observed=True)
        }
    return as_table(lines)


def _gain(gains: pd.Series) -> str:
    mean, low, high = mean_interval(gains.to_numpy())
    if len(gains) < 2:
        return f"{mean:+.3f}"
    star = "" if low <= 0 <= high else " *"
    return f"{mean:+.3f} ± {(high - low) / 2:.3f}{star}"


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
        (tabular_small.__doc__ or "").split("\n\n", 1)[1].strip(),
        "Log RMSE: mean of natural logarithms over the steps after the start, of "
        "targets at unit variance. Gain: Random's minus the strategy's, on the same "
        "splits, starts and weights; higher is better.",
        f"## Average over {len(by_set)} sets, "
        f"{most if least == most else f'{least} to {most}'} seeds",
        markdown(average_table(by_set, ranks)),
        *picture,
    ]
    if late:
        parts.append(f"Not played wherever Random was: {', '.join(late)}.")
    parts += [
        "## Gain over Random by set",
        "With the half width of the 95 % interval, paired by seed; a star: the "
        "interval leaves out 0, each by itself.",
        markdown(gains_table(logs)),
        "## Seconds a query and a fit, other campaigns running beside",
        markdown(times.map(lambda v: f"{v:.2f}")),
        "\n".join(f"- {line}" for line in environment()),
    ]
    text = "\n\n".join(parts) + "\n"
    (folder / "tabular_small.md").write_text(text)
    return text
