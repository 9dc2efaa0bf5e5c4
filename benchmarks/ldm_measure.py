"""The least disagree metric (LDM) as a measure of uncertainty.

Run as ``python -m benchmarks.ldm_measure --seeds 5`` with SKAL_DATA set.  Each finished
part is kept in the work folder, and a second run continues from there;
``--report-only`` reports what has been computed, ``--quick`` computes a little of each.

*Closed form.*  For two classes, a linear head without bias and Gaussian rows in d
dimensions, the metric of a row is the angle between the row and the decision boundary
over pi.  The estimate of 500 rows, with 2000 reference rows, is compared with it: with
a fixed number of draws for each of the 51 scales of noise, and with the rules of
`skal.measures.least_disagree_metric`, which end a scale after a number of draws without
a decrease ("unchanged"): of the reference rows, of all rows of the pool as in the
authors' program, or of the row itself as in the paper.

*Flips.*  A net is trained on 200 labels.  Measures of 1000 unseen rows are compared
with the share of 20 other nets, trained on the same labels from other weights, that
predict another class ("flips"), and with the errors of the net.  The area under the ROC
curve (AUC) for flips is the probability that a row which some of the nets flip has a
higher score than one which none flips.  Ties, of which the shares of flips have many,
favor measures with ties in the rank correlation, but not in the AUC.  The net is that
of `benchmarks.ldm_worth`.

*Stop.*  The metrics of 2000 rows of such a net by each of the rules, with 200 reference
rows, so that the pool is ten times as large as the reference.  All rules take the same
draws, until each ends a scale; the program's is also computed with other draws.  Many
metrics are equal, and each list breaks its ties at random: of its smallest 100 rows, it
has less than all in common with itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmarks.campaigns import (
    can_load,
    collect,
    command_of,
    kept,
    study_parser,
    work_file,
)
from benchmarks.ldm_campaigns import NET, SETS, first_rows, load, problem
from benchmarks.report import markdown, mean_text, write_report
from skal.measures import least_disagree_metric
from skal.nets import NetClassifier
from skal.posteriors import MCDropout
from skal.simulation.statistics import paired_difference
from skal.strategies import (
    BALD,
    LDM,
    Entropy,
    LeastConfident,
    Margin,
    VariationRatio,
)

KEYS = ["part", "set", "seed"]
CLOSED, FLIPS, STOP = "closed form", "flips", "stop"
DIMENSIONS = (2, 10, 50)
N_ROWS, N_REFERENCE, N_LABELED, N_NETS = 500, 2000, 200, 20
DRAWS = (1, 3, 10, 30, 100)
UNCHANGED = (1, 10, 30)
STOPS = ("reference", "pool", "row")
#: Rows of the pool and of the reference by which the rules are compared.
N_STOP, N_STOP_REFERENCE = 2000, 200
STOP_SETS = ("letter", "optdigits")
#: The rule of the program, and what it is repeated as.
PROGRAM, AGAIN = "pool, unchanged 10", "pool, unchanged 10, other draws"


def closed_form(rows: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Angle of the rows to the plane of a normal vector, over pi."""
    cosine = np.abs(rows @ v) / np.linalg.norm(rows, axis=1) / np.linalg.norm(v)
    angles: np.ndarray = np.arcsin(np.clip(cosine, 0, 1)) / np.pi
    return angles


def fixed_draws(
    rows: np.ndarray, v: np.ndarray, reference: np.ndarray, n_draws: int, seed: int
) -> np.ndarray:
    """Estimate the metric with so many draws for every scale, as it is written down."""
    rng = np.random.default_rng(seed)
    found = np.ones(len(rows))
    for sigma in 10 ** (-5 + 0.1 * np.arange(51)):
        heads = v + sigma * rng.normal(size=(n_draws, len(v)))
        shares = ((reference @ heads.T > 0) != (reference @ v > 0)[:, None]).mean(0)
        flipped = (rows @ heads.T > 0) != (rows @ v > 0)[:, None]
        found = np.minimum(found, np.where(flipped, shares, 1.0).min(1))
    return found


def timed(function: Callable[[], Any]) -> tuple[np.ndarray, float]:
    """Return what a function returns, and its seconds."""
    start = perf_counter()
    value = np.asarray(function())
    return value, perf_counter() - start


def compare_with_closed_form(name: str, seed: int, quick: bool) -> pd.DataFrame:
    """Bias and rank correlation of estimates; the name ends in the dimension."""
    d = int(name.split()[-1])
    rng = np.random.default_rng(seed)
    v = rng.normal(size=d)
    rows, reference = rng.normal(size=(N_ROWS, d)), rng.normal(size=(N_REFERENCE, d))
    truth = closed_form(rows, v)
    ways: dict[str, Callable[[], Any]] = {
        f"{n} draws a scale": partial(fixed_draws, rows, v, reference, n, seed)
        for n in (DRAWS[:2] if quick else DRAWS)
    }
    arguments = [torch.from_numpy(part) for part in (rows, v[None])]
    for stop in STOPS:
        for n in (1,) if quick else UNCHANGED:
            ways[f"{stop}, unchanged {n}"] = partial(
                least_disagree_metric,
                *arguments,
                None,
                torch.from_numpy(reference),
                rng=torch.Generator().manual_seed(seed),
                n_unchanged=n,
                stop=stop,
            )
    lines = []
    for rule, way in ways.items():
        found, seconds = timed(way)
        lines.append(
            {
                "rule": rule,
                "truth": truth.mean(),
                "bias": (found - truth).mean(),
                "rank": spearmanr(found, truth)[0],
                "seconds": seconds,
            }
        )
    return pd.DataFrame(lines)


def fitted(name: str, seed: int, n_labeled: int) -> tuple[NetClassifier, Any, Any, Any]:
    """Return a net, the rows and labels it was trained on, and its problem."""
    data = problem(name, "clean", seed)
    rows = first_rows(data.y, data.wanted, n_labeled, seed)
    X, y = data.X[rows], data.y[rows]
    net = NetClassifier(**NET, classes=np.unique(data.y), random_state=1000 * seed)
    return net.fit(X, y), X, y, data


def measures(seed: int) -> dict[str, Any]:
    """Strategies whose scores are measures of uncertainty of one net."""
    dropout = MCDropout(20)
    return {
        "LDM": LDM(random_state=seed),
        "Margin": Margin(),
        "Entropy": Entropy(),
        "LeastConfident": LeastConfident(),
        "BALD, dropout": BALD(dropout, random_state=seed),
        "VariationRatio, dropout": VariationRatio(dropout, random_state=seed),
    }


def compare_with_flips(name: str, seed: int, quick: bool) -> pd.DataFrame:
    """Compare measures of unseen rows with flips of other nets, and with errors."""
    net, X, y, data = fitted(name, seed, N_LABELED)
    predicted = net.predict(data.X_test)
    flips = np.zeros(len(predicted))
    n_nets = 2 if quick else N_NETS
    for k in range(n_nets):
        other = NetClassifier(
            **NET, classes=net.classes, random_state=1 + k + 1000 * seed
        )
        flips += (other.fit(X, y).predict(data.X_test) != predicted) / n_nets
    wrong = predicted != data.y_test
    lines = []
    for measure, strategy in measures(seed).items():
        scores, seconds = timed(partial(strategy.score_samples, net, data.X_test))
        lines.append(
            {
                "rule": measure,
                "rank": spearmanr(scores, flips)[0],
                "auc_flips": roc_auc_score(flips > 0, scores),
                "auc": roc_auc_score(wrong, scores),
                "flips": flips.mean(),
                "wrong": wrong.mean(),
                "seconds": seconds,
            }
        )
    return pd.DataFrame(lines)


def compare_stops(name: str, seed: int, quick: bool) -> pd.DataFrame:
    """Compare the metrics of a pool by each rule with those of the program's."""
    net, *_, data = fitted(name, seed, N_LABELED)
    X = np.concatenate([data.X, data.X_test])[:N_STOP]
    n_reference = N_STOP_REFERENCE
    if quick:
        X, n_reference = X[:200], 20
    found: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    rules = {f"{stop}, unchanged 10": (stop, seed) for stop in STOPS}
    rules[AGAIN] = ("pool", seed + 1000)
    if not quick:
        rules |= {f"reference, unchanged {n}": ("reference", seed) for n in (1, 30)}
    for rule, (stop, random_state) in rules.items():
        n_unchanged = int(rule.split(",")[1].split()[-1])
        strategy = LDM(
            n_reference=n_reference,
            n_unchanged=n_unchanged,
            stop=stop,
            random_state=random_state,
        )
        scores, seconds[rule] = timed(partial(strategy.score_samples, net, X))
        found[rule] = -scores
    program = found[PROGRAM]
    return pd.DataFrame(
        [
            {
                "rule": rule,
                "mean": ldm.mean(),
                "rank": spearmanr(ldm, program)[0],
                "common": in_common(ldm, program, 100),
                "seconds": seconds[rule],
            }
            for rule, ldm in found.items()
        ]
    )


def in_common(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Share of the n smallest of one that are among those of the other.

    Each list breaks the ties at its end at random, so that a list with ties has less
    than all rows in common with itself; this is the expected share.
    """
    chances = []
    for values in (a, b):
        last = np.sort(values)[n - 1]
        below, equal = values < last, values == last
        chances.append(below + equal * (n - below.sum()) / equal.sum())
    return float((chances[0] * chances[1]).sum() / n)


PARTS: dict[str, tuple[Callable[..., pd.DataFrame], tuple[str, ...]]] = {
    CLOSED: (compare_with_closed_form, tuple(f"d = {d}" for d in DIMENSIONS)),
    FLIPS: (compare_with_flips, SETS),
    STOP: (compare_stops, STOP_SETS),
}


#: Columns of the work file, those of all parts.
VALUES = (
    *("truth", "bias", "rank", "auc_flips", "auc", "flips", "wrong"),
    *("mean", "common", "seconds"),
)


def compute(part: str, name: str, seed: int, quick: bool = False) -> pd.DataFrame:
    """Compute one part on one set; a row for each rule or measure."""
    torch.set_num_threads(1)
    return PARTS[part][0](name, seed, quick).reindex(columns=["rule", *VALUES])


def table(
    data: pd.DataFrame, columns: dict[str, tuple[str, int]], against: str | None
) -> pd.DataFrame:
    """Means over seeds with half widths of their 95 % intervals, a row a set and rule.

    Parameters
    ----------
    data : DataFrame
    columns : dict
        Column of the data to its heading and digits.
    against : str or None
        A rule whose paired differences are shown, too, in the first of the columns.
    """
    lines = []
    for (name, rule), part in data.groupby(["set", "rule"], sort=False):
        line = {"set": name, "rule": rule, "seeds": str(len(part))}
        for column, (heading, digits) in columns.items():
            line[heading] = mean_text(part[column], digits)
        if against is not None and rule != against:
            base = data[(data["set"] == name) & (data["rule"] == against)]
            for column in list(columns)[:2]:
                heading, digits = columns[column]
                pairs = part.merge(base, on="seed")
                line[f"{heading}, minus {against}"] = _difference(
                    pairs[f"{column}_x"], pairs[f"{column}_y"], digits
                )
        lines.append(line)
    return pd.DataFrame(lines).fillna("").set_index("set")


def _difference(scores: pd.Series, reference: pd.Series, digits: int) -> str:
    mean, low, high, _ = paired_difference(scores.to_numpy(), reference.to_numpy())
    if len(scores) < 2:
        return f"{mean:+.{digits}f}"
    star = "" if low <= 0 <= high else " *"
    return f"{mean:+.{digits}f} ± {(high - low) / 2:.{digits}f}{star}"


COLUMNS: dict[str, dict[str, tuple[str, int]]] = {
    CLOSED: {
        "rank": ("rank correlation with the closed form", 4),
        "bias": ("estimate minus closed form", 4),
        "truth": ("closed form", 4),
        "seconds": ("s", 2),
    },
    FLIPS: {
        "auc_flips": ("AUC for flips", 3),
        "auc": ("AUC for errors", 3),
        "rank": ("rank correlation with flips", 3),
        "flips": ("flips", 3),
        "wrong": ("errors", 3),
    },
    STOP: {
        "rank": ("rank correlation with the program's", 3),
        "common": ("in common of the smallest 100", 3),
        "mean": ("mean LDM", 4),
        "seconds": ("s", 2),
    },
}


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV and Markdown; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / "ldm_measure.csv", index=False, float_format="%.5g")
    parts = [
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "Means over seeds, with the half width of the 95 % interval, not corrected for "
        "the rows that splits share; a star: the interval of a paired difference "
        "leaves out 0.  Seconds are those of one thread beside other work.",
    ]
    for part, columns in COLUMNS.items():
        found = data[data["part"] == part]
        if found.empty:
            continue
        against = {FLIPS: "Margin"}.get(part)
        parts += [f"## {part.capitalize()}", markdown(table(found, columns, against))]
    text = "\n\n".join(parts) + "\n"
    title = "The least disagree metric as a measure of uncertainty"
    write_report(folder / "ldm_measure.md", title, command, text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Compute what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, quick="one seed of a little")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args(argv)
    file = work_file(args, "ldm_measure")
    n_failed = 0
    if not args.report_only:
        if not can_load(load, args.sets):
            return 1
        tasks = [
            (part, name, seed)
            for seed in range(1 if args.quick else args.seeds)
            for part in args.parts
            for name in PARTS[part][1]
            if part == CLOSED or name in args.sets
        ]
        work = partial(compute, quick=args.quick)
        n_failed = collect(work, tasks, KEYS, args.n_jobs, file)
    command = command_of("benchmarks.ldm_measure", argv)
    print(report(kept(file, KEYS), command, args.output))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
