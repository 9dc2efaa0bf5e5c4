"""TESSAR against its selector on features, gradients and inputs taken by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor

from skal import ActiveLearner, CommitteeRegressor
from skal.rng import resolve_rng, seed_from
from skal.selection import tessar
from skal.spaces import Leaves
from skal.spaces.leaves import leaf_vectors
from skal.strategies import TESSAR
from tests.models import make_data, make_net, module_on_cpu
from tests.strategies.test_centers import gradients

POOL = make_data("regression", 60, seed=1)[0]


def make_learner(two_targets: bool = False, seed: int = 0) -> ActiveLearner:
    X, y = make_data("regression", 20)
    if two_targets:
        y = np.stack([y, y**2], axis=1)
    net = make_net("regression", random_state=seed)
    return ActiveLearner(net, X_training=X, y_training=y)


def last_layer(learner: ActiveLearner, X: np.ndarray) -> torch.Tensor:
    body = module_on_cpu(learner.estimator).body
    with torch.no_grad():
        return body(torch.as_tensor(X).float())


def expected(rows, sites, n, **options):
    rng = resolve_rng(0)
    seed_from(rng)
    return tessar(rows, n, rng, sites, **options)


@pytest.mark.parametrize("two_targets", [False, True])
def test_features_of_the_last_layer(two_targets):
    learner = make_learner(two_targets)
    rows, sites = (last_layer(learner, X) for X in (POOL, learner.X_training))
    picks = expected(rows, sites, 12)
    selection = TESSAR(random_state=0).select(learner, POOL, 12)
    assert selection.indices.tolist() == picks.indices.tolist()
    np.testing.assert_allclose(selection.scores, picks.scores, rtol=1e-4)


def test_options_are_handed_on():
    learner = make_learner()
    rows, sites = (last_layer(learner, X) for X in (POOL, learner.X_training))
    options = {"sigmas": [0.03, 0.3], "n_copies": 7, "n_reference": 31, "rank": 3}
    picks = expected(rows, sites, 12, **options)
    selection = TESSAR(**options, random_state=0).select(learner, POOL, 12)
    assert selection.indices.tolist() == picks.indices.tolist()
    for name, value in options.items():
        default = TESSAR().get_params()[name]
        other = TESSAR(**{**options, name: default}, random_state=0)
        scores = other.select(learner, POOL, 12).scores
        assert not np.allclose(scores, selection.scores), (name, value)


def test_other_spaces():
    learner = make_learner()
    inputs = [torch.as_tensor(x) for x in (POOL, learner.X_training)]

    def first_two(access, rows):
        return torch.cat([torch.as_tensor(b[:, :2]) for _, b in rows.blocks()])

    for space, (rows, sites) in {
        "inputs": inputs,
        first_two: [x[:, :2] for x in inputs],
    }.items():
        picks = expected(rows, sites, 10)
        selection = TESSAR(space, random_state=0).select(learner, POOL, 10)
        assert selection.indices.tolist() == picks.indices.tolist()


def test_leaves_are_vectors_in_float32():
    X, y = make_data("regression", 40)
    forest = RandomForestRegressor(20, random_state=0).fit(X, y)
    learner = ActiveLearner(forest, X_training=X, y_training=y)
    codes = [forest.apply(x) + 100 * np.arange(20) for x in (POOL, X)]
    pool, known = (Leaves(torch.from_numpy(c).int(), 2000) for c in codes)
    vectors = leaf_vectors(pool, known, torch.float32)
    picks = expected(vectors[:60], vectors[60:], 10)
    selection = TESSAR("leaves", random_state=0).select(learner, POOL, 10)
    assert selection.indices.tolist() == picks.indices.tolist()
    np.testing.assert_allclose(selection.scores, picks.scores, rtol=1e-5)
    # Squared distances are multiples of 1/20, which float32 tells apart.
    exact = torch.cdist(*[leaf_vectors(pool, known)] * 2).square() * 20
    found = torch.cdist(*[vectors] * 2).square() * 20
    assert torch.equal(found.round(), exact.round())


def test_sketched_gradients():
    # A pool row that is labeled is on a site, and comes last.
    learner = make_learner()
    X = np.concatenate([learner.X_training, POOL[:3]])
    selection = TESSAR("gradients", 64, random_state=0).select(learner, X, 4)
    assert sorted(selection.indices[:3].tolist()) == [20, 21, 22]
    assert selection.indices[3] < 20
    assert gradients(learner.estimator, POOL).shape[1] > 64
    with pytest.raises(
        ValueError, match=r"gradients as vectors.* space=\"last_layer\""
    ):
        TESSAR("gradients", None).select(learner, POOL, 2)


def test_without_labeled_rows_the_largest_norm_is_first():
    learner = make_learner()
    rows = last_layer(learner, POOL)
    selection = TESSAR(random_state=0).select(learner.estimator, POOL, 5)
    assert selection.indices[0] == int(rows.norm(dim=1).argmax())
    picks = expected(rows, None, 5)
    assert selection.indices.tolist() == picks.indices.tolist()


def test_nets_of_a_committee_side_by_side():
    members = [make_learner(seed=s) for s in range(2)]
    rows, sites = (
        torch.cat([last_layer(member, X) for member in members], dim=1)
        for X in (POOL, members[0].X_training)
    )
    picks = expected(rows, sites, 9)
    committee = CommitteeRegressor(members)
    # The members' labeled rows are the same ones, held twice.
    selection = TESSAR(random_state=0).select(committee, POOL, 9)
    assert selection.indices.tolist() == picks.indices.tolist()


def test_a_fixed_rank_makes_the_first_pick_independent_of_how_many():
    learner = make_learner()
    strategy = TESSAR(rank=5, random_state=0)
    first = {int(strategy.select(learner, POOL, n).indices[0]) for n in (1, 2, 5, 30)}
    assert len(first) == 1


@pytest.mark.parametrize("name", ["n_copies", "n_reference", "rank"])
def test_bad_counts(name):
    for value in (0, 1.5, True):
        with pytest.raises(ValueError, match=f"{name} must be an int of at least 1"):
            TESSAR(**{name: value}).select(make_learner(), POOL, 1)


def test_bad_options():
    learner = make_learner()
    for sigmas in ([0.1, 0], 0.1, "auto", []):
        with pytest.raises(ValueError, match="sigmas must be positive"):
            TESSAR(sigmas=sigmas).select(learner, POOL, 1)
