"""Time to train an ensemble, side by side and one by one.

Run as ``python -m benchmarks.ensembles --threads 2``. Every contender is timed once in
each round, so that ratios compare like with like; medians over the rounds are shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.nets import make_table, time_rounds
from benchmarks.report import markdown, write_report
from skal.nets import MLP, NetClassifier, NetRegressor
from skal.nets.ensembles import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    DiversityEncouragingEnsembleClassifier,
    DiversityEncouragingEnsembleRegressor,
    SnapshotEnsembleClassifier,
    SnapshotEnsembleRegressor,
    SplitHeadEnsembleClassifier,
    SplitHeadEnsembleRegressor,
)

N_FEATURES, N_CLASSES = 32, 10
KINDS = {
    "classification": (
        NetClassifier,
        DeepEnsembleClassifier,
        SnapshotEnsembleClassifier,
        SplitHeadEnsembleClassifier,
        DiversityEncouragingEnsembleClassifier,
    ),
    "regression": (
        NetRegressor,
        DeepEnsembleRegressor,
        SnapshotEnsembleRegressor,
        SplitHeadEnsembleRegressor,
        DiversityEncouragingEnsembleRegressor,
    ),
}


def gaps(together: list, one_by_one: list) -> tuple[float, float]:
    """Median and largest difference between weights that should be equal."""
    differences = torch.cat(
        [
            (a - b).abs().detach().flatten()
            for one, other in zip(together, one_by_one, strict=True)
            for a, b in zip(
                one.module_.parameters(), other.module_.parameters(), strict=True
            )
        ]
    )
    return differences.median().item(), differences.max().item()


def measure(task: str, options: argparse.Namespace) -> list[str]:
    """Time all contenders on one task; return lines of Markdown."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.rows, N_FEATURES), dtype=np.float32)
    if task == "classification":
        y = (X @ rng.standard_normal((N_FEATURES, N_CLASSES))).argmax(1)
    else:
        y = X[:, 0] * X[:, 1]
    Net, Deep, Snapshot, SplitHead, Diverse = KINDS[task]
    n = options.members
    parameters = {
        "module": MLP,
        "optimizer": torch.optim.Adam,
        "lr": 1e-3,
        "module__hidden_sizes": tuple(options.hidden),
        "batch_size": options.batch_size,
        "max_epochs": options.epochs,
        "random_state": 0,
    }
    net = Net(**parameters)
    together = Deep(net, n, random_state=0)
    one_by_one = Deep(net, n, train_together=False, random_state=0)
    others = {
        f"snapshot ensemble of {n}": Snapshot(net, n, random_state=0),
        f"split-head ensemble of {n}": SplitHead(net, n, random_state=0),
        f"diversity-encouraging ensemble of {n}": Diverse(
            Net(module__dropout=0.2, **parameters), n, random_state=0
        ),
    }
    contenders: dict[str, Callable[[], object]] = {
        "one net": lambda: net.fit(X, y),
        f"deep ensemble of {n}, side by side": lambda: together.fit(X, y),
        f"deep ensemble of {n}, one by one": lambda: one_by_one.fit(X, y),
        **{name: lambda e=e: e.fit(X, y) for name, e in others.items()},
    }
    seconds = time_rounds(contenders, options.repeats)
    one, side, single, *_ = seconds.values()
    typical, largest = gaps(together.estimators_, one_by_one.estimators_)
    if not together.trained_together_:
        raise RuntimeError("The members were not trained side by side.")
    sizes = "-".join(map(str, options.hidden))
    return [
        f"## {task}: {options.rows} x {N_FEATURES}, batch {options.batch_size}, MLP "
        f"{sizes}, {options.epochs} epochs, {options.threads} threads",
        "",
        markdown(make_table(seconds)),
        "",
        f"{n} members side by side take {side / one:.2f} times one net (at most 4 "
        f"wanted), one by one {single / side:.1f} times as long as side by side. The "
        f"weights of the same members differ by {typical:.1e} (median), {largest:.1e} "
        "(largest): rounding, which training amplifies.",
        "",
    ]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--hidden", type=int, nargs="*", default=[128, 128])
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure, show and, if asked, write."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    report = "\n".join(line for task in KINDS for line in measure(task, options))
    sys.stdout.write(report)
    if options.output is not None:
        given = " ".join(arguments or sys.argv[1:])
        command = f"python -m benchmarks.ensembles {given}"
        write_report(options.output, "Ensembles", command, report)


if __name__ == "__main__":
    main()
