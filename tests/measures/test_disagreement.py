"""Measures of disagreement, by counting and by scipy, and the facts of the theory."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy, multivariate_normal

from skal.measures import (
    bald,
    consensus_entropy,
    gaussian_bald,
    kl_divergence,
    mean_std,
    predictive_variance,
    variation_ratio,
    vote_entropy,
)


def draw(seed: int, n_draws: int = 7, m: int = 11, n_classes: int = 4) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    concentration = rng.choice([0.05, 0.5, 5.0])
    return torch.as_tensor(
        rng.dirichlet(np.full(n_classes, concentration), size=(n_draws, m))
    )


def votes(probs: torch.Tensor) -> list[list[int]]:
    return probs.argmax(2).T.tolist()


@given(st.integers(0, 2**31 - 1))
def test_votes_are_counted(seed):
    probs = draw(seed)
    shares = [np.bincount(row, minlength=4) / 7 for row in votes(probs)]
    np.testing.assert_allclose(vote_entropy(probs), [entropy(s) for s in shares])
    ratio = variation_ratio(probs).numpy()
    np.testing.assert_allclose(ratio, [1 - max(s) for s in shares], atol=1e-12)
    np.testing.assert_allclose(ratio * 7, np.round(ratio * 7), atol=1e-9)


@given(st.integers(0, 2**31 - 1))
def test_entropies_and_divergences(seed):
    probs = draw(seed)
    p = probs.numpy()
    mean = p.mean(0)
    np.testing.assert_allclose(consensus_entropy(probs), entropy(mean, axis=1))
    kl = np.mean([entropy(own, mean, axis=1) for own in p], axis=0)
    np.testing.assert_allclose(kl_divergence(probs), kl, atol=1e-9)
    np.testing.assert_allclose(bald(probs), kl, atol=1e-9)
    np.testing.assert_allclose(mean_std(probs), p.std(0).mean(1), atol=1e-12)


@given(st.integers(0, 2**31 - 1))
def test_bounds(seed):
    probs = draw(seed, n_draws=3)
    for measure, top in (
        (bald, math.log(3)),  # log min(K, C)
        (vote_entropy, math.log(3)),
        (consensus_entropy, math.log(4)),
    ):
        scores = measure(probs)
        assert (scores >= 0).all()
        assert (scores <= top + 1e-12).all()


@given(st.integers(0, 2**31 - 1), st.permutations(range(7)), st.permutations(range(4)))
def test_order_of_models_and_names_of_classes_do_not_count(seed, models, classes):
    probs = draw(seed)
    other = probs[models][:, :, classes]
    for measure in (vote_entropy, variation_ratio, consensus_entropy, bald, mean_std):
        np.testing.assert_allclose(measure(other), measure(probs), atol=1e-9)


def test_models_that_agree_score_nothing():
    probs = draw(0)[:1].repeat(5, 1, 1)
    for measure in (vote_entropy, variation_ratio, bald, mean_std):
        np.testing.assert_allclose(measure(probs), 0, atol=1e-12)
    assert (bald(probs) >= 0).all()


def test_certain_models_have_no_nan():
    probs = torch.eye(3, dtype=torch.float64)[torch.tensor([[0, 0], [1, 0], [2, 0]])]
    np.testing.assert_allclose(bald(probs), [math.log(3), 0], atol=1e-12)
    np.testing.assert_allclose(consensus_entropy(probs), [math.log(3), 0], atol=1e-12)


@pytest.mark.parametrize(("n_votes", "n_classes"), [(5, 3), (4, 2), (3, 4)])
def test_dispersion_takes_multiples_up_to_its_bound(n_votes, n_classes):
    sequences = itertools.product(range(n_classes), repeat=n_votes)
    eye = torch.eye(n_classes)
    probs = torch.stack([eye[list(s)] for s in sequences], dim=1)
    values = {round(float(v), 9) for v in variation_ratio(probs)}
    bound = 1 - math.ceil(n_votes / n_classes) / n_votes
    assert max(values) == pytest.approx(bound)
    assert min(values) == 0
    assert values <= {round(k / n_votes, 9) for k in range(n_votes)}


def test_equal_probabilities_vote_for_the_first_class():
    probs = torch.full((2, 1, 3), 1 / 3)
    assert vote_entropy(probs) == 0


def test_predictive_variance():
    predictions = torch.as_tensor(np.random.default_rng(0).normal(size=(6, 9, 3)))
    variance = predictions.numpy().var(0)
    np.testing.assert_allclose(predictive_variance(predictions), variance.sum(1))
    np.testing.assert_allclose(predictive_variance(predictions, "max"), variance.max(1))


def test_gaussian_bald_is_a_difference_of_entropies():
    # I = H(N(0, S + s2 I)) - H(N(0, s2 I)).
    predictions = torch.as_tensor(np.random.default_rng(0).normal(size=(6, 4, 2)))
    scores = gaussian_bald(predictions, 0.3)
    for row, score in enumerate(scores):
        cov = np.cov(predictions[:, row].T, ddof=0) + 0.3 * np.eye(2)
        expected = (
            multivariate_normal(cov=cov).entropy()
            - multivariate_normal(cov=0.3 * np.eye(2)).entropy()
        )
        assert float(score) == pytest.approx(expected)
    one = gaussian_bald(predictions[:, :, :1], 0.3)
    variance = predictions[:, :, 0].numpy().var(0)
    np.testing.assert_allclose(one, np.log1p(variance / 0.3) / 2)
