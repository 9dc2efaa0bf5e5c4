"""A row for each cluster, against a loop over clusters."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from skal.selection import representatives
from tests.numerics.test_nearest import KINDS, features

module_under_test = sys.modules[
    "skal.selection._representatives"
]  # the function has its name


def slow(
    rows: Tensor, clusters: Tensor, centers: Tensor, scores: Tensor, n: int
) -> list[int]:
    first = []
    for cluster in clusters.unique():
        own = torch.nonzero(clusters == cluster)[:, 0].tolist()
        distance = {
            i: round(float((rows[i] - centers[cluster]).norm()), 9) for i in own
        }
        first.append(min(own, key=lambda i: (distance[i], -scores[i], i)))
    first.sort(key=lambda i: (-scores[i], clusters[i]))
    rest = [i for i in range(len(rows)) if i not in first[:n]]
    rest.sort(key=lambda i: (-scores[i], i))
    return [*first[:n], *rest][:n]


@pytest.mark.parametrize("n", [0, 1, 5, 6, 20, 50])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_loop(n, seed, monkeypatch):
    monkeypatch.setattr(module_under_test, "_BLOCK", 30)
    rows = features(50, 3, seed).double()
    clusters = (torch.arange(50) * 7 + seed) % 6
    clusters[clusters == 4] = 5  # one is empty
    centers = torch.stack(
        [rows[clusters == c].mean(dim=0).nan_to_num() for c in range(6)]
    )
    scores = torch.rand(50, generator=torch.Generator().manual_seed(seed))
    picks = representatives(rows, clusters, centers, scores, n)
    assert picks.indices.tolist() == slow(rows, clusters, centers, scores, n)
    assert torch.equal(picks.scores, scores[picks.indices])


def test_of_two_equally_near_the_higher_score():
    # Both lie as far from the middle, but for rounding.
    rows = features(200, 5, seed=3).double() * 1e3 + 77
    clusters = torch.arange(100).repeat_interleave(2)
    centers = (rows[::2] * 0.3 + rows[1::2] * 0.3) / 0.6
    distance = (rows - centers[clusters]).norm(dim=1)
    assert (distance[::2] != distance[1::2]).any()
    higher = torch.arange(200) % 2 * 1.0
    picks = representatives(rows, clusters, centers, higher, 100)
    assert picks.indices.tolist() == list(range(1, 200, 2))
    picks = representatives(rows, clusters, centers, torch.zeros(200), 100)
    assert sorted(picks.indices.tolist()) == list(range(0, 200, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_distinct_on_any_pool(kind):
    rows = features(50, 3, kind=kind)
    zeros = torch.zeros(50, dtype=torch.long)
    for n in (0, 1, 50):
        picks = representatives(rows, zeros, rows[:1], torch.zeros(50), n)
        assert len(set(picks.indices.tolist())) == n


def test_n_out_of_range():
    zeros = torch.zeros(5, dtype=torch.long)
    with pytest.raises(ValueError, match="n must be between 0 and 5"):
        representatives(features(5, 2), zeros, torch.zeros(1, 2), torch.zeros(5), 6)
