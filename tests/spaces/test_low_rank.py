"""Pivoted Cholesky against kernels whose rank is known."""

from __future__ import annotations

import pytest
import torch

from skal.selection import max_det
from skal.spaces.low_rank import low_rank


def of_matrix(K: torch.Tensor, n: int) -> torch.Tensor:
    def entries(rows: torch.Tensor | None, others: torch.Tensor) -> torch.Tensor:
        return (K if rows is None else K[rows])[:, others]

    return low_rank(entries, K.diagonal().clone(), n)


@pytest.mark.parametrize(("m", "rank"), [(30, 4), (200, 90), (40, 40)])
def test_exact_where_the_rank_allows(m: int, rank: int) -> None:
    x = torch.randn(m, rank, generator=torch.Generator().manual_seed(0)).double()
    K = x @ x.T
    vectors = of_matrix(K, 512)
    assert vectors.shape == (m, rank)
    torch.testing.assert_close(vectors @ vectors.T, K)


def test_vectors_in_float32() -> None:
    """Nearly equal rows, whose differences are lost to rounding, are no pivots."""
    x = torch.randn(200, 60, generator=torch.Generator().manual_seed(0)).double()
    x[100:] = x[:100] + 1e-5 * x[100:]
    K = x @ x.T

    def entries(rows: torch.Tensor | None, others: torch.Tensor) -> torch.Tensor:
        return (K if rows is None else K[rows])[:, others]

    vectors = low_rank(entries, K.diagonal().clone(), 512, torch.float32)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(
        vectors.double() @ vectors.double().T, K, atol=1e-2, rtol=0
    )


def test_what_is_left_out_is_positive_semidefinite() -> None:
    x = torch.randn(150, 3, generator=torch.Generator().manual_seed(1)).double()
    K = torch.exp(-torch.cdist(x, x).square())
    errors = []
    for n in (5, 40, 80):
        vectors = of_matrix(K, n)
        assert vectors.shape == (150, n)
        left = K - vectors @ vectors.T
        assert float(torch.linalg.eigvalsh(left).min()) > -1e-9
        errors.append(float(left.diagonal().max()))
    assert errors[0] > errors[1] > errors[2]
    # Pivots of large variances: not much worse than one pivot at a time.
    one_by_one = max_det(torch.linalg.cholesky(K + 1e-9 * torch.eye(150)), 40, 1e-6)
    assert errors[1] < 4 * float(one_by_one.scores[-1])


def test_constant_and_bad_kernels() -> None:
    assert torch.equal(of_matrix(torch.zeros(4, 4).double(), 3), torch.zeros(4, 1))
    torch.testing.assert_close(
        of_matrix(torch.ones(4, 4).double(), 3), torch.ones(4, 1).double()
    )
    with pytest.raises(ValueError, match="not finite"):
        of_matrix(torch.full((2, 2), torch.nan).double(), 2)
