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
    moments, norms_beside = float64.second_moments(rows, matrix)
    pairs = [
        (float64.sq_norms(rows, matrix), (moved**2).sum(axis=1)),
        (float64.row_sum(rows, matrix), moved.sum(axis=0)),
        (
            float64.inner_products(directions, rows, matrix),
            directions.numpy() @ moved.T,
        ),
        (
            float64.quadratic_forms(rows, form, matrix),
            ((moved @ form.numpy()) * moved).sum(axis=1),
        ),
        (moments, moved.T @ moved),
        (norms_beside, (moved**2).sum(axis=1)),
    ]
    if matrix is not None:
        pairs.append((float64.transformed(rows, matrix), moved))
    for found, expected in pairs:
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 4, 6])
def test_quadratic_forms_of_any_rank(rank):
    rows, matrix = features(50, 7).double(), features(7, 6, seed=1).double()
    half = features(6, 6, seed=2).double()[:, :rank]
    form = half @ half.T
    moved = rows @ matrix
    found = float64.quadratic_forms(rows, form, matrix)
    expected = (moved @ half).square().sum(dim=1)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
