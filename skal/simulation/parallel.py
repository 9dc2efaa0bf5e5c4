"""Tasks in parallel under one progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sklearn.utils.parallel import Parallel, delayed
from tqdm import tqdm

__all__ = ["run_tasks"]


class _WithBar(Parallel):
    """joblib's `Parallel` that moves a bar where it would print.

    ``print_progress`` is called by every backend, in every version, which asking for
    a generator of results is not.
    """

    def __init__(self, bar: Any, n_jobs: int | None) -> None:
        super().__init__(n_jobs=n_jobs)
        self.bar = bar

    def print_progress(self) -> None:
        """Show how many tasks are done."""
        self.bar.n = self.n_completed_tasks
        self.bar.refresh()


def run_tasks(
    function: Callable[..., Any],
    tasks: Iterable[Sequence[Any]],
    *,
    total: int,
    n_jobs: int | None = None,
    verbose: int = 0,
    desc: str = "",
) -> list[Any]:
    """Call `function` with each task's arguments, on joblib's current backend.

    Parameters
    ----------
    function : callable
        Must be picklable for a backend of processes.
    tasks : iterable of sequences
        Arguments of each call.
    total : int
        How many tasks there are.
    n_jobs : int, optional
        As in joblib.
    verbose : int
        Whether a progress bar is shown.
    desc : str
        What the bar is called.

    Returns
    -------
    results : list
        In the order of the tasks.

    Examples
    --------
    >>> from skal.simulation.parallel import run_tasks
    >>> run_tasks(pow, [(2, 3), (3, 2)], total=2)
    [8, 9]
    """
    with tqdm(total=total, desc=desc, disable=not verbose) as bar:
        calls = (delayed(function)(*task) for task in tasks)
        results: list[Any] = _WithBar(bar, n_jobs)(calls)
    return results
