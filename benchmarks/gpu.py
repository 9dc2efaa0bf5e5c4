"""Time of fits and queries on a GPU and on the CPU, and whether picks are the same.

Run as ``python -m benchmarks.gpu --rows 10000 50000``.  One set of weights serves both
devices: nets are trained on the CPU, and copies of them are asked on the other device.
Every query is made once to warm up and then `--repeats` times; medians are shown.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.report import markdown, write_report
from skal.exceptions import UnsuitableLearnerError
from skal.learners import ActiveLearner
from skal.nets import (
    MLP,
    LossPredictionClassifier,
    LossPredictionRegressor,
    NetClassifier,
    NetRegressor,
    WeightSnapshots,
)
from skal.nets.ensembles import FoldEnsembleRegressor
from skal.strategies import QueryStrategy, all_strategies

N_CLASSES, N_FEATURES = 10, 64
#: Those for images: cheap ones, and one of each way to read a net.
IMAGES = ["Margin", "LDMSeeding", "NoiseStability", "BADGE", "CoreSet", "BALD", "EGL"]
#: Nets of their own kind.
NETS = {
    ("LossPrediction", "classification"): LossPredictionClassifier,
    ("LossPrediction", "regression"): LossPredictionRegressor,
}


class SmallCNN(nn.Module):
    """Two convolutions and a hidden layer, for images of 28 x 28."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.25)),
        )
        self.head = nn.Linear(128, N_CLASSES)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(X))


def make_problem(kind: str, rows: int, n_labeled: int) -> tuple[Any, Any, Any]:
    """Draw labeled rows and a pool: X, y and X_pool."""
    rng = np.random.default_rng(0)
    m = n_labeled + rows
    if kind == "images":
        y = rng.integers(N_CLASSES, size=m)
        centers = rng.normal(size=(N_CLASSES, 1, 28, 28)).astype(np.float32)
        X = centers[y] + 2 * rng.standard_normal((m, 1, 28, 28), dtype=np.float32)
    else:
        X = rng.standard_normal((m, N_FEATURES), dtype=np.float32)
        if kind == "classification":
            y = (X @ rng.normal(size=(N_FEATURES, N_CLASSES))).argmax(1)
        else:
            y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
    return X[:n_labeled], y[:n_labeled], X[n_labeled:]


def make_net(kind: str, device: str, strategy: str = "", **options: Any) -> Any:
    """Construct the net of a problem."""
    if kind == "images":
        module: dict[str, Any] = {"module": SmallCNN, "lr": 1e-3}
    else:
        module = {"module": MLP, "module__hidden_sizes": (512, 512)}
        module |= {"module__dropout": 0.1, "lr": 1e-3}
    task = "regression" if kind == "regression" else "classification"
    cls = {"classification": NetClassifier, "regression": NetRegressor}[task]
    cls = NETS.get((strategy, task), cls)
    callbacks = [] if strategy == "LossPrediction" else [WeightSnapshots()]
    options = {"max_epochs": 10, "callbacks": callbacks, **module, **options}
    return cls(device=device, random_state=0, **options)


def timed(run: Callable[[], Any], device: str) -> tuple[float, float, Any]:
    """Seconds, MB of the GPU at most, and what `run` returns."""
    is_gpu = torch.device(device).type == "cuda"
    if is_gpu:
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    start = perf_counter()
    result = run()
    if is_gpu:
        torch.cuda.synchronize()
    seconds = perf_counter() - start
    peak = (torch.cuda.max_memory_allocated() - before) / 1e6 if is_gpu else np.nan
    return seconds, peak, result


def repeated(run: Callable[[], Any], device: str, repeats: int) -> dict[str, Any]:
    """Median seconds and MB over repeats, and all results; one run warms up."""
    measured = [timed(run, device) for _ in range(repeats + 1)][1:]
    return {
        "seconds": median(m[0] for m in measured),
        "MB": median(m[1] for m in measured),
        "results": [m[2] for m in measured],
    }


def fits(devices: list[str], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Time the training of nets."""
    large = min(10_000, max(args.rows))
    X, y, _ = make_problem("regression", 1, 300)
    X_many, y_many, _ = make_problem("classification", 1, large)
    X_images, y_images, _ = make_problem("images", 1, large)
    epochs = {"max_epochs": 2, "batch_size": 128}
    cases = {
        "NetRegressor, 300 x 64": lambda device: NetRegressor(
            device=device, random_state=0
        ).fit(X, y),
        "FoldEnsembleRegressor, nets only, 300 x 64": lambda device: (
            FoldEnsembleRegressor(others=(), device=device, random_state=0).fit(X, y)
        ),
        f"MLP 512-512, {large} x 64, 2 epochs": lambda device: make_net(
            "classification", device, **epochs
        ).fit(X_many, y_many),
        f"CNN, {large} images of 28 x 28, 2 epochs": lambda device: make_net(
            "images", device, **epochs
        ).fit(X_images, y_images),
    }
    for name, fit in cases.items():
        line: dict[str, Any] = {"problem": "fit", "name": name, "rows": "", "n": ""}
        for device in devices:
            found = repeated(lambda fit=fit, d=device: fit(d), device, args.repeats)
            line[device], line["MB"] = found["seconds"], found["MB"]
        yield line


def queries(
    kind: str, rows: int, devices: list[str], args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Time all strategies that the net of a problem can be asked."""
    X, y, pool = make_problem(kind, rows, args.labeled)
    task = "regression" if kind == "regression" else "classification"
    nets: dict[str, Any] = {}
    for cls in all_strategies():
        name = cls.__name__
        if (args.only and name not in args.only) or cls._task not in ("any", task):
            continue
        if kind == "images" and name not in IMAGES:
            continue
        own = name if (name, task) in NETS else ""
        if own not in nets:
            nets[own] = make_net(kind, "cpu", own).fit(X, y)
        line = {"problem": kind, "name": name, "rows": rows, "n": args.batch}
        try:
            yield line | ask(cls, nets[own], X, y, pool, devices, args)
        except UnsuitableLearnerError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)


def ask(
    cls: type[QueryStrategy],
    net: Any,
    X: Any,
    y: Any,
    pool: Any,
    devices: list[str],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Ask one strategy on each device, with the same weights."""
    line: dict[str, Any] = {}
    picked = []
    for device in devices:
        moved = copy.deepcopy(net).set_params(device=device)
        moved.module_.to(device)
        learner = ActiveLearner(moved)
        learner.X_training, learner.y_training = X, y
        strategy = cls()
        if "random_state" in strategy.get_params():
            strategy.set_params(random_state=0)
        found = repeated(
            lambda s=strategy, at=learner: s.select(at, pool, args.batch).indices,
            device,
            args.repeats,
        )
        line[device], line["MB"] = found["seconds"], found["MB"]
        results = [frozenset(indices.tolist()) for indices in found["results"]]
        picked.append(results[0])
        line["same again"] = "yes" if len(set(results)) == 1 else "no"
    line["in common"] = len(picked[0] & picked[-1]) / args.batch
    return line


def table(lines: list[dict[str, Any]], devices: list[str]) -> pd.DataFrame:
    """Seconds on each device, their ratio, and what the picks have in common."""
    data = pd.DataFrame(lines)
    shown = data[["problem", "name", "rows", "n"]].rename(columns={"n": "batch"})
    for device in devices:
        shown[f"{device}, s"] = data[device].map("{:.3f}".format)
    ratio = data[devices[0]] / data[devices[-1]]
    shown["times faster"] = ratio.map("{:.1f}".format)
    shown["MB"] = data["MB"].map(lambda v: "" if pd.isna(v) else f"{v:.0f}")
    for column in ("in common", "same again"):
        if column in data:
            shown[column] = data[column].astype(object).where(data[column].notna(), "")
    return shown.set_index("problem")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="compared with the CPU")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--labeled", type=int, default=500)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=[], help="strategies")
    parser.add_argument("--no-fits", action="store_true")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure, show and, if asked, write."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    devices = ["cpu", options.device]
    lines = [] if options.no_fits else list(fits(devices, options))
    for rows in options.rows:
        for kind in ("classification", "regression", "images"):
            for line in queries(kind, rows, devices, options):
                print(line["name"], file=sys.stderr, flush=True)
                lines.append(line)
    shown = markdown(table(lines, devices))
    print(shown)
    if options.output is not None:
        command = "python -m benchmarks.gpu " + " ".join(arguments or sys.argv[1:])
        write_report(options.output, "Fits and queries on a GPU", command, shown + "\n")


if __name__ == "__main__":
    main()
