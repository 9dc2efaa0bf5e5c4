"""Sums and products in float64 against numpy, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skal._numerics import float64
from tests.numerics.test_nearest import features


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("m", [0, 1, 300])
@pytest.mark.parametrize("block", [1, 100, 2**20])
def test_equals_numpy(dtype, m, block, small_blocks):
    small_blocks(block)
    rows, matrix = features(m, 7).to(dtype), features(7, 7, seed=1).double()
    wide, square = rows.double().numpy(), matrix.numpy()
    pairs = [
        (float64.sq_norms(rows), (wide**2).sum(axis=1)),
        (float64.inner_products(matrix[:3], rows), square[:3] @ wide.T),
        (float64.transformed(rows, matrix[:, :5]), wide @ square[:, :5]),
        (float64.quadratic_forms(rows, matrix), ((wide @ square) * wide).sum(axis=1)),
        (float64.second_moments(rows), wide.T @ wide),
    ]
    for found, expected in pairs:
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
