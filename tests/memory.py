"""Measures what queries add to the peak of memory: a server for test_memory.py.

``python -m tests.memory`` answers each line ``Strategy task held`` of its input by a
line of bytes per row of the pool; `held` bytes per row are held beside the query.

Everything is a tenth of its usual size, the pool and what a query may hold whatever the
pool, so that bytes per row are those of 50,000 rows.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import is_classifier

from skal import strategies
from skal.nets import WeightSnapshots
from skal.strategies import QueryStrategy
from tests.models import make_strategy, net_class, with_labeled

SCALE = 10
N_POOL, N_WARM, N_LABELED, N_FEATURES = 50_000 // SCALE, 600, 100, 64
#: Where it is said how much is held, in elements or bytes.
HELD = {
    "_numerics.products": ("CACHE", "MEMORY"),
    "posteriors.mc_dropout": ("_KEPT_BYTES",),
    "posteriors.nets": ("_HELD_ELEMENTS",),
    "reading.access": ("_CHUNK", "_CHUNK_ELEMENTS"),
    "reading.layer_gradients": ("_WHOLE_ELEMENTS",),
    "strategies.egl": ("_ELEMENTS",),
    "strategies.information": ("_KEPT",),
    "strategies.noise_stability": ("_KEPT_BYTES",),
}
#: Parameters by which a strategy does what it always does in less time.
QUICKER: dict[str, dict[str, Any]] = {
    "BatchEPIG": {"n_configurations": 2},
    "MAL": {"max_epochs": 1},
    "VAAL": {"max_epochs": 1},
}
#: More than are computed ahead; fewer for strategies that take long for each.
N_PICKS, FEW_PICKS = 40, {"BAIT": 3, "BatchEPIG": 3}


def reduce_what_is_held() -> None:
    """Divide it by the scale."""
    for name, constants in HELD.items():
        module = import_module(f"skal.{name}")
        for constant in constants:
            setattr(module, constant, getattr(module, constant) // SCALE)
    sklearn.set_config(working_memory=sklearn.get_config()["working_memory"] // SCALE)


def make_data(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows, with a number and a class for each."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, N_FEATURES)).astype(np.float32)
    numbers = X[:, 0] + X[:, 1] ** 2
    return X, numbers, np.digitize(numbers, [0.0, 1.0])


@cache
def make_learner(kind: Any) -> Any:
    """Fit a small net of default width to a few labels."""
    X, numbers, classes = make_data(N_LABELED, 0)
    net = kind(
        max_epochs=3,
        callbacks=[WeightSnapshots()],
        iterator_valid__batch_size=N_WARM,
        random_state=0,
    )
    y = classes if is_classifier(net) else numbers
    return with_labeled(net.fit(X, y), X, y)


def peak() -> int:
    """Return the largest memory of this process until now, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def bytes_per_row(strategy: QueryStrategy, learner: Any, held: int) -> float:
    """Return what a query adds to the peak of one of few rows, per row added."""
    X = make_data(N_POOL, 1)[0]
    strategy.select(learner, X[:N_WARM], 10)
    before = peak()
    beside = np.ones(held * N_POOL, dtype=np.uint8)
    strategy.select(learner, X, FEW_PICKS.get(type(strategy).__name__, N_PICKS))
    del beside
    return (peak() - before) / (N_POOL - N_WARM)


def in_a_fork(name: str, task: str, held: str = "0") -> None:
    """Print the bytes per row of a strategy, measured by a process of its own.

    The peak of a process never falls; that of a new one starts from what it holds.
    """
    cls = getattr(strategies, name)
    learner = make_learner(net_class(task, cls))
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        if status:  # killed, as for lack of memory
            print(f"ended with status {status}", flush=True)
        return
    try:
        strategy = make_strategy(cls, **QUICKER.get(name, {}))
        print(bytes_per_row(strategy, learner, int(held)), flush=True)
    except Exception as error:  # the test shows it
        print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
    os._exit(0)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    reduce_what_is_held()
    for line in sys.stdin:
        in_a_fork(*line.split())
