"""BADGE against explicit outer products."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from skal import ActiveLearner, Committee
from skal.rng import resolve_rng, seed_from
from skal.selection import kmeans_pp
from skal.spaces import Dense
from skal.strategies.badge import BADGE
from tests.models import N_FEATURES, make_data, make_net, module_on_cpu

POOL = make_data("classification", 60, seed=1)[0]


def gradients(net, X: np.ndarray) -> torch.Tensor:
    """Gradients of the loss at the own label by the last layer, row by row."""
    module = module_on_cpu(net)
    layers = [m for m in module.modules() if isinstance(m, nn.Linear)]
    rows = []
    for x in torch.as_tensor(X, dtype=torch.float32):
        logits = module(x[None])
        loss = nn.functional.cross_entropy(logits.double(), logits.argmax(dim=1))
        found = torch.autograd.grad(loss, list(layers[-1].parameters()))
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


def expected(features: torch.Tensor, n: int, seed: int) -> list[int]:
    rng = resolve_rng(seed)
    seed_from(rng)  # the door draws one for the global generators
    return kmeans_pp(Dense(features.double()), n, rng).indices.tolist()


@pytest.mark.parametrize("bias", [True, False])
def test_equals_explicit_vectors(bias):
    module = nn.Sequential(
        nn.Linear(N_FEATURES, 8), nn.ReLU(), nn.Linear(8, 3, bias=bias)
    )
    net = make_net("classification", module=module).fit(*make_data("classification"))
    vectors = gradients(net, POOL)
    for seed in range(3):
        selection = BADGE(random_state=seed).select(net, POOL, 12)
        assert selection.indices.tolist() == expected(vectors, 12, seed)
    assert selection.indices[0] == int(vectors.norm(dim=1).argmax())
    between = torch.cdist(vectors.double(), vectors.double())
    for k in range(1, 12):
        near = between[selection.indices[k], selection.indices[:k]].min()
        assert selection.scores[k] == pytest.approx(float(near), rel=1e-3, abs=1e-6)


def test_nets_that_end_in_probabilities():
    body = [nn.Linear(N_FEATURES, 8), nn.ReLU(), nn.Linear(8, 3)]
    X, y = make_data("classification")
    logits = make_net("classification", module=nn.Sequential(*body)).fit(X, y)
    ends = nn.Sequential(*body, nn.Softmax(dim=1))
    probabilities = make_net("classification", module=ends, criterion=nn.NLLLoss)
    probabilities.initialize()
    probabilities.fit(X, y)
    for a, b in zip(
        probabilities.module_.parameters(), logits.module_.parameters(), strict=True
    ):
        a.data.copy_(b.data)
    picks = [
        BADGE(random_state=0).select(net, POOL, 9) for net in (logits, probabilities)
    ]
    np.testing.assert_array_equal(picks[0].indices, picks[1].indices)
    np.testing.assert_allclose(picks[0].scores, picks[1].scores, rtol=1e-3)


def test_nets_of_a_committee_side_by_side():
    X, y = make_data("classification")
    members = [
        ActiveLearner(
            make_net("classification", random_state=s), X_training=X, y_training=y
        )
        for s in range(2)
    ]
    vectors = torch.cat([gradients(m.estimator, POOL) for m in members], dim=1)
    selection = BADGE(random_state=1).select(Committee(members), POOL, 10)
    assert selection.indices.tolist() == expected(vectors, 10, 1)


def test_sure_nets_give_distinct_rows():
    net = make_net("classification").fit(*make_data("classification"))
    with torch.no_grad():
        net.module_.head.weight.mul_(1e5)
    selection = BADGE(random_state=0).select(net, POOL, 60)
    assert sorted(selection.indices.tolist()) == list(range(60))
    assert np.isfinite(selection.scores).all()
