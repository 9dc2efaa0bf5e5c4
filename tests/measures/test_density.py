"""Densities against all pairs."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from skal.measures import mean_cosine, mean_nearness, not_negative
from tests.numerics.test_nearest import KINDS, features


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [10, 2**20])
def test_mean_cosine_is_that_of_all_pairs(kind, block, small_blocks):
    small_blocks(block)
    rows = features(60, 5, kind=kind)
    rows[7] = 0.0
    expected = cosine_similarity(rows.double().numpy()).mean(axis=1)
    torch.testing.assert_close(
        mean_cosine(rows), torch.from_numpy(expected), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_mean_cosine_sees_no_scale(scale):
    rows = features(30, 4)
    torch.testing.assert_close(mean_cosine(rows * scale), mean_cosine(rows))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [100, 2**20])
def test_mean_nearness_is_that_of_all_pairs(kind, block, small_blocks):
    small_blocks(block)
    rows = features(60, 5, kind=kind)
    expected = (1 / (1 + euclidean_distances(rows.double().numpy()))).mean(axis=1)
    torch.testing.assert_close(
        mean_nearness(rows), torch.from_numpy(expected), rtol=1e-7, atol=0
    )
    all_rows = torch.arange(60).flip(0)
    torch.testing.assert_close(mean_nearness(rows, all_rows), mean_nearness(rows))


@pytest.mark.slow
def test_a_reference_estimates_without_bias():
    rows = features(12, 3)
    rng = torch.Generator().manual_seed(0)
    draws = [torch.randperm(12, generator=rng)[:4] for _ in range(4000)]
    estimates = torch.stack([mean_nearness(rows, drawn) for drawn in draws])
    error = estimates.mean(dim=0) - mean_nearness(rows)
    assert (error.abs() < 5 * estimates.std(dim=0) / 4000**0.5).all()
    assert (estimates.std(dim=0) > 0).all()


def test_a_row_alone_is_as_dense_as_can_be():
    assert mean_nearness(torch.ones(1, 2)).tolist() == [1.0]
    assert mean_cosine(torch.ones(1, 2)).tolist() == [pytest.approx(1.0)]
    assert mean_nearness(torch.tensor([[0.0], [1.0]]), torch.tensor([0])).tolist() == [
        0.5,  # it has no other row to go by
        0.75,
    ]


def test_duplicates_are_as_near_as_can_be():
    rows = (features(1, 50) * 1e3).expand(40, 50)
    assert mean_nearness(rows).tolist() == [1.0] * 40
    both = torch.cat([rows, rows + 3e3])
    distance = float((both[0].double() - both[-1].double()).norm())
    expected = torch.full((80,), (1 + 1 / (1 + distance)) / 2, dtype=torch.float64)
    torch.testing.assert_close(mean_nearness(both), expected, rtol=1e-7, atol=0)


def test_rows_hardly_apart_are_no_duplicates():
    # In two groups, so that the mean lies far from all rows.
    rng = torch.Generator().manual_seed(0)
    far = 10 * torch.randn(300, generator=rng).double().sign()
    rows = torch.stack([far, -far])
    for step in (5e-5, 1e-2):
        moved = rows.clone()
        moved[:, 0] += step
        density = mean_nearness(torch.cat([rows, moved]))
        nearby, away = 1 / (1 + step), 1 / (1 + 2 * 10 * 300**0.5)
        expected = (1 + nearby + 2 * away) / 4
        assert 1 - float(density[0]) == pytest.approx(1 - expected, abs=0.05 * step)


@pytest.mark.parametrize("measure", [mean_cosine, mean_nearness])
@pytest.mark.parametrize("block", [900, 2**20])
def test_duplicates_are_equal(measure, block, small_blocks):
    small_blocks(block)
    for seed in range(5):
        rng = torch.Generator().manual_seed(seed)
        rows = torch.randn(41, 37, generator=rng).double().repeat(7, 1)
        rows = rows[torch.randperm(287, generator=rng)]
        value = measure(rows)
        for row in rows[:41]:
            assert len(value[(rows == row).all(dim=1)].unique()) == 1


def test_empty_reference():
    with pytest.raises(ValueError, match="reference must have at least one row"):
        mean_nearness(features(5, 2), torch.empty(0, dtype=torch.long))


def test_scores_below_zero_are_raised():
    assert not_negative(torch.tensor([2.0, 0.5])).tolist() == [2.0, 0.5]
    assert not_negative(torch.tensor([-2.0, 0.5])).tolist() == [0.0, 2.5]
    assert not_negative(torch.tensor([-3.0, -3.0])).tolist() == [0.0, 0.0]
    for bad in (torch.inf, -torch.inf, torch.nan):
        with pytest.raises(ValueError, match="must be finite"):
            not_negative(torch.tensor([1.0, bad]))
