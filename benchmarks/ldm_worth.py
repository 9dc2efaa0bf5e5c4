"""LDM-Seeding against other strategies, with wrong labels and with foreign rows.

Run as ``python -m benchmarks.ldm_worth --seeds 5`` with SKAL_DATA set.  Each finished
campaign is kept in the work folder, and a second run continues from there;
``--report-only`` reports what has been played, ``--quick`` plays two queries.

The pool is a random sample of 1000 rows, and the test has at most 1000 others.  A start
has a row of each class, and further random rows.  In batches of 1, there are 20 labels
at the start and 20 queries; in batches of 20, 20 and 10; in batches of 100, 100 and 4.
(letter, with its 26 classes, starts with 26 labels instead of 20.)  The net is an MLP
with 64 hidden units and dropout 0.2, Adam at 0.01, 60 epochs in batches of 64.  BALD
and BatchBALD read 20 dropout masks, the latter with 1000 configurations of the labels;
the ensemble is 5 such nets that are trained on the same labels at each query, only to
pick.

In batches of 1, BatchBALD picks as BALD does, and LDM as LDM-Seeding does: they are
played once.

The pool is also played in other conditions, in batches of 20.  "10 % wrong" and "30 %
wrong": so many of its labels are replaced by another class, and the test is not.
"foreign classes": the last fifth of the classes is not wanted; these rows stay in the
pool, the annotator rejects them, and the label is spent.  "foreign rows": a fifth of
the pool has each value drawn from another row of it, and is rejected as well.  None of
them is in the start or in the test.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.campaigns import (
    can_load,
    collect,
    command_of,
    kept,
    study_parser,
    work_file,
)
from benchmarks.ldm_campaigns import (
    CLASSES,
    CLEAN,
    KEYS,
    N_ROWS,
    OWN,
    PLAYED,
    POOL,
    SETS,
    TEST,
    WRONG,
    load,
    names_of,
    play,
)
from benchmarks.report import markdown, mean_text, write_report
from benchmarks.tabular_ranks import shared_ratio

#: Seeds by which a part is behind that in batches of 20 from a clean pool.
BEHIND = {"spoiled": 3, "mnist": 3, "other batches": 4}


def losses(data: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Mean error in percent over the steps after the start.

    Returns
    -------
    losses : DataFrame
        A row a set and seed that all the named strategies have played, and a column a
        strategy.
    """
    part = data[data["step"] > 0]
    means = part.groupby(["set", "seed", "strategy"])["score"].mean().unstack()
    return 100 * (1 - means.reindex(columns=names).dropna())


def played_most(table: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Keep the seeds that most sets have, and the sets that have all of these.

    Also return a note on the sets that are left out.
    """
    n_sets = table.index.get_level_values("set").nunique()
    shared = table.groupby("seed").size()
    shared = shared[2 * shared > n_sets].index
    kept_rows = table[table.index.isin(shared, level="seed")]
    seeds = kept_rows.groupby("set").size()
    fewer = seeds[seeds < len(shared)]
    note = ", ".join(f"{name} ({n})" for name, n in fewer.items())
    if note:
        note = f"Not in the means, with fewer seeds: {note}."
    return kept_rows[~kept_rows.index.isin(fewer.index, level="set")], note


def ratio(name: str) -> float:
    """Correct an interval for the rows that splits of a set share."""
    return shared_ratio(N_ROWS[name], POOL, min(TEST, N_ROWS[name] - POOL))


def contrast(table: pd.DataFrame, strategy: str, reference: str) -> str:
    """Write the mean gain of a strategy over sets, with the interval over seeds."""
    gains = (table[reference] - table[strategy]).groupby("set")
    means, counts = gains.mean(), gains.size()
    if counts.min() < 2:
        return f"{means.mean():+.2f}"
    factors = [1 / counts[name] + ratio(name) for name in means.index]
    error = np.sqrt((gains.var(ddof=1) * factors).sum()) / len(means)
    half = stats.t.ppf(0.975, counts.min() - 1) * error
    star = " *" if abs(means.mean()) > half else ""
    return f"{means.mean():+.2f} ± {half:.2f}{star}"


def gains_table(table: pd.DataFrame) -> pd.DataFrame:
    """Errors, and gains over Random and of LDM-Seeding, a row a strategy."""
    by_set = table.groupby("set").mean()
    lines = []
    for name in by_set.mean().sort_values(kind="stable").index:
        better = (by_set["Random"] - by_set[name] > 0).sum()
        other = name != "Random"
        line = {
            "strategy": name,
            "error in %": f"{by_set[name].mean():.2f}",
            "gain over Random": contrast(table, name, "Random") if other else "",
            "sets better": f"{better} of {len(by_set)}" if other else "",
            "gain of LDMSeeding over it": "",
        }
        if name != OWN:
            line["gain of LDMSeeding over it"] = contrast(table, OWN, name)
        lines.append(line)
    return pd.DataFrame(lines).set_index("strategy")


def by_set_table(table: pd.DataFrame) -> pd.DataFrame:
    """Gains over Random, a column a set."""
    sets = [s for s in SETS if s in table.index.get_level_values("set")]
    lines = [
        {
            "strategy": name,
            **{s: contrast(table.loc[[s]], name, "Random") for s in sets},
        }
        for name in table.columns.drop("Random")
    ]
    return pd.DataFrame(lines).set_index("strategy")


def penalties(data: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, int]:
    """Count how often strategies beat each other, as in the paper.

    Returns
    -------
    matrix : DataFrame
        In row i and column j, the share of the steps at which i has a higher accuracy
        than j by a paired t-test at 5 % over seeds, summed over batches and sets.
    n_settings : int
        The number of batches and sets, which is the largest possible sum.
    """
    names = [n for n in names if n in set(data["strategy"])]
    total = pd.DataFrame(0.0, index=names, columns=names)
    n_settings = 0
    for _, part in data[data["step"] > 0].groupby(["batch", "set"]):
        scores = part.pivot(index=["step", "seed"], columns="strategy", values="score")
        if not set(names) <= set(scores):
            continue
        scores = scores[names].dropna()
        steps = [step.to_numpy() for _, step in scores.groupby("step")]
        if min(map(len, steps), default=0) < 3:
            continue
        n_settings += 1
        for step in steps:
            difference = step[:, :, None] - step[:, None, :]
            mean = difference.mean(0)
            error = difference.std(0, ddof=1) / np.sqrt(len(step))
            total += (mean > stats.t.ppf(0.975, len(step) - 1) * error) / len(steps)
    return total, n_settings


def penalty_section(data: pd.DataFrame, names: list[str]) -> list[str]:
    """Write the penalty matrix, the strategy that is beaten least first."""
    matrix, n_settings = penalties(data, names)
    if not n_settings:
        return []
    order = matrix.mean().sort_values(kind="stable").index
    table = matrix.loc[order, order].map("{:.2f}".format)
    table.loc["mean"] = matrix.mean()[order].map("{:.2f}".format)
    return [
        "## Penalty matrix, clean pool",
        f"{n_settings} settings: the batches of 20 and of 100 on the sets with three "
        "seeds or more.  In row i and column j: the share of the steps at which i is "
        "better than j (paired t-test at 5 % over seeds, not corrected), summed over "
        "the settings.  A strategy with a small mean in its column is rarely beaten.",
        markdown(table.rename_axis("better")),
    ]


def rejected_table(data: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Share of foreign rows among the picks, a column a set."""
    last = data[data["step"] == data.groupby(KEYS)["step"].transform("max")]
    asked = last["step"] * last["batch"]
    last = last.assign(share=100 * last["rejected"] / asked)
    lines = []
    for name in (n for n in names if n in set(last["strategy"])):
        part = last[last["strategy"] == name].groupby("set")["share"]
        cells = {set_name: mean_text(values, 1) for set_name, values in part}
        lines.append({"strategy": name, **cells})
    return pd.DataFrame(lines).set_index("strategy").fillna("")


def conditions_table(data: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Gains over Random in batches of 20, a column a pool, on the same sets."""
    part = data[(data["batch"] == 20) & data["set"].isin(PLAYED[CLASSES][20])]
    tables = {pool: losses(part[part["pool"] == pool], names) for pool in PLAYED}
    tables = {pool: played_most(t)[0] for pool, t in tables.items() if len(t)}
    errors = {
        pool: f"{table['Random'].groupby('set').mean().mean():.1f}"
        for pool, table in tables.items()
    }
    lines = [{"strategy": "Random, error in %", **errors}]
    for name in names:
        if name != "Random":
            cells = {p: contrast(t, name, "Random") for p, t in tables.items()}
            lines.append({"strategy": name, **cells})
    return pd.DataFrame(lines).set_index("strategy")


def curves(data: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by step, rejected picks and seconds, a row a campaign."""
    scores = data.pivot(index=KEYS, columns="step", values="score")
    rest = data.groupby(KEYS).agg({"rejected": "max", "query_time": "mean"})
    return scores.join(rest)


def report(data: pd.DataFrame, seeds: int, command: str, folder: Path) -> str:
    """Write CSV and Markdown; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    data = data[data["seed"] < seeds]
    curves(data).to_csv(folder / "ldm_worth.csv", float_format="%.4g")
    parts = [
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "Error: mean over the steps after the start, in percent, and over sets.  Gain: "
        "the difference of two errors on the same splits, starts and weights, in "
        "percentage points; positive is better, and losses are shown as gains are.  "
        "Intervals are over seeds, for these sets: 95 %, paired, and corrected for the "
        "rows that splits share (Nadeau and Bengio, times the share of the set that a "
        "split uses).  A star: the interval leaves out 0, each by itself.  With one or "
        "two seeds, results are preliminary.  Where a run was cut, seeds are those "
        "that all strategies of a part have played.  Seconds are those of one thread "
        "beside other work.",
    ]
    clean = data[data["pool"] == CLEAN]
    for batch in PLAYED[CLEAN]:
        part = clean[clean["batch"] == batch]
        table = losses(part, names_of(CLEAN, batch))
        if table.empty:
            continue
        seconds = part.groupby("strategy")["query_time"].mean()
        most, note = played_most(table)
        found = gains_table(most)
        found["s a query"] = [f"{seconds[name]:.2f}" for name in found.index]
        parts += [
            f"## Clean pool, batches of {batch}: {_count(most)}",
            markdown(found),
            f"Gain over Random by set.  {note}".strip(),
            markdown(by_set_table(table)),
        ]
    parts += penalty_section(clean[clean["batch"] > 1], names_of(CLEAN, 20))
    parts += spoiled_sections(data)
    text = "\n\n".join(parts) + "\n"
    title = "LDM-Seeding against other strategies"
    write_report(folder / "ldm_worth.md", title, command, text)
    return text


def spoiled_sections(data: pd.DataFrame) -> list[str]:
    """Write the parts on wrong labels and on foreign rows."""
    names = names_of(CLASSES, 20)
    pools = {p: data[data["pool"] == p] for p in PLAYED if p != CLEAN}
    tables = {pool: losses(part, names) for pool, part in pools.items()}
    tables = {pool: played_most(t)[0] for pool, t in tables.items() if len(t)}
    if not tables:
        return []
    played = "; ".join(f"{pool}: {_count(t)}" for pool, t in tables.items())
    parts = [
        "## Wrong labels and foreign rows, batches of 20",
        f"Gain over Random, mean over sets.  {played[0].upper() + played[1:]}; the "
        "clean pool as above, on the same sets.",
        markdown(conditions_table(data, names)),
    ]
    for pool, table in tables.items():
        parts += [
            f"### {pool[0].upper() + pool[1:]}",
            markdown(gains_table(table)),
        ]
        if pool not in WRONG:
            parts += [
                "Share of foreign rows among the picks, in percent; a fifth of the "
                "pool is foreign:",
                markdown(rejected_table(pools[pool], names)),
            ]
    return parts


def _count(table: pd.DataFrame) -> str:
    seeds = table.groupby("set").size()
    low, high = seeds.min(), seeds.max()
    text = f"{low}" if low == high else f"{low} to {high}"
    plural = "" if text == "1" else "s"
    return f"{len(seeds)} sets, {text} seed{plural}"


def tasks(seeds: int, pools: list[str], sets: list[str]) -> list[tuple[Any, ...]]:
    """List the campaigns so that a cut leaves a balanced result.

    Seed by seed; parts are behind others by `BEHIND`.
    """
    found = [
        (pool, batch, name, strategy, seed)
        for seed in range(seeds)
        for pool in pools
        for batch, names in PLAYED[pool].items()
        for name in names
        if name in sets
        for strategy in names_of(pool, batch)
    ]

    def place(task: tuple[Any, ...]) -> int:
        pool, batch, name, _, seed = task
        kind = "other batches" if batch != 20 else "spoiled" if pool != CLEAN else name
        return int(seed) + BEHIND.get(kind, 0)

    return sorted(found, key=place)


def main(argv: list[str] | None = None) -> int:
    """Play what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, quick="two queries, two seeds")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--pools", nargs="+", choices=PLAYED, default=list(PLAYED))
    args = parser.parse_args(argv)
    file = work_file(args, "ldm_worth")
    seeds, most = (2, 2) if args.quick else (args.seeds, 999)
    n_failed = 0
    if not args.report_only:
        if not can_load(load, args.sets):
            return 1
        todo = tasks(seeds, args.pools, args.sets)
        n_failed = collect(partial(play, most=most), todo, KEYS, args.n_jobs, file)
    command = command_of("benchmarks.ldm_worth", argv)
    print(report(kept(file, KEYS), seeds, command, args.output))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
