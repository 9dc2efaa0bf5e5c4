"""Measure queries of skal and its peers, each in a separate process."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

PEERS = Path(__file__).parent / "peers"


def write_problem(
    folder: Path,
    X: np.ndarray,
    y: np.ndarray,
    n_labeled: int,
    weights: Any,
    batch: int,
    n_draws: int = 0,
) -> None:
    """Write a pool, labeled rows (the first), and the weights of nets."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / "weights.pt")
    np.savez(
        folder / "problem.npz",
        X=X[n_labeled:],
        X_labeled=X[:n_labeled],
        y_labeled=y[:n_labeled],
        n_draws=n_draws,
        batch=batch,
    )


def run_one(
    python: str,
    script: str,
    query: str,
    folder: Path,
    rows: int,
    threads: int,
    limit: int,
    memory: float | None = None,
) -> dict[str, Any]:
    """Run one query in a process.

    Parameters
    ----------
    python : str
        Interpreter of the environment that has the library.
    script : str
        File in ``benchmarks/peers``.
    query : str
        Name of the query in that script.
    folder : Path
        Where `write_problem` wrote the problem.
    rows : int
        Rows of the pool that are used.
    threads : int
    limit : int
        Seconds after which the process is stopped.
    memory : float, optional
        GiB that the process may take: distances of all pairs can exhaust a machine.

    Returns
    -------
    result : dict
        What the process printed, and ``outcome``: "done", or why there is no figure.
    """
    command = [python, str(PEERS / script), "--work", str(folder), "--query", query]
    command += ["--rows", str(rows), "--threads", str(threads)]
    own = {"PYTHONPATH": str(PEERS.parent.parent)} if script == "of_skal.py" else {}
    limits: dict[str, Any] = {}
    if memory is not None:
        most = int(memory * 2**30)
        set_limit = partial(resource.setrlimit, resource.RLIMIT_AS, (most, most))
        limits["preexec_fn"] = set_limit
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=limit,
            env={**os.environ, "OMP_NUM_THREADS": str(threads), **own},
            **limits,
        )
    except subprocess.TimeoutExpired:
        return {"outcome": f"over {limit} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        return {"outcome": lines[-1][:100]}
    result: dict[str, Any] = {"outcome": "done"}
    for line in done.stdout.strip().splitlines():
        if line.startswith("{"):
            result |= json.loads(line)
    return result


def run_all(
    cases: Sequence[dict[str, Any]],
    run: Callable[[dict[str, Any]], dict[str, Any]],
    repeats: int,
) -> pd.DataFrame:
    """Run all cases in turn, some times over; a row per process.

    A case that failed is not run again.
    """
    results: list[dict[str, Any]] = []
    failed = set()
    for repeat in range(repeats):
        for case in cases:
            key = tuple(case.values())
            if key in failed:
                continue
            result = run(case)
            if result["outcome"] != "done":
                failed.add(key)
            print(repeat, *key, result, file=sys.stderr, flush=True)
            results.append({"repeat": repeat, **case, **result})
    return pd.DataFrame(results)


def medians(data: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Medians over the repeats that are done, by case."""
    columns = ["seconds", "cpu_seconds", "added_mb", "distinct"]
    done = data[data["outcome"] == "done"]
    return done.groupby(list(keys), sort=False)[columns].median()


def cells(own: pd.Series, skal: float | None, floor: float | None) -> dict[str, str]:
    """Write one line of a table: seconds, and ratios within this run."""
    line = {"s": f"{own['seconds']:.2f}", "CPU-s": f"{own['cpu_seconds']:.2f}"}
    if floor is not None:
        line["times floor"] = f"{own['seconds'] / floor:.1f}"
    line["times skal"] = "" if skal is None else f"{own['seconds'] / skal:.1f}"
    line["MiB added"] = f"{own['added_mb']:.0f}"
    line["distinct picks"] = f"{own['distinct']:.0f}"
    return line


def load_of_machine(data: pd.DataFrame) -> str:
    """Describe the load of the machine while measuring."""
    loads = data["load"].dropna()
    return f"{loads.min():.1f} to {loads.max():.1f} on {os.cpu_count()} cores"


def interpreters(pairs: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=PYTHON`` pairs; ValueError for a name that is not known."""
    given = dict(pair.split("=", 1) for pair in pairs)
    if unknown := set(given) - set(known):
        raise ValueError(f"unknown peers {sorted(unknown)}")
    return {"skal": sys.executable, **given}
