from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skal.selection import frank_wolfe
from tests.numerics.test_nearest import KINDS, features
from tests.selection.ties import in_turn


def slow_frank_wolfe(rows: Tensor, n: int) -> list[int]:
    """Weights of all rows, one by one; the step by a search over its length."""
    rows = rows.double()
    norms = rows.norm(dim=1)
    target = rows.sum(dim=0)
    weights = torch.zeros(len(rows), dtype=torch.float64)
    picked: list[int] = []
    for _ in range(n):
        rest = target - weights @ rows
        value = [
            float(rest @ rows[i] / norms[i]) if i not in picked else -torch.inf
            for i in range(len(rows))
        ]
        i = max(range(len(rows)), key=lambda i: value[i])
        vertex = torch.zeros_like(weights)
        vertex[i] = norms.sum() / norms[i]

        def error(t: float, weights=weights, vertex=vertex) -> float:
            mixed = (1 - t) * weights + t * vertex
            return float((target - mixed @ rows).square().sum())

        low, high = 0.0, 1.0
        for _ in range(200):
            third = (high - low) / 3
            if error(low + third) < error(high - third):
                high -= third
            else:
                low += third
        weights = (1 - low) * weights + low * vertex
        picked.append(i)
    return picked


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_version(seed):
    rows = features(40, 6, seed) + 0.3
    picks = frank_wolfe(rows.double(), 12)
    assert picks.indices.tolist() == slow_frank_wolfe(rows, 12)
    assert frank_wolfe(rows, 12).indices.tolist() == picks.indices.tolist()


def test_first_pick_points_along_the_sum():
    rows = features(50, 4)
    total = rows.sum(dim=0)
    cosine = torch.nn.functional.cosine_similarity(rows, total[None])
    picks = frank_wolfe(rows, 1)
    assert picks.indices.tolist() == [int(cosine.argmax())]
    assert float(picks.scores[0]) == pytest.approx(
        float(cosine.max() * total.norm()), rel=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_distinct_on_any_pool(kind):
    rows = features(40, 3, kind=kind)
    for scale in (0.0, 1e-8, 1.0, 1e4):
        for n in (0, 1, 40):
            picks = frank_wolfe(rows * scale, n)
            assert len(set(picks.indices.tolist())) == n == len(picks.scores)
            assert picks.scores.isfinite().all()


def test_rows_of_zeros_come_last():
    rows = features(6, 2)
    rows[[0, 3]] = 0.0
    assert frank_wolfe(rows, 6).indices.tolist()[-2:] == in_turn([0, 3])


def test_rows_that_nothing_tells_apart_go_in_no_order():
    assert frank_wolfe(torch.ones(9, 2), 9).indices.tolist() == in_turn(range(9))


@pytest.mark.parametrize("seed", range(3))
def test_looking_ahead_changes_nothing(seed):
    rows = features(900, 40, seed).double() + 0.3
    norms = rows.norm(dim=1)
    target, approximation = rows.sum(dim=0), torch.zeros(40, dtype=torch.float64)
    picked: list[int] = []
    for _ in range(70):
        value = rows @ (target - approximation) / norms
        value[picked] = -torch.inf
        i = int(value.argmax())
        picked.append(i)
        direction = rows[i] * norms.sum() / norms[i] - approximation
        length = direction @ (target - approximation) / direction.square().sum()
        approximation = approximation + length.clamp(0, 1) * direction
    assert frank_wolfe(rows, 70).indices.tolist() == picked
