"""Fisher information against gradients taken row by row and class by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skal import ActiveLearner, Committee
from skal.reading.access import NetAccess
from skal.reading.pool import Pool
from skal.rng import resolve_rng
from skal.selection import Information, fisher_bait
from skal.strategies.covariance import BAIT
from skal.strategies.information import (
    _narrow,
    information_directions,
    read_information,
)
from tests.models import N_FEATURES, make_data, make_net
from tests.selection.test_fisher_bait import dense, slow, trace

X, Y = make_data("classification", 20)
POOL = make_data("classification", 16, seed=1)[0]


def make_learner(**parameters: Any) -> ActiveLearner:
    net = make_net("classification", module__hidden_sizes=(6,), **parameters)
    return ActiveLearner(net, X_training=X, y_training=Y)


def by_definition(net: Any, rows: np.ndarray, last: bool) -> np.ndarray:
    """Sum over classes of p times the outer product of the gradient of log p."""
    module = net.module_.eval().double()
    access = NetAccess(net)
    parameters = list(module.parameters())[-2 if last else 0 :]
    result = []
    for x in torch.as_tensor(rows).double():
        proba = access.to_proba(module(x[None]).reshape(1, -1))[0]
        total: Any = 0
        for p in proba:
            found = torch.autograd.grad(p.log(), parameters, retain_graph=True)
            vector = np.concatenate([g.numpy().ravel() for g in found])
            total = total + p.item() * np.outer(vector, vector)
        result.append(total)
    module.float()
    return np.array(result)


def order(i: int, o: int) -> np.ndarray:
    """Where weights and biases stand in outer products with 1 appended."""
    weights = np.arange(o)[:, None] * (i + 1) + np.arange(i)
    return np.concatenate([weights.ravel(), np.arange(o) * (i + 1) + i])


def binary(module: nn.Module) -> Any:
    net = NeuralNetBinaryClassifier(module, max_epochs=2, verbose=0, train_split=None)
    return net.fit(X.astype(np.float32), (Y == "low").astype(np.float32))


def with_softmax() -> Any:
    module = nn.Sequential(
        nn.Linear(N_FEATURES, 4), nn.Tanh(), nn.Linear(4, 3), nn.Softmax(dim=1)
    )
    net = NeuralNetClassifier(module, max_epochs=2, verbose=0, train_split=None)
    return net.fit(X.astype(np.float32), np.unique(Y, return_inverse=True)[1])


def small_nets() -> dict[str, tuple[Any, int, int]]:
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.Tanh(), nn.Linear(4, 1))
    return {
        "three classes": (make_learner().estimator, 6, 3),
        "one output for two classes": (binary(one), 4, 1),
        "a softmax in the module": (with_softmax(), 4, 3),
    }


@pytest.mark.on_cpu
@pytest.mark.parametrize("name", list(small_nets()))
def test_last_layer_equals_the_definition(name):
    net, i, o = small_nets()[name]
    pool = POOL.astype(np.float32)
    (rows,), labeled = read_information(Pool(net, pool), "last_layer", 5, None, None)
    assert labeled is None
    assert rows.outputs.shape == (16, max(1, o - 1), o)
    expected = by_definition(net, pool, last=True)
    places = order(i, o)
    found = dense(Information(*(x.double() for x in rows)))[:, places][:, :, places]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_directions_square_to_the_covariance_of_the_label():
    access = NetAccess(make_learner().estimator)
    outputs = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    outputs = torch.cat([3 * outputs, torch.tensor([[900.0, 0, 0], [0, 0, -900]])])
    B = information_directions(access.to_proba)(outputs)
    assert B.shape == (52, 3, 2)
    p = outputs.double().softmax(dim=1)
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(B @ B.mT, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.on_cpu
def test_long_sketches_approximate_the_information_of_all_layers():
    net = make_learner().estimator
    pool = Pool(net, POOL)
    (rows,), _ = read_information(pool, "gradients", 8000, None, resolve_rng(0))
    expected = by_definition(net, POOL, last=False)
    vectors = rows.outputs.double()
    for x in range(16):
        # the trace of a product of two sums of squares is free of any basis
        for y in range(16):
            inner = (vectors[x] @ vectors[y].T).square().sum().item()
            exact = (expected[x] * expected[y]).sum()
            scale = (np.trace(expected[x]) * np.trace(expected[y])) + 1e-12
            assert abs(inner - exact) < 0.1 * scale


@pytest.mark.on_cpu
@pytest.mark.parametrize("space", ["inputs", "features", "own"])
def test_other_spaces_are_inputs_of_a_layer_of_their_own(space):
    net = make_learner().estimator
    with torch.no_grad():
        features = net.module_.eval().body(torch.as_tensor(POOL).float())
        outputs = net.module_(torch.as_tensor(POOL).float())
    expected = {"inputs": torch.as_tensor(POOL), "features": features}
    own = space
    if space == "own":
        own = lambda access, rows: torch.as_tensor(POOL[:, :2])
        expected["own"] = torch.as_tensor(POOL[:, :2])
    (rows,), _ = read_information(Pool(net, POOL), own, None, None, None)
    p = outputs.double().softmax(dim=1)
    weight = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    torch.testing.assert_close(rows.outputs.mT @ rows.outputs, weight)
    torch.testing.assert_close(rows.inputs, expected[space])


# -- the strategy -------------------------------------------------------------------


def test_long_vectors_of_a_low_rank_are_shortened_exactly():
    rng = torch.Generator().manual_seed(0)
    # A rank above the number of pivots of a round.
    low = torch.randn(90, 50, generator=rng, dtype=torch.float64)
    vectors = low @ torch.randn(50, 80, generator=rng, dtype=torch.float64)
    short = _narrow(vectors, 60)
    assert short.shape[1] <= 60
    torch.testing.assert_close(short @ short.T, vectors @ vectors.T)
    assert _narrow(vectors, 80) is vectors


@pytest.mark.on_cpu
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("condition", ["auto", True, False])
@pytest.mark.parametrize("prior", [0.01, 1.0])
def test_picks_of_dense_matrices(backward, condition, prior):
    learner = make_learner()
    (rows,), (labeled,) = read_information(
        Pool(learner, POOL), "last_layer", 1, None, None
    )
    rows, labeled = (
        Information(*(x.double() for x in part)) for part in (rows, labeled)
    )
    expected, _ = slow([rows], 4, prior, [labeled], bool(condition), backward)
    strategy = BAIT(
        "last_layer", condition_on_labels=condition, backward=backward, prior=prior
    )
    assert strategy.select(learner, POOL, 4).indices.tolist() == expected


@pytest.mark.on_cpu
def test_picks_of_information_by_definition():
    learner = make_learner()
    each = by_definition(learner.estimator, POOL, last=True)
    seen = by_definition(learner.estimator, X, last=True).sum(axis=0)
    start, fisher = np.eye(len(seen)) + seen, each.sum(axis=0) + seen
    picked: list[int] = []
    for _ in range(4):
        totals = [
            np.inf if x in picked else trace(each, [*picked, x], fisher, start)
            for x in range(len(POOL))
        ]
        picked.append(int(np.argmin(totals)))
    assert BAIT("last_layer").select(learner, POOL, 4).indices.tolist() == picked


def test_two_columns_and_one_output_give_the_same_picks():
    # f of one output is (0, f) of two: the information is that of their difference.
    torch.manual_seed(1)
    one = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.Tanh(), nn.Linear(4, 1))
    net = binary(one)
    picks = BAIT("inputs").select(net, POOL.astype(np.float32), 6)
    p = torch.as_tensor(net.predict_proba(POOL.astype(np.float32))[:, 1]).double()
    outputs = (p * (1 - p)).sqrt()[:, None, None]
    rows = Information(torch.as_tensor(POOL.astype(np.float32)), outputs)
    expected = fisher_bait([rows], 6)
    assert picks.indices.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(picks.scores, expected.scores, rtol=1e-5)


def test_nets_of_a_committee_add_their_traces():
    members = [make_learner(random_state=seed) for seed in range(2)]
    nets = [
        read_information(Pool(m, POOL), "last_layer", None, None, None)[0][0]
        for m in members
    ]
    seen = [
        read_information(Pool(m, X), "last_layer", None, None, None)[0][0]
        for m in members
    ]
    expected = fisher_bait(nets, 5, 1.0, seen)
    picks = BAIT("last_layer").select(Committee(members), POOL, 5)
    assert picks.indices.tolist() == expected.indices.tolist()


def test_bad_input():
    learner = make_learner()
    for prior in (0, -1, np.nan, "1", True):
        with pytest.raises(ValueError, match="prior must be a number above 0"):
            BAIT(prior=prior).select(learner, POOL, 1)
    with pytest.raises(ValueError, match="gradients as vectors"):
        BAIT(n_components=None).select(learner, POOL, 1)
    with pytest.raises(ValueError, match="condition_on_labels=True needs labeled rows"):
        BAIT(condition_on_labels=True).select(learner.estimator, POOL, 1)
    with pytest.raises(
        ValueError, match='condition_on_labels must be True, False or "auto"'
    ):
        BAIT(condition_on_labels="yes").select(learner, POOL, 1)


@pytest.mark.parametrize("space", ["gradients", "last_layer"])
@pytest.mark.parametrize("backward", [False, True])
def test_reading_anew_changes_nothing(space, backward, monkeypatch):
    X_pool = make_data("classification", 90, seed=2)[0]
    labels = ActiveLearner(make_net("classification"), X_training=X, y_training=Y)
    learner = Committee([labels, make_learner(random_state=1)])
    strategy = BAIT(space, backward=backward, random_state=0)
    expected = strategy.select(learner, X_pool, 25)
    read = []
    collected = NetAccess.collect

    def noted(self, rows, read_batch, size=None):
        read.append(len(rows))
        return collected(self, rows, read_batch, size)

    monkeypatch.setattr("skal.strategies.information._KEPT", 0)
    monkeypatch.setattr(NetAccess, "collect", noted)
    picks = strategy.select(learner, X_pool, 25)
    assert 90 not in read, "vectors of the pool are not kept"
    assert picks.indices.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(picks.scores, expected.scores, rtol=1e-4)


def test_too_much_is_refused_by_one_row(monkeypatch):
    learner, seen = make_learner(), []
    directions = information_directions

    def noted(access):
        def wrapped(outputs):
            seen.append(len(outputs))
            return directions(access)(outputs)

        return wrapped

    monkeypatch.setattr("skal.strategies.information.information_directions", noted)
    monkeypatch.setattr("skal.strategies.information._LIMIT", 1000)
    for space in ("gradients", "last_layer", "inputs", "features"):
        match = "16 rows with 3 classes on .* parameters .*Subsample or Prefilter"
        with pytest.raises(ValueError, match=match):
            BAIT(space).select(learner, POOL, 1)
    assert set(seen) == {1}
