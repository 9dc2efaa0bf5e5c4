"""LCMD, KMeansPP and MaxDist against their selectors on gradients of single rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skal import ActiveLearner, CommitteeRegressor
from skal.rng import resolve_rng, seed_from
from skal.selection import k_center, kmeans_pp, lcmd
from skal.spaces import Dense, posterior_features
from skal.strategies import (
    BAIT,
    TESSAR,
    CoreSet,
    KMedoids,
    MaxDet,
    ProbCover,
    TypiClust,
)
from skal.strategies.centers import LCMD, KMeansPP, MaxDist
from tests.models import make_data, make_net, module_on_cpu, with_labeled

POOL = make_data("regression", 60, seed=1)[0]
STRATEGIES = [LCMD, KMeansPP, MaxDist]


def make_learner(task: str = "regression", two_targets: bool = False) -> ActiveLearner:
    X, y = make_data(task, 20)
    if two_targets:
        y = np.stack([y, y**2], axis=1)
    return ActiveLearner(make_net(task), X_training=X, y_training=y)


def gradients(net, X: np.ndarray, task: str = "regression") -> torch.Tensor:
    """Gradients of each output, or of the loss at the own label, row by row."""
    module = module_on_cpu(net)
    rows = []
    for x in torch.as_tensor(X, dtype=torch.float32):
        outputs = module(x[None]).reshape(1, -1)
        if task == "classification":
            values = [nn.functional.cross_entropy(outputs, outputs.argmax(dim=1))]
        else:
            values = list(outputs[0])
        found = []
        for value in values:
            by_layer = torch.autograd.grad(
                value, list(module.parameters()), retain_graph=True
            )
            found += [g.flatten() for g in by_layer]
        rows.append(torch.cat(found))
    return torch.stack(rows)


def select(cls, rows, n, centers, seed=0):
    rng = resolve_rng(seed)
    seed_from(rng)
    rows, centers = Dense(rows.double()), centers and Dense(centers[0].double())
    if cls is LCMD:
        return lcmd(rows, n, centers)
    if cls is KMeansPP:
        return kmeans_pp(rows, n, rng, centers)
    return k_center(rows, n, centers and rows.nearest(centers)[0])


@pytest.mark.parametrize("cls", STRATEGIES)
@pytest.mark.parametrize("mode", ["P", "TP", "auto"])
@pytest.mark.parametrize(
    ("task", "two_targets"),
    [("regression", False), ("regression", True), ("classification", False)],
)
def test_exact_gradients(cls, mode, task, two_targets):
    learner = make_learner(task, two_targets)
    rows = gradients(learner.estimator, POOL, task)
    labeled = gradients(learner.estimator, learner.X_training, task)
    expected = select(cls, rows, 15, None if mode == "P" else (labeled,))
    strategy = cls(n_components=None, mode=mode)
    if cls is not MaxDist:
        strategy.set_params(random_state=0)
    selection = strategy.select(learner, POOL, 15)
    assert selection.indices.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(
        selection.scores, expected.scores.sqrt(), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("cls", [LCMD, MaxDist])
def test_long_sketches_pick_as_exact_gradients(cls):
    learner = make_learner()
    exact = cls(n_components=None).select(learner, POOL, 3)
    sketched = cls(n_components=100_000, random_state=0).select(learner, POOL, 3)
    assert sketched.indices.tolist() == exact.indices.tolist()
    np.testing.assert_allclose(sketched.scores, exact.scores, rtol=0.05)


def test_pool_and_labeled_rows_share_the_sketch():
    # A pool row that is labeled is at no distance, however short the sketch.
    learner = make_learner()
    X = np.concatenate([learner.X_training, POOL[:1]])
    for cls in STRATEGIES:
        selection = cls(n_components=3, random_state=0, mode="TP").select(learner, X, 1)
        assert selection.indices.tolist() == [20]


@pytest.mark.parametrize("cls", STRATEGIES)
def test_other_spaces(cls):
    learner = make_learner()
    net, X = learner.estimator, learner.X_training
    body = module_on_cpu(net).body
    with torch.no_grad():
        last = [
            torch.cat([z := body(torch.as_tensor(x).float()), torch.ones(len(z), 1)], 1)
            for x in (POOL, X)
        ]
    inputs = [torch.as_tensor(x) for x in (POOL, X)]

    def first_two(access, rows):
        return torch.cat([torch.as_tensor(b[:, :2]) for _, b in rows.blocks()])

    for space, (rows, labeled) in {
        "last_layer": last,
        "inputs": inputs,
        first_two: [x[:, :2] for x in inputs],
    }.items():
        expected = select(cls, rows, 10, (labeled,)).indices.tolist()
        strategy = cls(space=space, random_state=0)
        assert strategy.select(learner, POOL, 10).indices.tolist() == expected


def test_max_dist_on_the_last_layer_is_core_set():
    learner = make_learner()
    found = MaxDist(space="last_layer").select(learner, POOL, 12)
    expected = CoreSet().select(learner, POOL, 12)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


@pytest.mark.parametrize("cls", STRATEGIES)
@pytest.mark.parametrize("mode", ["P", "TP"])
def test_posterior_kernel(cls, mode):
    learner = make_learner()
    rows, labeled = (torch.as_tensor(x) for x in (POOL, learner.X_training))
    after = posterior_features(rows, labeled, 0.1)
    known = (posterior_features(labeled, labeled, 0.1),) if mode == "TP" else None
    expected = select(cls, after, 8, known).indices.tolist()
    strategy = cls(
        "inputs", mode=mode, condition_on_labels=True, noise_std=0.1, random_state=0
    )
    assert strategy.select(learner, POOL, 8).indices.tolist() == expected


@pytest.mark.parametrize("n_components", [None, 10_000])
def test_nets_of_a_committee_side_by_side(n_components):
    X, y = make_data("regression", 20)
    members = [
        ActiveLearner(
            make_net("regression", random_state=s), X_training=X, y_training=y
        )
        for s in range(2)
    ]
    rows, labeled = (
        torch.cat([gradients(m.estimator, x) for m in members], dim=1)
        for x in (POOL, X)
    )
    expected = select(LCMD, rows, 1 if n_components else 9, (labeled,)).indices.tolist()
    committee = CommitteeRegressor(members)
    selection = LCMD(n_components=n_components, random_state=0).select(
        committee, POOL, 9
    )
    assert selection.indices.tolist()[: len(expected)] == expected


def test_bad_input():
    learner = make_learner()
    net = learner.estimator
    with pytest.raises(ValueError, match=r"mode must be one of .*'T'"):
        LCMD(mode="T").select(learner, POOL, 1)
    with pytest.raises(ValueError, match=r'mode="TP" needs labeled rows'):
        LCMD(mode="TP").select(net, POOL, 1)
    with pytest.raises(ValueError, match="gradients as vectors"):
        LCMD(condition_on_labels=True, n_components=None).select(learner, POOL, 1)


@pytest.mark.parametrize("power", [-100, -60, 60, 100])
@pytest.mark.parametrize(
    "make",
    [
        lambda space: LCMD(space, random_state=0),
        lambda space: KMeansPP(space, random_state=0),
        lambda space: MaxDist(space),
        lambda space: CoreSet(space=space),
        lambda space: TypiClust(space=space, random_state=0),
        lambda space: ProbCover(space=space, random_state=0),
        lambda space: KMedoids(space),
        lambda space: BAIT(space),
        lambda space: MaxDet(space),
        lambda space: TESSAR(space, random_state=0),
    ],
)
def test_scale_changes_no_pick_even_if_squares_would_overflow_or_vanish(make, power):
    """float32 holds 2 ** power, but not its square."""
    X, y = make_data("regression")
    learner = with_labeled(make_net("regression").fit(X, y), X, y)
    pool = make_data("regression", 50, seed=1)[0]

    def scaled(access, rows):
        return access.features(rows) * 2.0**power

    picked = make(scaled).select(learner, pool, 8)
    expected = make("features").select(learner, pool, 8)
    assert picked.indices.tolist() == expected.indices.tolist()
    assert np.isfinite(picked.scores).all()


def test_squares_beyond_float64_are_refused():
    X, y = make_data("regression")
    learner = with_labeled(make_net("regression").fit(X, y), X, y)
    strategy = LCMD(lambda access, rows: access.features(rows).double() * 1e200)
    with pytest.raises(ValueError, match=r"their squares overflow\. Scale the inputs"):
        strategy.select(learner, X, 3)
