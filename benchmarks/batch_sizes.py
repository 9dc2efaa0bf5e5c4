"""Batch sizes and starts: do gains depend on them, and are they worth their time.

Run as ``python -m benchmarks.batch_sizes --seeds 3`` with SKAL_DATA set.  Each finished
campaign is kept in the work folder, and a second run continues from there, seed by
seed; ``--report-only`` reports what has been played, ``--quick`` plays the largest
batches.

The pool is a random sample of at most 1000 rows of a table and the test at most 500
others.  Columns are converted by `make_tabular_preprocessor`, fitted on the pool;
targets have unit variance on the whole set, and are standardized by the labeled rows.
The net is that of the studies of small tables: two hidden layers of 64 units, 60
epochs.  Strategies that read several models use 20 dropout masks.

Batches are 5, 20 and 60 rows with 20 labels at the start, and starts are 10, 20 and 50
random labels with batches of 10.  All of these have 80, 140 and 200 labels at some
step, and are compared there with random labels, which do not depend on batches: Random
is played once, in batches of 20, up to 320 labels.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.campaigns import (
    can_load,
    collect,
    command_of,
    kept,
    play_simulation,
    study_parser,
    work_file,
)
from benchmarks.report import markdown, mean_text, write_report
from benchmarks.sets import TABLES, draw_table
from benchmarks.tabular_classification import split
from benchmarks.tabular_small import NET, regressor
from skal.nets import NetClassifier, NetRegressor
from skal.posteriors import MCDropout
from skal.strategies import (
    BADGE,
    BAIT,
    BALD,
    LCMD,
    LDMSeeding,
    Margin,
    PredictiveVariance,
    Random,
)

KEYS = ["set", "start", "batch", "strategy", "seed"]
SETS = (
    *("concrete", "kin8nm", "cpu_act", "cal_housing"),
    *("vehicle", "car", "optdigits", "spambase"),
)
#: Labels at which campaigns are compared.
AT = (80, 140, 200)
BATCHES = ((20, 5), (20, 20), (20, 60))
STARTS = ((10, 10), (20, 10), (50, 10))
RANDOM, MOST_RANDOM = (20, 20), 320
_MEASURE = {
    "regression": "log RMSE",
    "classification": "share of errors in percent",
}


def strategies(task: str) -> dict[str, Any]:
    """Make the strategies of a task: by scores, by distances, and the recommended."""
    masks = MCDropout(20)
    if task == "regression":
        found = {
            "LCMD": LCMD(),
            "BAIT": BAIT(),
            "PredictiveVariance": PredictiveVariance(masks),
        }
    else:
        found = {
            "Margin": Margin(),
            "BADGE": BADGE(),
            "LDMSeeding": LDMSeeding(),
            "BALD": BALD(masks),
        }
    return {"Random": Random(), **found}


def play(name: str, start: int, batch: int, strategy: str, seed: int) -> pd.DataFrame:
    """Play one campaign; a row a step, with the loss and seconds so far."""
    task = TABLES[name]
    last = MOST_RANDOM if strategy == "Random" else AT[-1]
    if task == "regression":
        model, scoring = regressor(NetRegressor(**NET)), "neg_root_mean_squared_error"
    else:
        model, scoring = NetClassifier(**NET), "accuracy"
    table, _ = play_simulation(
        model,
        strategies(task)[strategy],
        split(name, seed),
        seed,
        n_initial=start,
        n_instances=batch,
        n_queries=(last - start) // batch,
        initial="random" if task == "regression" else "stratified",
        scoring=scoring,
    )
    score = table["score"]
    loss = np.log(-score) if task == "regression" else 100 * (1 - score)
    return pd.DataFrame(
        {
            "n_labeled": table["n_labeled"],
            "loss": loss,
            "query_time": table["query_time"].fillna(0).cumsum(),
            "fit_time": table["fit_time"].cumsum(),
        }
    )


def tasks(
    sets: list[str], seeds: int, played: Sequence[tuple[int, int]]
) -> list[tuple[Any, ...]]:
    """List the campaigns, seed by seed; `played` has starts and batches."""
    found: list[tuple[Any, ...]] = []
    for seed in range(seeds):
        for name in sets:
            for strategy in strategies(TABLES[name]):
                kinds = [RANDOM] if strategy == "Random" else played
                found += [(name, *kind, strategy, seed) for kind in kinds]
    return found


def compared(data: pd.DataFrame) -> pd.DataFrame:
    """Compare each campaign with random labels of the same set and seed.

    Returns
    -------
    table : DataFrame
        A row a campaign, with ``gain``, the mean over `AT` of the loss of random
        labels minus its own; ``saved``, the further labels that Random needs for its
        loss at the second of `AT`; and the ``query_time`` and ``fit_time`` until then.
    """
    lines = []
    random = {
        key: part.sort_values("n_labeled")
        for key, part in data[data["strategy"] == "Random"].groupby(["set", "seed"])
    }
    for key, part in data[data["strategy"] != "Random"].groupby(KEYS):
        curve = random.get((key[0], key[-1]))
        at = part.set_index("n_labeled").reindex(AT)
        if curve is None or at["loss"].isna().any():
            continue
        own = curve.set_index("n_labeled")["loss"].reindex(AT)
        middle = at.loc[AT[1]]
        lines.append(
            {
                **dict(zip(KEYS, key, strict=True)),
                "gain": (own - at["loss"]).mean(),
                "saved": labels_for(curve, middle["loss"]) - AT[1],
                "query_time": middle["query_time"],
                "fit_time": middle["fit_time"],
            }
        )
    return pd.DataFrame(lines)


def labels_for(curve: pd.DataFrame, loss: float) -> float:
    """Find the number of random labels with which a curve, made to fall, has a loss.

    Interpolated between steps; the first or last number of labels if the loss is
    outside the curve.
    """
    losses = np.minimum.accumulate(curve["loss"].to_numpy())[::-1]
    return float(np.interp(loss, losses, curve["n_labeled"].to_numpy()[::-1]))


def _cell(part: pd.DataFrame, digits: int) -> str:
    """Write the mean gain over sets, with its interval."""
    by_set = part.groupby("set")["gain"].mean()
    return mean_text(by_set, digits, "+") if len(by_set) else ""


def gains_table(
    table: pd.DataFrame,
    names: list[str],
    kinds: dict[str, tuple[int, int]],
    digits: int,
) -> pd.DataFrame:
    """Write gains: a row a strategy, a column a batch size or a start."""
    lines = {}
    for name in names:
        own = table[table["strategy"] == name]
        lines[name] = {
            head: _cell(own[(own["start"] == start) & (own["batch"] == batch)], digits)
            for head, (start, batch) in kinds.items()
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("strategy")


def cost_table(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Write what the labels that a strategy saves cost, in batches of 5, 20 and 60."""
    lines: dict[Any, dict[str, str]] = {}
    for name in names:
        for start, batch in BATCHES:
            part = table[table["strategy"] == name]
            part = part[(part["start"] == start) & (part["batch"] == batch)]
            if part.empty:
                continue
            saved, asked = part["saved"].mean(), AT[1] - start
            query, fit = part[["query_time", "fit_time"]].median()
            lines[name, batch] = {
                "s a query": f"{query / (asked / batch):.3f}",
                "s of queries a label": f"{query / asked:.4f}",
                "s of fits a label": f"{fit / asked:.3f}",
                f"labels saved at {AT[1]}": f"{saved:+.0f}",
                "s a label saved": f"{(query + fit) / saved:.2f}" if saved > 0 else "-",
            }
    found = pd.DataFrame.from_dict(lines, orient="index")
    return found.rename_axis(["strategy", "batch"])


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV and Markdown; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    data = data.sort_values([*KEYS, "n_labeled"], ignore_index=True)
    data.to_csv(folder / "batch_sizes.csv", index=False, float_format="%.4g")
    table = compared(data)
    parts = [
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "Gain: the loss of random labels minus that of the strategy, with as many "
        "labels, mean over 80, 140 and 200 labels, seeds and sets; higher is better. "
        "The interval (95 %) is that of the t-test over sets.  Labels saved: further "
        "random labels that are needed for the loss with 140 labels, by Random's curve "
        "made to fall; at most 180, where it ends.  Seconds are those of one thread "
        "beside other work, the median over campaigns; a label saved costs the seconds "
        "of all queries and fits until then, divided by the labels saved.",
    ]
    for task, measure in _MEASURE.items():
        names = [s for s in strategies(task) if s != "Random"]
        part = table[table["set"].map(TABLES) == task] if len(table) else table
        if part.empty:
            continue
        digits = 3 if task == "regression" else 2
        sets, seeds = part["set"].unique(), part["seed"].nunique()
        name = task.capitalize()
        of = f"{len(sets)} sets ({', '.join(sets)}), {seeds} seeds"
        parts += [
            f"## {name} by batch size",
            f"Gain in {measure}, {of}:",
            markdown(gains_table(part, names, {str(k[1]): k for k in BATCHES}, digits)),
            f"## {name} by start",
            "The same by the number of labels at the start:",
            markdown(gains_table(part, names, {str(k[0]): k for k in STARTS}, digits)),
            f"## {name}: seconds, and labels saved",
            markdown(cost_table(part, names)),
        ]
    text = "\n\n".join(parts) + "\n"
    write_report(folder / "batch_sizes.md", "Batch sizes and starts", command, text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Play what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, seeds=3, quick="one batch size and seed")
    parser.add_argument("--sets", nargs="+", choices=TABLES, default=list(SETS))
    args = parser.parse_args(argv)
    file = work_file(args, "batch_sizes")
    n_failed = 0
    if not args.report_only:
        if not can_load(lambda name: draw_table(name, 0), args.sets):
            return 1
        seeds, played = args.seeds, [*BATCHES, *STARTS]
        if args.quick:
            seeds, played = 1, [BATCHES[-1]]
        todo = tasks(args.sets, seeds, played)
        n_failed = collect(play, todo, KEYS, args.n_jobs, file)
    command = command_of("benchmarks.batch_sizes", argv)
    print(report(kept(file, KEYS), command, args.output))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
