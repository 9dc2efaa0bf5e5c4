"""Active learning for regression on tables: a large protocol and a small study.

Run as ``python -m benchmarks.tabular --sets fried protein --splits 5 --n-jobs 2``, or
with ``--small`` for all strategies on eleven small sets, with SKAL_DATA set.  Campaigns
done are kept in the work folder, and a second run goes on from there, split by split
and set by set; ``--report-only`` reports what there is.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from benchmarks import (
    tabular_protocol,
    tabular_report,
    tabular_small,
    tabular_small_report,
)
from benchmarks.tabular_protocol import Protocol
from benchmarks.tabular_runs import collect, kept
from benchmarks.tabular_sets import LARGE, SMALL, load_large, load_small
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

HOW = Protocol()
# NoiseStability holds 30 x 512 numbers a row, and TESSAR computes 50 distances of each
# row to each labeled one: these two see a random part of the pool.
STRATEGIES: dict[str, Any] = {
    "Random": Random(),
    "LCMD-grad": LCMD(space="gradients", n_components=512, mode="TP"),
    "LCMD-ll": LCMD(space="last_layer", mode="TP"),
    "BADGE": KMeansPP(space="last_layer", mode="P", condition_on_labels=True),
    "CoreSet": MaxDist(space="last_layer", mode="TP"),
    "BAIT-F-grad": BAIT(space="gradients", n_components=512, condition_on_labels=True),
    "BAIT-FB-ll": BAIT(space="last_layer", condition_on_labels=True, backward=True),
    "NoiseStability": Subsample(NoiseStability(), max_rows=10_000),
    "TESSAR": Subsample(TESSAR(), max_rows=10_000),
}


def play(name: str, split: int, strategy: str) -> pd.DataFrame:
    """Play one campaign on a large set, by the names of its parts."""
    return tabular_protocol.play(name, split, STRATEGIES[strategy], HOW)


class Study(NamedTuple):
    """What is played on what, and how it is told."""

    stem: str
    sets: list[str]
    strategies: list[str]
    by_default: list[str]
    splits: int
    load: Callable[[str], Any]
    play: Callable[[str, int, str], pd.DataFrame]
    report: Callable[[pd.DataFrame, str, Path], str]


def study(small: bool) -> Study:
    """Name the parts of one of the two studies."""
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
            tabular_small_report.report,
        )
    return Study(
        "tabular",
        list(LARGE),
        list(STRATEGIES),
        list(STRATEGIES),
        5,
        load_large,
        play,
        tabular_report.report,
    )


def main(argv: list[str] | None = None) -> int:
    """Play and report; 1 if the data could not be had or a campaign failed."""
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
    parser.add_argument("--report-only", action="store_true", help="of what there is")
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
            failed = collect(what.play, tasks, args.n_jobs, file)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    data = kept(file)
    data = data[data["split"] < args.splits]
    data = data[data["set"].isin(args.sets) & data["strategy"].isin(chosen)]
    # Gains are told wherever Random has played.
    reference = data[data["strategy"] == "Random"][["set", "split"]].drop_duplicates()
    if reference.empty:
        print(f"{file} holds no campaign of Random on these sets.", file=sys.stderr)
        return 1
    data = tabular_report.ordered(
        data.merge(reference, on=["set", "split"]), args.sets, chosen
    )
    shown = " ".join(chosen)
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
