from __future__ import annotations

import pytest
import torch

from skal.spaces import Factors, Sketch
from skal.spaces import sketch as module
from skal.spaces.projection import Projection
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


def test_layers_of_single_numbers_do_not_mix():
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
    with pytest.raises(ValueError, match=r"sketch of 20000 numbers takes .* 0\.0 GiB"):
        draw(20_000)(draw_layers(2))
    draw(10)(draw_layers(2))


def test_memory_is_told(monkeypatch):
    assert 2**28 < module._memory_bytes() < 2**50
    monkeypatch.delattr(module.os, "sysconf")
    assert module._memory_bytes() == 2**34


def test_no_layers():
    with pytest.raises(ValueError, match="one layer at least"):
        draw(3)([])
