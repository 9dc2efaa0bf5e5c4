"""Comparison of query strategies on the same folds and the same starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils.parallel import Parallel, delayed
from tqdm.auto import tqdm

from skal.rng import resolve_rng, seed_from
from skal.rows import take_rows
from skal.simulation.campaign import check_budget, check_counts, check_data
from skal.simulation.loop import Campaign, global_rng_lock
from skal.simulation.result import StrategyComparison, score_label
from skal.validation import check_int

__all__ = ["compare_strategies"]


def compare_strategies(
    estimator: Any,
    strategies: Mapping[str, Any],
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    groups: Any = None,
    n_repeats: int = 1,
    n_initial: int = 20,
    n_instances: int = 10,
    n_queries: int = 10,
    initial: Any = "random",
    scoring: Any = None,
    n_candidates: int | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> StrategyComparison:
    """Run campaigns of several strategies on the same folds, starts and seeds.

    Parameters
    ----------
    estimator : estimator
        The model to train, or a learner, as in `ActiveLearningSimulation`.
    strategies : dict of str to callable
        Query strategies, by the names to show.
    X, y : array-likes
        All rows and their labels.
    cv : int, splitter or iterable, default=5
        As in scikit-learn; stratified for classifiers. Campaigns run on the training
        rows of a fold and are scored on its test rows. ``ShuffleSplit(10)`` gives ten
        independent splits.
    groups : array-like, optional
        For splitters that need groups.
    n_repeats : int, default=1
        Number of starts per fold.
    n_initial, n_instances, n_queries, initial, scoring, n_candidates
        As in `ActiveLearningSimulation`; positions in `initial` refer to `X` and must
        be training rows of every fold.
    random_state : int, RandomState, Generator or None, default=None
        Seeds everything, including estimators and strategies.
    n_jobs : int, optional
        Number of campaigns to run in parallel, on joblib's current backend; it does
        not change the result.
    verbose : int, default=0
        Show a progress bar over all campaigns if positive.

    Returns
    -------
    comparison : StrategyComparison
        With ``data``, ``summary()``, ``table()`` and ``plot()``.

    Raises
    ------
    ValueError
        If there is no strategy, or a fold is too small for the budget. Nothing has
        been fitted then.

    Notes
    -----
    A run is one repeat on one fold. Within a run, all strategies have the same rows,
    the same start and the same seeds: their scores at the first step are equal, and
    differences between them are paired.

    Each estimator is scored as soon as it is fitted; none is kept.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.simulation import compare_strategies
    >>> from skal.strategies import Entropy, Random
    >>> X, y = load_iris(return_X_y=True)
    >>> comparison = compare_strategies(
    ...     LogisticRegression(max_iter=1000),
    ...     {"Random": Random(), "Entropy": Entropy()},
    ...     X,
    ...     y,
    ...     cv=3,
    ...     n_initial=6,
    ...     n_instances=3,
    ...     n_queries=2,
    ...     initial="stratified",
    ...     random_state=0,
    ... )
    >>> list(comparison.table().columns)
    [6, 9, 12]
    """
    if not isinstance(strategies, Mapping) or not strategies:
        raise ValueError(
            "strategies must be a dict of names and query strategies with at least "
            f"one entry, got {strategies!r}."
        )
    check_counts(n_initial, n_instances, n_queries, n_candidates)
    check_int("n_repeats", n_repeats)
    classes = is_classifier(estimator)
    X, y = check_data(X, y, classes=classes)
    check_scoring(estimator, scoring)
    splitter = check_cv(cv, y, classifier=classes)
    folds = [tuple(map(np.asarray, fold)) for fold in splitter.split(X, y, groups)]
    for train, _ in folds:
        check_budget(len(train), initial, n_initial, n_instances, n_queries)
    starts = [_start_in_fold(initial, train, k) for k, (train, _) in enumerate(folds)]
    rng = resolve_rng(random_state)
    seeds = [[seed_from(rng) for _ in range(n_repeats)] for _ in folds]

    def tasks() -> Iterator[tuple[Any, ...]]:
        for k, (train, test) in enumerate(folds):
            for repeat, seed in enumerate(seeds[k]):
                campaign = Campaign(
                    X,
                    y,
                    train,
                    n_initial=n_initial,
                    n_instances=n_instances,
                    n_queries=n_queries,
                    initial=starts[k],
                    n_candidates=n_candidates,
                    random_state=seed,
                )
                for name, strategy in strategies.items():
                    run = {"strategy": name, "fold": k, "repeat": repeat, "seed": seed}
                    pair = clone(estimator), clone(strategy, safe=False)
                    yield campaign, *pair, test, scoring, run

    n_tasks = len(folds) * n_repeats * len(strategies)
    with tqdm(total=n_tasks, desc="campaigns", disable=not verbose) as bar:
        calls = (delayed(_run_and_score)(*task) for task in tasks())
        rows = [row for run in _ParallelWithBar(bar, n_jobs)(calls) for row in run]
    return StrategyComparison(
        data=pd.DataFrame(rows),
        label=score_label(estimator, scoring),
        test_train_ratio=float(np.mean([len(test) / len(tr) for tr, test in folds])),
    )


def _start_in_fold(initial: Any, train: np.ndarray, fold: int) -> Any:
    """Convert positions in `X` to positions among the fold's training rows."""
    if isinstance(initial, str):
        return initial
    position = {row: k for k, row in enumerate(train.tolist())}
    missing = [row for row in np.asarray(initial).tolist() if row not in position]
    if missing:
        raise ValueError(
            f"initial contains row {missing[0]}, which is not a training row of fold "
            f"{fold}. The start must consist of training rows of every fold."
        )
    return [position[row] for row in np.asarray(initial).tolist()]


def _run_and_score(
    campaign: Campaign,
    estimator: Any,
    strategy: Any,
    test: np.ndarray,
    scoring: Any,
    run: dict[str, Any],
) -> list[dict[str, Any]]:
    """Run one campaign; return one row of the result's table per step."""
    X_test, y_test = take_rows(campaign.X, test), take_rows(campaign.y, test)
    scorer = check_scoring(estimator, scoring)
    rows: list[dict[str, Any]] = []
    n_labeled = 0
    for step in campaign.run(estimator, strategy):
        with global_rng_lock:
            score = float(scorer(step.estimator, X_test, y_test))
        n_labeled += len(step.labeled)
        rows.append(
            {
                **run,
                "step": len(rows),
                "n_labeled": n_labeled,
                "score": score,
                "query_time": step.query_time,
                "fit_time": step.fit_time,
            }
        )
    return rows


class _ParallelWithBar(Parallel):
    """joblib's `Parallel`, with a progress bar in place of its printed messages.

    Every backend, in every version, calls ``print_progress``; a generator of results,
    the alternative, is not available everywhere.
    """

    def __init__(self, bar: Any, n_jobs: int | None) -> None:
        super().__init__(n_jobs=n_jobs)
        self.bar = bar

    def print_progress(self) -> None:
        """Move the bar to the number of completed tasks."""
        self.bar.n = self.n_completed_tasks
        self.bar.refresh()
