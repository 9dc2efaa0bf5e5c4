"""Rows as a model will see them once it is fitted: before the first label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skal._tables import column_names, take_columns
from skal.contexts import hiding
from skal.reading.unwrapping import (
    accepts_nan,
    as_input,
    learners_of,
    needs_labels,
    walk,
)
from skal.rows import ChainedRows, Rows, array_if_tensor, copied_rows, find_bad_rows

if TYPE_CHECKING:
    from skal.reading.pool import Pool

__all__ = ["check_finite_untrained", "seen_rows"]


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


def check_finite_untrained(pool: Pool) -> None:
    """Raise if a row of the pool has NaN that the models will not accept.

    What the tags of the models do not tell, such as those of a ColumnTransformer, of
    which one part takes the columns with NaN, copies of the transformers do.
    """
    rows = Rows(
        pool.X, allow_nan=accepts_nan(pool.learner, unknown=True), name=pool.name
    )
    try:
        rows.check_finite()
    except ValueError:
        if not all(_accepts(pool, learner) for learner in learners_of(pool.learner)):
            raise


def _accepts(pool: Pool, learner: Any) -> bool:
    """Whether a model accepts the rows of the pool after the steps of its Pipeline.

    What is not known before there are labels is left to the fit.
    """
    *wrappers, estimator = walk(learner)
    if any(needs_labels(step) for w in wrappers for step in _transformers(w)):
        return True
    try:
        with hiding():
            if any(find_bad_rows(rows) is None for _, rows in _steps_on(pool, learner)):
                return True
    # Any transformer may refuse them, each in its own way.
    except Exception:
        return False
    return accepts_nan(estimator, unknown=True)


def _fitted_on(pool: Pool, learner: Any) -> list[Any]:
    """Copy the transformers of a learner, and fit each on the rows so far."""
    return [step for step, _ in _steps_on(pool, learner)]


def _steps_on(pool: Pool, learner: Any) -> Iterator[tuple[Any, Any]]:
    """Fit copies of the transformers of a learner in turn, and transform the rows."""
    *wrappers, estimator = walk(learner)
    rows = copied_rows(as_input(pool.X, estimator))
    for wrapper in wrappers:
        for step in _transformers(wrapper):
            own = clone(step)
            try:
                rows = own.fit(array_if_tensor(rows)).transform(array_if_tensor(rows))
            except Warning:  # under a filter that raises warnings
                raise
            # Any transformer may refuse to be fitted, each in its own way.
            except Exception as error:
                raise ValueError(
                    f"No model is fitted yet, and {type(own).__name__} could not be "
                    f"fitted on {pool.name} without labels ({error}). Let Random pick "
                    "the first rows, or fit the model."
                ) from error
            yield own, rows


def _transformers(wrapper: Any) -> list[Any]:
    """List the steps of a Pipeline before its last one; of others, none."""
    steps = wrapper.steps[:-1] if isinstance(wrapper, Pipeline) else []
    return [step for _, step in steps if hasattr(step, "transform")]


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
