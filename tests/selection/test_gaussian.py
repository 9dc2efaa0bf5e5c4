"""Greedy log-determinants against themselves, written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skal.measures import gaussian_bald
from skal.selection import gaussian_batch_bald

NOISE = 0.1


def information(predictions: np.ndarray, rows: list[int]) -> float:
    if not rows:
        return 0.0
    columns = np.concatenate([predictions[:, x] for x in rows], axis=1)
    covariance = np.atleast_2d(np.cov(columns.T, bias=True))
    return np.linalg.slogdet(np.eye(len(covariance)) + covariance / NOISE)[1] / 2


@pytest.mark.parametrize("n_targets", [1, 2, 9])
def test_every_pick_is_the_best(n_targets):
    # Nine targets are more than the seven models have directions.
    predictions = np.random.default_rng(n_targets).normal(size=(7, 25, n_targets)) + 50
    predictions[:, 3] = predictions[:, 20]
    picks = gaussian_batch_bald(torch.from_numpy(predictions), 8, NOISE)
    chosen: list[int] = []
    for index, score in zip(picks.indices.tolist(), picks.scores.tolist(), strict=True):
        before = information(predictions, chosen)
        gain = {
            x: information(predictions, [*chosen, x]) - before
            for x in range(25)
            if x not in chosen
        }
        assert score == pytest.approx(max(gain.values()), rel=1e-8)
        assert gain[index] == pytest.approx(score, rel=1e-8)
        chosen.append(index)
    first = gaussian_bald(torch.from_numpy(predictions), NOISE)
    assert chosen[0] == int(first.argmax())
    assert float(picks.scores[0]) == pytest.approx(float(first.max()))
    assert (picks.scores.diff() <= 1e-9).all()


def test_each_row_once_even_where_all_models_agree():
    picks = gaussian_batch_bald(torch.ones(4, 6, 1), 6, 1.0)
    assert picks.indices.tolist() == list(range(6))
    assert picks.scores.tolist() == [0.0] * 6


def test_scale_and_offset_change_no_pick():
    predictions = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 40, 2)))
    one = gaussian_batch_bald(predictions, 10, 0.3)
    two = gaussian_batch_bald(4 * predictions + 7, 10, 16 * 0.3)
    assert torch.equal(one.indices, two.indices)
    torch.testing.assert_close(one.scores, two.scores)


def test_the_predictions_stay():
    predictions = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 9, 2)))
    copy = predictions.clone()
    gaussian_batch_bald(predictions, 4, 0.3)
    assert torch.equal(predictions, copy)


@pytest.mark.parametrize(
    ("shape", "n", "noise", "message"),
    [
        ((1, 5, 2), 1, 1.0, "at least 2 models"),
        ((3, 5), 1, 1.0, r"shape \(K, m, T\)"),
        ((3, 5, 1), 6, 1.0, "n must be between 0 and 5"),
        ((3, 5, 1), 1, 0.0, "noise_variance must be a number above 0"),
    ],
)
def test_bad_arguments(shape, n, noise, message):
    with pytest.raises(ValueError, match=message):
        gaussian_batch_bald(torch.ones(shape), n, noise)
