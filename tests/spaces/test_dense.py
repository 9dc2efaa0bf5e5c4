from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.spaces import Cosine, Dense, Embedding


def cloud(seed: int, m: int, d: int, dtype=torch.float32) -> torch.Tensor:
    """Rows with duplicates and multiples of one another, far from the origin."""
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(m, d, generator=rng, dtype=dtype) + 3
    rows[m // 2] = rows[0]
    rows[-1] = 2 * rows[0]
    return rows


def slow_dense(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    return ((a[:, None] - b[None]) ** 2).sum(-1)


def slow_cosine(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    out = np.empty((len(a), len(b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            zero_x, zero_y = not x.any(), not y.any()
            if zero_x or zero_y:
                out[i, j] = float(zero_x != zero_y)
            else:
                cosine = x @ y / np.sqrt(x @ x) / np.sqrt(y @ y)
                out[i, j] = (1 - cosine) ** 2
    return out


KINDS = pytest.mark.parametrize(
    ("kind", "slow"), [(Dense, slow_dense), (Cosine, slow_cosine)]
)


@KINDS
@given(st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_distances_to_one_row(kind, slow, seed, m, d):
    rows = cloud(seed, m, d)
    truth, embedding = slow(rows, rows), kind(rows)
    assert len(embedding) == m
    for i in {0, m // 2, m - 1}:
        np.testing.assert_allclose(embedding.sq_dist(i), truth[:, i], 1e-4, 1e-5)
        assert embedding.sq_dist(i)[i] == 0


@KINDS
def test_duplicates_are_at_zero_and_alike(kind, slow):
    rows = cloud(0, 60, 33)[torch.arange(3000) % 60] * 1000 + 1e4
    embedding = kind(rows)
    for i in (0, 7, 1234, 2999):
        distances = embedding.sq_dist(i)
        assert (distances[torch.arange(3000) % 60 == i % 60] == 0).all()
        # Whatever the place of a row, its duplicates are as far away, to the last bit.
        assert torch.equal(distances[:60].repeat(50), distances)


@KINDS
def test_some_rows_and_lower_bounds(kind, slow, small_blocks):
    small_blocks(100)
    rows = cloud(7, 50, 6)
    rows[[4, 30]] = 0
    embedding, some = kind(rows), torch.tensor([9, 4, 49])
    for i in (0, 4, 9):
        assert torch.equal(embedding.sq_dist(i, some), embedding.sq_dist(i)[some])
    exact = torch.stack([embedding.sq_dist(i) for i in some.tolist()])
    bounds = embedding.lower_bounds(some)
    assert (bounds <= exact).all()
    assert (exact - bounds <= 1e-3 * (1 + exact.max())).all()
    inherited = Embedding.lower_bounds(embedding, some)
    assert torch.equal(inherited, exact)


@KINDS
def test_nearest_of_others(kind, slow, small_blocks):
    rows, others = cloud(1, 50, 6), cloud(2, 9, 6)
    truth = slow(rows, others)
    sq_dist, center = kind(rows).nearest(kind(others))
    np.testing.assert_allclose(sq_dist, truth.min(1), 1e-4, 1e-5)
    np.testing.assert_allclose(truth[range(50), center], truth.min(1), 1e-4, 1e-5)
    small_blocks(1)
    assert torch.equal(kind(rows).nearest(kind(others))[0], sq_dist)


@KINDS
def test_a_row_among_the_others_is_at_zero(kind, slow):
    rows = cloud(3, 200, 16)
    sq_dist, center = kind(rows).nearest(kind(rows[50:90]))
    assert (sq_dist[50:90] == 0).all()
    assert center[50:90].tolist() == list(range(40))
    assert (sq_dist[:50] > 0).all()


@KINDS
def test_precision_is_that_of_the_features(kind, slow):
    rows = cloud(4, 30, 5, torch.float64)
    assert kind(rows).sq_dist(3).dtype == torch.float64
    np.testing.assert_allclose(
        kind(rows).sq_dist(3), slow(rows, rows)[:, 3], 1e-10, 1e-14
    )


def test_norms():
    rows = cloud(5, 20, 4)
    rows[3] = 0
    np.testing.assert_allclose(
        Dense(rows).sq_norm(), (rows.double() ** 2).sum(1), rtol=1e-5
    )
    norms = Cosine(rows).sq_norm()
    assert norms[3] == 0
    assert norms.sum() == 19


def test_rows_of_zeros_have_no_direction():
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [-2.0, 0.0]])
    embedding = Cosine(rows)
    assert embedding.sq_dist(0).tolist() == [0, 1, 0, 1]
    assert embedding.sq_dist(1).tolist() == [1, 0, 1, 4]
    assert embedding.nearest(Cosine(rows[:1]))[0].tolist() == [0, 1, 0, 1]
    assert embedding.nearest(Cosine(rows[1:2]))[0].tolist() == [1, 0, 1, 4]
    found = [x.tolist() for x in embedding.nearest(embedding)]
    assert found == [[0] * 4, [0, 1, 0, 3]]
    others = Cosine(torch.tensor([[0.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]))
    found = [x.tolist() for x in embedding.nearest(others)]
    assert found == [[0, 1, 0, 0], [0, 0, 0, 1]]
    others = Cosine(torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, -1.0]]))
    assert embedding.nearest(others)[1].tolist() == [1, 0, 1, 0]  # of equals the first


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_cosine_knows_no_length_and_no_rotation(seed):
    rows = cloud(seed, 25, 4, torch.float64)
    rng = np.random.default_rng(seed)
    scale = torch.from_numpy(np.exp(rng.normal(size=(25, 1))))
    rotation = torch.from_numpy(np.linalg.qr(rng.normal(size=(4, 4)))[0])
    for other in (rows * scale, rows @ rotation):
        torch.testing.assert_close(Cosine(rows).sq_dist(2), Cosine(other).sq_dist(2))


def test_embeddings_of_two_kinds_do_not_compare():
    rows = cloud(6, 5, 3)
    with pytest.raises(TypeError, match="Dense with Cosine"):
        Dense(rows).nearest(Cosine(rows))
    with pytest.raises(TypeError, match="Cosine with Dense"):
        Cosine(rows).nearest(Dense(rows))


def test_a_vector_is_no_matrix():
    with pytest.raises(ValueError, match=r"\(m, d\), got \(3,\)"):
        Dense(torch.ones(3))
