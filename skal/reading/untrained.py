"""Rows as a model will see them once it is fitted: before the first label."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skal._tables import column_names, take_columns
from skal.reading.pool import Pool
from skal.reading.unwrapping import as_input, learners_of, walk
from skal.rows import ChainedRows, Rows, array_if_tensor

__all__ = ["seen_rows"]


def seen_rows(pool: Pool) -> list[tuple[Rows, Rows | None]]:
    """Get pool and labeled rows as the models see them, or will see them once fitted.

    Parameters
    ----------
    pool : Pool
        Its models need not be fitted.

    Returns
    -------
    views : list of (Rows, Rows or None)
        Pool and labeled rows for each model of the learner.  Before the first fit, they
        pass through copies of the transformers of its Pipeline, which are fitted on the
        pool; the objects of the user stay as they are.

    Raises
    ------
    NotFittedError
        If some members of a committee are fitted and others are not.
    ValueError
        If a transformer cannot be fitted without labels, or the labeled rows have
        other columns than the pool.
    """
    if not pool.is_before_first_fit:
        return [(member.rows, member.labeled) for member in pool.members]
    held = [_with_columns_of(pool.X, X) for X, _ in pool.labeled]
    views: list[tuple[Rows, Rows | None]] = []
    for learner in learners_of(pool.learner):
        steps = _fitted_on(pool, learner)
        labeled = [Rows(X, steps, name="the labeled data") for X in held]
        views.append(
            (
                Rows(pool.X, steps, name=pool.name),
                ChainedRows(labeled) if labeled else None,
            )
        )
    return views


def _fitted_on(pool: Pool, learner: Any) -> list[Any]:
    """Copy the transformers of a learner, and fit each on the rows so far."""
    *wrappers, estimator = walk(learner)
    rows, fitted = as_input(pool.X, estimator), []
    for wrapper in wrappers:
        if not isinstance(wrapper, Pipeline):
            continue
        for _, step in wrapper.steps[:-1]:
            if not hasattr(step, "transform"):
                continue
            own = clone(step)
            try:
                rows = own.fit(array_if_tensor(rows)).transform(array_if_tensor(rows))
            # Any transformer may refuse to be fitted, each in its own way.
            except Exception as error:
                raise ValueError(
                    f"No model is fitted yet, and {type(own).__name__} could not be "
                    f"fitted on {pool.name} without labels ({error}). Let Random pick "
                    "the first rows, or fit the model."
                ) from error
            fitted.append(own)
    return fitted


def _with_columns_of(pool: Any, X: Any) -> Any:
    """Labeled rows with their columns in the order of the pool."""
    names, own = column_names(pool), column_names(X)
    if names is None or own is None or names == own:
        return X
    if set(names) != set(own):
        raise ValueError(
            "The labeled rows and the pool have different columns: "
            f"{sorted(set(map(str, names)) ^ set(map(str, own)))[:20]}."
        )
    return take_columns(X, names)
