"""Batches of two strategies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.simulation import ActiveLearningSimulation
from skal.strategies import (
    LCMD,
    LDM,
    Alternate,
    CoreSet,
    Entropy,
    LeastConfident,
    Margin,
    Mixture,
    NoiseStability,
    Random,
)
from tests.models import make_data, make_net
from tests.statistics import assert_follows

X, Y = make_data("classification")
POOL = make_data("classification", 90, seed=1)[0]


@pytest.fixture(scope="module")
def learner() -> ActiveLearner:
    return ActiveLearner(LogisticRegression(), X_training=X, y_training=Y)


def ranked(strategy: Any, learner: Any) -> list[int]:
    return strategy.select(learner, POOL, len(POOL)).indices.tolist()


# -- by chance ----------------------------------------------------------------------


def test_share_of_the_other(learner):
    best, far = ranked(Margin(), learner), ranked(Random(random_state=7), learner)
    first = {best[0]: 0, far[0]: 1}
    assert len(first) == 2
    mixtures = [Mixture(Margin(), Random(7), 0.3, seed) for seed in range(1500)]
    drawn = [first[m.select(learner, POOL).indices[0]] for m in mixtures]
    assert_follows(drawn, {0: 0.7, 1: 0.3})


def test_turns_of_a_batch_are_independent(learner):
    best, far = ranked(Margin(), learner), ranked(Random(random_state=7), learner)
    assert not set(best[:2]) & set(far[:2])
    mixtures = [Mixture(Margin(), Random(7), 0.4, seed) for seed in range(1500)]
    drawn = [
        tuple(int(i in far[:2]) for i in m.select(learner, POOL, 2).indices)
        for m in mixtures
    ]
    law = {(0, 0): 0.36, (0, 1): 0.24, (1, 0): 0.24, (1, 1): 0.16}
    assert_follows(drawn, law)


@pytest.mark.parametrize("n", [1, 7, 90])
def test_nothing_or_all_of_the_other(learner, n):
    entropy, margin = Entropy(), Margin()
    for share, strategy in [(0, entropy), (0.0, entropy), (1, margin), (1.0, margin)]:
        got = Mixture(entropy, margin, share).select(learner, POOL, n)
        expected = strategy.select(learner, POOL, n)
        np.testing.assert_array_equal(got.indices, expected.indices)
        np.testing.assert_array_equal(got.scores, expected.scores)


def test_a_strategy_that_has_no_turn_is_not_asked(learner, monkeypatch):
    def refuse(*args: Any) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(Entropy, "_select", refuse)
    Mixture(Entropy(), Random(), 1.0).select(learner, POOL, 5)
    with pytest.raises(AssertionError, match="asked"):
        Mixture(Entropy(), Random(), 0.0).select(learner, POOL, 5)


def test_each_row_keeps_the_score_of_the_strategy_that_gave_it(learner):
    margin, far = Margin(), Random(random_state=7)
    scores = [s.score_samples(learner, POOL) for s in (margin, far)]
    picks = Mixture(margin, far, 0.5, random_state=0).select(learner, POOL, 60)
    seen = set()
    for i, score in zip(*picks, strict=True):
        source = [k for k in (0, 1) if scores[k][i] == score]
        assert len(source) == 1
        seen.update(source)
    assert seen == {0, 1}


def test_draws_differ_by_seed_and_stay_with_it():
    net = make_net("classification").fit(X, Y)
    mixture = Mixture(LDM(), LCMD(), 0.5)
    picks = [
        mixture.set_params(random_state=s).select(net, POOL, 8).indices.tolist()
        for s in (0, 0, 1)
    ]
    assert picks[0] == picks[1] != picks[2]


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan, np.inf, True, "0.1", None])
def test_bad_share(learner, share):
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        Mixture(share=share).select(learner, POOL, 1)


# -- by turns -----------------------------------------------------------------------


def by_turns(lists: list[list[int]], turns: list[int]) -> list[int]:
    taken: list[int] = []
    for turn in turns:
        taken.append(next(i for i in lists[turn] if i not in taken))
    return taken


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("n_labeled", [58, 59, 60])
@pytest.mark.parametrize("n", [1, 2, 6, 90])
def test_turns_go_on_from_the_labeled_rows(every, n_labeled, n):
    learner = ActiveLearner(
        LogisticRegression(), X_training=X[:n_labeled], y_training=Y[:n_labeled]
    )
    first, second = LeastConfident(), Random(random_state=3)
    turns = [int((n_labeled + k) % every == 0) for k in range(1, n + 1)]
    expected = by_turns([ranked(first, learner), ranked(second, learner)], turns)
    got = Alternate(first, second, every).select(learner, POOL, n).indices
    assert got.tolist() == expected


def test_single_rows_alternate_from_query_to_query():
    learner = ActiveLearner(
        LogisticRegression(),
        Alternate(Margin(), Random(random_state=3)),
        X_training=X[:41],
        y_training=Y[:41],
    )
    who = []
    for _ in range(6):
        ((picked,), _) = learner.query(POOL, n_instances=1)
        who.append(int(picked == ranked(Random(random_state=3), learner)[0]))
        learner.teach(POOL[[picked]], [Y[0]])
    assert who == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("cls", [Mixture, Alternate])
def test_a_learner_need_not_be_fitted_for_strategies_that_do_not_read_it(cls):
    strategy = cls(Random(random_state=0), Random(random_state=1), random_state=0)
    unfitted = ActiveLearner(LogisticRegression())
    assert len(strategy.select(unfitted, POOL, 4).indices) == 4


def test_a_bare_estimator_has_no_labels():
    model = LogisticRegression().fit(X, Y)
    first, second = Margin(), Random(random_state=3)
    expected = by_turns([ranked(first, model), ranked(second, model)], [0, 1, 0, 1])
    assert Alternate(first, second).select(model, POOL, 4).indices.tolist() == expected


@pytest.mark.parametrize("every", [1, 0, -2, 2.0, True, None])
def test_bad_every(learner, every):
    with pytest.raises(ValueError, match="every must be an int of at least 2"):
        Alternate(every=every).select(learner, POOL, 1)


# -- both ---------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Mixture, Alternate])
def test_more_than_two_nest(learner, cls):
    nested = cls(cls(Margin(), Entropy()), cls(LeastConfident(), Random()))
    picks = nested.set_params(other__other__random_state=0).select(learner, POOL, 90)
    assert sorted(picks.indices.tolist()) == list(range(90))


@pytest.mark.parametrize("cls", [Mixture, Alternate])
def test_both_are_asked_what_they_need(cls, learner):
    for parameters in ({"strategy": CoreSet()}, {"other": CoreSet()}):
        with pytest.raises(UnsuitableLearnerError, match="CoreSet reads the net"):
            cls(**parameters).select(learner, POOL, 1)
    with pytest.raises(TypeError, match=f"other of {cls.__name__} must be"):
        cls(other="random").select(learner, POOL, 1)


def test_a_grid_search_over_nested_parameters():
    target = X[:, 0]
    net = make_net("regression", max_epochs=2)
    strategy = Mixture(NoiseStability(n_draws=2), Random(), random_state=0)
    simulation = ActiveLearningSimulation(
        net, strategy, n_initial=20, n_instances=5, n_queries=2, random_state=0
    )
    grid = {"query_strategy__strategy__n_draws": [2, 3], "query_strategy__share": [1.0]}
    search = GridSearchCV(simulation, grid, cv=2).fit(X, target)
    assert len(pd.DataFrame(search.cv_results_)) == 2
    assert search.best_estimator_.query_strategy.share == 1.0
    copied = clone(strategy).set_params(strategy__n_draws=9)
    assert (copied.strategy.n_draws, strategy.strategy.n_draws) == (9, 2)
