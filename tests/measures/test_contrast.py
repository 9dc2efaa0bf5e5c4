"""Divergence of neighbors against scipy's, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from skal.measures import contrast

RNG = np.random.default_rng(0)
PROBS = RNG.dirichlet(np.ones(4) * 0.4, size=9)
OTHERS = RNG.dirichlet(np.ones(4) * 0.4, size=6)
NEIGHBORS = RNG.integers(6, size=(9, 3))


@pytest.mark.parametrize("block", [1, 25, 2**21])
@pytest.mark.parametrize("k", [1, 3])
def test_equals_scipy(small_blocks, block, k):
    small_blocks(block)
    near = NEIGHBORS[:, :k]
    expected = [
        np.mean([entropy(OTHERS[j], p) for j in js])
        for p, js in zip(PROBS, near, strict=True)
    ]
    scores = contrast(*map(torch.as_tensor, (PROBS, OTHERS, near)))
    assert scores.dtype == torch.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_the_neighbors_come_first_in_the_divergence():
    # KL(sure || split) = log 2; the other way around it has no bound.
    sure, split = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    near = torch.tensor([[0]])
    assert float(contrast(split, sure, near)) == pytest.approx(np.log(2))
    assert 100 < float(contrast(sure, split, near)) < np.inf


def test_equal_predictions_have_no_contrast():
    rows = torch.as_tensor(OTHERS[[2, 0, 0, 5]])
    near = torch.tensor([[2, 2], [0, 0], [0, 0], [5, 5]])
    assert contrast(rows, torch.as_tensor(OTHERS), near).tolist() == [0.0] * 4
    certain = torch.tensor([[0.0, 1.0]])
    assert contrast(certain, certain, torch.tensor([[0, 0]])).tolist() == [0.0]


def test_many_equal_predictions_of_many_classes_have_none():
    probs = torch.randn(500, 10, generator=torch.Generator().manual_seed(0)).double()
    probs = probs.softmax(dim=1)
    near = torch.arange(500)[:, None].expand(500, 7)
    assert contrast(probs, probs, near).tolist() == [0.0] * 500


def test_not_negative_and_the_same_for_any_block(small_blocks):
    above = torch.nextafter(torch.as_tensor(OTHERS[:1]), torch.ones(1).double())
    rows = torch.cat([above, torch.as_tensor(PROBS)]).repeat(30, 1)
    near = torch.as_tensor(RNG.integers(6, size=(300, 5)))
    near[::10] = 0
    scores = contrast(rows, torch.as_tensor(OTHERS), near)
    assert bool((scores >= 0).all())
    assert scores[::10].tolist() == [0.0] * 30  # sums of logarithms are below 0
    small_blocks(7)
    assert torch.equal(contrast(rows, torch.as_tensor(OTHERS), near), scores)
