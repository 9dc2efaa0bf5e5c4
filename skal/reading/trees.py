"""Leaves of ensembles of trees, by the public methods of their libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from skal.contexts import hiding
from skal.reading.models import Member
from skal.rows import Rows, array_if_tensor, as_array
from skal.spaces import Leaves

__all__ = ["count_trees", "read_leaves"]

#: Reads the leaves of a block of rows, ``(b,)``, ``(b, T)`` or ``(b, T, C)``.
_Apply = Callable[[Any], Any]


def count_trees(members: Sequence[Member]) -> int:
    """Count the trees of models that tell their leaves; 0 if one of them does not."""
    total = 0
    for member in members:
        trees = _trees(member)
        if not trees:
            return 0
        for tree, apply in trees:
            total += _first_leaves(tree, apply)
    return total


def read_leaves(members: Sequence[Member], n_components: int) -> list[Leaves]:
    """Read the leaves of the pool, and of the labeled rows if there are any.

    Parameters
    ----------
    members : sequence of Member
        `count_trees` finds trees in each.  Those of all models stand side by side.
    n_components : int
        As in `skal.spaces.Leaves`.

    Returns
    -------
    leaves : list of Leaves
        One element without labeled rows, otherwise two.

    Notes
    -----
    Any of these methods of a model is used: ``apply`` (forests, gradient boosting and
    trees of scikit-learn; XGBoost), ``predict(pred_leaf=True)`` (LightGBM) and
    ``calc_leaf_indexes`` (CatBoost); for bagging and voting, those of their models.
    """
    parts: list[list[torch.Tensor]] = [[], []]
    n_codes = 0
    for member in members:
        for tree, apply in _trees(member):
            views = [tree.rows, *([] if tree.labeled is None else [tree.labeled])]
            codes, n_codes = _encode([_read(apply, rows) for rows in views], n_codes)
            for part, own in zip(parts, codes, strict=False):
                part.append(own)
    return [
        Leaves(
            part[0] if len(part) == 1 else torch.cat(part, dim=1), n_codes, n_components
        )
        for part in parts
        if part
    ]


def _trees(member: Member) -> list[tuple[Member, _Apply]]:
    """List the models with their methods that tell leaves; empty if one has none."""
    apply = _method(member.estimator)
    if apply is not None:
        try:
            with hiding():
                _first_leaves(member, apply)
        except MemoryError:
            raise  # it would otherwise choose another space in silence
        # What a booster without trees raises depends on its library.
        except Exception:
            return []
        return [(member, apply)]
    found: list[tuple[Member, _Apply]] = []
    for part in member.parts():
        trees = _trees(part)
        if not trees:
            return []
        found += trees
    return found


def _method(estimator: Any) -> _Apply | None:
    if isinstance(estimator, torch.nn.Module):  # whose `apply` is something else
        return None
    if isinstance(estimator, (GradientBoostingClassifier, GradientBoostingRegressor)):
        # Its trees have no names of columns, and warn if they see some.
        return lambda X: estimator.apply(as_array(X))
    for name in ("calc_leaf_indexes", "apply"):
        if callable(getattr(estimator, name, None)):
            method: _Apply = getattr(estimator, name)
            return method
    predict = getattr(estimator, "predict", None)
    if callable(predict) and "pred_leaf" in signature(predict).parameters:
        return lambda X: predict(X, pred_leaf=True)
    return None


def _first_leaves(member: Member, apply: _Apply) -> int:
    """Count the trees by the first row."""
    return sum(
        _as_table(apply(array_if_tensor(block))).shape[1]
        for _, block in member.rows.first().blocks()
    )


def _read(apply: _Apply, rows: Rows) -> np.ndarray:
    found = [_as_table(apply(array_if_tensor(block))) for _, block in rows.blocks()]
    return found[0] if len(found) == 1 else np.concatenate(found)


def _as_table(leaves: Any) -> np.ndarray:
    leaves = np.asarray(leaves)
    return leaves.reshape(len(leaves), -1)


def _encode(views: list[np.ndarray], start: int) -> tuple[list[torch.Tensor], int]:
    """Give each leaf a number from `start` on; return the first number left, too."""
    codes = [np.empty(view.shape, dtype=np.int32) for view in views]
    for k in range(views[0].shape[1]):
        columns = [view[:, k].astype(np.int64) for view in views]
        least = min(int(column.min()) for column in columns)
        size = 1 + max(int(column.max()) for column in columns) - least
        seen = np.zeros(size, dtype=np.int32)
        for column in columns:
            seen[column - least] = 1
        number = np.cumsum(seen, dtype=np.int32) + np.int32(start - 1)
        for own, column in zip(codes, columns, strict=True):
            own[:, k] = number[column - least]
        start += int(seen.sum())
    return [torch.from_numpy(own) for own in codes], start
