"""Inner products in a space as the covariances of a Gaussian process."""

from __future__ import annotations

import pytest
import torch

from skal.reading.space import Space, as_space, covariance_features
from skal.spaces import Dense, Factors


def test_covariance_features():
    rows, labeled = torch.randn(7, 3), torch.randn(4, 3)
    space = Space(Dense(rows), Dense(labeled))
    scale = float(labeled.double().square().sum(dim=1).mean().rsqrt())
    for dtype in (torch.float32, torch.float64):
        both = [x.to(dtype) for x in (rows, labeled)]
        typed = Space(*map(Dense, both))
        for found, x in zip(covariance_features(typed, 0.1, False), both, strict=True):
            torch.testing.assert_close(found, x * scale)
    # Of full rank and next to no noise, labels leave variances that float32 lacks.
    found, _ = covariance_features(space, 1e-17, True)
    assert found.dtype == torch.float64
    # The posterior covariance of a Gaussian process with this prior.
    z, z_l = rows.double() * scale, labeled.double() * scale
    gain = z @ z_l.T @ torch.linalg.inv(z_l @ z_l.T + 0.01 * torch.eye(4).double())
    for condition in (True, "auto"):
        found, _ = covariance_features(space, 0.1, condition)
        expected = (z @ z.T - gain @ z_l @ z.T).float()
        torch.testing.assert_close(found @ found.T, expected)
    alone = space._replace(labeled=None)
    found, known = covariance_features(alone, 0.1, "auto")
    assert float(found.square().sum(dim=1).mean()) == pytest.approx(1)
    assert known.shape == (0, 3)
    for bad, message in [
        ((alone, 0.1, True), "condition_on_labels=True needs labeled rows"),
        ((space, 0.1, "yes"), 'must be True, False or "auto"'),
        ((space, 0.0, True), "noise_std must be a number above 0"),
        ((space, "own", True), "noise_std must be a number above 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            covariance_features(*bad)


@pytest.mark.parametrize(("noise_std", "std"), [("auto", 0.001), (0.1, 0.1), (2, 2)])
def test_the_variance_that_one_label_leaves(noise_std, std):
    """A label of variance 1 + s^2 leaves 1 - 1 / (1 + s^2) of the variance of 1."""
    row = Dense(torch.tensor([[3.0]], dtype=torch.float64))
    found, _ = covariance_features(Space(row, row), noise_std, True)
    assert float(found) ** 2 == pytest.approx(std**2 / (1 + std**2), rel=1e-6)


@pytest.mark.parametrize("size", [1e30, 1e20])
def test_norms_that_overflow_times_zero_are_zero(size):
    inputs = torch.tensor([[size, size], [1.0, 2.0]])
    outputs = torch.tensor([[0.0], [2.0**-40]])
    embedding = as_space([[Factors(inputs, outputs)]], []).pool
    assert embedding.sq_norm().tolist() == [0.0, 5 * 2.0**-80]
