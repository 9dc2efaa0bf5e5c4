"""Time of skal's nets compared with bare torch and with skorch's DataLoader.

Run as ``python -m benchmarks.nets --threads 2``. Every contender is timed once in each
round, so that ratios compare like with like; medians over the rounds are shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNetClassifier
from torch import nn

from benchmarks.report import markdown, write_report
from skal.nets import MLP, NetClassifier

N_FEATURES, N_CLASSES, HIDDEN, BATCH = 32, 10, (256, 256), 128
SIZES = {
    "module__n_features": N_FEATURES,
    "module__n_outputs": N_CLASSES,
    "module__hidden_sizes": HIDDEN,
}


def hand_written_fit(X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Train without any library."""
    X_all, y_all = torch.from_numpy(X), torch.from_numpy(y)
    module = MLP(N_FEATURES, N_CLASSES, HIDDEN).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(BATCH):
            optimizer.zero_grad()
            loss = criterion(module(X_all[rows]), y_all[rows])
            loss.backward()
            optimizer.step()
            loss.item()


def skorch_net(epochs: int) -> NeuralNetClassifier:
    """Make the same net with skorch's class and its DataLoader."""
    return NeuralNetClassifier(
        MLP,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=BATCH,
        max_epochs=epochs,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
        **SIZES,
    )


def read(net: NeuralNetClassifier, dataset: object) -> None:
    """Iterate over the training batches of one epoch."""
    for _ in net.get_iterator(dataset, training=True):
        pass


def bare_forward(module: nn.Module, X: np.ndarray, block: int) -> np.ndarray:
    """Probabilities by the module alone."""
    with torch.no_grad():
        parts = [module(part).softmax(1) for part in torch.from_numpy(X).split(block)]
    return torch.cat(parts).numpy()


def time_rounds(
    contenders: dict[str, Callable[[], object]], repeats: int
) -> dict[str, float]:
    """Median seconds of each contender over rounds in which each runs once."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(repeats + 1):
        for name, run in contenders.items():
            start = perf_counter()
            run()
            if round_ > 0:  # the first warms up
                seconds[name].append(perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def make_table(seconds: dict[str, float]) -> pd.DataFrame:
    """Seconds, and as a multiple of the first contender's."""
    first = next(iter(seconds.values()))
    table = pd.DataFrame(
        {
            "seconds": [f"{s:.3f}" for s in seconds.values()],
            "ratio": [f"{s / first:.2f}" for s in seconds.values()],
        },
        index=list(seconds),
    )
    table.index.name = "contender"
    return table


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000, help="training rows")
    parser.add_argument("--predict-rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure, show and, if asked, write."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.rows, N_FEATURES), dtype=np.float32)
    y = rng.integers(N_CLASSES, size=options.rows)
    X_new = rng.standard_normal((options.predict_rows, N_FEATURES), dtype=np.float32)
    net = NetClassifier(
        MLP,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=BATCH,
        max_epochs=options.epochs,
        module__hidden_sizes=HIDDEN,
    )
    other = skorch_net(options.epochs)
    fit = time_rounds(
        {
            "hand-written torch loop": lambda: hand_written_fit(X, y, options.epochs),
            "skal NetClassifier": lambda: net.fit(X, y),
            "skorch with its DataLoader": lambda: other.fit(X, y),
        },
        options.repeats,
    )
    module = net.module_.eval()
    predict = time_rounds(
        {
            "bare forward, one pass": lambda: bare_forward(module, X_new, len(X_new)),
            "bare forward, blocks of 4096": lambda: bare_forward(module, X_new, 4096),
            "skal predict_proba": lambda: net.predict_proba(X_new),
            "skorch predict_proba": lambda: other.predict_proba(X_new),
        },
        options.repeats,
    )
    batches = time_rounds(
        {
            "skal's batches": lambda: read(net, net.get_dataset(X, y)),
            "skorch's DataLoader": lambda: read(other, other.get_dataset(X, y)),
        },
        options.repeats,
    )
    fit_ratio = fit["skal NetClassifier"] / fit["hand-written torch loop"]
    gain = fit["skorch with its DataLoader"] / fit["skal NetClassifier"]
    bare = min(t for name, t in predict.items() if name.startswith("bare"))
    lines = [
        f"## fit: {options.rows} x {N_FEATURES}, batch {BATCH}, MLP 256-256, "
        f"{options.epochs} epochs, {options.threads} threads",
        "",
        markdown(make_table(fit)),
        "",
        f"skal takes {fit_ratio:.2f} times the hand-written loop (at most 1.3 wanted); "
        f"skorch takes {gain:.1f} times skal (at least 5 wanted; the training steps, "
        "which both share, may not allow it). Their batches alone, one epoch:",
        "",
        markdown(make_table(batches)),
        "",
        f"## predict: {options.predict_rows} rows",
        "",
        markdown(make_table(predict)),
        "",
        f"skal takes {predict['skal predict_proba'] / bare:.2f} times the faster bare "
        "forward pass (at most 1.2 wanted).",
    ]
    report = "\n".join(lines) + "\n"
    sys.stdout.write(report)
    if options.output is not None:
        command = "python -m benchmarks.nets " + " ".join(arguments or sys.argv[1:])
        title = "Nets against bare torch and skorch"
        write_report(options.output, title, command, report)


if __name__ == "__main__":
    main()
