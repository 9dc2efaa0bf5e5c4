"""Query strategies compared on the same folds and the same starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv

from skal.learners.rows import take_rows
from skal.rng import resolve_rng, seed_from
from skal.rows import n_rows
from skal.simulation.campaign import ActiveLearningSimulation
from skal.simulation.checks import (
    check_budget,
    check_count,
    check_counts,
    check_labels,
)
from skal.simulation.labels import score_label
from skal.simulation.parallel import run_tasks
from skal.simulation.result import StrategyComparison

if TYPE_CHECKING:
    import pandas as pd

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
    """Play campaigns of several strategies on the same folds, starts and seeds.

    Parameters
    ----------
    estimator : estimator
        What is trained, or a learner, as in `ActiveLearningSimulation`.
    strategies : dict of str to callable
        Query strategies by the name they are shown with.
    X, y : array-likes
        All rows and their labels.
    cv : int, splitter or iterable, default=5
        As in scikit-learn; stratified for classifiers.  Campaigns are played on the
        training rows of a fold and scored on its test rows.  ``ShuffleSplit(10)``
        gives ten independent splits.
    groups : array-like, optional
        For splitters that need them.
    n_repeats : int, default=1
        How many starts there are in each fold.
    n_initial, n_instances, n_queries, initial, scoring, n_candidates
        As in `ActiveLearningSimulation`; an `initial` of indices names rows of `X`,
        which must be training rows of every fold.
    random_state : int, RandomState, Generator or None, default=None
        Seeds everything, estimators and strategies included.
    n_jobs : int, optional
        Campaigns played at the same time, on joblib's current backend; the result is
        the same for any number.
    verbose : int, default=0
        Whether a progress bar over all campaigns is shown.

    Returns
    -------
    comparison : StrategyComparison
        With ``data``, ``summary()``, ``table()`` and ``plot()``.

    Raises
    ------
    ValueError
        If there is no strategy, or a fold is too small for the budget; before
        anything is fitted.

    Notes
    -----
    A run is a fold and a repeat.  Within a run all strategies have the same rows, the
    same start and the same seeds, so that their scores at the first step are equal
    and differences between them are paired.

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
    check_count("n_repeats", n_repeats, 1)
    X, y = check_labels(X, y)
    check_scoring(estimator, scoring)
    splitter = check_cv(cv, y, classifier=is_classifier(estimator))
    folds = [tuple(map(np.asarray, fold)) for fold in splitter.split(X, y, groups)]
    n_start = n_initial if isinstance(initial, str) else n_rows(initial)
    for train, _ in folds:
        check_budget(len(train), n_start, n_instances, n_queries)
    starts = [_start_in_fold(initial, train, k) for k, (train, _) in enumerate(folds)]
    rng = resolve_rng(random_state)
    seeds = [[seed_from(rng) for _ in range(n_repeats)] for _ in folds]

    settings = {
        "n_initial": n_initial,
        "n_instances": n_instances,
        "n_queries": n_queries,
        "scoring": scoring,
        "n_candidates": n_candidates,
    }
    tasks = [
        (
            ActiveLearningSimulation(
                clone(estimator),
                clone(strategy, safe=False),
                initial=starts[k],
                random_state=seeds[k][repeat],
                **settings,
            ),
            X,
            y,
            train,
            test,
            {"strategy": name, "fold": k, "repeat": repeat, "seed": seeds[k][repeat]},
        )
        for k, (train, test) in enumerate(folds)
        for repeat in range(n_repeats)
        for name, strategy in strategies.items()
    ]
    tables = run_tasks(
        _run, tasks, total=len(tasks), n_jobs=n_jobs, verbose=verbose, desc="campaigns"
    )
    import pandas as pd

    return StrategyComparison(
        data=pd.concat(tables, ignore_index=True),
        label=score_label(estimator, scoring),
        test_train_ratio=float(np.mean([len(test) / len(tr) for tr, test in folds])),
    )


def _start_in_fold(initial: Any, train: np.ndarray, fold: int) -> Any:
    """Turn rows of all data into positions among the fold's training rows."""
    if isinstance(initial, str):
        return initial
    position = {row: k for k, row in enumerate(train.tolist())}
    missing = [row for row in np.asarray(initial).tolist() if row not in position]
    if missing:
        raise ValueError(
            f"initial names row {missing[0]}, which is no training row of fold {fold}. "
            "Rows to start with must be training rows of every fold."
        )
    return [position[row] for row in np.asarray(initial).tolist()]


def _run(
    simulation: ActiveLearningSimulation,
    X: Any,
    y: Any,
    train: np.ndarray,
    test: np.ndarray,
    run: dict[str, Any],
) -> pd.DataFrame:
    """Play and score one campaign; a row a step."""
    import pandas as pd

    simulation.fit(take_rows(X, train), take_rows(y, train))
    scores = simulation.learning_curve(take_rows(X, test), take_rows(y, test))
    return pd.DataFrame(
        {
            **run,
            "step": np.arange(len(scores)),
            "n_labeled": simulation.n_labeled_,
            "score": scores,
            # The first step was not asked for.
            "query_time": np.concatenate([[np.nan], simulation.query_times_]),
            "fit_time": simulation.fit_times_,
        }
    )
