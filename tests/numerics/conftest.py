"""Fixtures of the tests of exact distances."""

from __future__ import annotations

import pytest
import torch

from skal._numerics.nearest import ApproximateDistances


@pytest.fixture
def worst_errors(monkeypatch):
    """Make products as wrong as their bound, which is widened, allows."""
    compare = ApproximateDistances.__call__
    rng = torch.Generator().manual_seed(0)

    def worst(self, *args):
        values, errors = compare(self, *args)
        errors = errors + 0.2 * values.std()
        signs = 2.0 * torch.randint(2, values.shape, generator=rng) - 1
        return values + errors[:, None] * signs, errors

    monkeypatch.setattr(ApproximateDistances, "__call__", worst)
