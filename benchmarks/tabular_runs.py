"""Campaigns played side by side, each kept in a file as it ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

KEYS = ["set", "split", "strategy"]
Task = tuple[str, int, str]


def kept(file: Path) -> pd.DataFrame:
    """Read the campaigns that the file holds; none if there is no file."""
    return pd.read_csv(file) if file.exists() else pd.DataFrame(columns=KEYS)


def collect(
    play: Callable[[str, int, str], pd.DataFrame],
    tasks: Sequence[Task],
    n_jobs: int,
    file: Path,
) -> int:
    """Play what the file lacks; the number of campaigns that failed.

    One that fails is told of, and the others go on.
    """
    done = set(kept(file)[KEYS].itertuples(index=False, name=None))
    todo = [task for task in tasks if task not in done]
    file.parent.mkdir(parents=True, exist_ok=True)
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    results = parallel(delayed(_attempt)(play, task) for task in todo)
    failed = 0
    for result in tqdm(results, total=len(todo), desc="campaigns"):
        if isinstance(result, str):
            failed += 1
            print(result, file=sys.stderr, flush=True)
        else:
            result.to_csv(file, mode="a", header=not file.exists(), index=False)
    return failed


def _attempt(play: Callable[..., Any], task: Task) -> pd.DataFrame | str:
    try:
        table: pd.DataFrame = play(*task)
        return table
    except Exception:
        return f"{task} failed:\n{traceback.format_exc()}"
