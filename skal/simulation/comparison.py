"""Comparison of query strategies on the same folds and the same starts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils.parallel import Parallel, delayed
from tqdm.auto import tqdm

from skal.exceptions import CampaignError, UnsuitableLearnerError
from skal.rng import resolve_rng, seed_from
from skal.rows import n_rows
from skal.simulation.campaign import check_budget, check_counts, check_data
from skal.simulation.loop import Campaign
from skal.simulation.playing import CampaignFailure, PlayedStep, Run, play
from skal.simulation.result import (
    StrategyComparison,
    named_scorings,
    score_labels,
)
from skal.simulation.starts import is_drawn
from skal.simulation.store import CampaignStore
from skal.strategies import Random
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
    store: Any = None,
    callback: Callable[[PlayedStep], Any] | None = None,
) -> StrategyComparison:
    """Run campaigns of several strategies on the same folds, starts and seeds.

    Parameters
    ----------
    estimator : estimator
        The model to train, or a learner, as in `ActiveLearningSimulation`.
    strategies : dict of str to callable
        Query strategies, by the names under which they are shown.
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
    n_initial, n_instances, n_queries, initial, n_candidates
        As in `ActiveLearningSimulation`; positions in `initial` refer to `X` and must
        be training rows of every fold.
    scoring : str, callable, list, dict or None, default=None
        As in scikit-learn's `cross_validate`; None uses the estimator's own `score`.
        With several scorers, the result shows the first one, and
        ``comparison.of(name)`` another one.
    random_state : int, RandomState, Generator or None, default=None
        Seeds everything, including estimators and strategies.
    n_jobs : int, optional
        Number of campaigns to run in parallel, on joblib's current backend; it does
        not change the result.
    verbose : int, default=0
        Show a progress bar over all campaigns if positive.
    store : str or path, optional
        A folder in which each campaign is saved as soon as it is finished. After an
        interrupt or a crash, the same call continues from there, with the same result.
        Strategies can be added; if anything else changes, use another folder. Changes
        of data, parameters, and the code of your functions and classes are noticed, but
        not of functions that these call. A warning is issued if versions of numpy,
        scikit-learn or torch differ from those of the first call.
    callback : callable, optional
        Called as ``callback(step)`` after each step of each campaign, in its process,
        with a `skal.simulation.PlayedStep`, for example for logs and checkpoints. If it
        returns True, the campaign ends.

    Returns
    -------
    comparison : StrategyComparison
        With ``data``, ``summary()``, ``table()`` and ``plot()``; `print` shows the
        summary.

    Raises
    ------
    ValueError
        If there is no strategy, a fold is too small for the budget, a scorer has the
        name of a column of the result, or `store` holds another comparison or a damaged
        file. Nothing has been fitted then.
    UnsuitableLearnerError, CampaignError
        If strategies cannot query on the start of the first run, which is tried before
        any campaign, with one additional fit of the estimator. The message names all of
        these strategies.
    CampaignError
        If campaigns failed. The message names the strategy, the fold and the step of
        each; the attribute ``comparison`` holds the finished campaigns.

    Notes
    -----
    A run is one repeat on one fold. Within a run, all strategies have the same rows,
    the same start and the same seeds: their scores at the first step are equal, and
    differences between them are paired.

    Each estimator is scored as soon as it is fitted, and is not kept. If a callback
    ends campaigns early, areas cover only the steps that all strategies of a run have.

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
    for name, strategy in strategies.items():
        if isinstance(strategy, type):
            raise TypeError(
                f"The strategy {name!r} is the class {strategy.__name__}; pass an "
                f"object, such as {strategy.__name__}()."
            )
    check_counts(n_initial, n_instances, n_queries, n_candidates)
    check_int("n_repeats", n_repeats)
    classes = is_classifier(estimator)
    X, y = check_data(X, y, classes=classes)
    labels = score_labels(estimator, scoring)
    scorers = {
        name: check_scoring(estimator, given)
        for name, given in named_scorings(scoring).items()
    }
    splitter = check_cv(cv, y, classifier=classes)
    folds = [
        (_positions(train, n_rows(X)), _positions(test, n_rows(X)))
        for train, test in splitter.split(X, y, groups)
    ]
    _warn_of_folds(folds)
    rng = resolve_rng(random_state)
    seeds = [[seed_from(rng) for _ in range(n_repeats)] for _ in folds]
    kept = None
    if store is not None:
        settings = {
            **{"estimator": estimator, "data": (X, y), "scoring": scoring},
            **{"n_initial": n_initial, "n_instances": n_instances},
            **{"n_queries": n_queries, "n_repeats": n_repeats, "initial": initial},
            **{"n_candidates": n_candidates, "random_state": random_state},
            "groups": groups,
            "cv": splitter if isinstance(cv, int) or hasattr(cv, "split") else folds,
        }
        kept = CampaignStore(store, settings, strategies, folds, seeds)
        folds, seeds = kept.folds, kept.seeds
    for train, _ in folds:
        check_budget(len(train), initial, n_initial, n_instances, n_queries)
    starts = [_start_in_fold(initial, train, k) for k, (train, _) in enumerate(folds)]
    runs = [
        Run(name, fold, repeat, seed)
        for fold, by_repeat in enumerate(seeds)
        for repeat, seed in enumerate(by_repeat)
        for name in strategies
    ]

    def campaign_of(run: Run) -> Campaign:
        return Campaign(
            X,
            y,
            folds[run.fold][0],
            n_initial=n_initial,
            n_instances=n_instances,
            n_queries=n_queries,
            initial=starts[run.fold],
            n_candidates=n_candidates,
            random_state=run.seed,
        )

    def call(run: Run) -> Any:
        pair = clone(estimator), clone(strategies[run.strategy], safe=False)
        test = folds[run.fold][1]
        return delayed(play)(
            run, campaign_of(run), *pair, test, scorers, callback, kept
        )

    played: dict[Run, Any] = {
        run: None if kept is None else kept.load(run.strategy, run.fold, run.repeat)
        for run in runs
    }
    open_runs = [run for run in runs if played[run] is None]
    if open_runs:
        ahead = {run.strategy: strategies[run.strategy] for run in open_runs}
        _check_first_queries(campaign_of(open_runs[0]), clone(estimator), ahead)
    with tqdm(total=len(runs), desc="campaigns", disable=not verbose) as bar:
        bar.update(len(runs) - len(open_runs))
        results = _ParallelWithBar(bar, n_jobs)(map(call, open_runs))
    played.update(zip(open_runs, results, strict=True))
    failures = [r for r in played.values() if isinstance(r, CampaignFailure)]
    finished = [r for r in played.values() if not isinstance(r, CampaignFailure)]
    comparison = None
    if finished:
        comparison = StrategyComparison(
            data=pd.DataFrame([row for rows in finished for row in rows]),
            label=next(iter(labels.values())),
            test_train_ratio=float(np.mean([len(te) / len(tr) for tr, te in folds])),
            reference=_reference(strategies),
            labels=labels,
        )
        _warn_of_missing_scores(comparison)
    if failures:
        raise _failed(failures, len(runs), comparison, store) from failures[0].error
    assert comparison is not None  # there is a strategy, and a fold
    return comparison


def _warn_of_missing_scores(comparison: StrategyComparison) -> None:
    """Warn of scores of NaN, which no mean can include."""
    for name in comparison.labels:
        column = name if name in comparison.data else "score"
        missing = comparison.data[column].isna()
        if missing.any():
            where = comparison.data.loc[missing.idxmax()]
            warnings.warn(
                f"{int(missing.sum())} of {len(missing)} scores are NaN by the scorer "
                f"{name!r} (the first: strategy {where['strategy']!r}, fold "
                f"{where['fold']}, {where['n_labeled']} labels). Their steps are left "
                "out of the comparison.",
                UserWarning,
                stacklevel=3,
            )


def _reference(strategies: Mapping[str, Any]) -> str:
    """Name the strategy to compare with: the first random one, or the first."""
    for name, strategy in strategies.items():
        if isinstance(strategy, Random) or str(name).lower() == "random":
            return name
    return next(iter(strategies))


def _check_first_queries(
    campaign: Campaign, estimator: Any, strategies: Mapping[str, Any]
) -> None:
    """Raise if a strategy fails in its first query, before any campaign is run."""
    if campaign.n_queries == 0:
        return
    errors = campaign.first_query_errors(estimator, strategies)
    if not errors:
        return
    lines = [f"{k!r}: {type(e).__name__}: {e}" for k, e in errors.items()]
    message = (
        f"{len(errors)} of {len(strategies)} strategies cannot query on the first "
        "start, so no campaign was run.\n" + "\n".join(lines)
    )
    first = next(iter(errors.values()))
    if all(isinstance(error, UnsuitableLearnerError) for error in errors.values()):
        raise UnsuitableLearnerError(message) from first
    raise CampaignError(message, None, []) from first


def _failed(
    failures: list[CampaignFailure], n_runs: int, comparison: Any, store: Any
) -> CampaignError:
    """Make the error of a comparison of which some campaigns failed."""
    kept = "The others are finished: see the attribute `comparison` of this error."
    if store is not None:
        kept += f" They are in {str(store)!r}; the same call continues from there."
    lines = "\n".join(map(str, failures))
    message = f"{len(failures)} of {n_runs} campaigns failed. {kept}\n{lines}"
    return CampaignError(message, comparison, failures)


def _positions(rows: Any, m: int) -> np.ndarray:
    """Positions of the rows of a part of a fold, which may be a mask."""
    rows = np.asarray(rows)
    if rows.dtype == bool and len(rows) == m:
        return np.flatnonzero(rows)
    positions = rows.astype(np.int64) if rows.dtype.kind in "iuf" else rows[:0]
    is_whole = rows.dtype.kind in "iuf" and bool((positions == rows).all())
    if not is_whole or not bool(((-m <= positions) & (positions < m)).all()):
        raise ValueError(
            f"cv must give positions of rows of X, from 0 to {m - 1}, or masks of "
            f"{m} rows, got {rows.dtype}: {rows[:5].tolist()}."
        )
    return np.where(positions < 0, positions + m, positions)


def _warn_of_folds(folds: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """Warn of rows that are counted twice."""
    for k, (train, test) in enumerate(folds):
        shared = len(np.intersect1d(train, test))
        twice = len(train) - len(np.unique(train))
        if shared:
            problem = f"{shared} test rows are training rows, so scores are too good"
        elif twice:
            problem = f"{twice} training rows are repeated, and may be labeled twice"
        else:
            continue
        warnings.warn(f"Fold {k} of cv: {problem}.", UserWarning, stacklevel=3)
        return


def _start_in_fold(initial: Any, train: np.ndarray, fold: int) -> Any:
    """Convert positions in `X` to positions among the fold's training rows."""
    if is_drawn(initial):
        return initial
    position = {row: k for k, row in enumerate(train.tolist())}
    missing = [row for row in np.asarray(initial).tolist() if row not in position]
    if missing:
        raise ValueError(
            f"initial contains row {missing[0]}, which is not a training row of fold "
            f"{fold}. The start must consist of training rows of every fold."
        )
    return [position[row] for row in np.asarray(initial).tolist()]


class _ParallelWithBar(Parallel):
    """joblib's `Parallel`, with a progress bar in place of its printed messages.

    Every backend, in every version, calls ``print_progress``; a generator of results,
    the alternative, is not available everywhere.
    """

    def __init__(self, bar: Any, n_jobs: int | None) -> None:
        super().__init__(n_jobs=n_jobs)
        self.bar = bar
        self.n_before = bar.n

    def print_progress(self) -> None:
        """Move the bar to the number of completed tasks."""
        self.bar.n = self.n_before + self.n_completed_tasks
        self.bar.refresh()
