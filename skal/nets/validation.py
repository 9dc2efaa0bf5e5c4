"""What the nets accept as X, y and sample_weight, and what they make of it."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import assert_all_finite, check_array, check_consistent_length
from sklearn.utils.validation import column_or_1d, validate_data
from skorch.dataset import get_len
from skorch.helper import SliceDataset
from skorch.utils import data_from_dataset, is_dataset, to_numpy
from torch.utils.data import IterableDataset

__all__ = [
    "check_inputs",
    "check_labels",
    "check_targets",
    "check_weights",
    "dataset_targets",
    "is_structured",
]


def is_structured(X: Any) -> bool:
    """Whether X is a Dataset, or a dict or tuple of several inputs, not one array."""
    if sparse.issparse(X):  # dok_matrix is a dict, too
        return False
    if isinstance(X, tuple):
        return bool(X) and all(isinstance(x, (np.ndarray, torch.Tensor)) for x in X)
    return is_dataset(X) or isinstance(X, Mapping)


def as_ndarray(X: Any) -> Any:
    """Tensors, wherever they live and with or without gradient, as ndarrays."""
    if isinstance(X, SliceDataset):
        return to_numpy(X)
    if not isinstance(X, torch.Tensor):
        return X
    X = X.detach().cpu()
    if X.dtype in (torch.bfloat16, torch.float16):
        X = X.float()
    return (X if X.layout == torch.strided else X.to_dense()).numpy()


def check_inputs(net: Any, X: Any, *, reset: bool) -> Any:
    """Check X and make it ready to be batched.

    Parameters
    ----------
    net : estimator
        Whose ``n_features_in_`` and ``feature_names_in_`` are set or compared.
    X : array-like, sparse matrix, DataFrame, Tensor, dict, tuple or Dataset
    reset : bool
        Whether this is the first X the net sees.

    Returns
    -------
    X : float32 ndarray, float32 csr_matrix, dict or tuple of arrays, or the Dataset
        In a dict or tuple, integers stay integers (row numbers of an embedding).
    """
    if is_structured(X):
        if reset:  # what an earlier fit on an array has left
            for name in ("n_features_in_", "feature_names_in_"):
                vars(net).pop(name, None)
        return X if is_dataset(X) else _check_parts(X)
    with np.errstate(over="ignore", invalid="ignore"):  # too large: an error is next
        X = validate_data(
            net,
            as_ndarray(X),
            reset=reset,
            accept_sparse="csr",
            dtype=np.float32,
            allow_nd=True,
        )
    # skorch cannot index scipy's csr_array.
    return sparse.csr_matrix(X) if sparse.issparse(X) else X


def _check_parts(X: Any) -> Any:
    if isinstance(X, Mapping):
        parts: Any = {name: _check_part(part, name) for name, part in X.items()}
    else:
        parts = tuple(_check_part(part, f"X[{i}]") for i, part in enumerate(X))
    if get_len(parts) == 0:
        raise ValueError("Found 0 sample(s) in X while a minimum of 1 is required.")
    return parts


def _check_part(part: Any, name: str) -> Any:
    if isinstance(part, torch.Tensor):
        part = part.detach()
        if part.is_floating_point():
            part = part.to(torch.float32)
            if not torch.isfinite(part).all():
                raise ValueError(f"Input {name} contains NaN or infinity.")
        return part
    if sparse.issparse(part):
        part = sparse.csr_matrix(part, dtype=np.float32)
    else:
        part = np.asarray(part)
        if part.dtype == object or part.dtype.kind in "US":
            raise ValueError(
                f"Input {name} holds {part.dtype} values, a net needs numbers."
            )
        if part.dtype.kind == "f":
            part = part.astype(np.float32, copy=False)
    assert_all_finite(part, input_name=name)
    return part


def dataset_targets(dataset: Any) -> Any:
    """Read the targets of a Dataset, if need be by one pass over it."""
    if isinstance(dataset, IterableDataset):
        raise TypeError(
            "An IterableDataset has no rows to index; fit on a Dataset with __len__ "
            "and __getitem__."
        )
    try:
        _, y = data_from_dataset(dataset)
    except AttributeError:
        y = np.stack([np.asarray(dataset[i][1]) for i in range(len(dataset))])
    return y


def _require_target(net: Any, X: Any, y: Any) -> Any:
    if y is None and is_dataset(X):
        y = dataset_targets(X)
    if y is None:
        raise ValueError(
            f"{type(net).__name__} requires y to be passed, but the target y is None."
        )
    return as_ndarray(y)


def _check_length(X: Any, y: Any) -> None:
    rows = len(X) if is_dataset(X) else get_len(X)
    if rows != len(y):
        raise ValueError(
            f"X and y have different numbers of rows: X has {rows}, y has {len(y)}."
        )


def check_labels(net: Any, X: Any, y: Any) -> np.ndarray:
    """Class labels as a 1-d array, one for each row of X."""
    if isinstance(y, list | tuple):
        missing = [
            i for i, v in enumerate(y) if v is None or (isinstance(v, float) and v != v)
        ]
        if missing:  # beside strings numpy would make the word 'nan' of it
            raise ValueError(
                f"Input y contains NaN or None: {len(missing)} of {len(y)} labels, the "
                f"first is that of row {missing[0]}."
            )
    y = column_or_1d(_require_target(net, X, y), warn=True)
    _check_length(X, y)
    assert_all_finite(y, input_name="y")
    if np.iscomplexobj(y):
        raise ValueError("Complex data not supported for y.")
    return y


def check_targets(net: Any, X: Any, y: Any) -> np.ndarray:
    """Regression targets as float32, (m,) or (m, n_targets), one for each row of X."""
    y = check_array(
        _require_target(net, X, y), ensure_2d=False, input_name="y", estimator=net
    )
    _check_length(X, y)
    with np.errstate(over="ignore", invalid="ignore"):  # too large: an error is next
        y32 = y.astype(np.float32, copy=False)
        assert_all_finite(y32, input_name="y")
    return y32


def check_weights(sample_weight: Any, y: np.ndarray) -> np.ndarray:
    """Sample weights as float32 (m,): finite, not negative, not all zero."""
    if isinstance(sample_weight, Real):
        sample_weight = np.full(len(y), sample_weight)
    weight = check_array(
        as_ndarray(sample_weight),
        ensure_2d=False,
        dtype=np.float32,
        input_name="sample_weight",
    )
    if weight.ndim != 1:
        raise ValueError(
            "Sample weights must be 1D array or scalar, sample_weight has shape "
            f"{weight.shape}."
        )
    check_consistent_length(y, weight)
    if (weight < 0).any():
        raise ValueError("sample_weight must not be negative.")
    if not weight.any():
        raise ValueError("sample_weight is zero for every row.")
    return weight
