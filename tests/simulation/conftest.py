"""Data with nothing to wait for."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression


@pytest.fixture(scope="session")
def regression() -> tuple[np.ndarray, np.ndarray]:
    return make_regression(80, 4, noise=20.0, random_state=0)


@pytest.fixture(scope="session")
def classification() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(90, 5, n_informative=3, n_classes=3, random_state=0)
