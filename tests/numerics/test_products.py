"""Blocks of rows, matrix products and sums over rows, whatever the blocks."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skal._numerics import products
from skal._numerics.products import (
    block_size,
    blocks,
    extent,
    factor_rounding,
    has_room,
    linear,
    rounding_bound,
    tiles,
)
from tests.numerics.test_nearest import features


@pytest.mark.parametrize("n_rows", [0, 1, 7, 50])
@pytest.mark.parametrize("width", [0, 1, 13, 50, 51])
@pytest.mark.parametrize("in_cache", [False, True])
def test_slices_are_consecutive_and_full(n_rows, width, in_cache, monkeypatch):
    monkeypatch.setattr(products, "MEMORY", 50)
    monkeypatch.setattr(products, "CACHE", 20)
    size = block_size(width, in_cache=in_cache)
    limit = 20 if in_cache else 50
    assert size == 1 or size * width <= limit < (size + 1) * max(width, 1)
    parts = list(blocks(n_rows, width, in_cache=in_cache))
    rows = [i for part in parts for i in range(part.start, part.stop)]
    assert rows == list(range(n_rows))
    assert all(part.stop - part.start == size for part in parts[:-1])


def test_pairs_of_two_tiles_are_a_block(small_blocks):
    small_blocks(50)
    sizes = [part.stop - part.start for part in tiles(30)]
    assert sizes == [7, 7, 7, 7, 2]


# -- products at the speed of the processor -----------------------------------------


@pytest.fixture(params=[False, True], ids=["plain", "convolution"])
def by_convolution(request, monkeypatch):
    monkeypatch.setattr(products, "_convolves_fast", lambda: request.param)
    monkeypatch.setattr(products, "_SMALL", 1)
    monkeypatch.setattr(products, "_FEW", 0)
    return request.param


@pytest.fixture
def convolved(monkeypatch):
    """Shapes of the products that were computed as convolutions."""
    found = []

    def conv2d(line, *args, conv2d=F.conv2d, **options):
        found.append((line.shape[2], line.shape[1], len(args[0])))
        return conv2d(line, *args, **options)

    monkeypatch.setattr(F, "conv2d", conv2d)
    return found


def matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("m", [0, 1, 2, 33, 700])
def test_products(by_convolution, m):
    for d, n_centers in product((0, 1, 3, 64, 129), (0, 1, 5, 64)):
        rows, weight = matrix(m, d), matrix(n_centers, d, seed=1)
        bias = matrix(n_centers, seed=2)
        exact = rows.double() @ weight.double().T
        found = linear(rows, weight), linear(rows, weight, bias)
        for own, expected in zip(found, (exact, exact + bias.double()), strict=True):
            assert own.dtype == torch.float32
            assert own.is_contiguous()
            torch.testing.assert_close(own.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_and_weights_of_any_layout(by_convolution, n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        rows, weight = matrix(64, 900), matrix(64, 9, seed=1)
        found = [linear(x, weight.T) for x in (rows.T[3::2], rows.T, rows.T.flip(1))]
    finally:
        torch.set_num_threads(before)
    wide, weight = rows.double().T, weight.double()
    expected = [x @ weight for x in (wide[3::2], wide, wide.flip(1))]
    torch.testing.assert_close(
        [x.double() for x in found], expected, rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_dtypes_are_left_to_torch(by_convolution, convolved, dtype):
    rows = matrix(300, 64).to(dtype)
    assert torch.equal(linear(rows, rows), F.linear(rows, rows))
    assert not convolved


def test_other_devices_and_small_products_are_left_to_torch(monkeypatch, convolved):
    monkeypatch.setattr(products, "_convolves_fast", lambda: True)
    linear(matrix(100, 64), matrix(100, 64))
    elsewhere = torch.empty(3000, 512, device="meta")
    assert linear(elsewhere, elsewhere[:100]).shape == (3000, 100)
    linear(matrix(20, 1024), matrix(5000, 1024))  # torch would not call oneDNN
    assert not convolved
    linear(matrix(3000, 512), matrix(100, 512))
    assert convolved == [(3000, 512, 100)]


def test_autocast_shortens_nothing(by_convolution):
    rows = matrix(700, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = linear(rows, rows)
    assert torch.equal(found, linear(rows, rows))


def test_small_integers_are_exact(by_convolution):
    rows = torch.randint(-9, 10, (500, 40), generator=torch.Generator().manual_seed(0))
    expected = rows @ rows.T + rows[:, 0]
    found = linear(rows.float(), rows.float(), rows[:, 0].float())
    assert torch.equal(found, expected.float())


def test_the_convolution_is_used_where_there_is_avx512(monkeypatch):
    products._convolves_fast.cache_clear()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for capability, fast in (("AVX512", True), ("AVX2", False), ("DEFAULT", False)):
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda found=capability: found
        )
        assert products._convolves_fast() == fast
        products._convolves_fast.cache_clear()


def on_device(is_cuda: bool) -> SimpleNamespace:
    return SimpleNamespace(shape=(3, 16), dtype=torch.float32, is_cuda=is_cuda)


@pytest.fixture
def switches():
    """Leaves torch's precision as it was."""
    backends = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    before = [backend.fp32_precision for backend in backends]
    yield backends
    torch.set_float32_matmul_precision("highest")
    for backend, precision in zip(backends, before, strict=True):
        backend.fp32_precision = precision


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="older torch"
)
def test_bounds_are_wider_where_torch_was_told_to_cut_factors(switches):
    gpu, cpu = map(on_device, (True, False))
    assert factor_rounding(gpu) == factor_rounding(cpu) == 0.0
    assert rounding_bound(gpu) < 1e-5
    torch.set_float32_matmul_precision("high")
    assert rounding_bound(gpu) > factor_rounding(gpu) == factor_rounding(cpu) == 2.0**-9
    torch.set_float32_matmul_precision("medium")
    assert factor_rounding(gpu) == 2.0**-9
    assert factor_rounding(cpu) == 2.0**-7
    assert factor_rounding(matrix(3, 16).double()) == 0.0
    torch.set_float32_matmul_precision("highest")
    assert factor_rounding(gpu) == factor_rounding(cpu) == 0.0
    for backend, x in zip(switches, (gpu, cpu), strict=True):
        backend.fp32_precision = "tf32"
        assert factor_rounding(x) == 2.0**-9
    convolutions = torch.backends.mkldnn.conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "bf16"
    assert factor_rounding(cpu) == 2.0**-7
    convolutions.fp32_precision = before


def test_older_torch_has_one_switch(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "matmul", SimpleNamespace())
    for name, error in (("highest", 0.0), ("high", 2.0**-9), ("medium", 2.0**-7)):
        monkeypatch.setattr(
            torch, "get_float32_matmul_precision", lambda found=name: found
        )
        assert factor_rounding(on_device(True)) == error


# -- sums and products in float64 ---------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", [0, 1, 300])
@pytest.mark.parametrize("block", [1, 100, 2**20])
@pytest.mark.parametrize("by", ["nothing", "scale", "matrix"])
def test_equals_numpy(dtype, m, block, by, small_blocks):
    small_blocks(block)
    rows, square = features(m, 7).to(dtype), features(7, 7, seed=1).double()
    matrix, moved = {
        "nothing": (None, rows.double().numpy()),
        "scale": (square[0, 0], rows.double().numpy() * square[0, 0].item()),
        "matrix": (square[:, :5], rows.double().numpy() @ square[:, :5].numpy()),
    }[by]
    d = moved.shape[1]
    half, directions = square[:d, :d], features(3, d, seed=2).double()
    form = half @ half.T
    moments, norms_beside = products.second_moments(rows, matrix)
    pairs = [
        (products.sq_norms(rows, matrix), (moved**2).sum(axis=1)),
        (products.row_sum(rows, matrix), moved.sum(axis=0)),
        (
            products.inner_products(directions, rows, matrix),
            directions.numpy() @ moved.T,
        ),
        (
            products.quadratic_forms(rows, form, matrix),
            ((moved @ form.numpy()) * moved).sum(axis=1),
        ),
        (moments, moved.T @ moved),
        (norms_beside, (moved**2).sum(axis=1)),
    ]
    if matrix is not None:
        pairs.append((products.transformed(rows, matrix), moved))
    for found, expected in pairs:
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 4, 6])
def test_quadratic_forms_of_any_rank(rank):
    rows, matrix = features(50, 7).double(), features(7, 6, seed=1).double()
    half = features(6, 6, seed=2).double()[:, :rank]
    form = half @ half.T
    moved = rows @ matrix
    found = products.quadratic_forms(rows, form, matrix)
    expected = (moved @ half).square().sum(dim=1)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_room_for_squares():
    """Float32 holds sums of squares of numbers from 2^-50 to 2^50."""
    single, double = torch.float32, torch.float64
    for largest in (0.0, 2.0**-50, 1.0, 2.0**50):
        assert has_room(largest, single) is True
    for largest in (2.0**-51, 2.0**51):
        assert has_room(largest, single) is False
        assert has_room(largest, double) is True
    assert has_room(1e140, double) is True
    with pytest.raises(ValueError, match="their squares overflow"):
        has_room(1.1e140, double)


def test_extent_is_the_largest_magnitude():
    some = torch.tensor([[1.0, -3.0], [2.0, 0.0]])
    assert extent(some) == extent(some, some / 2) == extent(some / 2, -some) == 3
    assert extent(-some) == 3
    assert extent(torch.empty(0), torch.zeros(2)) == extent() == 0
