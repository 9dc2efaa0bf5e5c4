"""Settings of a new campaign that follow from its model, rows and labels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor

from skal.campaign.batch import BATCH, RESERVED, SCORE
from skal.campaign.cells import MISSING
from skal.campaign.pool import CampaignPool, id_text
from skal.campaign.recording import as_items
from skal.exceptions import UnsuitableLearnerError
from skal.learners.checks import align_labels
from skal.strategies import QueryStrategy

__all__ = [
    "check_parts",
    "check_task",
    "classes_in",
    "labels_of",
    "name_ids",
    "rows_of",
    "task_of",
]


def task_of(model: Any) -> str:
    """Say what a model is for; raises ValueError if it does not tell."""
    if is_classifier(model):
        return "classification"
    if is_regressor(model):
        return "regression"
    raise ValueError(
        f"{type(model).__name__} does not say whether it is a classifier or a "
        "regressor: pass task=."
    )


def check_parts(model: Any, strategy: Any, initial: Any) -> None:
    """Raise TypeError for classes in place of objects, before labels are spent."""
    for name, part in {
        "model": model,
        "strategy": strategy,
        "initial": initial,
    }.items():
        if isinstance(part, type):
            raise TypeError(
                f"{name} is the class {part.__name__}: pass an object, such as "
                f"{part.__name__}()."
            )
    if strategy is not None and not callable(strategy):
        raise TypeError(f"strategy must be a strategy or a function, got {strategy!r}.")


def check_task(strategy: Any, task: str) -> None:
    """Raise before labels are spent, if a strategy is for another task."""
    if not isinstance(strategy, QueryStrategy):
        return
    for part in (strategy, *strategy.get_params().values()):
        if isinstance(part, QueryStrategy) and part._task not in ("any", task):
            raise UnsuitableLearnerError(
                f"{type(part).__name__} is for {part._task}, and the campaign is a "
                f"{task}. Without strategy=, a suitable one is chosen."
            )


def classes_in(y: Any) -> list[Any]:
    """List the labels that are known from the start, sorted as text."""
    known = np.ravel(np.asarray(y, dtype=object))
    classes: list[Any] = pd.unique(known[~pd.isna(known)]).tolist()
    gaps = [
        c for c in classes if isinstance(c, str) and c.strip().casefold() in MISSING
    ]
    if gaps:
        warnings.warn(
            f"The texts {gaps} in y are taken for classes. If they stand for missing "
            "labels, replace them by None; otherwise pass classes=.",
            UserWarning,
            stacklevel=3,
        )
    return sorted(classes, key=str)


def name_ids(pool: CampaignPool, given: str | None, target: str) -> str:
    """Name the column of ids in files."""
    columns = pool.column_names()
    if str(target).strip() in RESERVED or not str(target).strip():
        raise ValueError(
            f"target must be another name than {target!r}: skal has columns called "
            f"{', '.join(RESERVED)}."
        )
    if target in columns:
        raise ValueError(f"The pool has a column {target!r}, which is the target.")
    own = getattr(pool.X, "index", None)
    names = [given] if given else [str(getattr(own, "name", None) or "id"), "skal_id"]
    taken = {*columns, target, SCORE, BATCH}
    free = [name for name in names if name not in taken]
    if not free:
        raise ValueError(f"Another column is called {names[0]!r}: pass id_name=.")
    return free[0]


def labels_of(pool: CampaignPool, y: Any) -> list[Any]:
    """List the labels that are known from the start in the order of the rows.

    Raises
    ------
    ValueError
        If their number is not that of the rows.
    """
    m = len(pool.ids)
    shape = getattr(y, "shape", (len(y),))
    if tuple(shape) == (0,):
        return []
    if tuple(shape) != (m,):
        raise ValueError(
            f"y must have a label or None for each of {m} rows, got shape "
            f"{tuple(shape)}. Of a Series with some of the rows, pass "
            "y.reindex(X_pool.index)."
        )
    own = getattr(pool.X, "index", None)
    if isinstance(y, pd.Series) and not y.index.equals(own):
        texts = [id_text(key) for key in y.index]
        if texts != pool.texts and sorted(texts) == sorted(pool.texts):
            return y.set_axis(texts)[pool.texts].tolist()
    return as_items(align_labels(pool.X, y))


def rows_of(pool: CampaignPool) -> list[dict[str, Any]]:
    """Make the rows of the database."""
    return [
        {"position": k, "id": text, "hash": int(value)}
        for k, (text, value) in enumerate(zip(pool.texts, pool.hashes, strict=True))
    ]
