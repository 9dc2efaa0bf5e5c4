"""Columns of new rows, matched by name with those that a model was trained on."""

from __future__ import annotations

from typing import Any, NamedTuple

from skal._stacking import with_columns_of
from skal._tables import column_names, take_columns
from skal.reading.access import NetAccess
from skal.reading.unwrapping import as_input, estimator_of, is_net, unwrap
from skal.rng import preserve_global_rng
from skal.rows import Rows, array_if_tensor, take_slice, transform_rows

__all__ = ["Matched", "complete_columns", "match_columns"]


class Matched(NamedTuple):
    """Rows with the columns that a model was trained on.

    Attributes
    ----------
    X : rows
    names : list or None
        The columns of `X`; None if they were not matched by name.
    """

    X: Any
    names: list[Any] | None


def match_columns(
    X: Any, labeled: Any, learner: Any, name: str = "the pool"
) -> Matched:
    """Put the columns of new rows in the order of the training rows.

    Parameters
    ----------
    X : rows
        Returned as they are if they have no names.
    labeled : rows or None
        The training rows; without them the names are those that the estimator saw.
    learner : learner or estimator
        Fitted.  It decides about missing and additional columns: a pipeline may not
        need the missing ones and may ignore the additional ones.
    name : str
        What the rows are called in an error.

    Returns
    -------
    matched : Matched
        Additional columns are dropped, and missing ones stay missing.

    Raises
    ------
    ValueError
        If columns are missing or additional, and the estimator refuses such rows.
    """
    known, got = _known_names(labeled, learner), column_names(X)
    if known is None or got is None or len(set(got)) < len(got):
        return Matched(X, None)
    common = [column for column in known if column in set(got)]
    if not common:  # names of another type: columns are matched by position
        return Matched(X, None)
    if got == known:
        return Matched(X, known)
    additional = [column for column in got if column not in set(known)]
    ordered = take_columns(X, [*common, *additional])
    if len(common) == len(known) and not additional:
        return Matched(ordered, known)
    refusal = _refusal(ordered, learner)
    if refusal is not None:
        missing = [column for column in known if column not in set(got)]
        raise ValueError(
            f"The columns of {name} are not those that the model was trained on: "
            f"missing {missing[:20]}, additional {additional[:20]}. "
            f"{type(estimator_of(learner)).__name__} does not accept such rows: "
            f"{' '.join(str(refusal).split())}"
        ) from refusal
    if not additional:
        return Matched(ordered, common)
    matched = take_columns(X, common)
    if _refusal(matched, learner) is None:
        return Matched(matched, common)
    return Matched(X, None)


def complete_columns(X: Any, labeled: Any, learner: Any) -> Any:
    """Give new rows the columns of the training rows, before both are stacked.

    Parameters
    ----------
    X, labeled, learner
        As in `match_columns`, whose errors are raised.

    Returns
    -------
    X : rows
        Additional columns are dropped, and missing ones hold missing values, once the
        estimator has shown that it reads neither.
    """
    if column_names(labeled) is None:
        return X
    matched, names = match_columns(X, labeled, learner, "X")
    return matched if names is None else with_columns_of(labeled, matched)


def _known_names(labeled: Any, learner: Any) -> list[Any] | None:
    seen = getattr(estimator_of(learner), "feature_names_in_", None)
    names = column_names(labeled) if seen is None else list(seen)
    return names if names is not None and len(set(names)) == len(names) else None


def _refusal(X: Any, learner: Any) -> Exception | None:
    """Let a model predict the first row, without changing it; return its error."""
    estimator, transformers, _ = unwrap(learner)
    try:
        with preserve_global_rng():
            row = as_input(take_slice(X, slice(1)), estimator)
            row = transform_rows(row, transformers)
            if is_net(estimator):
                NetAccess(estimator).outputs(Rows(row, allow_nan=True))
            else:
                estimator.predict(array_if_tensor(row))
    # Any step of a pipeline may refuse rows, each in its own way.
    except Exception as error:
        return error
    return None
