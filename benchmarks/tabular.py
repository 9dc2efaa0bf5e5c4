"""Active learning for regression on tables: a large protocol and a small study.

Run as ``python -m benchmarks.tabular --sets fried protein --splits 5 --n-jobs 2``, or
with ``--small`` for all strategies on eleven small sets, with SKAL_DATA set.  Finished
campaigns are kept in the work folder, and a second run continues from there, split by
split and set by set; ``--report-only`` reports what has been played.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmarks import tabular_large, tabular_small
from benchmarks.campaigns import collect, kept
from benchmarks.sets import LARGE, SMALL, load_large, load_small
from benchmarks.tabular_runs import KEYS, ordered


class Study(NamedTuple):
    """A study: its sets, strategies, and report."""

    stem: str
    sets: list[str]
    strategies: list[str]
    by_default: list[str]
    splits: int
    load: Callable[[str], Any]
    play: Callable[[str, int, str], pd.DataFrame]
    report: Callable[[pd.DataFrame, str, Path], str]


def study(small: bool) -> Study:
    """Return one of the two studies."""
    if small:
        names = list(tabular_small.strategies())
        return Study(
            "tabular_small",
            list(SMALL),
            names,
            [name for name in names if name not in tabular_small.SLOW],
            10,
            load_small,
            tabular_small.play,
            tabular_small.report,
        )
    return Study(
        "tabular",
        list(LARGE),
        list(tabular_large.STRATEGIES),
        list(tabular_large.STRATEGIES),
        5,
        load_large,
        tabular_large.play,
        tabular_large.report,
    )


def main(argv: list[str] | None = None) -> int:
    """Play and report; return 1 if data are missing or a campaign failed."""
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--small", action="store_true", help="the study on small sets")
    small = first.parse_known_args(argv)[0].small
    what = study(small)
    parser = argparse.ArgumentParser(
        parents=[first],
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sets, names = what.sets, what.strategies
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument(
        "--strategies", nargs="+", choices=names, default=what.by_default
    )
    parser.add_argument("--splits", "--seeds", type=int, default=what.splits)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument(
        "--report-only", action="store_true", help="report what has been played"
    )
    args = parser.parse_args(argv)
    if args.splits < 1:
        parser.error(f"--splits must be at least 1, got {args.splits}")
    chosen = [name for name in names if name in args.strategies]
    file = args.work / f"{what.stem}.csv"
    failed = 0
    try:
        for name in args.sets:
            what.load(name)
        if not args.report_only:
            tasks = [
                (name, split, strategy)
                for split in range(args.splits)
                for name in args.sets
                for strategy in chosen
            ]
            failed = collect(what.play, tasks, KEYS, args.n_jobs, file)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    data = kept(file, KEYS)
    data = data[data["split"] < args.splits]
    data = data[data["set"].isin(args.sets) & data["strategy"].isin(chosen)]
    # Gains need the campaigns of Random.
    reference = data[data["strategy"] == "Random"][["set", "split"]].drop_duplicates()
    if reference.empty:
        print(f"{file} holds no campaign of Random on these sets.", file=sys.stderr)
        return 1
    data = ordered(data.merge(reference, on=["set", "split"]), args.sets, chosen)
    shown = shlex.join(chosen)
    command = (
        f"python -m benchmarks.tabular {'--small ' if small else ''}"
        f"--sets {' '.join(args.sets)} "
        f"{'' if chosen == what.by_default else f'--strategies {shown} '}"
        f"--splits {args.splits} --n-jobs {args.n_jobs}"
    )
    print(what.report(data, command, args.output))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
