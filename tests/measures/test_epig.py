"""EPIG against enumeration of pairs of labels, and against Gaussian entropies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy, multivariate_normal, norm

from skal.measures import (
    bald,
    bald_of_variance,
    epig,
    epig_of_covariance,
    gaussian_epig,
)

RNG = np.random.default_rng(0)
PROBS = torch.as_tensor(RNG.dirichlet(np.ones(3) * 0.4, size=(5, 7)))
TARGETS = torch.as_tensor(RNG.dirichlet(np.ones(3) * 0.4, size=(5, 4)))


def by_enumeration(probs: np.ndarray, targets: np.ndarray) -> list[float]:
    scores = []
    for x in range(probs.shape[1]):
        information = []
        for z in range(targets.shape[1]):
            joint = np.array(
                [
                    [np.mean(probs[:, x, c] * targets[:, z, d]) for d in range(3)]
                    for c in range(3)
                ]
            )
            information.append(
                entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint.ravel())
            )
        scores.append(np.mean(information))
    return scores


@pytest.mark.parametrize("block", [1, 60, 2**22])
def test_mutual_information_of_pairs(small_blocks, block):
    small_blocks(block)
    expected = by_enumeration(PROBS.numpy(), TARGETS.numpy())
    np.testing.assert_allclose(epig(PROBS, TARGETS), expected, atol=1e-12)


def test_no_more_than_bald():
    # A label says no more of another label than of the model.
    assert (epig(PROBS, TARGETS) <= bald(PROBS) + 1e-12).all()


def test_models_that_agree_on_the_targets_give_nothing():
    same = TARGETS[:1].repeat(5, 1, 1)
    np.testing.assert_allclose(epig(PROBS, same), 0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 9, 2**22])
def test_gaussian_mutual_information(small_blocks, block):
    small_blocks(block)
    x = torch.as_tensor(RNG.normal(size=(6, 5, 2)))
    z = torch.as_tensor(RNG.normal(size=(6, 3, 2)))
    scores = gaussian_epig(x, z, 0.2)
    for i in range(5):
        total = 0.0
        for output in range(2):
            information = []
            for j in range(3):
                pair = np.stack([x[:, i, output], z[:, j, output]])
                cov = np.cov(pair, ddof=0) + 0.2 * np.eye(2)
                alone = [multivariate_normal(cov=v).entropy() for v in np.diag(cov)]
                together = multivariate_normal(cov=cov).entropy()
                information.append(sum(alone) - together)
            total += np.mean(information)
        assert float(scores[i]) == pytest.approx(total)


def test_covariances_say_what_the_models_do():
    x = torch.as_tensor(RNG.normal(size=(6, 5, 2)))
    z = torch.as_tensor(RNG.normal(size=(6, 3, 2)))
    away_x, away_z = x - x.mean(0), z - z.mean(0)
    covariance = torch.einsum("kmt,kst->mst", away_x, away_z) / 6
    scores = epig_of_covariance(
        covariance, x.var(0, correction=0), z.var(0, correction=0), 0.2
    )
    torch.testing.assert_close(scores, gaussian_epig(x, z, 0.2))


def test_bald_of_a_variance_is_a_difference_of_entropies():
    variance = torch.as_tensor(RNG.exponential(size=(5, 2)))
    expected = [
        sum(
            norm(0, (v + 0.2) ** 0.5).entropy() - norm(0, 0.2**0.5).entropy()
            for v in row
        )
        for row in variance.tolist()
    ]
    np.testing.assert_allclose(bald_of_variance(variance, 0.2), expected)
