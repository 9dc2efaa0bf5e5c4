"""Leaves against comparisons of one pair of rows at a time."""

from __future__ import annotations

import pytest
import torch

from skal.measures import mean_cosine, mean_nearness
from skal.selection import lcmd
from skal.spaces import Dense, Leaves
from skal.spaces.leaves import leaf_vectors

#: Shares of a power of 2 of trees are exact.
N_TREES, N_LEAVES = 8, 5


def draw(m: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    codes = torch.randint(N_LEAVES, (m, N_TREES), generator=rng)
    return (codes + N_LEAVES * torch.arange(N_TREES)).int()


ROWS, CENTERS = draw(90, 0), draw(70, 1)
POOL, LABELED = (Leaves(c, N_LEAVES * N_TREES) for c in (ROWS, CENTERS))


def one_hot(codes: torch.Tensor) -> torch.Tensor:
    vectors = torch.zeros(len(codes), N_LEAVES * N_TREES, dtype=torch.float64)
    return vectors.scatter_(1, codes.long(), (2 * N_TREES) ** -0.5)


def test_shares_of_trees() -> None:
    shares = torch.tensor(
        [[sum(a != b for a, b in zip(x, y, strict=True)) for y in CENTERS.tolist()]
         for x in ROWS.tolist()]
    ).double() / N_TREES  # fmt: skip
    sq_dist, center = POOL.nearest(LABELED)
    assert torch.equal(sq_dist, shares.amin(dim=1))
    # Of equally near centers the first one, also from a later part of 64.
    first = (shares == shares.amin(dim=1, keepdim=True)).int().argmax(dim=1)
    assert torch.equal(center, first)
    assert int(center.max()) >= 64
    some = torch.tensor([3, 50, 7])
    for i in (4, 20):
        expected = (ROWS[i] != ROWS).double().mean(dim=1)
        assert torch.equal(POOL.sq_dist(i), expected)
        assert torch.equal(POOL.sq_dist(i, some), expected[some])
        assert torch.equal(POOL.lower_bounds(torch.tensor([i, 1]))[0], expected)
        assert torch.equal(POOL.sq_dist(i), expected)  # remembered
        assert torch.equal(POOL.sq_dist(i, some), expected[some])
    assert torch.equal(
        POOL.sq_norm(), one_hot(ROWS).square().sum(dim=1).round(decimals=12)
    )


def test_picks_are_those_of_one_hot_vectors() -> None:
    picks = lcmd(POOL, 12, LABELED)
    whole = (2 * N_TREES) ** 0.5
    rows, centers = ((one_hot(c) * whole).round() for c in (ROWS, CENTERS))
    expected = lcmd(Dense(rows), 12, Dense(centers))
    assert torch.equal(picks.indices, expected.indices)
    assert torch.equal(picks.scores * 2 * N_TREES, expected.scores)


def test_vectors_have_the_inner_products_of_leaves() -> None:
    both = one_hot(torch.cat([ROWS, CENTERS]))
    found = leaf_vectors(POOL, LABELED)
    assert found.shape[1] == torch.linalg.matrix_rank(both)
    torch.testing.assert_close(found @ found.T, both @ both.T)
    rounded = leaf_vectors(POOL, LABELED, torch.float32)
    assert rounded.shape == found.shape
    torch.testing.assert_close(
        rounded @ rounded.T, (both @ both.T).float(), atol=1e-5, rtol=0
    )
    short = Leaves(ROWS, POOL.n_codes, n_components=6)
    rows = leaf_vectors(short, None)
    assert rows.shape == (90, 6)
    assert bool((rows.square().sum(dim=1) <= 0.5 + 1e-12).all())


def test_means_over_the_pool() -> None:
    vectors = one_hot(ROWS)
    expected = mean_cosine(vectors) / 2
    torch.testing.assert_close(POOL.mean_product(), expected)
    for reference in (None, torch.tensor([5, 3, 77])):
        found = POOL.mean_nearness(reference)
        torch.testing.assert_close(found, mean_nearness(vectors, reference))


def test_least_shares_among_some_rows() -> None:
    shares = (ROWS[:, None] != ROWS).double().mean(dim=2)
    rows, others = torch.arange(90) < 9, torch.arange(90) > 20
    expected = shares[rows][:, others].amin(dim=1)
    assert torch.equal(POOL.nearest_among(rows, others), expected)


def test_some_rows_and_those_of_others() -> None:
    some = torch.tensor([8, 2])
    both = POOL.take(some).followed_by(LABELED)
    assert torch.equal(both.codes, torch.cat([ROWS[some], CENTERS]))
    assert (both.n_codes, both.n_components) == (POOL.n_codes, POOL.n_components)


def test_bad_leaves() -> None:
    with pytest.raises(ValueError, match="shape"):
        Leaves(ROWS[0], 9)
    with pytest.raises(TypeError, match="Cannot compare Leaves with Dense"):
        POOL.nearest(Dense(torch.ones(2, 3)))
    with pytest.raises(ValueError, match="different trees"):
        POOL.nearest(Leaves(CENTERS, 99))
