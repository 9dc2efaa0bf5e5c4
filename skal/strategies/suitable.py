"""Which strategies suit a learner: each is tried on a few rows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from skal.contexts import own_modes
from skal.reading.pool import Pool
from skal.reading.unwrapping import estimator_of
from skal.rows import n_rows, take_slice
from skal.strategies.base import QueryStrategy, all_strategies
from skal.strategies.recommended import FEW, choice_for, trial_error
from skal.strategies.wrapping import WrappingStrategy

__all__ = ["suggestion", "suitable_strategies", "summary"]

#: The strategies to try after that of `recommended_strategy`, by the results of
#: comparisons on tables and images.
_FIRST = {
    "classification": (
        *("Margin", "LDMSeeding", "LCMD", "BADGE", "LeastConfident", "VoteEntropy"),
        *("BAIT", "Entropy", "CoreSet", "ConsensusEntropy"),
    ),
    "regression": (
        *("LCMD", "BAIT", "KMeansPP", "FrankWolfe", "WiGS", "CoreSet", "TESSAR"),
        *("GreedySampling", "MaxDet", "KMedoids"),
    ),
}
#: Names in an error.
_NAMES = 6


def suitable_strategies(learner: Any, X: Any = None) -> dict[str, str]:
    """Find the strategies of skal that suit a learner.

    Parameters
    ----------
    learner : ActiveLearner, Committee or estimator
        Fitted.
    X : rows, optional
        At least one row like those of the pool.  By default, labeled rows of the
        learner are used, or random numbers if it holds none but knows its number of
        features.

    Returns
    -------
    strategies : dict of str to str
        Names and one-line summaries: first that of `recommended_strategy`, then others
        that are among the best for the task in our studies, then the rest by name.

    Raises
    ------
    ValueError
        If no rows are known.
    sklearn.exceptions.NotFittedError
        If the learner is not fitted.

    See Also
    --------
    all_strategies : All of them as classes.
    skal.recommended_strategy : The one to start with.

    Notes
    -----
    Each strategy picks one of up to eight rows with its default parameters; for all
    strategies together, this takes a few seconds.  Neither the learner nor global
    generators are changed.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.svm import SVR
    >>> from skal.strategies import suitable_strategies
    >>> X, y = load_diabetes(return_X_y=True)
    >>> found = suitable_strategies(SVR().fit(X, y), X)
    >>> list(found)[:2]
    ['LCMD', 'BAIT']
    >>> found["Random"]
    'Rows drawn uniformly at random, without replacement.'
    """
    with own_modes():
        pool = Pool(learner, _few_rows(learner, X))
        _ = pool.members  # raises if the learner is not fitted
        return {cls.__name__: summary(cls) for cls in _suitable(pool)}


def suggestion(pool: Pool) -> str:
    """Name the first strategies that suit the learner of a pool, for an error."""
    few = Pool(pool.learner, take_slice(pool.X, slice(FEW)))
    plain = (cls for cls in _suitable(few) if not issubclass(cls, WrappingStrategy))
    names = [cls.__name__ for cls in islice(plain, _NAMES)]
    if not names:
        return ""
    return (
        f" Strategies that suit this learner: {', '.join(names)}. All of them: "
        "skal.strategies.suitable_strategies(learner)."
    )


def _suitable(pool: Pool) -> Iterator[type[QueryStrategy]]:
    """Yield the strategies that pick a row of the pool, best first."""
    chosen = choice_for(pool.learner).strategy.__name__
    first = (chosen, *_FIRST.get(pool.task, ()))
    known = {cls.__name__: cls for cls in all_strategies()}
    for name in dict.fromkeys((*first, "Random", *known)):
        if name in known and _runs(known[name], pool):
            yield known[name]


def _runs(cls: type[QueryStrategy], pool: Pool) -> bool:
    known = inspect.signature(cls).parameters
    quick = {"random_state": 0, "max_epochs": 1, "temperature": 1.0}
    strategy = cls(**{key: value for key, value in quick.items() if key in known})
    return trial_error(strategy, pool) is None


def _few_rows(learner: Any, X: Any) -> Any:
    if X is None:
        for rows, _ in Pool(learner, np.zeros((1, 1))).labeled:
            X = rows
            break
    if X is not None and n_rows(X):
        return take_slice(X, slice(FEW))
    n_features = getattr(estimator_of(learner), "n_features_in_", None)
    if n_features is None:
        raise ValueError("Pass some rows of the pool, X: the learner holds none.")
    return np.random.default_rng(0).normal(size=(FEW, n_features))


def summary(cls: type) -> str:
    """Return the first line of a docstring, without references and its own name."""
    line = (inspect.getdoc(cls) or "").split("\n", 1)[0]
    line = re.sub(r"\s*\[\d+\]_", "", line).removeprefix(f"{cls.__name__}: ")
    return line[:1].upper() + line[1:]
