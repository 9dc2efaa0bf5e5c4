from __future__ import annotations

import pytest
import torch
from torch import Tensor

from skal.selection import k_center, kmeans_pp, lcmd
from skal.spaces import Dense, Factors, GradientEmbedding

WIDTHS = [(3, 4), (5, 1), (1, 6)]


def draw_layers(m: int, seed: int = 0, kind: str = "continuous") -> list[Factors]:
    rng = torch.Generator().manual_seed(seed)

    def factor(width: int) -> Tensor:
        x = torch.randn(m, width, generator=rng)
        if kind == "tied":
            return x.round()
        if kind == "duplicated":
            return x[torch.arange(m) % 7]
        return torch.ones(m, width) if kind == "constant" else x

    return [Factors(factor(i), factor(o)) for i, o in WIDTHS]


def materialized(layers: list[Factors]) -> Tensor:
    whole = [(g[:, :, None] * a[:, None]).flatten(1) for a, g in layers]
    return torch.cat(whole, dim=1).double()


KINDS = ["continuous", "tied", "duplicated", "constant"]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_explicit_outer_products(kind):
    layers, other = draw_layers(40, kind=kind), draw_layers(6, seed=1, kind=kind)
    embedding, centers = GradientEmbedding(layers), GradientEmbedding(other)
    flat, points = materialized(layers), materialized(other)
    assert len(embedding) == 40
    expected = flat.square().sum(dim=1)
    torch.testing.assert_close(
        embedding.sq_norm().double(), expected, rtol=1e-6, atol=0
    )
    between = (flat[:, None] - flat[None]).square().sum(dim=2)
    for i in (0, 17, 39):
        found = embedding.sq_dist(i).double()
        torch.testing.assert_close(found, between[i], rtol=1e-5, atol=1e-5)
        rows = torch.tensor([5, i, 30])
        assert torch.equal(embedding.sq_dist(i, rows).double(), found[rows])
        assert (found[between[i] == 0] == 0).all()
    rows = torch.tensor([3, 17])
    torch.testing.assert_close(
        embedding.inner(rows).double(), flat[rows] @ flat.T, rtol=1e-5, atol=1e-5
    )
    bounds = embedding.lower_bounds(rows).double()
    assert (bounds <= between[rows] + 1e-9).all()
    assert (bounds >= between[rows] - 1e-4 * expected.max()).all()
    far = (flat[:, None] - points[None]).square().sum(dim=2)
    sq_dist, center = embedding.nearest(centers)
    nearest = far.amin(dim=1)
    torch.testing.assert_close(sq_dist.double(), nearest, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        far.gather(1, center[:, None])[:, 0], nearest, rtol=1e-5, atol=1e-5
    )


def test_badge_of_last_layers():
    # g = (p - e) ⊗ z, |g|² = (|p|² + 1 - 2 max p) |z|².
    rng = torch.Generator().manual_seed(0)
    p = torch.rand(50, 5, generator=rng)
    p = p / p.sum(dim=1, keepdim=True)
    z = torch.randn(50, 7, generator=rng)
    u = p - torch.nn.functional.one_hot(p.argmax(dim=1), 5)
    embedding = GradientEmbedding([Factors(z, u)])
    closed = (p.square().sum(1) + 1 - 2 * p.amax(1)) * z.square().sum(1)
    torch.testing.assert_close(embedding.sq_norm(), closed)
    inner = (u @ u.T) * (z @ z.T)
    torch.testing.assert_close(embedding.inner(torch.arange(50)), inner)


def test_duplicates_of_others_are_at_exactly_zero():
    layers = draw_layers(30)
    copies = [Factors(a[10:14].clone(), g[10:14].clone()) for a, g in layers]
    sq_dist, center = GradientEmbedding(layers).nearest(GradientEmbedding(copies))
    assert sq_dist[10:14].tolist() == [0.0] * 4
    assert center[10:14].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_selectors_pick_as_on_explicit_vectors(kind):
    layers, other = draw_layers(60, kind=kind), draw_layers(5, seed=1, kind=kind)
    layers = [Factors(a.double(), g.double()) for a, g in layers]
    other = [Factors(a.double(), g.double()) for a, g in other]
    embedding, centers = GradientEmbedding(layers), GradientEmbedding(other)
    flat, points = Dense(materialized(layers)), Dense(materialized(other))

    def seeded() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    pairs = [
        (k_center(embedding, 20), k_center(flat, 20)),
        (lcmd(embedding, 20), lcmd(flat, 20)),
        (lcmd(embedding, 20, centers), lcmd(flat, 20, points)),
        (kmeans_pp(embedding, 20, seeded()), kmeans_pp(flat, 20, seeded())),
        (
            kmeans_pp(embedding, 20, seeded(), centers),
            kmeans_pp(flat, 20, seeded(), points),
        ),
    ]
    for found, expected in pairs:
        assert found.indices.tolist() == expected.indices.tolist()
        torch.testing.assert_close(found.scores, expected.scores)


def test_blocks_change_nothing(small_blocks):
    embedding = GradientEmbedding(draw_layers(40))
    centers = GradientEmbedding(draw_layers(9, seed=1))
    expected = embedding.nearest(centers)
    small_blocks(60)
    found = embedding.nearest(centers)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0])


def test_norms_handed_out_can_be_written_to():
    embedding = GradientEmbedding(draw_layers(5))
    kept = embedding.sq_norm()
    embedding.sq_norm().zero_()
    assert torch.equal(embedding.sq_norm(), kept)


def test_bad_input():
    with pytest.raises(ValueError, match="at least one layer"):
        GradientEmbedding([])
    with pytest.raises(ValueError, match=r"same number of rows, got \{2, 3\}"):
        GradientEmbedding([Factors(torch.ones(2, 1), torch.ones(3, 1))])
    embedding = GradientEmbedding(draw_layers(5))
    with pytest.raises(TypeError, match="GradientEmbedding with Dense"):
        embedding.nearest(Dense(torch.ones(2, 3)))
    with pytest.raises(ValueError, match="same widths"):
        embedding.nearest(GradientEmbedding(draw_layers(5)[:2]))


def test_zero_gradients_are_exactly_as_far_as_the_other_is_long():
    """So that rows without gradient are equally near to equally long centers."""
    rng = torch.Generator().manual_seed(0)
    a, g = torch.randn(50, 7, generator=rng), torch.randn(50, 3, generator=rng)
    g[:5] = 0
    a[5:9] = 0
    rows = GradientEmbedding([Factors(a, g)])
    sq_norm = rows.sq_norm()
    for i in (0, 3, 5, 8):
        assert torch.equal(rows.sq_dist(i), sq_norm)
    centers = GradientEmbedding([Factors(a[:6], g[:6])])  # all of them zero
    sq_dist, center = rows.nearest(centers)
    assert torch.equal(sq_dist, sq_norm)
    assert not center.any()  # equally near: the oldest
