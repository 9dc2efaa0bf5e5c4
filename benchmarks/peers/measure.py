"""Measure one query in a process; needs only torch and numpy."""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

WARM_UP = 1000
#: Runs of one query at most.
MOST = 25


class Problem(NamedTuple):
    """A pool, the labeled rows, and the weights of the nets."""

    X: np.ndarray
    X_labeled: np.ndarray
    y_labeled: np.ndarray
    weights: list[dict[str, torch.Tensor]]
    n_draws: int
    batch: int


def plain_net(weights: dict[str, torch.Tensor]) -> nn.Sequential:
    """Make the MLP 64-128-10 with dropout of layers of torch."""
    net = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10)
    )
    net.load_state_dict(
        {
            "0.weight": weights["body.0.weight"],
            "0.bias": weights["body.0.bias"],
            "3.weight": weights["head.weight"],
            "3.bias": weights["head.bias"],
        }
    )
    return net.eval()


def peak_mb() -> float:
    """Return the peak memory of the process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(
    queries: dict[str, Callable[[Problem], Callable[[Any], Any]]],
    seconds: float = 2.0,
) -> None:
    """Run the query that the command line names, and print its time and memory.

    A query is a function of the problem.  It returns a function of a pool, which
    returns the rows picked; only the latter is measured.  It is repeated, at most
    `MOST` times, until all runs together took `seconds`; times are medians.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--query", choices=sorted(queries), required=True)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = np.load(args.work / "problem.npz")
    problem = Problem(
        data["X"][: args.rows],
        data["X_labeled"],
        data["y_labeled"],
        torch.load(args.work / "weights.pt"),
        int(data["n_draws"]),
        int(data["batch"]),
    )
    query = queries[args.query](problem)
    query(problem.X[:WARM_UP])
    before = peak_mb()
    walls: list[float] = []
    cpus = []
    while not walls or (sum(walls) < seconds and len(walls) < MOST):
        start, cpu = time.perf_counter(), time.process_time()
        picks = query(problem.X)
        walls.append(time.perf_counter() - start)
        cpus.append(time.process_time() - cpu)
        if len(walls) == 1:
            added = peak_mb() - before
    result = {
        "seconds": float(np.median(walls)),
        "cpu_seconds": float(np.median(cpus)),
        "added_mb": added,
        "distinct": None if picks is None else len(set(np.asarray(picks).tolist())),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(result))
