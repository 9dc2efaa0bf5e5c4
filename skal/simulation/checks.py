"""What must hold before a campaign starts."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_array

from skal.rows import n_rows

__all__ = [
    "check_budget",
    "check_classes_of_start",
    "check_count",
    "check_counts",
    "check_labels",
]


def check_count(name: str, value: Any, least: int) -> None:
    """Raise ValueError unless `value` is an int and large enough."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be an int, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")


def check_counts(
    n_initial: Any, n_instances: Any, n_queries: Any, n_candidates: Any
) -> None:
    """Raise ValueError unless a campaign can be made of these counts."""
    check_count("n_initial", n_initial, 1)
    check_count("n_instances", n_instances, 1)
    check_count("n_queries", n_queries, 0)
    if n_candidates is None:
        return
    check_count("n_candidates", n_candidates, 1)
    if n_candidates < n_instances:
        raise ValueError(
            f"n_candidates={n_candidates} must be at least n_instances={n_instances}: "
            "the strategy picks from the candidates."
        )


def check_labels(X: Any, y: Any) -> tuple[Any, Any]:
    """Return rows and labels that can be indexed; ValueError unless one a row."""
    if y is None:
        raise ValueError("fit requires y to be passed, but the target y is None.")
    X, y = _indexable(X), _indexable(y)
    if n_rows(X) != n_rows(y):
        raise ValueError(f"X has {n_rows(X)} rows, but y has {n_rows(y)} labels.")
    # Also labels that are never asked for must be labels.
    check_array(y, ensure_2d=False, dtype=None, input_name="y")
    return X, y


def _indexable(values: Any) -> Any:
    """Make an array of what is only convertible to one."""
    if hasattr(values, "__array__") and not hasattr(values, "__getitem__"):
        return np.asarray(values)
    return values


def check_budget(n: int, n_initial: int, n_instances: int, n_queries: int) -> None:
    """Raise ValueError if more labels are asked for than there are rows."""
    wanted = n_initial + n_queries * n_instances
    if wanted > n:
        raise ValueError(
            f"The campaign labels {n_initial} + {n_queries} * {n_instances} = {wanted} "
            f"rows, but X has n_samples={n}. Lower n_initial, n_instances or "
            "n_queries."
        )


def check_classes_of_start(y: Any, start: np.ndarray) -> None:
    """Raise ValueError if the start has one class though `y` has several."""
    labels = np.asarray(y)
    if labels.ndim > 1:
        return
    one = labels == labels[start[0]]
    if one[start].all() and not one.all():
        raise ValueError(
            f"The {len(start)} rows of the start are all of one class, "
            f"{labels[start[0]]!r}. Use initial='stratified', which takes rows of "
            "each class, or start with more rows."
        )
