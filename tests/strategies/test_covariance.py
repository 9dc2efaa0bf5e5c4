"""MaxDet, MaxDiag, BAIT and FrankWolfe against their selectors on single gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skal import ActiveLearner
from skal.selection import bait, frank_wolfe, max_det
from skal.spaces import feature_scale, posterior_features
from skal.strategies.covariance import BAIT, FrankWolfe, MaxDet, MaxDiag
from tests.models import make_data, make_net
from tests.selection.test_max_det import by_conditioning
from tests.strategies.test_centers import POOL, gradients, make_learner

STRATEGIES = [MaxDet, MaxDiag, BAIT, FrankWolfe]


def select(cls, rows, labeled, n, noise):
    if cls is MaxDet:
        return max_det(rows, n, noise).indices.tolist()
    if cls is BAIT:
        return bait(rows, n, noise, labeled).indices.tolist()
    if cls is FrankWolfe:
        return frank_wolfe(rows.float(), n).indices.tolist()
    return rows.square().sum(dim=1).argsort(descending=True, stable=True)[:n].tolist()


@pytest.mark.parametrize("cls", STRATEGIES)
@pytest.mark.parametrize("condition", ["auto", True, False])
def test_equals_the_selector_on_the_kernel(cls, condition):
    learner = make_learner()
    rows, labeled = (torch.as_tensor(x) for x in (POOL, learner.X_training))
    if condition:
        known = posterior_features(labeled, labeled, 0.1)
        after = posterior_features(rows, labeled, 0.1)
    else:
        scale = feature_scale(labeled)
        known, after = labeled * scale, rows * scale
    expected = select(cls, after, known, 9, 0.1)
    strategy = cls("inputs", condition_on_labels=condition, noise_std=0.1)
    assert strategy.select(learner, POOL, 9).indices.tolist() == expected


@pytest.mark.parametrize("cls", STRATEGIES)
def test_without_labeled_rows_the_pool_sets_the_scale(cls):
    net = make_learner().estimator
    rows = torch.as_tensor(POOL)
    rows = rows * feature_scale(rows)
    expected = select(cls, rows, rows[:0], 9, 0.1)
    for factor in (1.0, 1000.0):
        space = lambda access, found, f=factor: f * torch.as_tensor(POOL)
        picked = cls(space, noise_std=0.1).select(net, POOL, 9).indices.tolist()
        assert picked == expected


def test_max_det_knows_labeled_rows_as_if_they_were_picked_first():
    learner = make_learner()
    rows, labeled = (torch.as_tensor(x) for x in (POOL, learner.X_training))
    scale = feature_scale(labeled)
    expected = by_conditioning(rows * scale, labeled * scale, 7, 0.2)
    picked = MaxDet("inputs", noise_std=0.2).select(learner, POOL, 7).indices.tolist()
    assert picked == expected


@pytest.mark.parametrize("two_targets", [False, True])
def test_sketch_approximates_the_gradient_kernel(two_targets):
    learner = make_learner(two_targets=two_targets)
    rows = gradients(learner.estimator, POOL).double()
    scores = MaxDiag(
        n_components=20_000, condition_on_labels=False, random_state=0
    ).select(learner, POOL, 60)
    labeled = gradients(learner.estimator, learner.X_training).double()
    exact = rows.square().sum(dim=1) * feature_scale(labeled) ** 2
    np.testing.assert_allclose(scores.scores, exact[scores.indices], rtol=0.1)


def test_bait_forward_and_backward():
    learner = make_learner()
    rows, labeled = (torch.as_tensor(x) for x in (POOL, learner.X_training))
    known = posterior_features(labeled, labeled, 0.1)
    after = posterior_features(rows, labeled, 0.1)
    expected = bait(after, 9, 0.1, known, backward=True).indices.tolist()
    strategy = BAIT("inputs", noise_std=0.1, backward=True)
    assert strategy.select(learner, POOL, 9).indices.tolist() == expected


@pytest.mark.parametrize("cls", STRATEGIES)
def test_never_a_labeled_row_and_never_one_twice(cls):
    X, y = make_data("regression", 30)
    learner = ActiveLearner(make_net("regression"), X_training=X, y_training=y)
    X_pool = np.concatenate([X, X, POOL[:5]])
    selection = cls(random_state=0).select(learner, X_pool, 65)
    assert sorted(selection.indices.tolist()) == list(range(65))
    if cls in (MaxDet, MaxDiag):
        # What is labeled has the least variance left.
        first = set(selection.indices[:5].tolist())
        assert first == set(range(60, 65))


def test_bad_input():
    learner = make_learner()
    with pytest.raises(ValueError, match="condition_on_labels=True needs labeled rows"):
        MaxDet(condition_on_labels=True).select(learner.estimator, POOL, 1)
    with pytest.raises(ValueError, match="gradients as vectors"):
        MaxDet(n_components=None).select(learner, POOL, 1)
    with pytest.raises(ValueError, match="noise_std must be a number above 0"):
        BAIT(noise_std=-1).select(learner, POOL, 1)
    with pytest.raises(ValueError, match="backward must be True or False, got 'no'"):
        BAIT(backward="no").select(learner, POOL, 1)
    with pytest.raises(ValueError, match=r"space must be one of .*None"):
        BAIT(space=None).select(learner, POOL, 1)
