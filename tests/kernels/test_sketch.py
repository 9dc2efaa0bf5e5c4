from __future__ import annotations

import pytest
import torch

from skal.factors import Factors
from skal.kernels import Sketch
from skal.kernels import sketch as module
from tests.kernels.test_gradient import draw_layers, materialized


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


def test_formula():
    layers = draw_layers(4)
    rng = torch.Generator().manual_seed(0)
    expected = torch.zeros(4, 6)
    for layer in layers:
        product = torch.ones(4, 6)
        for x in layer:
            shape = (x.shape[1], 6)
            if x.shape[1] == 1:
                product *= x @ (2.0 * torch.randint(2, shape, generator=rng) - 1)
            else:
                product *= x @ torch.randn(shape, generator=rng)
        expected += product / 6**0.5
    torch.testing.assert_close(draw(6)(layers), expected)


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
