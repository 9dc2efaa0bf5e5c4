"""Which strategy to start with, according to the studies of skal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from skal.contexts import hiding, own_modes
from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.reading.unwrapping import innermost, learners_of
from skal.rows import take_slice
from skal.strategies.base import QueryStrategy
from skal.strategies.centers import LCMD
from skal.strategies.covariance import BAIT
from skal.strategies.disagreement import VoteEntropy
from skal.strategies.random import Random
from skal.strategies.uncertainty import Margin
from skal.validation import check_int

__all__ = [
    "CHOICES",
    "FEW",
    "Choice",
    "Facts",
    "choice_for",
    "recommended_strategy",
    "trial_error",
]

#: Rows that a strategy is tried on.
FEW = 8
_FORESTS = (RandomForestRegressor, ExtraTreesRegressor)


class Facts(NamedTuple):
    """What a choice may depend on.

    Attributes
    ----------
    task : str
        "classification", "regression" or "unknown".
    n_models : int
        Members of a committee; otherwise 1.
    has_proba, decides : bool
        Whether every model has `predict_proba`, or this or `decision_function`.
    is_forest : bool
        Whether every model is a forest of scikit-learn.
    n_instances : int or None
        Rows of a query, if known.
    """

    task: str
    n_models: int
    has_proba: bool
    decides: bool
    is_forest: bool
    n_instances: int | None


class Choice(NamedTuple):
    """A line of the decision table; the first that applies is taken.

    Attributes
    ----------
    task, learner : str
        For whom, in words.
    strategy : type
        Taken with its default parameters.
    applies : callable
        From `Facts` to bool.
    why : str
        A sentence.
    results : tuple of str
        Names of files in ``benchmarks/results`` that show it; empty if the choice
        follows from what the learner can be asked.
    """

    task: str
    learner: str
    strategy: type[QueryStrategy]
    applies: Callable[[Facts], bool]
    why: str
    results: tuple[str, ...] = ()


#: In the order in which they are tried.
CHOICES = (
    Choice(
        "classification",
        "with `predict_proba`: nets, forests, boosted trees, Gaussian processes, "
        "logistic regression, and committees of these",
        Margin,
        lambda facts: facts.task == "classification" and facts.has_proba,
        "margin sampling is among the best of the compared strategies, with nets and "
        "with other classifiers, in batches of 1 to 100 rows. With a small net and few "
        "labels, BAIT is slightly better on 17 tables (0.5 percentage points, 95 % "
        "interval 0.0 to 1.0), and LDMSeeding on four sets of letters and digits in "
        "batches of 20; their queries take 30 to 90 times as long.",
        (
            *("posteriors_worth", "tabular_classification", "any_learner", "binary26"),
            "ldm_worth",
        ),
    ),
    Choice(
        "classification",
        "with `decision_function` only, such as `SVC`",
        Margin,
        lambda facts: (
            facts.task == "classification" and facts.decides and facts.n_models == 1
        ),
        "the rows nearest to the decision boundary of the model are better than random "
        "sampling on eleven of eleven binary tables with an SVM, and better on average "
        "than every other compared strategy.",
        ("binary26", "any_learner"),
    ),
    Choice(
        "classification",
        "committee with members that lack `predict_proba`",
        VoteEntropy,
        lambda facts: facts.task == "classification" and facts.n_models > 1,
        "votes can be compared even if the decision values of the members have "
        "different scales.",
    ),
    Choice(
        "classification",
        "with neither",
        LCMD,
        lambda facts: facts.task == "classification",
        "it needs no probabilities: it compares rows in a space of the learner.",
    ),
    Choice(
        "regression",
        "forests: `RandomForestRegressor`, `ExtraTreesRegressor`",
        BAIT,
        lambda facts: facts.task == "regression" and facts.is_forest,
        "with extra trees, it is better than random sampling on six of six tables, by "
        "0.06 in log RMSE (95 % interval -0.01 to 0.13); LCMD is not, since trees that "
        "saw all labeled rows agree on these rows. Random forests were not studied.",
        ("any_learner",),
    ),
    Choice(
        "regression",
        "others: nets, boosted trees, Gaussian processes, linear models, SVR",
        LCMD,
        lambda facts: facts.task == "regression",
        "it has the best average rank of the compared strategies with nets on tables, "
        "closely followed by BAIT, and is better than random sampling on all of these "
        "tables. It also has the best rank with ridge regression, SVR and nearest "
        "neighbors. With CatBoost and Gaussian processes, it is better than random "
        "sampling on average, but not significantly.",
        ("tabular_small", "tabular", "plain_regressors", "any_learner"),
    ),
    Choice(
        "unknown",
        "neither a classifier nor a regressor by its tags",
        Random,
        lambda facts: True,
        "nothing is known about its predictions.",
    ),
)


def recommended_strategy(learner: Any, n_instances: int | None = None) -> QueryStrategy:
    """Choose the strategy to start with for a learner.

    Parameters
    ----------
    learner : ActiveLearner, Committee or estimator
        Any nesting of learners, pipelines and searches; fitted or not.
    n_instances : int, optional
        Number of rows that a query will pick.  At present, the choice does not depend
        on it: in the studies, the same strategies are best in small and large batches.

    Returns
    -------
    strategy : QueryStrategy
        A new object.  Its attribute ``reason`` explains the choice, and names the
        results in ``benchmarks/results`` on which it is based.

    Raises
    ------
    ValueError
        If `n_instances` is not a positive int.

    See Also
    --------
    suitable_strategies : All strategies that suit a learner.
    skal.simulation.compare_strategies : What they are worth on your data.

    Notes
    -----
    The choice is based on studies of tables and images, which are summarized on the
    page "Which strategy" of the user guide: `LCMD` for regression, but `BAIT` with
    forests, `Margin` for classification, and other strategies for classifiers without
    probabilities.  No strategy is the best on all data.

    If the learner is fitted and holds labeled rows, the strategy is tried on a few of
    them.  If it fails, another one is returned, with a warning unless the learner
    lacks what the strategy needs.  Neither the learner nor the global random
    generators are changed.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.svm import SVC
    >>> from skal import recommended_strategy
    >>> recommended_strategy(Ridge())
    LCMD()
    >>> strategy = recommended_strategy(SVC(), n_instances=10)
    >>> strategy
    Margin()
    >>> print(strategy.reason)  # doctest: +ELLIPSIS
    Margin: the rows nearest to the decision boundary of the model are better than ...
    """
    if n_instances is not None:
        check_int("n_instances", n_instances)
    choice = choice_for(learner, n_instances)
    strategy = choice.strategy()
    reason = _reason(choice)
    pool = _labeled_pool(learner)
    if pool is not None:
        with own_modes():
            error = trial_error(strategy, pool)
            if error is not None:
                first = type(strategy).__name__
                strategy = next(s for s in _others(choice) if _answers(s, pool))
                reason = (
                    f"{type(strategy).__name__}, because {first}, the first choice, "
                    f"fails for this learner: {type(error).__name__}: {error}"
                )
                if not isinstance(error, UnsuitableLearnerError):
                    warnings.warn(reason, UserWarning, stacklevel=2)
    strategy.reason = reason
    return strategy


def choice_for(learner: Any, n_instances: int | None = None) -> Choice:
    """Find the line of `CHOICES` that applies to a learner."""
    facts = _facts(learner, n_instances)
    return next(c for c in CHOICES if c.applies(facts))


def trial_error(strategy: QueryStrategy, pool: Pool) -> Exception | None:
    """Let a strategy pick a row of a pool, and return what it raises."""
    try:
        with hiding():
            strategy._check_learner(pool)
            strategy._query(pool, 1)
    # What a strategy raises depends on the models of the user.
    except Exception as error:
        return error
    return None


def _facts(learner: Any, n_instances: int | None) -> Facts:
    models = [innermost(member) for member in learners_of(learner)]
    has_proba = all(hasattr(model, "predict_proba") for model in models)
    decides = all(
        hasattr(m, "predict_proba") or hasattr(m, "decision_function") for m in models
    )
    task = Pool(learner, [[0.0]]).task
    is_forest = all(isinstance(model, _FORESTS) for model in models)
    return Facts(task, len(models), has_proba, decides, is_forest, n_instances)


def _reason(choice: Choice) -> str:
    text = f"{choice.strategy.__name__}: {choice.why}"
    if choice.results:
        text += f" See {', '.join(choice.results)} in benchmarks/results."
    return text


def _labeled_pool(learner: Any) -> Pool | None:
    """Take a few labeled rows as a pool; None if a trial on them proves nothing."""
    for X, _ in Pool(learner, [[0.0]]).labeled:
        pool = Pool(learner, take_slice(X, slice(FEW)))
        return pool if pool.is_fitted else None
    return None


def _answers(strategy: QueryStrategy, pool: Pool) -> bool:
    # Random does not read the learner: it is the last resort even where a trial fails.
    return isinstance(strategy, Random) or trial_error(strategy, pool) is None


def _others(choice: Choice) -> Iterator[QueryStrategy]:
    for other in CHOICES:
        if other.task in (choice.task, "unknown") and other is not choice:
            yield other.strategy()
    yield Random()
