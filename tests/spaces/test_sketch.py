"""Sketches against gradients written out, and projections against their matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

from skal.spaces import Factors, Sketch
from skal.spaces import sketch as module
from skal.spaces.sketch import Projection
from tests.spaces.test_gradient import draw_layers, materialized


def draw(p: int, seed: int = 0) -> Sketch:
    return Sketch(p, torch.Generator().manual_seed(seed))


def test_inner_products_are_those_of_gradients_on_average():
    layers = draw_layers(5)
    flat = materialized(layers)
    expected = flat @ flat.T
    runs = torch.stack([(s := draw(50, seed)(layers)) @ s.T for seed in range(400)])
    error = runs.std(dim=0) / 400**0.5
    assert ((runs.mean(dim=0) - expected).abs() < 4 * error).all()
    # Sketches of one layer each do not mix.
    long = draw(100_000)(layers)
    scale = flat.square().sum(dim=1).max()
    assert ((long @ long.T - expected).abs() < 0.05 * scale).all()


def test_layers_of_single_elements_do_not_mix():
    layers = [Factors(torch.ones(1, 1), torch.ones(1, 1)) for _ in range(4)]
    values = [float(draw(1000, s)(layers).square().sum()) for s in range(20)]
    assert sum(values) / 20 == pytest.approx(4, rel=0.05)
    assert float(draw(7)(layers[:1]).square().sum()) == pytest.approx(1)


def test_one_projection_for_all_rows():
    layers = draw_layers(20)
    sketch = draw(8)
    whole = sketch(layers)
    part = sketch([Factors(a[5:9], g[5:9]) for a, g in layers])
    torch.testing.assert_close(part, whole[5:9])
    assert torch.equal(draw(8)(layers), whole)
    assert not torch.equal(draw(8, seed=1)(layers), whole)


@pytest.mark.parametrize("widths", [(3, 2), (513, 512), (300, 1)])
def test_formula(widths):
    rng = torch.Generator().manual_seed(3)
    layers = [
        Factors(*(torch.randn(4, w, generator=rng) for w in widths)) for _ in range(2)
    ]
    sketch = draw(512)
    found = sketch(layers)
    rng = torch.Generator().manual_seed(0)
    expected = torch.zeros(4, 512, dtype=torch.float64)
    for layer in layers:
        product = torch.ones(4, 512, dtype=torch.float64)
        for x in layer:
            omega = Projection(x.shape[1], 512, rng)(torch.eye(x.shape[1]))
            product *= x.double() @ omega.double()
        expected += product / 512**0.5
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_error_of_wide_layers_is_no_larger_than_by_gaussians():
    # Of two products of Gaussians: E (s s')² = (|x|²|y|² + 2 <x, y>²) for each factor.
    rng = torch.Generator().manual_seed(2)
    spread = torch.randn(2, 512, generator=rng) / 512**0.5
    peaked = torch.zeros(2, 512)
    peaked[0, [0, 1]], peaked[1, [1, 3]] = 1.0, 1.0
    for x in (spread, peaked):
        layer = Factors(x, x.flip(1) if x is spread else x)
        inner = (layer.inputs @ layer.inputs.T) * (layer.outputs @ layer.outputs.T)
        runs = torch.stack([(s := draw(512, k)([layer])) @ s.T for k in range(300)])
        second = 1.0
        for factor in layer:
            products = factor @ factor.T
            sq = products.diagonal()
            second = second * (sq[:, None] * sq + 2 * products**2)
        assert (runs.var(dim=0) < 1.4 * (second - inner**2) / 512).all()
        error = runs.std(dim=0) / 300**0.5
        assert ((runs.mean(dim=0) - inner).abs() < 4 * error + 1e-5).all()


def test_larger_than_memory(monkeypatch):
    monkeypatch.setattr(module, "_memory_bytes", lambda: 2.0**20)
    with pytest.raises(ValueError, match=r"sketch of 20000 components takes 0\.0 GiB"):
        draw(20_000)(draw_layers(2))
    draw(10)(draw_layers(2))


def test_memory_is_told(monkeypatch):
    assert 2**28 < module._memory_bytes() < 2**50
    monkeypatch.delattr(module.os, "sysconf")
    assert module._memory_bytes() == 2**34


def test_no_layers():
    with pytest.raises(ValueError, match="at least one layer"):
        draw(3)([])


# -- projections -------------------------------------------------------------------


def projection_of(width: int, p: int, seed: int = 0) -> Projection:
    return Projection(width, p, torch.Generator().manual_seed(seed))


def matrix(projection: Projection, width: int) -> torch.Tensor:
    """Omega, (w, p), from the images of the unit vectors."""
    return projection(torch.eye(width))


@pytest.mark.parametrize(("n", "p"), [(128, 512), (256, 300), (512, 512), (1024, 128)])
def test_columns_are_those_of_hadamard_with_signs(n, p):
    projection = projection_of(n, p)
    omega = matrix(projection, n).numpy()
    assert (np.abs(omega) == 1).all()
    for part in projection.parts:
        length = len(part.second) * part.first.shape[1]
        # The first row of a Hadamard matrix is all ones.
        signs = part.first[:, 0].reshape(-1, length)
        copies = [hadamard(length) * s[:, None] for s in signs.numpy()]
        expected = np.concatenate(copies, axis=1)[:, part.columns]
        np.testing.assert_array_equal(omega[part.start :][:length], expected)
        assert len(set(part.columns.tolist())) == p
    assert projection.matrix is None


@pytest.mark.parametrize("width", [1, 2, 127, 128, 513, 784, 5000])
def test_rows_are_projected_by_one_matrix(width):
    projection = projection_of(width, 512)
    rows = torch.randn(7, width, generator=torch.Generator().manual_seed(1))
    expected = rows.double() @ matrix(projection, width).double()
    torch.testing.assert_close(
        projection(rows).double(), expected, rtol=1e-4, atol=1e-3
    )
    rows = rows.double()
    projection = projection.to(rows)
    torch.testing.assert_close(projection(rows)[2:4], projection(rows[2:4]))


@pytest.mark.parametrize(("width", "p"), [(1, 9), (5, 9), (513, 512), (900, 300)])
def test_size_is_that_of_what_is_kept(width, p):
    projection = projection_of(width, p)
    kept = [x for part in projection.parts for x in part[1:]]
    kept += [] if projection.matrix is None else [projection.matrix]
    total = sum(x.numel() for x in kept)
    # Copies of signs fill up to whole matrices; the two small ones are not counted.
    assert Projection.size(width, p) == pytest.approx(total, rel=0.6)


@pytest.mark.parametrize(("width", "p"), [(200, 512), (513, 128), (1500, 200)])
def test_products_are_kept_on_average(width, p):
    rng = torch.Generator().manual_seed(5)
    sparse = torch.zeros(2, width)
    sparse[0, [0, 130]], sparse[1, [0, 2]] = 1.0, 1.0
    rows = torch.cat([sparse, torch.randn(2, width, generator=rng) / width**0.5])
    found = torch.stack(
        [(y := projection_of(width, p, seed)(rows)) @ y.T / p for seed in range(400)]
    )
    error = found.std(dim=0) / 20
    assert ((found.mean(dim=0) - rows @ rows.T).abs() <= 4 * error + 1e-4).all()
    # No worse than Gaussians, whose variance is (|x|²|y|² + <x, y>²) / p.
    sq = rows.square().sum(dim=1)
    gaussian = (sq[:, None] * sq + (rows @ rows.T) ** 2) / p
    assert (found.var(dim=0) < 1.3 * gaussian).all()


def test_parts_do_not_mix():
    # The same element at the same place of two parts: their products must cancel.
    x = torch.zeros(1, 768)
    x[0, 3], x[0, 515] = 1.0, 1.0
    errors = [
        float(projection_of(768, 512, s)(x).square().sum()) / 512 - 2
        for s in range(300)
    ]
    assert np.std(errors) < 1.2 * (2 * 4 / 512) ** 0.5
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 300**0.5


def test_same_seed_same_projection():
    x = torch.randn(3, 600, generator=torch.Generator().manual_seed(0))
    assert torch.equal(projection_of(600, 256)(x), projection_of(600, 256)(x))
    assert not torch.equal(projection_of(600, 256)(x), projection_of(600, 256, 1)(x))


def test_dtype_follows():
    x = torch.ones(2, 600, dtype=torch.float64)
    assert projection_of(600, 256).to(x)(x).dtype == torch.float64


def test_nothing_to_project():
    assert torch.equal(projection_of(0, 4)(torch.ones(3, 0)), torch.zeros(3, 4))
