"""Lengths of factored gradients against the gradients written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from skal.measures import (
    expected_model_change,
    gradient_gram,
    gradient_lengths,
    softmax_gradient_length,
)


def layers(m: int, k: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Factors of three layers, the last of them not an outer product."""
    rng = torch.Generator().manual_seed(seed)
    sizes = [(4, 3), (6, 2), (1, 7)]
    return [
        (torch.randn(m, i, generator=rng), torch.randn(m, k * o, generator=rng))
        for i, o in sizes
    ]


def written_out(factors: list[tuple[Tensor, Tensor]], k: int) -> np.ndarray:
    """Each row's gradients, ``(m, k, numbers)``."""
    rows = []
    for r in range(len(factors[0][0])):
        gradients = []
        for direction in range(k):
            parts = []
            for a, g in factors:
                o = g.shape[1] // k
                own = g[r, direction * o : (direction + 1) * o].double().numpy()
                parts.append(np.outer(own, a[r].double().numpy()).ravel())
            gradients.append(np.concatenate(parts))
        rows.append(gradients)
    return np.array(rows)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_equal_gradients_that_are_written_out(k):
    factors = layers(9, k)
    vectors = written_out(factors, k)
    lengths, gram = gradient_lengths(factors, k), gradient_gram(factors, k)
    assert lengths.dtype == gram.dtype == torch.float64
    np.testing.assert_allclose(lengths, np.linalg.norm(vectors, axis=2), rtol=1e-6)
    np.testing.assert_allclose(
        gram, np.einsum("mki,mli->mkl", vectors, vectors), rtol=1e-6, atol=1e-12
    )


def test_small_gradients_have_lengths():
    factors = [(a * 1e-15, g * 1e-15) for a, g in layers(5, 2)]
    usual = gradient_lengths(layers(5, 2), 2)
    np.testing.assert_allclose(gradient_lengths(factors, 2), usual * 1e-30, rtol=1e-5)
    assert (gradient_gram(factors, 2).diagonal(dim1=1, dim2=2) > 0).all()


@pytest.mark.parametrize("function", [gradient_lengths, gradient_gram])
def test_bad_factors(function):
    with pytest.raises(ValueError, match="at least one layer"):
        function([])
    with pytest.raises(ValueError, match="7 columns do not hold 2 gradients"):
        function([(torch.ones(3, 2), torch.ones(3, 7))], 2)
    with pytest.raises(ValueError, match="do not hold 0 gradients"):
        function([(torch.ones(3, 2), torch.ones(3, 4))], 0)


@pytest.mark.parametrize("n_targets", [1, 3])
def test_model_change_is_the_mean_length_of_residuals_times_gradients(n_targets):
    factors = layers(8, n_targets)
    vectors = written_out(factors, n_targets)
    rng = np.random.default_rng(1)
    residuals = rng.normal(size=(6, 8, n_targets))
    expected = [
        np.mean([np.linalg.norm(residuals[k, r] @ vectors[r]) for k in range(6)])
        for r in range(8)
    ]
    gram = gradient_gram(factors, n_targets)
    scores = expected_model_change(torch.as_tensor(residuals), gram)
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_models_that_agree_change_nothing():
    gram = gradient_gram(layers(4, 2), 2)
    assert expected_model_change(torch.zeros(3, 4, 2), gram).tolist() == [0.0] * 4
    # Residuals that cancel: J^T r = 0 for r across the only gradient.
    same = torch.ones(1, 2, 2)
    residuals = torch.tensor([[[0.1, -0.1]], [[0.3, -0.3]]])
    assert expected_model_change(residuals, same).tolist() == [0.0]


@pytest.mark.parametrize("n_classes", [1, 2, 5])
def test_expected_length_by_the_logits_equals_autograd(n_classes):
    logits = torch.as_tensor(np.random.default_rng(0).normal(size=(20, n_classes)) * 4)
    expected = []
    for row in logits:
        row = row.clone().requires_grad_()
        total = 0.0
        for y in range(n_classes):
            loss = torch.nn.functional.cross_entropy(row, torch.tensor(y))
            (gradient,) = torch.autograd.grad(loss, row)
            total += float(torch.exp(-loss.detach())) * float(gradient.norm())
        expected.append(total)
    scores = softmax_gradient_length(logits.softmax(dim=1))
    assert scores.dtype == torch.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("rest", [1e-3, 1e-9, 1e-15, 1e-40, 1e-300])
def test_expected_length_by_the_logits_of_sure_rows(rest):
    # Of the top label sqrt(6) rest, of the other two rest * sqrt(2) each, but for
    # terms of the order of rest.
    probs = torch.tensor([[rest, 1 - 2 * rest, rest]], dtype=torch.float64)
    expected = rest * (6**0.5 + 2 * 2**0.5)
    assert float(softmax_gradient_length(probs)) == pytest.approx(
        expected, rel=4 * rest
    )


def test_expected_length_by_the_logits_of_tied_labels():
    probs = torch.tensor([[0.5, 0.5, 0.0], [1 / 3] * 3, [0.0, 0.0, 1.0]])
    expected = [0.5**0.5, (2 / 3) ** 0.5, 0.0]
    np.testing.assert_allclose(softmax_gradient_length(probs), expected, rtol=1e-6)
