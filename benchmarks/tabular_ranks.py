"""Average ranks and gains of strategies over data sets, and what they show.

After Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR
2006: Friedman's test shows whether the ranks differ at all, Nemenyi's critical
difference which pairs of strategies do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.tabular_runs import as_table, interval
from skal.simulation.statistics import paired_difference

mpl.use("Agg")
import matplotlib.pyplot as plt

__all__ = [
    "Ranks",
    "average_ranks",
    "average_table",
    "cliques",
    "draw_ranks",
    "gains_table",
    "shared_ratio",
]


class Ranks(NamedTuple):
    """Average ranks, lowest first, and tests of their differences.

    Attributes
    ----------
    mean : Series
        By strategy; 1 is the best.
    n_sets : int
    p_value : float
        Of Friedman's test that all strategies are equal.
    critical : float
        Critical difference of two average ranks, by Nemenyi's test of all pairs at
        5 %.
    """

    mean: pd.Series
    n_sets: int
    p_value: float
    critical: float


def average_ranks(losses: pd.DataFrame, level: float = 0.05) -> Ranks:
    """Rank the columns in each row, the lowest loss first; ties share their ranks.

    Parameters
    ----------
    losses : DataFrame
        A row a data set, a column a strategy; at least 2 rows and 3 columns.
    level : float
        Probability of finding a difference if there is none.

    Raises
    ------
    ValueError
        If a loss is missing, or there are too few.
    """
    n, k = losses.shape
    if n < 2 or k < 3:
        raise ValueError(f"Ranks need 2 data sets and 3 strategies, got {n} and {k}.")
    if losses.isna().any(axis=None):
        raise ValueError("A loss is missing: leave that set or that strategy out.")
    mean = losses.rank(axis=1).mean().sort_values(kind="stable")
    p_value = float(stats.friedmanchisquare(*losses.to_numpy().T).pvalue)
    spread = stats.studentized_range.ppf(1 - level, k, np.inf) / np.sqrt(2)
    critical = float(spread * np.sqrt(k * (k + 1) / (6 * n)))
    return Ranks(mean, n, p_value, critical)


def cliques(ranks: np.ndarray, critical: float) -> list[tuple[int, int]]:
    """Find the longest ranges of sorted ranks that cannot be told apart.

    Returns
    -------
    stretches : list of tuple of int
        First and last place of each, of two ranks at least.
    """
    ends = np.searchsorted(ranks, np.asarray(ranks) + critical, side="left") - 1
    found: list[tuple[int, int]] = []
    for first, last in enumerate(ends.tolist()):
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def draw_ranks(ranks: Ranks, file: Path) -> None:
    """Draw the ranks on a line; bars join strategies that cannot be told apart."""
    values, k = ranks.mean.to_numpy(), len(ranks.mean)
    joined = cliques(values, ranks.critical)
    figure, ax = plt.subplots(figsize=(8, 1.2 + 0.24 * k), layout="constrained")
    ax.plot(values, range(k), "ko", ms=4)
    for place, name in enumerate(ranks.mean.index):
        text = f"{name}  {values[place]:.1f}"
        ax.annotate(
            text, (values[place], place), (6, -3), textcoords="offset points", size=8
        )
    for number, (first, last) in enumerate(joined):
        # To the left of the points, each further bar a little more.
        x = values[0] - 0.4 - 0.25 * number
        ax.plot([x, x], [first, last], lw=3, color="0.6", solid_capstyle="butt")
    ax.plot([values[0], values[0] + ranks.critical], [-1.2, -1.2], "k-", lw=1.5)
    ax.annotate(f"critical difference {ranks.critical:.2f}", (values[0], -1.5), size=8)
    ax.set(
        yticks=[],
        ylim=(k - 0.4, -2.4),
        xlabel=f"average rank on {ranks.n_sets} sets (1: least error)",
    )
    ax.set_xlim(values[0] - 0.8 - 0.25 * len(joined), values[-1] + 2.5)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def average_table(
    losses: pd.DataFrame,
    ranks: Ranks | None,
    heading: str,
    *,
    reference: str = "Random",
    digits: int = 3,
) -> pd.DataFrame:
    """Average losses over sets, best rank first.

    Parameters
    ----------
    losses : DataFrame
        A row a set, a column a strategy; lower is better.
    ranks : Ranks or None
        None where there are too few sets for ranks.
    heading : str
        Of the column of mean losses.
    reference : str
        The strategy over which gains are computed.
    digits : int
    """
    names = list(losses) if ranks is None else list(ranks.mean.index)
    lines: dict[Any, dict[str, Any]] = {}
    for name in names:
        gains = losses[reference] - losses[name]
        lines[name] = {heading: f"{losses[name].mean():.{digits}f}"}
        if ranks is not None:
            lines[name] = {"rank": f"{ranks.mean[name]:.2f}", **lines[name]}
        if name != reference:
            lines[name] |= {
                "gain": f"{gains.mean():+.{digits}f}",
                "median gain": f"{gains.median():+.{digits}f}",
                "95 % over sets": interval(gains, digits),
                "sets better": f"{int((gains > 0).sum())} of {len(gains)}",
            }
    return as_table(lines)


def gains_table(
    losses: pd.DataFrame,
    *,
    reference: str = "Random",
    ratio: float | Mapping[str, float] | None = None,
    digits: int = 3,
) -> pd.DataFrame:
    """Gain over a reference on every set, with the half width of its 95 % interval.

    A set a column; a star where the interval, paired by campaign, leaves out 0.

    Parameters
    ----------
    losses : DataFrame
        A row a campaign, with a level ``set`` of its index, a column a strategy.
    reference : str
    ratio : float or mapping from sets to float, optional
        Rows of the test over rows of the pool, or `shared_ratio`, by which intervals
        are corrected for the rows that splits share.
    digits : int
    """
    lines: dict[Any, dict[str, Any]] = {}
    for strategy in losses.columns.drop(reference):
        pairs = losses[[reference, strategy]].dropna()
        lines[strategy] = {
            name: _gain(
                part[reference],
                part[strategy],
                ratio[name] if isinstance(ratio, Mapping) else ratio,
                digits,
            )
            for name, part in pairs.groupby("set", observed=True)
        }
    return as_table(lines)


def shared_ratio(n_rows: int, n_pool: int, n_test: int) -> float:
    """Ratio by which intervals are corrected for the rows that splits share.

    Test rows over pool rows, as by Nadeau and Bengio, times the share of the set that a
    split uses, because splits of a large set have few rows in common.
    """
    return n_test / n_pool * (n_pool + n_test) / n_rows


def _gain(
    reference: pd.Series, losses: pd.Series, ratio: float | None, digits: int
) -> str:
    mean, low, high, _ = paired_difference(
        -losses.to_numpy(), -reference.to_numpy(), test_train_ratio=ratio
    )
    if len(losses) < 2:
        return f"{mean:+.{digits}f}"
    star = "" if low <= 0 <= high else " *"
    return f"{mean:+.{digits}f} ± {(high - low) / 2:.{digits}f}{star}"
