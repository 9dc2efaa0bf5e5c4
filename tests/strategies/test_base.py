"""Behavior of the base classes: checks, seeds and answers, with fake strategies."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Perceptron
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.learners import ActiveLearner, Committee
from skal.reading.pool import Pool
from skal.selection import Picks
from skal.strategies import QueryStrategy, ScoreStrategy, all_strategies

X = np.arange(12.0).reshape(6, 2)


class Given(QueryStrategy):
    """Returns what it was given."""

    def __init__(self, indices: Any = (0,), scores: Any = (0.0,)) -> None:
        self.indices = indices
        self.scores = scores

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        return Picks(torch.as_tensor(self.indices), torch.as_tensor(self.scores))


class Scored(ScoreStrategy):
    """Returns given scores, or draws them from the global generators."""

    def __init__(self, scores: Any = (), random_state: Any = None) -> None:
        self.scores = scores
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        if len(self.scores):
            return torch.as_tensor(self.scores)
        return torch.rand(len(pool)) + torch.as_tensor(np.random.rand())  # noqa: NPY002


class ForRegression(Given):
    """A user-defined strategy for regressors."""

    _task: ClassVar[str] = "regression"


@pytest.mark.parametrize(
    ("indices", "scores"),
    [
        ([0, 0], [1.0, 1.0]),
        ([0], [1.0]),
        ([0, 6], [1.0, 1.0]),
        ([-1, 2], [1.0, 1.0]),
        ([0, 1, 2], [1.0, 1.0, 1.0]),
        ([0, 1], [1.0]),
    ],
)
def test_wrong_answers_of_a_strategy_are_caught(indices, scores):
    with pytest.raises(RuntimeError, match="Given had to pick 2 distinct rows of 6"):
        Given(indices, scores).select(DummyRegressor(), X, 2)


def test_right_answers_come_in_the_order_picked():
    selection = Given([4, 1], [0.5, 2.0]).select(DummyRegressor(), X, 2)
    assert selection.indices.tolist() == [4, 1]
    assert selection.indices.dtype == np.int64
    assert selection.scores.tolist() == [0.5, 2.0]


@pytest.mark.parametrize("n", [0, -1, 7, 1.5, True, "2", None])
def test_bad_n_instances(n):
    with pytest.raises(ValueError, match="n_instances must be"):
        Given().select(DummyRegressor(), X, n)


@pytest.mark.parametrize("empty", [np.empty((0, 2)), [], pd.DataFrame()])
def test_empty_pool(empty):
    with pytest.raises(ValueError, match="pool is empty"):
        Given().select(DummyRegressor(), empty, 1)
    with pytest.raises(ValueError, match="pool is empty"):
        Scored().score_samples(DummyRegressor(), empty)


def test_scores_rank_high_first_and_ties_in_random_order():
    class Fixed(ScoreStrategy):
        scores: ClassVar[list[float]] = [1.0, 3.0, 2.0, 3.0, 0.0, 3.0]

        def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
            return torch.as_tensor(self.scores)

    strategy = Fixed()
    model = DummyRegressor()
    picked = strategy.select(model, X, 5).indices.tolist()
    assert sorted(picked[:3]) == [1, 3, 5]
    assert picked[3:] == [2, 0]
    # It has no random_state, and still the same picks at each call.
    assert strategy.select(model, X, 5).indices.tolist() == picked
    assert strategy.select(model, X, 5).scores.tolist() == [3.0, 3.0, 3.0, 2.0, 1.0]
    assert strategy.score_samples(model, X).tolist() == strategy.scores


def test_nan_scores_are_refused():
    scores = [1.0, float("nan"), 2.0, float("nan"), 0.0, 0.0]
    for call in (Scored(scores).select, Scored(scores).score_samples):
        with pytest.raises(ValueError, match="NaN for 2 of 6 rows"):
            call(DummyRegressor(), X)


def test_global_generators_are_seeded_inside_and_restored():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = Scored(random_state=0).select(DummyRegressor(), X, 6)
    again = Scored(random_state=0).select(DummyRegressor(), X, 6)
    assert torch.equal(torch.rand(3), expected)
    np.testing.assert_array_equal(first.scores, again.scores)
    other = Scored(random_state=1).select(DummyRegressor(), X, 6)
    assert not np.array_equal(first.scores, other.scores)
    np.testing.assert_array_equal(
        Scored(random_state=0).score_samples(DummyRegressor(), X)[first.indices],
        first.scores,
    )


@pytest.mark.parametrize(
    "make", [np.random.RandomState, np.random.default_rng], ids=["old", "new"]
)
def test_generators_move_on_and_repeat(make):
    strategy = Scored(random_state=make(0))
    draws = [strategy.select(DummyRegressor(), X, 6).scores for _ in range(2)]
    assert not np.array_equal(*draws)
    again = Scored(random_state=make(0)).select(DummyRegressor(), X, 6).scores
    np.testing.assert_array_equal(again, draws[0])


def test_none_is_fresh_each_time():
    strategy = Scored()
    draws = [strategy.select(DummyRegressor(), X, 6).scores for _ in range(2)]
    assert not np.array_equal(*draws)


@pytest.mark.parametrize("state", ["0", 1.5, True, -1])
def test_bad_random_state(state):
    with pytest.raises(ValueError, match="random_state"):
        Scored(random_state=state).select(DummyRegressor(), X, 1)


def test_own_strategies_are_checked_for_their_task():
    model = DummyClassifier().fit(X, [0, 1] * 3)
    with pytest.raises(UnsuitableLearnerError, match="is for regression"):
        ForRegression([0], [0.0]).select(model, X)
    assert ForRegression([0], [0.0]).select(DummyRegressor(), X).indices == [0]


class OfLabeled(Given):
    """A strategy that needs labeled rows."""

    _requires_labeled: ClassVar[bool] = True


def test_labeled_rows_are_asked_for_where_they_are_needed():
    learner = ActiveLearner(DummyClassifier())
    committee = Committee([learner])
    empty = ActiveLearner(DummyClassifier())
    empty.X_training, empty.y_training = X[:0], np.array([])
    for asks in (DummyClassifier().fit(X, X[:, 0] > 4), learner, committee, empty):
        with pytest.raises(
            UnsuitableLearnerError, match=r"OfLabeled needs labeled rows.*suit this"
        ):
            OfLabeled().select(asks, X, 1)
        assert Given().select(asks, X, 1).indices.tolist() == [0]
    learner.fit(X, X[:, 0] > 4)
    for asks in (learner, committee):
        assert OfLabeled().select(asks, X, 1).indices.tolist() == [0]


class OfNets(Given):
    """A strategy for classifiers that reads a net."""

    _task: ClassVar[str] = "classification"
    _requires: ClassVar[str | None] = "net"


class OfProba(Given):
    """A strategy that reads probabilities."""

    _requires: ClassVar[str | None] = "proba"


@pytest.mark.parametrize(
    ("strategy", "model"),
    [
        (ForRegression(), DummyClassifier()),
        (OfLabeled(), DummyRegressor()),
        (OfNets(), DummyClassifier()),
        (OfProba(), Perceptron()),
    ],
)
def test_errors_name_strategies_that_fit(strategy, model):
    with pytest.raises(UnsuitableLearnerError, match=r"suit this learner: .*LCMD"):
        strategy.select(model.fit(X, [0, 1] * 3), X, 1)


def test_own_strategies_are_not_skals():
    assert not {Given, Scored, ForRegression} & set(all_strategies())


def test_what_a_call_returns_follows_the_learner():
    class Old:
        estimator = LogisticRegression().fit(X, [0, 1] * 3)

        def query(self, X_pool: Any, *args: Any, **kwargs: Any) -> None: ...

    class New(Old):
        def query(
            self, X_pool: Any, *args: Any, return_metrics: bool = False, **kwargs: Any
        ) -> None: ...

    strategy = Given([3, 1], [0.25, 0.5])
    assert strategy(Old(), X, 2).tolist() == [3, 1]
    indices, scores = strategy(New(), X, n_instances=2)
    assert indices.tolist() == [3, 1]
    assert scores.tolist() == [0.25, 0.5]
    assert strategy(Old.estimator, X, 2).tolist() == [3, 1]


class Wide(ScoreStrategy):
    """Forgets to reduce over the columns."""

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        return torch.zeros((len(pool), 2))


class InNumpy(ScoreStrategy):
    """Scores in numpy."""

    def _score(self, pool: Pool, rng: torch.Generator) -> Any:
        return np.arange(len(pool))[::-1].astype(float)


class Bare(QueryStrategy):
    """Returns indices without scores."""

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Any:
        return list(range(n))


def test_bugs_of_a_strategy_are_named():
    with pytest.raises(RuntimeError, match=r"one score for each of the 6 rows.*\(6, 2"):
        Wide().select(DummyRegressor(), X, 2)
    with pytest.raises(RuntimeError, match="Given had to pick 2"):
        Given([[0, 1], [2, 3]], [0.0, 1.0]).select(DummyRegressor(), X, 2)
    with pytest.raises(ValueError, match="score of NaN"):
        Given([0, 1], [0.0, float("nan")]).select(DummyRegressor(), X, 2)
    with pytest.raises(
        TypeError, match=r"must return Picks\(indices, scores\), got list"
    ):
        Bare().select(DummyRegressor(), X, 2)
    assert InNumpy().select(DummyRegressor(), X, 2).indices.tolist() == [0, 1]
    with pytest.raises(ValueError, match="_requires must be one of"):
        type("Typo", (Given,), {"_requires": "probs"})
    with pytest.raises(ValueError, match="_task must be one of"):
        type("Typo", (Given,), {"_task": "classificaton"})
