"""The smallest numbers of rows against sorting them."""

from __future__ import annotations

import pytest
import torch

from skal._numerics.smallest import smallest

TINY = torch.finfo(torch.float32).tiny


def numbers(n: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(60, n, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 3, 12, 100])
@pytest.mark.parametrize("n", [100, 500, 1001, 8000])
@pytest.mark.parametrize("ties", [False, True])
def test_equals_sorting_up_to_the_blur(n, k, ties, dtype):
    values = numbers(n, n + k, dtype)
    if ties:
        values = values.round()
    found, positions, blur = smallest(values, k)
    assert blur <= (2.0**-14 if dtype == torch.float32 else 2 * n * 2.0**-52)
    expected = values.sort(dim=1).values[:, :k]
    near = {"rtol": blur, "atol": TINY}
    torch.testing.assert_close(found, expected.to(found), **near)
    near["rtol"] *= 2
    taken = values.gather(1, positions).to(found)
    torch.testing.assert_close(taken, expected.to(found), **near)
    assert bool((found.diff(dim=1) >= 0).all())
    assert all(len(set(row)) == k for row in positions.tolist())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("n", [12, 97, 500, 1200])
def test_numbers_that_differ_are_in_order(n, dtype):
    generator = torch.Generator().manual_seed(n)
    ranks = torch.stack([torch.randperm(n, generator=generator) for _ in range(9)])
    values = (ranks - n // 3).to(dtype)
    positions = smallest(values, 11)[1]
    assert torch.equal(ranks.gather(1, positions), torch.arange(11).expand(9, 11))


def test_the_last_columns_count():
    values = torch.arange(1003.0).flip(0)[None]
    assert smallest(values, 2)[1].tolist() == [[1002, 1001]]


def test_the_numbers_are_left_as_they_were():
    for n in (20, 500):
        values = numbers(n, 0, torch.float32)
        before = values.clone()
        smallest(values, 3)
        assert torch.equal(values, before)


def test_no_rows():
    assert smallest(torch.ones(0, 300), 2)[0].shape == (0, 2)
