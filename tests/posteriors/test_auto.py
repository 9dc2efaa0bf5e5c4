"""What ``posterior="auto"`` chooses."""

from __future__ import annotations

import pytest
import torch
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier, WeightSnapshots
from skal.nets.bayesian import BayesianMLP
from skal.posteriors import (
    BayesWeights,
    MCDropout,
    Members,
    Snapshots,
    WeightNoise,
    predictive_std,
    resolve_posterior,
)
from skal.reading.pool import Pool
from tests.posteriors.helpers import X, Y
from tests.posteriors.test_members import committee


def net(**parameters):
    return NetClassifier(**{"max_epochs": 2, "random_state": 0, **parameters})


def auto(learner):
    return type(resolve_posterior("auto", Pool(learner, X)))


def test_members_come_first():
    dropped = [net(module__dropout=0.2).fit(X, Y) for _ in range(2)]
    assert auto(committee(*dropped)) is Members
    assert auto(RandomForestClassifier(3).fit(X, Y)) is Members
    assert auto(BaggingClassifier(net(), 2).fit(X, Y)) is Members


def test_then_bayesian_layers_then_snapshots_then_dropout():
    snapshots = WeightSnapshots()
    bayesian = net(module=BayesianMLP, callbacks=[snapshots]).fit(X, Y)
    assert auto(bayesian) is BayesWeights
    assert auto(net(callbacks=[snapshots], module__dropout=0.2).fit(X, Y)) is Snapshots
    model = make_pipeline(StandardScaler(), net(module__dropout=0.2)).fit(X, Y)
    assert auto(model) is MCDropout


def test_an_object_is_given_back():
    noise = WeightNoise()
    assert resolve_posterior(noise, Pool(net().fit(X, Y), X)) is noise


def test_a_single_model_is_told_what_to_add():
    with pytest.raises(UnsuitableLearnerError, match=r"module__dropout=0\.2"):
        auto(net(module__dropout=0.0).fit(X, Y))
    with pytest.raises(UnsuitableLearnerError, match="LogisticRegression is a single"):
        auto(LogisticRegression().fit(X, Y))
    for one in (LogisticRegression(), net(module__dropout=0.0)):
        with pytest.raises(UnsuitableLearnerError, match="Committee has a single mem"):
            auto(Committee([ActiveLearner(one)]).fit(X, Y))
    with pytest.raises(UnsuitableLearnerError, match="ForestClassifier has a single m"):
        auto(RandomForestClassifier(1).fit(X, Y))
    with pytest.raises(UnsuitableLearnerError, match="Committee has a single member"):
        Members().draw(
            Pool(Committee([ActiveLearner(LogisticRegression())]).fit(X, Y), X),
            torch.Generator(),
        )


@pytest.mark.parametrize("posterior", ["dropout", None, 3, MCDropout])
def test_anything_else_is_refused(posterior):
    with pytest.raises(ValueError, match="posterior must be 'auto' or an object"):
        resolve_posterior(posterior, Pool(net().fit(X, Y), X))


def test_predictive_std_is_that_of_the_draws():
    model = net(module__dropout=0.2).fit(X, Y)
    rng = torch.Generator().manual_seed(5)
    torch.randint(2**31 - 1, (), generator=rng)  # seeds the global generators
    draws = MCDropout().draw(Pool(model, X), rng)
    std = predictive_std(model, X, random_state=5)
    assert torch.equal(std, draws.collect().std(dim=0, correction=0))
    other = predictive_std(model, X, MCDropout(n_draws=3), random_state=5)
    assert other.shape == std.shape == (60, 3)
    assert not torch.equal(other, std)
