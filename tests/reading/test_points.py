"""Where rows are points: features of nets, else inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess
from skal.reading.points import read_points
from skal.reading.pool import Pool
from skal.rows import Rows
from skal.strategies import (
    DiverseMiniBatch,
    InformationDensity,
    ProbCover,
    SuggestiveAnnotation,
    TypiClust,
)
from tests.models import make_data, make_net, make_strategy, with_labeled

X, Y = make_data("classification")
POOL = make_data("classification", 30, seed=1)[0]
STRATEGIES = [
    DiverseMiniBatch,
    InformationDensity,
    ProbCover,
    SuggestiveAnnotation,
    TypiClust,
]
every = pytest.mark.parametrize("cls", STRATEGIES)


def test_features_where_there_are_nets():
    net = make_net("classification").fit(X, Y)
    learner = with_labeled(net, X, Y)
    expected = NetAccess(net).features(Rows(POOL))
    for space in ("auto", "features"):
        points = read_points(Pool(learner, POOL), space, None, "")
        torch.testing.assert_close(points.pool, expected)
        torch.testing.assert_close(points.labeled, NetAccess(net).features(Rows(X)))
        assert points.both().shape == (90, 12)
    bare = read_points(Pool(net, POOL), "auto", None, "")
    assert bare.labeled.shape == (0, 12)
    torch.testing.assert_close(bare.both(), expected)
    other = read_points(Pool(net, POOL), "auto", "body.0", "").pool
    assert other.shape == (30, 5)


def test_inputs_as_the_model_sees_them():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    learner = ActiveLearner(model, X_training=X, y_training=Y)
    seen = StandardScaler().fit(X)
    for space in ("auto", "inputs"):
        points = read_points(Pool(learner, POOL), space, None, "")
        np.testing.assert_allclose(points.pool, seen.transform(POOL))
        np.testing.assert_allclose(points.labeled, seen.transform(X))


def test_members_stand_side_by_side():
    nets = [make_net("classification", random_state=s).fit(X, Y) for s in range(2)]
    committee = Committee([with_labeled(net, X, Y) for net in nets])
    both = [NetAccess(net).features(Rows(POOL)) for net in nets]
    points = read_points(Pool(committee, POOL), "auto", None, "").pool
    torch.testing.assert_close(points, torch.cat(both, dim=1))
    # One that is no net: inputs, of both.
    forest = RandomForestClassifier(3, random_state=0).fit(X, Y)
    mixed = Committee([with_labeled(nets[0], X, Y), with_labeled(forest, X, Y)])
    points = read_points(Pool(mixed, POOL), "auto", None, "").pool
    np.testing.assert_allclose(points, np.hstack([POOL, POOL]))


@every
def test_space_is_a_parameter(cls):
    forest = RandomForestClassifier(9, random_state=0).fit(X, Y)
    for space in ("auto", "inputs"):
        picked = make_strategy(cls, space=space).select(forest, POOL, 3).indices
        assert len(set(picked.tolist())) == 3
    with pytest.raises(
        UnsuitableLearnerError, match=rf'{cls.__name__} with space="features" reads'
    ):
        make_strategy(cls, space="features").select(forest, POOL, 3)
    with pytest.raises(ValueError, match=r"space must be one of .*got 'x'"):
        make_strategy(cls, space="x").select(forest, POOL, 3)


@every
def test_head_is_a_parameter(cls):
    net = make_net("classification").fit(X, Y)
    strategy = make_strategy(cls, head="no_such")
    with pytest.raises(ValueError, match="no module named 'no_such'"):
        strategy.select(net, POOL, 3)
    assert len(strategy.set_params(space="inputs").select(net, POOL, 3).indices) == 3


@every
@pytest.mark.filterwarnings("ignore:You set iterator_valid__shuffle")
def test_features_of_nets_that_cannot_be_read(cls):
    net = make_net("classification").fit(X, Y)
    shuffling = clone(net).set_params(iterator_valid__shuffle=True).fit(X, Y)
    with pytest.raises(ValueError, match="iterator_valid__shuffle"):
        make_strategy(cls).select(shuffling, POOL, 3)
    with torch.no_grad():
        next(net.module_.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"finite|diverge"):
        make_strategy(cls).select(net, POOL, 3)
