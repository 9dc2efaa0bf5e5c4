"""The rows a campaign starts with."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["draw_start"]


def draw_start(
    initial: Any, y: Any, n_initial: int, *, classes: bool, rng: np.random.Generator
) -> np.ndarray:
    """Choose the rows that are labeled before the first query.

    Parameters
    ----------
    initial : {"random", "stratified"} or array-like of int
        How the rows are drawn, or the rows themselves.
    y : array-like of shape (n,) or (n, n_outputs)
        Labels.
    n_initial : int
        How many rows are drawn; plays no part where `initial` holds the rows.
    classes : bool
        Whether `y` holds classes, or numbers.
    rng : numpy.random.Generator
        Where draws come from.

    Returns
    -------
    rows : ndarray of int64, shape (n_initial,)

    Raises
    ------
    ValueError
        If `initial` is unknown, rows are out of range or repeated, or fewer rows are
        wanted than there are classes.

    Notes
    -----
    Stratified, with classes: one row of each class, and the rest of the rows such
    that the classes' shares are as near to those in `y` as whole rows allow (largest
    remainder).  Stratified, with numbers: one row of each of `n_initial` groups of
    equal size, cut from `y` in order.
    """
    labels = np.asarray(y)
    n = len(labels)
    if not isinstance(initial, str):
        return _given(initial, n)
    if initial == "random":
        return rng.permutation(n)[:n_initial].astype(np.int64)
    if initial != "stratified":
        raise ValueError(
            "initial must be 'random', 'stratified' or the indices of the rows to "
            f"start with, got {initial!r}."
        )
    if classes:
        return _by_class(labels, n_initial, rng)
    return _by_quantile(labels, n_initial, rng)


def _given(initial: Any, n: int) -> np.ndarray:
    rows = np.asarray(initial)
    if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
        raise ValueError(
            "initial must hold at least one int index in one dimension, got shape "
            f"{rows.shape} of {rows.dtype}."
        )
    if rows.min() < 0 or rows.max() >= n:
        raise ValueError(
            f"initial has indices from {rows.min()} to {rows.max()}, but the rows are "
            f"0 to {n - 1}."
        )
    if len(np.unique(rows)) < len(rows):
        raise ValueError("initial names a row more than once.")
    return rows.astype(np.int64)


def _by_class(labels: np.ndarray, n_initial: int, rng: np.random.Generator) -> Any:
    if labels.dtype == object:
        labels = labels.astype(str)
    _, member, counts = np.unique(
        labels, axis=0, return_inverse=True, return_counts=True
    )
    if n_initial < len(counts):
        raise ValueError(
            f"initial='stratified' needs a row of each of the {len(counts)} classes, "
            f"but n_initial={n_initial}."
        )
    # One row a class first; what is left goes by what is left of each class.
    share = (n_initial - len(counts)) * (counts - 1) / max(1, (counts - 1).sum())
    take = 1 + np.floor(share).astype(np.int64)
    for k in np.argsort(-(share % 1), kind="stable")[: n_initial - take.sum()]:
        take[k] += 1
    order = rng.permutation(len(labels))
    member = member.reshape(-1)[order]
    picked = [order[member == k][: take[k]] for k in range(len(counts))]
    return rng.permutation(np.concatenate(picked)).astype(np.int64)


def _by_quantile(labels: np.ndarray, n_initial: int, rng: np.random.Generator) -> Any:
    # Several outputs are ordered by their sum of standardized values.
    values = labels.reshape(len(labels), -1).astype(float)
    spread = values.std(axis=0)
    level = (values / np.where(spread > 0, spread, 1)).sum(axis=1)
    order = rng.permutation(len(labels))
    groups = np.array_split(order[np.argsort(level[order], kind="stable")], n_initial)
    picked = np.array([rng.choice(group) for group in groups])
    return rng.permutation(picked).astype(np.int64)
