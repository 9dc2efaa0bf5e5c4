"""Strategies that read a net read the nets of an ensemble as those of a committee."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import StackingClassifier

import skal
from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.nets import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    SplitHeadEnsembleRegressor,
)
from skal.strategies import LCMD, CoreSet
from tests.models import cases, make_data, make_net, make_strategy

#: Strategies that compare rows, and read nothing else of the nets.
BY_SPACE_ALONE = {
    *("LCMD", "KMeansPP", "MaxDist", "MaxDet", "MaxDiag", "BAIT", "FrankWolfe"),
    *("CoreSet", "TESSAR", "TypiClust", "ProbCover", "KMedoids"),
}
NET_CASES = [
    pytest.param(cls, task, id=f"{cls.__name__}-{task}")
    for cls, task in cases()
    if cls._requires == "net" or cls.__name__ in BY_SPACE_ALONE
]
POOL = make_data("regression", 40, seed=1)[0]


@pytest.mark.parametrize(("cls", "task"), NET_CASES)
def test_a_deep_ensemble_is_read_like_a_committee_of_its_nets(cls, task):
    X, y = make_data(task)
    kind = {"classification": DeepEnsembleClassifier}.get(task, DeepEnsembleRegressor)
    learner = ActiveLearner(
        kind(make_net(task, strategy=cls), n_estimators=2, random_state=0),
        X_training=X,
        y_training=y,
    )
    members = [ActiveLearner(net) for net in learner.estimator.estimators_]
    owner = skal.Committee if task == "classification" else skal.CommitteeRegressor
    for member in members:
        member.X_training, member.y_training = X, y
    committee = owner(members)
    strategy = make_strategy(cls)
    expected = strategy.select(committee, POOL, 5)
    picked = strategy.select(learner, POOL, 5)
    np.testing.assert_array_equal(picked.indices, expected.indices)
    np.testing.assert_allclose(picked.scores, expected.scores)


def test_the_nets_of_a_split_head_ensemble_are_its_heads_on_one_trunk():
    X, y = make_data("regression")
    net = make_net("regression", callbacks=[])
    ensemble = SplitHeadEnsembleRegressor(net, 3, random_state=0).fit(X, y)
    # One trunk: the features are the same three times, so the distances are in ratio.
    one = CoreSet().select(ensemble.estimators_[0], POOL, 6)
    three = CoreSet().select(ensemble, POOL, 6)
    np.testing.assert_array_equal(three.indices, one.indices)
    np.testing.assert_allclose(three.scores, one.scores * 3**0.5, rtol=1e-5)


def test_stacking_is_refused_as_its_nets_are_no_models_of_the_target():
    X, y = make_data("classification")
    net = make_net("classification", callbacks=[])
    stacking = StackingClassifier([("a", net), ("b", net)], cv=2).fit(X, y)
    with pytest.raises(
        UnsuitableLearnerError, match="'gradients' is read from the net"
    ):
        LCMD(space="gradients").select(stacking, POOL, 2)
