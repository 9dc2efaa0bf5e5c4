"""Validation of the X, y, weights, classes and device given to a net."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.utils import assert_all_finite, check_array, check_consistent_length
from sklearn.utils.validation import column_or_1d, validate_data
from skorch.dataset import get_len
from skorch.helper import SliceDataset
from skorch.utils import data_from_dataset, is_dataset, to_numpy
from torch.utils.data import IterableDataset

from skal.rows import array_if_tensor, arrays_in, as_dense, find_masked_rows

__all__ = [
    "check_classes",
    "check_device",
    "check_groups",
    "check_inputs",
    "check_labels",
    "check_targets",
    "check_weights",
    "class_weights",
    "encode",
    "is_structured",
    "warn_if_lost",
]

#: Range of values, relative to their size, in which float32 has 256 levels, and which
#: may be an error of rounding in float64.
_LEVELS, _ROUNDING = 2.0**-16, 1e-12
#: Exponents of 2 between which the largest weight is used as it is; weights of rows and
#: classes are multiplied. Weights below this share of it are 0.
_LEAST_EXPONENT, _LARGEST_EXPONENT, _LEAST_SHARE = -40, 40, 2.0**-100
#: The smallest number of float32.
_TINY = float(np.finfo(np.float32).tiny)

# -- X --------------------------------------------------------------------------------


def is_structured(X: Any) -> bool:
    """Whether X is a Dataset, or a dict or tuple of several inputs, not one array."""
    if sparse.issparse(X):  # dok_matrix is a dict, too
        return False
    if isinstance(X, tuple):
        return bool(X) and all(isinstance(x, (np.ndarray, torch.Tensor)) for x in X)
    return is_dataset(X) or isinstance(X, Mapping)


def check_inputs(net: Any, X: Any, *, reset: bool) -> Any:
    """Validate X and convert it to arrays that can be batched.

    Parameters
    ----------
    net : estimator
        Its ``n_features_in_`` and ``feature_names_in_`` are set or compared.
    X : array-like, sparse matrix, DataFrame, Tensor, dict, tuple or Dataset
    reset : bool
        Whether to set these attributes rather than to compare them.

    Returns
    -------
    X : float32 ndarray, float32 csr_matrix, dict or tuple of arrays, or the Dataset
        In a dict or tuple, integers stay integers, as an embedding requires.
    """
    if is_structured(X):
        if reset:  # an earlier fit on an array may have set these
            for name in ("n_features_in_", "feature_names_in_"):
                vars(net).pop(name, None)
        if is_dataset(X):
            return X
        parts = _check_parts(X)
        if reset:
            items = X.items() if isinstance(X, Mapping) else enumerate(X)
            for key, given in items:
                part = array_if_tensor(given)
                if isinstance(part, np.ndarray) and part.dtype.kind == "f":
                    warn_if_lost(part, f"X[{key!r}]", None, "by their mean and std")
        return parts
    given = _as_ndarray(X, "X")
    with np.errstate(over="ignore", invalid="ignore"):  # validate_data reports overflow
        X = validate_data(
            net,
            given,
            reset=reset,
            accept_sparse="csr",
            dtype=np.float32,
            allow_nd=True,
        )
    if reset and not sparse.issparse(X):
        names = vars(net).get("feature_names_in_")
        warn_if_lost(given, "X", names, "by StandardScaler in a Pipeline")
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
                f"Input {name} has dtype {part.dtype}, but a net needs numbers."
            )
        if part.dtype.kind == "f":
            part = part.astype(np.float32, copy=False)
    assert_all_finite(part, input_name=name)
    return part


def warn_if_lost(given: Any, name: str, columns: Any, how: str) -> None:
    """Warn of columns whose values differ by less than single precision shows.

    Parameters
    ----------
    given : array-like of shape (m, ...)
        Numbers, before they are cast to float32.
    name : str
        What they are called in the warning.
    columns : sequence of str or None
        Names of the columns.
    how : str
        How they may be scaled.
    """
    values = given = _as_ndarray(given, name)
    if not (isinstance(given, np.ndarray) and given.dtype.kind in "fiub"):
        values = np.asarray(given, dtype=np.float64)
    kind, n_bytes = values.dtype.kind, values.dtype.itemsize
    if n_bytes < 4 or (kind == "f" and n_bytes == 4):  # float32 has room for all
        return
    values = values.reshape(len(values), -1)
    low, high = (ends(axis=0).astype(np.float64) for ends in (values.min, values.max))
    size = np.maximum(np.abs(low), np.abs(high))
    differs = high - low > _ROUNDING * size
    lost = differs & (high - low < _LEVELS * size)
    tiny = differs & (size < _TINY)
    if (tiny == differs).all():  # not only a column that is 0 but for rounding
        lost |= tiny
    if not lost.any():
        return
    found = np.flatnonzero(lost)[:10].tolist()
    which = [columns[k] for k in found] if columns is not None else found
    what = name if values.shape[1] == 1 else f"Columns {which} of {name}"
    warnings.warn(
        f"{what}: the values differ by too little for their size, or are too small, to "
        "be told apart in single precision, in which nets compute. Subtract an offset "
        f"and scale them, for example {how}.",
        UserWarning,
        stacklevel=2,
    )


def _as_ndarray(X: Any, name: str) -> Any:
    """Convert a tensor or a SliceDataset to an ndarray."""
    masked = find_masked_rows(X)
    if masked is not None:
        raise ValueError(
            f"{int(masked.sum())} of {len(masked)} rows of {name} hold masked values "
            f"(the first is row {int(masked.argmax())}), and what is under the mask "
            "would be taken for data. Drop these rows, or fill them."
        )
    if isinstance(X, list | tuple):
        return arrays_in(X)
    if isinstance(X, torch.Tensor):
        return array_if_tensor(X)
    return to_numpy(X) if isinstance(X, SliceDataset) else X


# -- y and sample_weight --------------------------------------------------------------


def check_labels(net: Any, X: Any, y: Any) -> np.ndarray:
    """Validate class labels and convert them to shape (m,)."""
    if isinstance(y, list | tuple):
        # numpy would convert NaN beside strings to the string 'nan'.
        _check_none_missing(pd.Series(arrays_in(y), dtype=object))
    y = _require_target(net, X, y)
    shape: Any = np.shape(y) if isinstance(y, list | tuple) else getattr(y, "shape", ())
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array, one class per row, got an array of shape "
            f"{shape}. For several labels per row, use "
            f"MultiOutputClassifier({type(net).__name__}()), or a skorch net with "
            "torch.nn.BCEWithLogitsLoss."
        )
    y = column_or_1d(y, warn=True)
    _check_length(X, y)
    if y.dtype.kind in "OMm":
        _check_none_missing(y)
    assert_all_finite(y, input_name="y")
    if np.iscomplexobj(y):
        raise ValueError("Complex data not supported for y.")
    types = {type(label).__name__ for label in y} if y.dtype == object else set()
    if "str" in types and len(types - {"str_"}) > 1:
        raise TypeError(
            f"y has labels of the types {sorted(types)}, which have no order. Convert "
            "all of them to strings."
        )
    return y


def _check_none_missing(y: Any) -> None:
    """Raise if a label is None, NaN, NA or NaT."""
    missing = np.asarray(pd.isna(y))
    if missing.any():
        raise ValueError(
            f"Input y contains NaN or None: {int(missing.sum())} of {len(y)} labels; "
            f"the first is that of row {int(missing.argmax())}."
        )


def check_targets(net: Any, X: Any, y: Any) -> np.ndarray:
    """Validate regression targets and convert them to float32, (m,) or (m, t)."""
    y = check_array(
        _require_target(net, X, y), ensure_2d=False, input_name="y", estimator=net
    )
    if y.dtype.kind in "mM":
        raise ValueError(
            "y holds dates or durations, and a net predicts numbers: pass, for "
            "example, (y - first_date) / np.timedelta64(1, 'D')."
        )
    _check_length(X, y)
    with np.errstate(over="ignore", invalid="ignore"):  # the next line reports overflow
        y32 = y.astype(np.float32, copy=False)
        assert_all_finite(y32, input_name="y")
    if (y.any(axis=0) & ~y32.any(axis=0)).any():
        raise ValueError(
            f"y has values of at most {np.abs(y).max():.3g}, which are zero in "
            "float32, in which nets compute. Multiply them by a constant."
        )
    return y32


def _require_target(net: Any, X: Any, y: Any) -> Any:
    if y is None and is_dataset(X):
        y = _dataset_targets(X)
    if y is None:
        raise ValueError(
            f"{type(net).__name__} requires y to be passed, but the target y is None."
        )
    return _as_ndarray(y, "y")


def _dataset_targets(dataset: Any) -> Any:
    """Read the targets of a Dataset, by a pass over its rows if necessary."""
    if isinstance(dataset, IterableDataset):
        raise TypeError(
            "An IterableDataset cannot be indexed; fit on a Dataset with __len__ and "
            "__getitem__."
        )
    try:
        _, y = data_from_dataset(dataset)
    except AttributeError:
        y = np.stack([as_dense(dataset[i][1]) for i in range(len(dataset))])
    return y


def _check_length(X: Any, y: Any) -> None:
    rows = len(X) if is_dataset(X) else get_len(X)
    if rows != len(y):
        raise ValueError(
            f"X and y have different numbers of rows: X has {rows}, y has {len(y)}."
        )


def check_weights(sample_weight: Any, y: np.ndarray) -> np.ndarray:
    """Validate sample weights and convert them to float32 of shape (m,).

    If all are very large or small, they are scaled, so that their sums and products
    with losses neither overflow nor vanish. Those that vanish beside the largest become
    0.
    """
    if isinstance(sample_weight, Real):
        sample_weight = np.full(len(y), sample_weight)
    weight = check_array(
        _as_ndarray(sample_weight, "sample_weight"),
        ensure_2d=False,
        dtype=np.float64,
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
    return _in_single_precision(weight)


def _in_single_precision(weights: np.ndarray) -> np.ndarray:
    """Cast weights of which only the ratios matter, by a power of 2 if need be."""
    weights = np.where(weights < _LEAST_SHARE * weights.max(), 0.0, weights)
    exponent = np.frexp(weights.max())[1]
    if not _LEAST_EXPONENT <= exponent <= _LARGEST_EXPONENT:
        weights = np.ldexp(weights, -exponent)
    return weights.astype(np.float32)


def check_groups(groups: Any, n_rows: int) -> np.ndarray:
    """Validate the groups of rows, and number them.

    Parameters
    ----------
    groups : array-like of shape (n_rows,)
        Of any type.
    n_rows : int

    Returns
    -------
    codes : ndarray of int of shape (n_rows,)
        From 0, in the order of the first rows.

    Raises
    ------
    ValueError
        If there is not one group for each row, or a group is missing.
    """
    if isinstance(groups, list | tuple):  # of which some may be tuples
        groups = pd.Series(arrays_in(groups), dtype=object)
    groups = _as_ndarray(groups, "groups")
    shape = np.shape(groups)
    if len(shape) != 1:
        raise ValueError(f"groups must have shape ({n_rows},), got {shape}.")
    if len(groups) != n_rows:
        raise ValueError(f"groups has {len(groups)} entries for {n_rows} rows.")
    codes, _ = pd.factorize(np.asarray(groups))
    if (codes < 0).any():
        raise ValueError(
            f"groups is missing (NaN or None) in {int((codes < 0).sum())} of {n_rows} "
            f"rows; the first is row {int((codes < 0).argmax())}. Give rows that "
            "belong to no other ones a group each."
        )
    return codes


# -- classes --------------------------------------------------------------------------


def check_classes(classes: Any) -> np.ndarray:
    """Get the sorted distinct classes.

    Parameters
    ----------
    classes : array-like
        Classes or labels, with repetitions.

    Returns
    -------
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        If there are fewer than two classes.
    """
    classes = np.unique(np.asarray(classes))
    if len(classes) < 2:
        raise ValueError(
            f"A classifier needs at least two classes, got {classes.tolist()}; if y "
            "has only one class, pass all classes with classes=."
        )
    return classes


def encode(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Encode labels as indices into the classes.

    Parameters
    ----------
    y : ndarray of shape (m,)
    classes : ndarray of shape (n_classes,)
        Sorted.

    Returns
    -------
    codes : int64 ndarray of shape (m,)

    Raises
    ------
    ValueError
        If a label is not among the classes.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets.validation import encode
    >>> encode(np.array(["b", "a"]), np.array(["a", "b", "c"]))
    array([1, 0])
    """
    labels, inverse = np.unique(y, return_inverse=True)
    known = {label: code for code, label in enumerate(classes.tolist())}
    unknown = [label for label in labels.tolist() if label not in known]
    if unknown:
        raise ValueError(
            f"y has labels {unknown} that are not among the classes "
            f"{classes.tolist()}; pass all classes with classes=."
        )
    codes = np.array([known[label] for label in labels.tolist()], dtype=np.int64)
    return codes[inverse.reshape(-1)]


def class_weights(
    class_weight: Any,
    classes: np.ndarray,
    codes: np.ndarray,
    sample_weight: np.ndarray | None = None,
) -> torch.Tensor | None:
    """Get the weight of each class in the loss.

    Parameters
    ----------
    class_weight : dict, "balanced" or None
    classes : ndarray of shape (n_classes,)
    codes : ndarray of shape (m,)
        Encoded labels of the training rows.
    sample_weight : ndarray of shape (m,), optional
        How often "balanced" counts each row.

    Returns
    -------
    weights : float32 Tensor of shape (n_classes,), or None

    Raises
    ------
    ValueError
        If a key is not a class, or a weight is negative or not finite.
    """
    if class_weight is None:
        return None
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(codes, sample_weight, minlength=len(classes))
        present = counts > 0
        weights = counts.sum() / (present.sum() * np.where(present, counts, 1))
    elif isinstance(class_weight, Mapping):
        unknown = [label for label in class_weight if label not in classes.tolist()]
        if unknown:
            raise ValueError(
                f"class_weight has keys {unknown} that are not among the classes "
                f"{classes.tolist()}."
            )
        weights = np.array([class_weight.get(c, 1.0) for c in classes.tolist()])
    else:
        raise ValueError(
            f"class_weight must be a dict, 'balanced' or None, got {class_weight!r}."
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"Class weights must be finite and not negative, got {class_weight}."
        )
    return torch.from_numpy(_in_single_precision(weights.astype(np.float64)))


# -- device ---------------------------------------------------------------------------


def check_device(device: Any) -> None:
    """Raise ValueError unless torch can use `device`."""
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device must be one that torch knows, such as 'cpu' or 'cuda', got "
            f"{device!r}."
        ) from None
    reason = "torch finds no GPU"
    if kind == "meta":
        reason = "its tensors have no values"
    elif kind != "cuda" or torch.cuda.is_available():
        try:
            torch.empty(0, device=device)
            return
        # Each backend fails in its own way if it is not installed or has no hardware.
        except Exception as error:
            reason = str(error).split("\n")[0].rstrip(".")
    raise ValueError(f"device={device!r} is not available: {reason}. Use device='cpu'.")
