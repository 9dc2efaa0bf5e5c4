"""The rows that are labeled before the first query."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone

from skal.strategies import QueryStrategy

__all__ = ["draw_start", "is_drawn"]


def is_drawn(initial: Any) -> bool:
    """Whether `n_initial` rows are drawn; otherwise `initial` holds their positions."""
    return isinstance(initial, str | QueryStrategy)


def draw_start(
    initial: Any,
    y: Any,
    n_initial: int,
    *,
    classes: bool,
    rng: np.random.Generator,
    pick: Callable[[QueryStrategy], np.ndarray] | None = None,
) -> np.ndarray:
    """Choose the rows that are labeled before the first query.

    Parameters
    ----------
    initial : {"random", "stratified"}, QueryStrategy or array-like of int
        How the rows are drawn, or their positions.
    y : array-like of shape (n,) or (n, n_outputs)
        Labels.
    n_initial : int
        Number of rows to draw; ignored if `initial` holds positions.
    classes : bool
        Whether `y` holds classes rather than numeric targets.
    rng : numpy.random.Generator
        Source of the draws.
    pick : callable, optional
        Lets a copy of a strategy pick `n_initial` rows, needed if `initial` is one.

    Returns
    -------
    rows : ndarray of shape (n_initial,), int64

    Raises
    ------
    ValueError
        If `initial` is unknown, positions are out of range or repeated, there are
        fewer rows than classes, or all rows have one class although `y` has several.

    Notes
    -----
    Stratified by classes: one row of each class; the other rows are allotted to the
    classes in proportion to their frequency in `y`, rounded by largest remainders.
    Stratified by numeric targets: the rows, sorted by target, are cut into
    `n_initial` groups of equal size, and one row is drawn from each.
    """
    labels = np.asarray(y)
    if isinstance(initial, QueryStrategy) and pick is not None:
        start = pick(clone(initial))
    elif not isinstance(initial, str):
        start = _given(initial, len(labels))
    elif initial == "random":
        start = rng.permutation(len(labels))[:n_initial].astype(np.int64)
    elif initial != "stratified":
        raise ValueError(
            "initial must be 'random', 'stratified', a strategy that needs no fitted "
            "model, such as TypiClust(), or the positions of the rows to start with, "
            f"got {initial!r}."
        )
    elif classes:
        start = _by_class(labels, n_initial, rng)
    else:
        start = _by_quantile(labels, n_initial, rng)
    if classes:
        _check_classes(labels, start)
    return start


def _given(initial: Any, n: int) -> np.ndarray:
    rows = np.asarray(initial)
    if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
        raise ValueError(
            "initial must be a non-empty one-dimensional sequence of ints, got shape "
            f"{rows.shape} and type {rows.dtype}."
        )
    if rows.min() < 0 or rows.max() >= n:
        raise ValueError(
            f"initial has positions from {rows.min()} to {rows.max()}, but the rows "
            f"are 0 to {n - 1}."
        )
    if len(np.unique(rows)) < len(rows):
        raise ValueError("initial contains a row more than once.")
    return rows.astype(np.int64)


def _by_class(labels: np.ndarray, n_initial: int, rng: np.random.Generator) -> Any:
    if labels.dtype == object:
        labels = labels.astype(str)
    _, member, counts = np.unique(
        labels, axis=0, return_inverse=True, return_counts=True
    )
    if n_initial < len(counts):
        raise ValueError(
            f"initial='stratified' needs one row of each of the {len(counts)} classes, "
            f"but n_initial={n_initial}."
        )
    # One row of each class, then shares of the rest in proportion to what is left.
    share = (n_initial - len(counts)) * (counts - 1) / max(1, (counts - 1).sum())
    take = 1 + np.floor(share).astype(np.int64)
    for k in np.argsort(-(share % 1), kind="stable")[: n_initial - take.sum()]:
        take[k] += 1
    order = rng.permutation(len(labels))
    member = member.reshape(-1)[order]
    picked = [order[member == k][: take[k]] for k in range(len(counts))]
    return rng.permutation(np.concatenate(picked)).astype(np.int64)


def _by_quantile(labels: np.ndarray, n_initial: int, rng: np.random.Generator) -> Any:
    # Several outputs are sorted by the sum of their standardized values.
    values = labels.reshape(len(labels), -1).astype(float)
    spread = values.std(axis=0)
    level = (values / np.where(spread > 0, spread, 1)).sum(axis=1)
    order = rng.permutation(len(labels))
    groups = np.array_split(order[np.argsort(level[order], kind="stable")], n_initial)
    picked = np.array([rng.choice(group) for group in groups])
    return rng.permutation(picked).astype(np.int64)


def _check_classes(labels: np.ndarray, start: np.ndarray) -> None:
    if labels.ndim > 1:
        return
    same = labels == labels[start[0]]
    if same[start].all() and not same.all():
        raise ValueError(
            f"All {len(start)} rows of the start have the class "
            f"{labels[start].tolist()[0]!r}. Use initial='stratified', which takes "
            "rows of each class, or start with more rows."
        )
