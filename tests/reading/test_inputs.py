"""Rows as vectors: what is refused, and how it is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch.utils.data import TensorDataset

from skal.posteriors import PredictiveDistribution
from skal.reading.inputs import read_inputs, real_array
from skal.rows import Rows
from skal.strategies import LCMD, CoreSet, GreedySampling, Margin, PredictiveVariance
from tests.models import make_data, with_labeled

X, Y = make_data("regression", 40)
COMPLEX = X.astype(complex)
COMPLEX[3, 1] += 5j
COMPLEX[7, 4] -= 1j
FRAME = pd.DataFrame(X, columns=list("abcde"))
WITH_COMPLEX = FRAME.assign(b=COMPLEX[:, 1], e=COMPLEX[:, 4])

CONTAINERS: dict[str, tuple[Any, list[Any]]] = {
    "array": (COMPLEX, [1, 4]),
    "complex64": (COMPLEX.astype(np.complex64), [1, 4]),
    "table": (WITH_COMPLEX, ["b", "e"]),
    "tensor": (torch.as_tensor(COMPLEX), [1, 4]),
    "sparse": (sparse.csr_matrix(COMPLEX), [1, 4]),
    "list": (COMPLEX.tolist(), [1, 4]),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_complex_rows_are_refused_by_column(kind):
    rows, columns = CONTAINERS[kind]
    message = rf"columns \[{', '.join(map(repr, columns))}\] of the pool"
    with pytest.raises(ValueError, match=message):
        read_inputs(Rows(rows))


@pytest.mark.parametrize("strategy", [LCMD(), CoreSet()])
@pytest.mark.parametrize("model", [Ridge(), make_pipeline(StandardScaler(), Ridge())])
def test_a_query_with_a_complex_pool(strategy, model):
    learner = with_labeled(model.fit(X, Y), X, Y)
    with pytest.raises(ValueError, match=r"[Cc]omplex"):
        strategy.select(learner, COMPLEX, 3)
    named = with_labeled(Ridge().fit(FRAME, Y), FRAME, Y)
    with pytest.raises(ValueError, match=r"columns \['b', 'e'\] of the pool"):
        strategy.select(named, WITH_COMPLEX, 3)


@pytest.mark.parametrize(
    "model", [GaussianProcessRegressor(optimizer=None), BayesianRidge()]
)
def test_the_distribution_of_complex_rows(model):
    learner = with_labeled(model.fit(X, Y), X, Y)
    strategy = PredictiveVariance(PredictiveDistribution())
    with pytest.raises(ValueError, match=r"[Cc]omplex"):
        strategy.select(learner, COMPLEX, 3)


def test_complex_rows_without_imaginary_parts_are_real():
    real = real_array(X.astype(complex))
    assert real.dtype == np.float64
    np.testing.assert_array_equal(real, X)
    learner = with_labeled(Ridge().fit(X, Y), X, Y)
    found = [CoreSet().select(learner, pool, 4) for pool in (X, X.astype(complex))]
    assert found[0].indices.tolist() == found[1].indices.tolist()


def test_transformers_may_make_real_rows_of_complex_ones():
    labels = (np.abs(COMPLEX[:, 0]) > 0.5).astype(int)
    model = make_pipeline(FunctionTransformer(np.abs), LogisticRegression())
    learner = with_labeled(model.fit(COMPLEX, labels), COMPLEX, labels)
    plain = LogisticRegression().fit(np.abs(COMPLEX), labels)
    other = with_labeled(plain, np.abs(COMPLEX), labels)
    for strategy in (LCMD(space="inputs"), Margin()):
        found = strategy.select(learner, COMPLEX, 4).indices.tolist()
        assert found == strategy.select(other, np.abs(COMPLEX), 4).indices.tolist()


def test_rows_that_are_not_numbers():
    with pytest.raises(ValueError, match="row 1 of the pool, column 'a': 'x'"):
        read_inputs(Rows(pd.DataFrame({"a": [1.0, "x"], "b": [1.0, 2.0]})))
    objects = WITH_COMPLEX.astype(object)
    with pytest.raises(ValueError, match="row 0 of the pool, column 'b'"):
        read_inputs(Rows(objects))


def test_greedy_sampling_of_complex_rows():
    learner = with_labeled(Ridge().fit(X, Y), X, Y)
    with pytest.raises(ValueError, match=r"[Cc]omplex"):
        GreedySampling().select(learner, COMPLEX, 3)


def test_the_targets_of_a_dataset_are_no_inputs():
    rows, targets = torch.as_tensor(X), torch.as_tensor(Y)
    alike = torch.stack([targets] * X.shape[1], dim=1)  # of the shape of the inputs
    for more in ((), (targets,), (alike,)):
        found = read_inputs(Rows(TensorDataset(rows, *more)))
        np.testing.assert_array_equal(found.numpy(), X)
