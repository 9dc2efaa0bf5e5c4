"""Strategies that are recommended for a learner really run, and the others refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import SVR
from torch import nn

import skal
from skal import ActiveLearner, Committee, NetClassifier, NetRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.nets import LossPredictionRegressor
from skal.strategies import (
    BADGE,
    EMCM,
    LCMD,
    MAL,
    Entropy,
    GreedySampling,
    Margin,
    Random,
    ScoreStrategy,
    WrappingStrategy,
    all_strategies,
    suitable_strategies,
)
from tests.models import make_data, make_strategy

X, TARGET = make_data("regression")
CLASSES = make_data("classification")[1]
POOL = make_data("regression", 20, seed=1)[0]

LEARNERS = {
    "svr": lambda: SVR().fit(X, TARGET),
    "svr with rows": lambda: ActiveLearner(SVR(), None, X, TARGET),
    "ridge classifier": lambda: RidgeClassifier().fit(X, CLASSES),
    "logistic": lambda: LogisticRegression().fit(X, CLASSES),
    "forest": lambda: ActiveLearner(
        RandomForestClassifier(4, random_state=0), None, X, CLASSES
    ),
    "regressor": lambda: RandomForestRegressor(4, random_state=0).fit(X, TARGET),
    "committee": lambda: Committee(
        [ActiveLearner(LogisticRegression(C=c), None, X, CLASSES) for c in (1, 9)]
    ),
    "net": lambda: NetClassifier(max_epochs=40, random_state=0).fit(X, CLASSES),
    "net with rows": lambda: ActiveLearner(
        LossPredictionRegressor(max_epochs=40, random_state=0), None, X, TARGET
    ),
    "dropout": lambda: NetRegressor(
        max_epochs=40, module__dropout=0.2, random_state=0
    ).fit(X, TARGET),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LEARNERS)
def test_those_named_run_and_the_others_refuse(name):
    learner = LEARNERS[name]()
    found = suitable_strategies(learner, None if "rows" in name else POOL)
    assert "Random" in found
    for cls in all_strategies():
        strategy = make_strategy(cls)
        if cls.__name__ in found:
            assert len(strategy.select(learner, POOL, 2).indices) == 2
            assert found[cls.__name__].endswith(".")
        else:
            with pytest.raises((UnsuitableLearnerError, ValueError)):
                strategy.select(learner, POOL, 2)


def test_the_best_come_first():
    assert list(suitable_strategies(LEARNERS["net"](), POOL))[:2] == [
        "Margin",
        "LDMSeeding",
    ]
    assert list(suitable_strategies(LEARNERS["dropout"](), POOL))[:2] == [
        "LCMD",
        "BAIT",
    ]
    assert next(iter(suitable_strategies(LEARNERS["svr"](), POOL))) == "LCMD"


@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        ("svr", MAL()),
        ("svr", Margin()),
        ("logistic", BADGE()),
        ("ridge classifier", Entropy()),
        ("regressor", EMCM()),
        ("net", GreedySampling()),
    ],
)
def test_an_error_names_only_strategies_that_run(name, strategy):
    learner = LEARNERS[name]()
    for ask in ("select", "score_samples"):
        if ask == "score_samples" and not isinstance(strategy, ScoreStrategy):
            continue
        with pytest.raises(UnsuitableLearnerError) as raised:
            getattr(strategy, ask)(learner, POOL)
        listed = re.search(r"suit this learner: ([\w, ]+)\.", str(raised.value))
        names = listed[1].split(", ")
        assert 1 <= len(names) <= 6
        assert "Random" in names or len(names) == 6
        for other in names:
            cls = getattr(skal.strategies, other)
            assert not issubclass(cls, WrappingStrategy)
            cls(random_state=0).select(learner, POOL, 2)


def test_what_cannot_be_tried():
    with pytest.raises(NotFittedError):
        suitable_strategies(SVR(), POOL)

    class Bare:
        def fit(self, X, y):
            return self

    with pytest.raises(ValueError, match="Pass some rows"):
        suitable_strategies(Bare())


def test_every_strategy_has_a_random_state():
    for cls in all_strategies():
        assert cls(random_state=3).random_state == 3
        assert cls().random_state is None


def test_a_seed_orders_equal_scores():
    class Even(LogisticRegression):
        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    model = Even().fit(X, TARGET > 0)
    orders = [tuple(Margin(seed).select(model, POOL, 20).indices) for seed in range(5)]
    assert len(set(orders)) == 5
    assert orders[0] == tuple(Margin().select(model, POOL, 20).indices)
    assert tuple(Random(0).select(model, POOL, 20).indices) != orders[1]


class Recurrent(nn.Module):
    """Layers whose gradients torch.func cannot compute row by row."""

    def __init__(self, n_outputs):
        super().__init__()
        self.layer = nn.GRU(1, 4, batch_first=True)
        self.head = nn.Linear(4, n_outputs)

    def forward(self, X):
        return self.head(self.layer(X[:, :, None])[0][:, -1])


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_last_layer_is_advised_by_strategies_that_can_read_it(task):
    make = NetClassifier if task == "classification" else NetRegressor
    net = make(Recurrent, max_epochs=40, random_state=0)
    net.fit(X, CLASSES if task == "classification" else TARGET)
    advised = []
    for cls in all_strategies():
        try:
            make_strategy(cls).select(net, POOL, 2)
        except (UnsuitableLearnerError, ValueError) as error:
            if 'space="last_layer"' in str(error):
                advised.append(cls)
    assert LCMD in advised
    for cls in advised:
        strategy = make_strategy(cls, space="last_layer")
        assert len(strategy.select(net, POOL, 2).indices) == 2
