"""Settings of noise stability, and of label dispersion.

Run as ``python -m benchmarks.stability_dispersion --seeds 5`` with SKAL_DATA set.  Each
finished campaign is kept in the work folder, and a second run continues from there;
``--report-only`` reports what has been played, ``--quick`` plays two queries.

*NoiseStability*: one setting at a time differs from skal's default: predictions, noise
of 0.001 for each tensor, 30 draws, not normalized, labeled rows as centers.  "paper":
global noise from the origin; "program": normalized features from the origin.  For
regression, the net, the start and the batches of 20 are those of
`benchmarks.tabular_small`, with at most 1000 rows in the pool and 8 queries; for
classification, the net, the pool, the start, and 10 queries of 20 rows are those of
`benchmarks.ldm_worth`.

*LabelDispersion*, for classification, in the same campaigns: dispersion is read from
some of the 60 epochs of the net.  Beside the campaigns, a net is trained on 200 labels,
and the dispersion of 1000 unseen rows is compared with the errors of the net.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from benchmarks import tabular_small
from benchmarks.campaigns import (
    can_load,
    collect,
    command_of,
    kept,
    study_parser,
    work_file,
)
from benchmarks.label_dispersion import EDGES, NAMES
from benchmarks.ldm_campaigns import (
    CLEAN,
    N_ROWS,
    NET,
    SIZES,
    first_rows,
    load,
    problem,
)
from benchmarks.ldm_campaigns import campaign as campaign_of_classes
from benchmarks.ldm_worth import ratio
from benchmarks.report import markdown, mean_text, write_report
from benchmarks.sets import load_small
from benchmarks.tabular_ranks import average_table, gains_table
from benchmarks.tabular_runs import Split, campaign
from skal.nets import NetClassifier, WeightSnapshots
from skal.strategies import LabelDispersion, Margin, NoiseStability, Random

KEYS = ["part", "set", "strategy", "seed"]
STABILITY, DISPERSION, ERRORS = "noise stability", "label dispersion", "errors"
OF_CLASSES = "noise stability for classes"
REGRESSION = ("concrete", "energy", "kin8nm", "cpu_act", "ames")
CLASSES = ("letter", "optdigits", "digits")
MOST_ROWS, N_QUERIES = 1000, 8
N_LABELED = 200
#: Options of NoiseStability that differ from the default.
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "noise 0.0001": {"noise_scale": 1e-4},
    "noise 0.01": {"noise_scale": 1e-2},
    "noise 0.1": {"noise_scale": 1e-1},
    "3 draws": {"n_draws": 3},
    "10 draws": {"n_draws": 10},
    "100 draws": {"n_draws": 100},
    "global noise": {"scaling": "global"},
    "normalized": {"normalize": True},
    "from the origin": {"centers": "origin"},
    "features": {"outputs": "features"},
    "clusters": {"selection": "lcmd"},
    "paper": {"scaling": "global", "centers": "origin"},
    "program": {"outputs": "features", "normalize": True, "centers": "origin"},
}
#: Options of WeightSnapshots, by how they read 60 epochs.
EPOCHS_READ: dict[str, dict[str, Any]] = {
    "all 60 epochs": {},
    "every 3rd": {"every": 3},
    "every 10th": {"every": 10},
    "last 45": {"warmup": 15},
    "last 30": {"warmup": 30},
    "last 15": {"warmup": 45},
    "last 30, every 3rd": {"warmup": 30, "every": 3},
}


def play_stability(name: str, strategy: str, seed: int, most: int) -> pd.DataFrame:
    """Play a campaign of regression; a row per step, the score is minus log RMSE."""
    X, y, X_test, y_test, *_ = tabular_small.split(name, seed)
    X, y = X[:MOST_ROWS], y[:MOST_ROWS]
    data = Split(X, y, X_test, y_test, X_test[:0], y_test[:0])
    model = tabular_small.make_net(strategy)
    picks = Random() if strategy == "Random" else NoiseStability(**SETTINGS[strategy])
    n_queries = min(most, N_QUERIES, (3 * len(X) // 4 - 20) // 20)
    table = campaign(data, model, picks, seed, (20, 20, n_queries))
    table["score"] = -np.log(table["rmse"])
    return table[["step", "n_labeled", "score", "query_time"]]


def play_of_classes(name: str, strategy: str, seed: int, most: int) -> pd.DataFrame:
    """Play a campaign of classification with noise stability; a row per step."""
    others: dict[str, Any] = {"Random": Random(), "Margin": Margin()}
    picks = others.get(strategy) or NoiseStability(**SETTINGS[strategy])
    net = NetClassifier(**NET, classes=np.unique(problem(name, CLEAN, seed).y))
    return play_classes(name, net, picks, seed, most)


def play_classes(name: str, net: Any, picks: Any, seed: int, most: int) -> pd.DataFrame:
    """Play a campaign of `benchmarks.ldm_worth`; a row per step."""
    n_initial, n_queries = SIZES[20]
    sizes = n_initial, 20, min(most, n_queries)
    table = campaign_of_classes(problem(name, CLEAN, seed), net, picks, seed, sizes)
    return table[["step", "n_labeled", "score", "query_time"]]


def net_with(snapshots: dict[str, Any], classes: np.ndarray) -> NetClassifier:
    """Make a net that keeps some of its epochs."""
    callback = WeightSnapshots(last=None, **snapshots)
    return NetClassifier(**NET, classes=classes, callbacks=[callback])


def play_dispersion(name: str, strategy: str, seed: int, most: int) -> pd.DataFrame:
    """Play a campaign of classification; a row per step."""
    picks = {"Random": Random(), "Margin": Margin()}.get(strategy, LabelDispersion())
    classes = np.unique(problem(name, CLEAN, seed).y)
    net = net_with(EPOCHS_READ.get(strategy, {}), classes)
    return play_classes(name, net, picks, seed, most)


def find_errors(name: str, strategy: str, seed: int, most: int) -> pd.DataFrame:
    """Compare dispersion with errors; a row for each bin, and one for all."""
    data = problem(name, CLEAN, seed)
    rows = first_rows(data.y, data.wanted, N_LABELED, seed)
    net = net_with(EPOCHS_READ.get(strategy, {}), np.unique(data.y))
    net.set_params(random_state=seed).fit(data.X[rows], data.y[rows])
    wrong = net.predict(data.X_test) != data.y_test
    asked = Margin() if strategy == "Margin" else LabelDispersion()
    scores = asked.score_samples(net, data.X_test)
    table = pd.DataFrame({"score": [roc_auc_score(wrong, scores)], "bin": "all"})
    if strategy == "Margin":
        return table
    place = np.searchsorted(EDGES, np.round(scores, 6), side="left")
    bins = [
        {"bin": NAMES[k], "rows": (place == k).sum(), "wrong": wrong[place == k].sum()}
        for k in range(len(NAMES))
    ]
    return pd.concat([table, pd.DataFrame(bins)], ignore_index=True)


PARTS: dict[str, tuple[Any, Sequence[str], list[str]]] = {
    DISPERSION: (play_dispersion, CLASSES, ["Random", "Margin", *EPOCHS_READ]),
    ERRORS: (find_errors, CLASSES, ["Margin", *EPOCHS_READ]),
    STABILITY: (play_stability, REGRESSION, ["Random", *SETTINGS]),
    OF_CLASSES: (
        play_of_classes,
        (*CLASSES, "mnist"),
        ["Random", "Margin", *SETTINGS],
    ),
}
#: Columns of the work file, those of all parts.
COLUMNS = ["step", "n_labeled", "score", "query_time", "bin", "rows", "wrong"]


def play(
    part: str, name: str, strategy: str, seed: int, most: int = 999
) -> pd.DataFrame:
    """Play one campaign, with at most so many queries."""
    torch.set_num_threads(1)
    table: pd.DataFrame = PARTS[part][0](name, strategy, seed, most)
    return table.reindex(columns=COLUMNS)


def losses(data: pd.DataFrame, part: str) -> pd.DataFrame:
    """Mean loss over the steps after the start: log RMSE, or error in percent.

    A row a set and seed that all strategies have played, a column a strategy.
    """
    found = data[(data["part"] == part) & (data["step"] > 0)]
    means = found.groupby(["set", "seed", "strategy"])["score"].mean().unstack()
    means = means.reindex(columns=PARTS[part][2]).dropna()
    return -means if part == STABILITY else 100 * (1 - means)


def worth_section(data: pd.DataFrame, part: str) -> list[str]:
    """Write the gains over Random of all settings."""
    table = losses(data, part)
    if table.empty:
        return []
    digits, heading = (3, "log RMSE") if part == STABILITY else (2, "error in %")
    reference = "all 60 epochs" if part == DISPERSION else "default"
    by_set, seeds = table.groupby("set").mean(), table.groupby("set").size()
    average = average_table(by_set, None, heading, digits=digits)
    against = table[reference].to_numpy()[:, None] - table
    average[f"gain over {reference}"] = [
        "" if s == reference else mean_text(against[s], digits, "+") for s in table
    ]
    return [
        f"## {part.capitalize()}: {len(seeds)} sets, {seeds.min()} seeds",
        markdown(average),
        "Gain over Random by set:",
        markdown(gains_table(table, ratio=_ratios(part), digits=digits)),
    ]


def _ratios(part: str) -> dict[str, float]:
    """Correct intervals for the rows that the splits of each set share."""
    if part == STABILITY:
        return tabular_small.ratios(MOST_ROWS)
    return {name: ratio(name) for name in N_ROWS}


def errors_section(data: pd.DataFrame) -> list[str]:
    """Write how well dispersion finds errors, and the accuracy of its bins."""
    found = data[data["part"] == ERRORS]
    if found.empty:
        return []
    areas = found[found["bin"] == "all"]
    lines = [
        {
            "strategy": strategy,
            **{
                name: mean_text(values["score"], 3)
                for name, values in part.groupby("set", sort=False)
            },
        }
        for strategy, part in areas.groupby("strategy", sort=False)
    ]
    bins = found[found["bin"] != "all"].groupby(["set", "strategy", "bin"], sort=False)
    total = bins[["rows", "wrong"]].sum()
    accuracy = 1 - total["wrong"] / total["rows"]
    share = total["rows"] / total.groupby(["set", "strategy"])["rows"].transform("sum")
    cells = {
        key: f"{accuracy[key]:.3f} ({100 * share[key]:.0f} %)" if share[key] else ""
        for key in total.index
    }
    table = pd.Series(cells).unstack().reindex(columns=NAMES)
    shown = ("all 60 epochs", "last 30", "last 15")
    rows = [
        {"set": name, "epochs": epochs, **table.loc[(name, epochs)]}
        for name in CLASSES
        for epochs in shown
        if (name, epochs) in table.index
    ]
    return [
        f"## Label dispersion and errors, {found['seed'].nunique()} seeds",
        "Area under the ROC curve: the probability that a row that the net gets wrong "
        "has a higher score than one that it gets right.",
        markdown(pd.DataFrame(lines).set_index("strategy")),
        "Accuracy by bin of dispersion and, in brackets, the share of the rows, pooled "
        "over seeds:",
        markdown(pd.DataFrame(rows).set_index("set")),
    ]


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV and Markdown; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "stability_dispersion.csv"
    data.drop(columns="n_labeled").to_csv(file, index=False, float_format="%.4g")
    parts = [
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "Gain: Random's loss minus the strategy's, mean over the steps after the "
        "start, on the same splits, starts and weights, in log RMSE or in percentage "
        "points of error; positive is better.  A gain over another setting is the "
        "mean over sets and seeds, with the half width of its 95 % interval.  By set, "
        "intervals are paired by seed and corrected for the rows that splits share; a "
        "star: the interval leaves out 0.",
        *worth_section(data, STABILITY),
        *worth_section(data, OF_CLASSES),
        *worth_section(data, DISPERSION),
        *errors_section(data),
    ]
    text = "\n\n".join(parts) + "\n"
    title = "Settings of noise stability and of label dispersion"
    write_report(folder / "stability_dispersion.md", title, command, text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Play what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, quick="two queries, two seeds")
    sets = [*REGRESSION, *CLASSES, "mnist"]
    parser.add_argument("--sets", nargs="+", choices=sets, default=sets)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args(argv)
    file = work_file(args, "stability_dispersion")
    seeds, most = (2, 2) if args.quick else (args.seeds, 999)
    n_failed = 0
    if not args.report_only:
        needed = {name for part in args.parts for name in PARTS[part][1]}
        chosen = [name for name in args.sets if name in needed]
        of_regression = [name for name in chosen if name in REGRESSION]
        others = [name for name in chosen if name not in REGRESSION]
        if not (can_load(load_small, of_regression) and can_load(load, others)):
            return 1
        tasks = [
            (part, name, strategy, seed)
            for seed in range(seeds)
            for part in args.parts
            for name in PARTS[part][1]
            if name in args.sets
            for strategy in PARTS[part][2]
        ]
        n_failed = collect(partial(play, most=most), tasks, KEYS, args.n_jobs, file)
    data = kept(file, KEYS)
    command = command_of("benchmarks.stability_dispersion", argv)
    print(report(data[data["seed"] < seeds], command, args.output))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
