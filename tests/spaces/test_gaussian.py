from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal.spaces import feature_scale, posterior_features


def features(m: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(m, d, generator=torch.Generator().manual_seed(seed))


def kernel_form(rows: Tensor, labeled: Tensor, noise: float) -> Tensor:
    """Covariance of a Gaussian process after the labels, by its kernel."""
    rows, labeled = rows.double(), labeled.double()
    scale = labeled.square().sum(dim=1).mean()
    if scale > 0:
        rows, labeled = rows / scale.sqrt(), labeled / scale.sqrt()
    cross, own = rows @ labeled.T, labeled @ labeled.T
    noisy = own + noise**2 * torch.eye(len(labeled))
    return rows @ rows.T - cross @ torch.linalg.solve(noisy, cross.T)


@settings(max_examples=25, deadline=None)
@given(
    n_labeled=st.integers(1, 12),
    d=st.integers(1, 8),
    noise=st.sampled_from([1e-2, 0.1, 1.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    seed=st.integers(0, 99),
)
def test_equals_the_kernel_form(n_labeled, d, noise, scale, seed):
    rows, labeled = features(20, d, seed) * scale, features(n_labeled, d, seed + 1)
    labeled = labeled * scale
    found = posterior_features(rows, labeled, noise)
    expected = kernel_form(rows, labeled, noise)
    torch.testing.assert_close(found @ found.T, expected, rtol=1e-6, atol=1e-8)


def test_small_noise_and_duplicated_labeled_rows():
    labeled = features(5, 8).repeat(40, 1)
    found = posterior_features(labeled[:5], labeled, 1e-3).square().sum(dim=1)
    # Noise of a mean of 40 labels.
    torch.testing.assert_close(
        found, torch.full_like(found, 1e-6 / 40), rtol=1e-2, atol=0
    )


def test_labels_take_variance_and_some_of_it_where_they_are():
    rows, labeled = features(30, 6), features(4, 6, seed=1)
    rows = torch.cat([rows, labeled])
    before = (rows.double() * feature_scale(labeled)).square().sum(dim=1)
    after = posterior_features(rows, labeled, 0.1).square().sum(dim=1)
    assert (after <= before * (1 + 1e-9)).all()
    assert (after[-4:] <= 0.1**2).all()


def test_jitter_where_rounding_makes_it_singular():
    labeled = torch.ones(3, 50)
    found = posterior_features(features(4, 50), labeled, noise_std=1e-12)
    assert found.isfinite().all()
    assert found.dtype == torch.float64


def test_labeled_rows_of_zeros_teach_nothing():
    rows = features(4, 3)
    assert feature_scale(torch.zeros(2, 3)) == 1
    found = posterior_features(rows, torch.zeros(2, 3))
    torch.testing.assert_close(found @ found.T, (rows @ rows.T).double())


def test_blocks_change_nothing(small_blocks):
    rows, labeled = features(23, 5), features(4, 5, seed=1)
    expected = posterior_features(rows, labeled)
    small_blocks(17)
    torch.testing.assert_close(posterior_features(rows, labeled), expected)


def test_bad_input():
    with pytest.raises(ValueError, match="no labeled row"):
        posterior_features(features(3, 2), features(0, 2))
    labeled = features(3, 2)
    labeled[1, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        posterior_features(features(3, 2), labeled)


def test_squares_beyond_float64_are_refused():
    rows = torch.full((3, 2), 1e200, dtype=torch.float64)
    with pytest.raises(ValueError, match="not finite: scale the features"):
        posterior_features(rows, rows)
