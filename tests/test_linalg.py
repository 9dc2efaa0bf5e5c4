"""Products of matrices against float64, by either way."""

from __future__ import annotations

import pytest
import torch

import skal.linalg
from skal.linalg import linear


@pytest.fixture(params=[False, True], ids=["plain", "convolution"])
def by_convolution(request, monkeypatch):
    monkeypatch.setattr(skal.linalg, "_convolves_fast", lambda: request.param)
    return request.param


def matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("m", [0, 1, 2, 33, 700])
@pytest.mark.parametrize("d", [0, 1, 3, 64, 129])
@pytest.mark.parametrize("n_points", [0, 1, 5, 64])
@pytest.mark.parametrize("with_bias", [False, True])
def test_products(by_convolution, m, d, n_points, with_bias):
    rows, weight = matrix(m, d), matrix(n_points, d, seed=1)
    bias = matrix(n_points, seed=2) if with_bias else None
    found = linear(rows, weight, bias)
    exact = rows.double() @ weight.double().T
    if bias is not None:
        exact += bias.double()
    assert found.dtype == torch.float32
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-4)


def test_rows_and_weights_of_any_layout(by_convolution):
    rows, weight = matrix(64, 300), matrix(64, 9, seed=1)
    expected = rows.double().T[3::2] @ weight.double()
    found = linear(rows.T[3::2], weight.T)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_numbers_are_left_to_torch(by_convolution, dtype, monkeypatch):
    monkeypatch.delattr(torch.nn.functional, "conv2d")
    rows = matrix(300, 64).to(dtype)
    assert torch.equal(linear(rows, rows), torch.nn.functional.linear(rows, rows))


def test_small_integers_are_exact(by_convolution):
    rows = torch.randint(-9, 10, (500, 40), generator=torch.Generator().manual_seed(0))
    expected = rows @ rows.T + rows[:, 0]
    found = linear(rows.float(), rows.float(), rows[:, 0].float())
    assert torch.equal(found, expected.float())


def test_the_convolution_is_used_where_there_is_avx512(monkeypatch):
    skal.linalg._convolves_fast.cache_clear()
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for capability, fast in (("AVX512", True), ("AVX2", False), ("DEFAULT", False)):
        monkeypatch.setattr(
            torch.backends.cpu, "get_cpu_capability", lambda found=capability: found
        )
        assert skal.linalg._convolves_fast() == fast
        skal.linalg._convolves_fast.cache_clear()
