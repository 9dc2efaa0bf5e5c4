"""Tables and reports that the benchmarks write."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_info

import skal
from skal.simulation import StrategyComparison
from skal.simulation.statistics import mean_interval

PACKAGES = ("torch", "scikit-learn", "skorch", "modAL-python", "numpy")


def comparison_table(
    comparison: StrategyComparison,
    budgets: Sequence[int],
    *,
    reference: str = "Random",
    digits: int = 3,
) -> pd.DataFrame:
    """Score at some budgets, area, gain and labels saved with intervals, as text.

    Labels saved: how many fewer labels reach the reference's last score.
    """
    summary = comparison.summary(reference)
    table = comparison.table(budgets).map(lambda v: f"{v:.{digits}f}")
    table.columns = [str(n) for n in table.columns]
    table["area"] = [f"{v:.{digits}f}" for v in summary["area"]]
    gains, verdicts, saved = [], [], []
    for name, row in summary.iterrows():
        if name == reference:
            gains.append("")
            verdicts.append("")
            saved.append("")
            continue
        half = row["gain_high"] - row["gain"]
        gains.append(f"{row['gain']:+.{digits}f} ± {half:.{digits}f}")
        verdicts.append(f"{row['verdict']} (p = {row['p_value']:.2g})")
        bounds = row["labels_saved_low"], row["labels_saved_high"]
        saved.append(_saved(row["labels_saved"], *bounds))
    table[f"gain over {reference}"] = gains
    table["verdict"] = verdicts
    table["labels saved"] = saved
    table.index.name = "strategy"
    return table


def _saved(saved: float, low: float, high: float) -> str:
    """Write labels saved; NaN: the score was not reached, or there is one run."""
    text = "not reached" if np.isnan(saved) else f"{saved:+.0f}"
    ends = ["not reached" if np.isinf(end) else f"{end:+.0f}" for end in (low, high)]
    return text if np.isnan(low) else f"{text} ({' to '.join(ends)})"


def markdown(table: pd.DataFrame) -> str:
    """Write a table of text in Markdown."""
    flat = table.reset_index()
    lines = [list(flat.columns), ["---"] * flat.shape[1], *flat.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def mean_text(values: ArrayLike, digits: int, sign: str = "") -> str:
    """Write a mean and, of two or more values, half the width of its 95 % interval.

    Parameters
    ----------
    values : array-like of shape (n,)
    digits : int
    sign : str
        ``"+"`` writes the sign of positive means, too.
    """
    found = np.asarray(values)
    mean, low, high = mean_interval(found)
    text = f"{mean:{sign}.{digits}f}"
    return text if len(found) < 2 else f"{text} ± {(high - low) / 2:.{digits}f}"


def environment() -> list[str]:
    """Versions and machine, one per line."""
    lines = [
        f"date: {date.today().isoformat()}",
        f"python: {platform.python_version()}",
        f"skal: {skal.__version__}",
    ]
    for package in PACKAGES:
        try:
            lines.append(f"{package}: {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package}: not installed")
    lines.append(f"BLAS of numpy and scipy: {_blas()}")
    lines.append(f"commit of skal: {_commit()}")
    lines.append(
        f"machine: {_processor()}, {os.cpu_count()} cores, {platform.system()}"
    )
    return lines


def write_report(file: Path, title: str, command: str, text: str) -> None:
    """Write a report with its command, versions and machine."""
    notes = "\n".join(f"- {line}" for line in (f"command: `{command}`", *environment()))
    file.write_text(f"# {title}\n\n{notes}\n\n{text}")


def _blas() -> str:
    """Versions and kernels, which environment variables of OpenBLAS may change."""
    found = {
        f"{info['internal_api']} {info['version']} ({info.get('architecture')})"
        for info in threadpool_info()
        if info["user_api"] == "blas"
    }
    return ", ".join(sorted(found))


def _commit() -> str:
    root = Path(__file__).parent

    def git(*args: str) -> str:
        run = subprocess.run(
            ["git", *args], cwd=root, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    try:
        changed = git("status", "--porcelain", "-uno", "--", "../skal", "*.py")
        return git("rev-parse", "--short", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
