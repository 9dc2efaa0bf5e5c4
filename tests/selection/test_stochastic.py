from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from skal.selection import power_bald
from tests.statistics import assert_follows


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_draws_one_after_the_other_without_replacement(power):
    scores = np.array([0.1, 0.7, 0.3, 0.5])
    weights = scores**power
    law = {
        (a, b): weights[a] / weights.sum() * weights[b] / (weights.sum() - weights[a])
        for a, b in itertools.permutations(range(4), 2)
    }
    rng, tensor = gen(1), torch.from_numpy(scores)
    drawn = [
        tuple(power_bald(tensor, 2, rng, power=power).indices.tolist())
        for _ in range(4000)
    ]
    assert_follows(drawn, law)


def test_a_scale_changes_nothing():
    scores = torch.rand(50, generator=gen(), dtype=torch.float64)
    one, two = (power_bald(s, 20, gen(2)).indices for s in (scores, 1e-9 * scores))
    assert torch.equal(one, two)


@pytest.mark.parametrize("power", [0.01, 1.0, 8.0])
def test_scores_of_zero_come_last_in_a_random_order(power):
    scores = torch.tensor([0.0, 1e-3, 0.0, 2.0, 0.0])
    rng, tails = gen(3), []
    for _ in range(600):
        picks = power_bald(scores, 5, rng, power=power).indices.tolist()
        assert set(picks[:2]) == {1, 3}
        few = power_bald(scores, 2, rng, power=power).indices.tolist()
        assert set(few) == {1, 3}
        tails.append(tuple(picks[2:]))
    assert_follows(tails, dict.fromkeys(itertools.permutations((0, 2, 4)), 1 / 6))


def test_all_rows_once_with_the_scores_given():
    scores = torch.rand(30, generator=gen())
    picks = power_bald(scores, 30, gen(1))
    assert sorted(picks.indices.tolist()) == list(range(30))
    assert torch.equal(picks.scores, scores[picks.indices])


@pytest.mark.parametrize(
    ("scores", "n", "power", "message"),
    [
        ([0.1, 0.2], 3, 1.0, "n must be between 0 and 2"),
        ([0.1, 0.2], 1, 0.0, "power must be a number above 0"),
        ([0.1, -0.2], 1, 1.0, "got -0.2.* in row 1"),
        ([float("nan"), 0.2], 1, 1.0, "got nan in row 0"),
        ([0.1, float("inf")], 1, 1.0, "got inf in row 1"),
    ],
)
def test_bad_arguments(scores, n, power, message):
    with pytest.raises(ValueError, match=message):
        power_bald(torch.tensor(scores), n, gen(), power=power)
