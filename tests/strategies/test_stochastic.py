"""Draws by the scores of any strategy, against the law that they must follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

from skal.reading.pool import Pool
from skal.rng import resolve_rng, seed_from
from skal.strategies import (
    BALD,
    LCMD,
    Entropy,
    InformationDensity,
    Margin,
    PowerBALD,
    Prefilter,
    Random,
    ScoreStrategy,
    Stochastic,
    Subsample,
)
from tests.models import make_data
from tests.statistics import assert_follows

X, Y = make_data("classification")
POOL = make_data("classification", 40, seed=1)[0]


class Given(ScoreStrategy):
    """Scores that were given.  Its seed leaves the draws of a wrapper to the picks."""

    def __init__(self, scores: Any = None, random_state: Any = 0) -> None:
        self.scores = scores
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> torch.Tensor:
        return torch.tensor(self.scores, dtype=torch.float64)


@pytest.fixture(scope="module")
def model() -> Any:
    return LogisticRegression().fit(X, Y)


def noise(strategy: Stochastic, scores: Any, n: int, seed: int) -> list[int]:
    """Rows of the largest values once noise has been added, by its definition."""
    scores = np.asarray(scores, dtype=float)
    if strategy.kind == "power":
        weights = scores - min(scores.min(), 0)
        values = np.log(np.maximum(weights, 1e-300))
    elif strategy.kind == "softmax":
        values = scores
    else:
        values = -np.log([1 + (scores > s).sum() for s in scores])
    rng = resolve_rng(seed)
    seed_from(rng)
    uniform = torch.rand(len(scores), generator=rng, dtype=torch.float64).numpy()
    keys = strategy.beta * values - np.log(-np.log(uniform))
    return np.argsort(-keys)[:n].tolist()


def test_rows_are_drawn_one_after_the_other(model):
    # The lowest score is subtracted: 0, 0.5 and 0.2 are left.
    rng = torch.Generator().manual_seed(0)
    strategy = Stochastic(Given([-1.0, -0.5, -0.8]), beta=2.0, random_state=rng)
    draws = [
        tuple(strategy.select(model, POOL[:3], 2).indices.tolist()) for _ in range(300)
    ]
    weights = np.array([0.5**2, 0.2**2])
    law = dict(zip([(1, 2), (2, 1)], weights / weights.sum(), strict=True))
    assert_follows(draws, law)


@pytest.mark.parametrize("kind", ["power", "softmax", "softrank"])
@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
def test_noise_is_added_to_the_scores(model, kind, beta):
    for scores in (np.linspace(0.1, 2, 40) ** 2, np.linspace(-3, 1, 40)):
        strategy = Stochastic(Given(scores), beta, kind, random_state=3)
        picks = strategy.select(model, POOL, 12)
        assert picks.indices.tolist() == noise(strategy, scores, 12, seed=3)


def test_uniform_without_beta(model):
    rng = torch.Generator().manual_seed(0)
    strategy = Stochastic(Given([-1.0, 5.0, 0.0]), beta=0, random_state=rng)
    draws = [int(strategy.select(model, POOL[:3]).indices[0]) for _ in range(300)]
    assert_follows(draws, dict.fromkeys(range(3), 1 / 3))


@pytest.mark.parametrize("kind", ["power", "softmax", "softrank"])
def test_the_strategy_itself_with_a_large_beta(model, kind):
    got = Stochastic(Margin(), 1e9, kind, random_state=3).select(model, POOL, 40)
    expected = Margin().select(model, POOL, 40)
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_array_equal(got.scores, expected.scores)


def test_scores_are_those_of_the_strategy_without_noise(model):
    scores = Entropy().score_samples(model, POOL)
    strategy = Stochastic(Entropy(), random_state=1)
    np.testing.assert_array_equal(strategy.score_samples(model, POOL), scores)
    picks = strategy.select(model, POOL, 7)
    np.testing.assert_array_equal(picks.scores, scores[picks.indices])


def test_power_bald_is_stochastic_bald():
    forest = RandomForestRegressor(5, random_state=0)
    forest.fit(X, make_data("regression")[1])
    scores = BALD(noise_variance=0.1).score_samples(forest, POOL)
    power = PowerBALD(noise_variance=0.1, power=2.0, random_state=5)
    wrapped = Stochastic(BALD(noise_variance=0.1, random_state=0), 2.0, random_state=5)
    expected = noise(wrapped, scores, 9, seed=5)
    for strategy in (power, wrapped):
        picks = strategy.select(forest, POOL, 9)
        assert picks.indices.tolist() == expected
        np.testing.assert_array_equal(picks.scores, scores[expected])


def test_nested_parameters_clones_and_seeds(model):
    strategy = Stochastic(BALD(noise_variance=0.5), beta=2.0, random_state=4)
    assert strategy.get_params()["strategy__noise_variance"] == 0.5
    copied = clone(strategy).set_params(strategy__noise_variance=1.0, kind="softmax")
    assert strategy.strategy.noise_variance == 0.5
    assert (copied.beta, copied.kind, copied.random_state) == (2.0, "softmax", 4)
    picks = [
        Stochastic(Random(own), random_state=outer).select(model, POOL, 9)
        for own, outer in [(None, 0), (None, 0), (None, 1), (7, 0), (7, 1)]
    ]
    indices = [p.indices.tolist() for p in picks]
    assert indices[0] == indices[1] != indices[2]
    assert indices[3] != indices[4]
    scores = Random(random_state=7).score_samples(model, POOL)
    for k in (3, 4):
        np.testing.assert_array_equal(picks[k].scores, scores[indices[k]])


def test_it_wraps_and_is_wrapped(model):
    dense = Stochastic(InformationDensity(Entropy(), n_reference=None), random_state=0)
    expected = InformationDensity(Entropy()).score_samples(model, POOL)
    np.testing.assert_allclose(dense.score_samples(model, POOL), expected)
    part = Subsample(Stochastic(Margin()), 10, random_state=0)
    assert len(set(part.select(model, POOL, 8).indices.tolist())) == 8
    # Its scores have no noise, so that candidates are those of the strategy inside.
    few = Prefilter(Random(random_state=2), Stochastic(Margin()), 2, random_state=5)
    plain = Prefilter(Random(random_state=2), Margin(), 2)
    np.testing.assert_array_equal(
        few.select(model, POOL, 4).indices, plain.select(model, POOL, 4).indices
    )


def test_what_it_refuses(model):
    with pytest.raises(TypeError, match=r"strategy of Stochastic must be .*scores ev"):
        Stochastic(LCMD()).select(model, POOL, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beta must be a number of at least 0"):
        Stochastic(Margin(), beta=-1).select(model, POOL, 1)
    with pytest.raises(ValueError, match="kind must be one of"):
        Stochastic(Margin(), kind="rank").select(model, POOL, 1)
    endless = Given([np.inf, 1.0])
    with pytest.raises(ValueError, match="must be finite"):
        Stochastic(endless).select(model, POOL[:2], 1)
    assert Stochastic(endless, 9.0, "softrank", 0).select(model, POOL[:2], 2)
