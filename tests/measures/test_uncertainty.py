from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy

from skal.measures import (
    decision_margin,
    entropy,
    least_confidence,
    margin,
    smallest_decision,
)

MEASURES = [least_confidence, margin, entropy]


def simplex(seed: int, m: int, n_classes: int) -> torch.Tensor:
    draws = np.random.default_rng(seed).dirichlet(np.full(n_classes, 0.4), m)
    return torch.from_numpy(draws)


def test_four_numbers():
    probs = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.4, 0.2]], dtype=torch.float64)
    torch.testing.assert_close(
        least_confidence(probs), torch.tensor([0.3, 0.6]).double()
    )
    torch.testing.assert_close(margin(probs), torch.tensor([-0.5, 0.0]).double())
    np.testing.assert_allclose(entropy(probs), scipy_entropy(probs.numpy(), axis=1))


def test_zero_times_log_zero_is_zero():
    assert entropy(torch.tensor([[1.0, 0.0, 0.0]])).tolist() == [0.0]


@given(st.integers(0, 10**6), st.integers(2, 12))
@settings(max_examples=50, deadline=None)
def test_bounds_and_names_of_classes(seed, n_classes):
    probs = simplex(seed, 9, n_classes)
    shuffled = probs[:, torch.randperm(n_classes)]
    uniform = torch.full((1, n_classes), 1 / n_classes, dtype=torch.float64)
    tops = [1 - 1 / n_classes, 0.0, math.log(n_classes)]
    for measure, top in zip(MEASURES, tops, strict=True):
        torch.testing.assert_close(measure(probs), measure(shuffled))
        assert float(measure(uniform)) == pytest.approx(top)
        assert (measure(probs) <= top + 1e-12).all()
    assert (margin(probs) >= -1).all()
    assert (entropy(probs) >= 0).all()


def test_all_rank_two_classes_alike():
    probs = simplex(3, 50, 2)
    ranks = [torch.argsort(measure(probs)).tolist() for measure in MEASURES]
    assert ranks[0] == ranks[1] == ranks[2]


def test_one_class_has_no_rival():
    assert margin(torch.ones(3, 1)).tolist() == [-1.0] * 3
    assert entropy(torch.ones(3, 1)).tolist() == [0.0] * 3


@pytest.mark.parametrize("measure", MEASURES)
def test_shape_is_checked(measure):
    with pytest.raises(ValueError, match=r"\(rows, classes\), got \(3,\)"):
        measure(torch.ones(3))


def test_decisions_by_hand():
    values = torch.tensor([[1.0, -2.0, 0.5], [-4.0, -1.0, -1.0]])
    assert decision_margin(values).tolist() == [-0.5, 0.0]
    assert smallest_decision(values).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("measure", [decision_margin, smallest_decision])
def test_one_column_is_the_value_of_two_classes(measure):
    values = torch.tensor([[0.5], [-2.0], [0.0]])
    assert measure(values).tolist() == [-0.5, -2.0, 0.0]
    torch.testing.assert_close(measure(-values), measure(values))
    with pytest.raises(ValueError, match=r"values must have shape \(rows, classes\)"):
        measure(values[:, 0])
