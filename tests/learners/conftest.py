"""The same labeled rows in every kind of container that a learner takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

SPARSE = ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
TABLES = (
    "ndarray",
    "frame",
    "int_frame",
    "list",
    "tensor",
    "grad_tensor",
    # The others are tested where rows are taken and converted. A dok matrix is a dict.
    *("csr_matrix", "csc_array", "coo_array", "dok_matrix"),
)
KINDS = (*TABLES, "dict")
LABELS = ("ndarray", "series", "list", "tensor", "strings", "string_series")


class DictClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of dicts, like a net whose forward has two arguments."""

    def fit(self, X: dict[str, np.ndarray], y: Any) -> DictClassifier:
        self.model_ = LogisticRegression().fit(self._join(X), y)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X: dict[str, np.ndarray]) -> np.ndarray:
        return self.model_.predict(self._join(X))

    def predict_proba(self, X: dict[str, np.ndarray]) -> np.ndarray:
        return self.model_.predict_proba(self._join(X))

    @staticmethod
    def _join(X: dict[str, np.ndarray]) -> np.ndarray:
        return np.hstack([X["left"], X["right"]])


def convert(X: np.ndarray, kind: str) -> Any:
    """Convert an (n, d) array to another kind of table."""
    if kind == "ndarray":
        return X
    if kind == "frame":
        names = [f"f{j}" for j in range(X.shape[1])]
        index = [f"row{i}" for i in range(len(X))]
        return pd.DataFrame(X, columns=names, index=index)
    if kind == "int_frame":
        # Names of columns that are positions of rows as well, in another order.
        return pd.DataFrame(X, columns=range(X.shape[1])[::-1])
    if kind == "list":
        return X.tolist()
    if kind == "tensor":
        return torch.as_tensor(X)
    if kind == "grad_tensor":
        return torch.as_tensor(X).clone().requires_grad_()
    if kind == "dict":
        return {"left": X[:, :2], "right": X[:, 2:]}
    return getattr(sp, kind)(X)


def convert_labels(y: np.ndarray, kind: str) -> Any:
    """Convert labels 0, 1, 2 to another kind of vector."""
    names = np.array(["ant", "bee", "caterpillar"])
    if kind == "series":
        return pd.Series(y, name="label", index=[f"row{i}" for i in range(len(y))])
    if kind == "list":
        return y.tolist()
    if kind == "tensor":
        return torch.as_tensor(y)
    if kind == "strings":
        return names[y]
    if kind == "string_series":
        return pd.Series(names[y], name="label")
    return y


def as_dense(X: Any) -> np.ndarray:
    """Convert any kind of table back to an array."""
    if isinstance(X, dict) and not sp.issparse(X):
        return np.hstack([X["left"], X["right"]])
    if sp.issparse(X):
        return X.toarray()
    if isinstance(X, torch.Tensor):
        return X.detach().numpy()
    return np.asarray(X)


def same_kind(a: Any, b: Any) -> bool:
    """Whether two tables have the same type, sparse format and column names."""
    if type(a) is not type(b) or getattr(a, "format", 0) != getattr(b, "format", 0):
        return False
    if isinstance(a, pd.DataFrame):
        return list(a.columns) == list(b.columns)
    return True


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    """Sixty rows of four features, three classes, all in the first six rows."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 4)) + y[:, None]
    return X, y
