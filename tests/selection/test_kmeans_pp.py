from __future__ import annotations

from collections import Counter
from itertools import permutations, product

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch.nn.functional import normalize

from skal.selection import kmeans_pp
from skal.spaces import Cosine, Dense
from tests.numerics.test_nearest import KINDS, all_sq_dist, features


def law(
    rows: Tensor, centers: Tensor, n: int, cls: type[Dense] | type[Cosine]
) -> dict[tuple[int, ...], float]:
    """Probability of each sequence of picks."""
    power = 1
    if cls is Cosine:  # squares of half the squared distances of unit vectors
        rows, centers, power = normalize(rows), normalize(centers), 2
    m = len(rows)
    first = int(rows.square().sum(dim=1).argmax())
    found = {}
    for sequence in permutations(range(m), n):
        chance = 1.0
        for k, i in enumerate(sequence):
            known = torch.cat([centers, rows[list(sequence[:k])]])
            if len(known):
                near = all_sq_dist(rows, known).amin(dim=1) ** power
                chance *= float(near[i] / near.sum())
            else:
                chance *= i == first
        if chance > 0:
            found[sequence] = chance
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("n_centers", "cls"), [(0, Dense), (2, Dense), (2, Cosine)])
def test_frequencies_follow_the_law(n_centers, cls):
    rows, centers = features(5, 2), features(n_centers, 2, seed=1)
    expected = law(rows, centers, 3, cls)
    assert sum(expected.values()) == pytest.approx(1)
    rng = torch.Generator().manual_seed(0)
    given = cls(centers) if n_centers else None
    counts = Counter(
        tuple(kmeans_pp(cls(rows), 3, rng, given).indices.tolist()) for _ in range(1500)
    )
    assert set(counts) <= set(expected)
    observed = [counts[s] for s in expected]
    assert chisquare(observed, [1500 * p for p in expected.values()]).pvalue > 1e-3


@pytest.mark.slow
def test_frequencies_are_of_squared_distances_late_in_a_batch():
    # The last pick of five, by which proposals are old, given the four before it.
    rows = torch.tensor([[0.0], [1.0], [2.5], [4.5], [7.0], [10.0], [14.0]])
    rng = torch.Generator().manual_seed(0)
    counts: Counter[tuple[int, int]] = Counter()
    for _ in range(2000):
        *head, last = kmeans_pp(Dense(rows), 5, rng).indices.tolist()
        counts[sum(1 << i for i in head), last] += 1
    statistics = []
    for head in {head for head, _ in counts}:
        chosen = [i for i in range(7) if head >> i & 1]
        near = all_sq_dist(rows, rows[chosen]).amin(dim=1)
        others = [i for i in range(7) if i not in chosen]
        observed = [counts[head, i] for i in others]
        if sum(observed) > 100:
            chance = near[others] / near.sum() * sum(observed)
            statistics.append(chisquare(observed, chance.tolist()).pvalue)
    assert len(statistics) > 3
    assert min(statistics) > 1e-3 / len(statistics)


@pytest.mark.parametrize("kind", KINDS)
def test_distinct_on_any_pool(kind):
    rows = features(30, 4, kind=kind)
    for seed, n in product(range(3), (0, 1, 30)):
        rng = torch.Generator().manual_seed(seed)
        for given in (None, Dense(rows[:3].clone())):
            picks = kmeans_pp(Dense(rows), n, rng, given)
            assert len(set(picks.indices.tolist())) == n == len(picks.scores)
            assert picks.scores.isfinite().all()


def test_rows_on_centers_come_last_and_in_order():
    rows = features(5, 2)[torch.arange(15) % 5]
    picks = kmeans_pp(Dense(rows), 15, torch.Generator().manual_seed(3))
    first = {i % 5 for i in picks.indices[:5].tolist()}
    assert len(first) == 5
    rest = picks.indices[5:].tolist()
    assert rest == sorted(rest)
    assert (picks.scores[5:] == 0).all()
    assert (picks.scores[:5] > 0).all()


def test_same_seed_same_picks():
    rows = Dense(features(200, 40))
    runs = [
        kmeans_pp(rows, 30, torch.Generator().manual_seed(s)).indices.tolist()
        for s in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_scores_are_squared_distances_when_picked():
    rows, centers = features(40, 3), features(4, 3, seed=1)
    picks = kmeans_pp(Dense(rows), 10, torch.Generator().manual_seed(0), Dense(centers))
    for k, i in enumerate(picks.indices.tolist()):
        known = torch.cat([centers, rows[picks.indices[:k]]])
        expected = float(all_sq_dist(rows[i : i + 1], known).min())
        assert float(picks.scores[k]) == pytest.approx(expected, rel=1e-5)


def test_squares_that_overflow_are_refused():
    rows = torch.tensor([[1e25], [2e25], [-1e25], [3e24]])
    with pytest.raises(ValueError, match="scale the features"):
        kmeans_pp(Dense(rows), 3, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n_centers", [0, 3])
@pytest.mark.parametrize("m", [40, 3000])
def test_picks_of_a_small_batch_are_the_first_of_a_larger_one(n_centers, m):
    rows, centers = features(m, 3), Dense(features(3, 3, seed=1))
    picks = [
        kmeans_pp(
            Dense(rows),
            n,
            torch.Generator().manual_seed(5),
            centers if n_centers else None,
        ).indices.tolist()
        for n in (1, 2, 7, 20, 39)
    ]
    for few in picks:
        assert few == picks[-1][: len(few)]
