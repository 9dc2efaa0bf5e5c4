from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal.selection import max_det
from skal.selection._greedy import any_of_largest
from skal.spaces import feature_scale, posterior_features
from tests.numerics.test_nearest import KINDS, features
from tests.selection.ties import first, in_turn


def by_determinants(rows: Tensor, n: int, noise: float) -> list[int]:
    """Greedy log-determinant, computed anew for each candidate."""
    kernel = rows.double() @ rows.double().T
    picked: list[int] = []
    for _ in range(n):
        scores = []
        for i in range(len(rows)):
            chosen = [*picked, i]
            block = kernel[chosen][:, chosen] + noise**2 * torch.eye(len(chosen))
            scores.append(-torch.inf if i in picked else float(torch.logdet(block)))
        largest = max(scores)
        picked.append(first(i for i, s in enumerate(scores) if s > largest - 1e-8))
    return picked


def by_conditioning(pool: Tensor, labeled: Tensor, n: int, noise: float) -> list[int]:
    """Mode TP: labeled rows are known first, and never picked."""
    pool, labeled = pool.double(), labeled.double()
    picked: list[int] = []
    for _ in range(n):
        known = torch.cat([labeled, pool[picked]])
        noisy = known @ known.T + noise**2 * torch.eye(len(known))
        cross = pool @ known.T
        taken = (cross * torch.linalg.solve(noisy, cross.T).T).sum(dim=1)
        variance = pool.square().sum(dim=1) - taken
        variance[picked] = -torch.inf
        picked.append(int(variance.argmax()))
    return picked


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("noise", [1e-2, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_is_greedy_determinant(kind, noise, dtype):
    rows = features(25, 6, kind=kind)
    picks = max_det(rows.to(dtype), 10, noise)
    assert picks.indices.tolist() == by_determinants(rows, 10, noise)
    assert picks.scores.dtype == torch.float64


@pytest.mark.parametrize("seed", range(4))
def test_labeled_rows_first_is_the_posterior_kernel(seed):
    pool, labeled = features(60, 8, seed), features(10, 8, seed + 100)
    scale = feature_scale(labeled)
    expected = by_conditioning(pool * scale, labeled * scale, 6, noise=0.1)
    posterior = posterior_features(pool, labeled, noise_std=0.1)
    assert max_det(posterior, 6, noise_std=0.1).indices.tolist() == expected


def test_first_pick_has_the_largest_norm():
    rows = features(40, 5)
    picks = max_det(rows, 1)
    norms = rows.double().square().sum(dim=1)
    assert picks.indices.tolist() == [int(norms.argmax())]
    assert picks.scores[0] == norms.max()


def test_scores_are_variances_when_picked():
    rows = features(30, 4)
    picks = max_det(rows, 8, noise_std=0.3)
    chosen = rows[picks.indices].double()
    for k in range(8):
        known = chosen[:k]
        noisy = known @ known.T + 0.09 * torch.eye(k)
        cross = known @ chosen[k]
        taken = cross @ torch.linalg.solve(noisy, cross) if k else 0.0
        assert float(picks.scores[k]) == pytest.approx(
            float(chosen[k] @ chosen[k] - taken)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_distinct_on_any_pool(kind):
    rows = features(70, 3, kind=kind)
    for scale in (0.0, 1e-8, 1.0, 1e4):
        picks = max_det(rows * scale, 70)
        assert sorted(picks.indices.tolist()) == list(range(70))
        assert (picks.scores >= 0).all()
    assert max_det(rows, 0).indices.tolist() == []


def test_rows_that_nothing_tells_apart_go_in_no_order():
    rows = features(5, 2)[torch.arange(200) % 5]
    picks = max_det(rows, 5, noise_std=10.0).indices.tolist()
    for kind in range(5):
        alike = [i for i in picks if i % 5 == kind]
        assert alike == in_turn(range(kind, 200, 5))[: len(alike)]
    assert max_det(torch.ones(9, 2), 9).indices.tolist() == in_turn(range(9))
    rounded = torch.tensor([1.0, 2.0, 2.0 + 1e-15, 2.0 - 1e-15]).double()
    assert any_of_largest(rounded, None) == first([1, 2, 3])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999))
def test_looking_ahead_changes_nothing(seed):
    rows = features(2000, 6, seed) * torch.linspace(0.01, 1, 2000)[:, None]
    kernel = rows.double()
    picked: list[int] = []
    inverse = torch.eye(6, dtype=torch.float64)
    for _ in range(50):
        variance = ((kernel @ inverse) * kernel).sum(dim=1)
        variance[picked] = -torch.inf
        i = int(variance.argmax())
        picked.append(i)
        step = inverse @ kernel[i]
        inverse = inverse - torch.outer(step, step) / (0.25 + kernel[i] @ step)
    assert max_det(rows, 50, noise_std=0.5).indices.tolist() == picked


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999))
def test_invariant_to_rotation_and_order(seed):
    rows = features(40, 5, seed).double()
    expected = max_det(rows, 8, noise_std=0.1).indices
    turn = torch.linalg.qr(features(5, 5, seed + 1).double()).Q
    assert torch.equal(max_det(rows @ turn, 8, noise_std=0.1).indices, expected)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(order[max_det(rows[order], 8, noise_std=0.1).indices], expected)
