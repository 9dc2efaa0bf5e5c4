"""Half squared distances by products against float64, and the bound on their error."""

from __future__ import annotations

import pytest
import torch

from skal._numerics.products import ApproximateDistances
from tests.numerics.test_nearest import KINDS, features


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shrunk", [1.0, 1e-3])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_differences_between_points_are_within_the_error(kind, shrunk, with_lengths):
    points, rows = features(23, 5, kind=kind), shrunk * features(31, 5, seed=1)
    lengths = torch.arange(1.0, 32)[:, None] if with_lengths else None
    values, errors = ApproximateDistances(points)(rows, lengths)
    scaled = rows.double() if lengths is None else rows.double() / lengths
    exact = torch.cdist(scaled, points.double()).square() / 2
    wrong = (values - values[:, :1]) - (exact - exact[:, :1])
    assert bool((wrong.abs().amax(dim=1) <= 2 * errors).all())
    assert bool((errors < 1e-3 * (1 + exact.amax(dim=1))).all())


def test_the_error_counts_the_lengths_of_the_points():
    rng = torch.Generator().manual_seed(0)
    points = 1000 * torch.randn(40, 5, generator=rng)
    values, errors = ApproximateDistances(points)(points.mean(dim=0, keepdim=True))
    exact = (points - points.mean(dim=0)).double().square().sum(dim=1) / 2
    wrong = (values[0] - exact).abs().max()
    assert 1e-3 < float(wrong) < float(errors)


def test_results_of_few_rows_after_many():
    points, rows = features(23, 5), features(31, 5, seed=1)
    search = ApproximateDistances(points)
    many = [part.clone() for part in search(rows)]
    few = [part.clone() for part in search(rows[7:9])]
    for found, expected in zip(few, many, strict=True):
        torch.testing.assert_close(found, expected[7:9])
    assert search(rows[:0])[0].shape == (0, 23)


def test_rows_of_other_numbers_are_compared_as_the_points():
    points, rows = features(23, 5), features(31, 5, seed=1)
    values, errors = ApproximateDistances(points)(rows.double())
    expected = ApproximateDistances(points)(rows)
    assert values.dtype == torch.float32
    torch.testing.assert_close((values, errors), expected)
