"""Attributes that compiled code trusts are checked before anything runs on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import BisectingKMeans
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import BaseDecisionTree

__all__ = ["MEMORY", "check_nodes", "check_objects", "has_memory"]

MEMORY = "its memory is a folder of pickles; set memory=None"
_NODES = "the nodes of a tree"


def check_objects(objects: list[Any]) -> None:
    """Refuse objects whose arrays do not fit together.

    scikit-learn checks the rows that it is given, and not its own attributes: compiled
    code reads memory that is not its own if these were altered. Checked when all is
    read, because an object may be a part of several.

    Raises
    ------
    ValueError
    """
    for one in objects:
        if has_memory(one):
            raise ValueError(MEMORY)
        if isinstance(one, BaseEstimator):
            _check_methods(one)
            _check_rows(one)
        for classes, fits in _CHECKS:
            if isinstance(one, classes):
                _require(fits(one), f"the attributes of {type(one).__name__}")


def has_memory(value: Any) -> bool:
    """Whether an estimator has a cache on disk, whose files are pickles."""
    return isinstance(value, BaseEstimator) and bool(vars(value).get("memory"))


def check_nodes(args: tuple[Any, ...], state: Any) -> None:
    """Refuse the state of a tree of which a node refers to no node or column.

    Parameters
    ----------
    args : tuple
        Number of columns, classes per target, number of targets.
    state : dict
    """
    nodes, (n_features, n_classes, n_targets) = state["nodes"], args
    left, right = nodes["left_child"], nodes["right_child"]
    leaf = left == -1
    depth = _depth(left, right, leaf)
    _require(
        depth is not None
        and depth <= state["max_depth"] <= len(nodes)
        and bool((right[leaf] == -1).all())
        and _within(nodes["feature"][~leaf], n_features)
        and state["node_count"] == len(nodes)
        and n_targets == len(n_classes)
        and bool((np.asarray(n_classes) > 0).all()),
        _NODES,
    )


def _depth(left: np.ndarray, right: np.ndarray, leaf: np.ndarray) -> int | None:
    """Depth of a tree; None if some nodes are not reached on exactly one path."""
    inner = np.flatnonzero(~leaf)
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    # A child comes after its parent, so that no path is a circle.
    forward = bool((children > np.tile(inner, 2)).all())
    if not forward or not np.array_equal(np.sort(children), np.arange(1, len(leaf))):
        return None
    depth, level = 0, np.zeros(1, dtype=np.int64)
    while len(level := level[~leaf[level]]):
        depth, level = depth + 1, np.concatenate([left[level], right[level]])
        level = level.astype(np.int64)
    return depth if len(leaf) else None


def _within(numbers: Any, n: Any) -> bool:
    """Whether all are indices of n elements."""
    numbers = np.asarray(numbers)
    return bool(((numbers >= 0) & (numbers < n)).all())


def _require(right: bool, what: str) -> None:
    if not right:
        raise ValueError(f"{what} do not fit together")


def _check_methods(one: Any) -> None:
    """Refuse names of methods that are to be called on rows, but unpickle them."""
    for name, value in vars(one).items():
        if "method" in name:
            called = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(m, str) and m in _UNPICKLE for m in called):
                raise ValueError(f"{name}={value!r} would unpickle")


#: Methods of skorch.
_UNPICKLE = ("__setstate__", "load_params")


# -- rows and centers -----------------------------------------------------------------


def _check_rows(one: Any) -> None:
    """Rows and centers that new rows are compared with have as many columns."""
    for name in ("_fit_X", "cluster_centers_"):
        kept = vars(one).get(name)
        if kept is not None and "n_features_in_" in vars(one):
            right = kept.ndim == 2 and kept.shape[0] > 0
            _require(
                right and kept.shape[1] == one.n_features_in_,
                f"{name} and the columns of {type(one).__name__}",
            )


def _bisections_fit(one: Any) -> bool:
    """Whether each node of the tree of clusters has a center of as many columns."""
    nodes = [one._bisecting_tree] if "_bisecting_tree" in vars(one) else []
    seen: set[int] = set()
    while nodes:
        node = nodes.pop()
        children = [node.left, node.right]
        is_leaf = all(child is None for child in children)
        if id(node) in seen or np.shape(node.center) != (one.n_features_in_,):
            return False
        if not is_leaf and any(child is None for child in children):
            return False
        seen.add(id(node))
        nodes += [] if is_leaf else children
    return True


def _labels_fit(one: Any) -> bool:
    if "_y" not in vars(one):
        return True
    several = isinstance(one.classes_, list)
    labels = one._y if several else np.reshape(one._y, (-1, 1))
    classes = one.classes_ if several else [one.classes_]
    return len(labels) == one._fit_X.shape[0] and all(
        _within(labels[:, k], len(classes[k])) for k in range(labels.shape[1])
    )


# -- trees ----------------------------------------------------------------------------


def _tree_fits(one: Any) -> bool:
    tree = vars(one).get("tree_")
    return tree is None or (
        type(tree).__name__ == "Tree" and tree.n_features == one.n_features_in_
    )


def _members_fit(one: Any) -> bool:
    """Whether all trees have the columns of the ensemble, which alone checks them."""
    members = list(np.ravel(vars(one).get("estimators_", [])))
    name = "_max_features" if isinstance(one, IsolationForest) else "n_features_in_"
    return all(
        isinstance(member, BaseDecisionTree)
        and hasattr(member, "tree_")
        and member.n_features_in_ == getattr(one, name)
        for member in members
    )


def _boosting_fits(one: Any) -> bool:
    if "estimators_" not in vars(one):
        return True
    n_classes = getattr(one, "n_classes_", 1)
    stages = one.estimators_
    return (
        _members_fit(one)
        and stages.ndim == 2
        and len(stages) > 0
        and stages.shape[1] == (1 if n_classes == 2 else n_classes)
    )


def _histograms_fit(one: Any) -> bool:
    if "_predictors" not in vars(one):
        return True
    bins, n_features = one._bin_mapper, one.n_features_in_
    is_categorical = np.asarray(bins.is_categorical_, dtype=bool)
    return (
        one._n_features == n_features == is_categorical.size
        and len(bins.bin_thresholds_) == n_features
        and all(
            _predictor_fits(predictor, is_categorical)
            for stage in one._predictors
            for predictor in stage
        )
    )


def _predictor_fits(predictor: Any, is_categorical: np.ndarray) -> bool:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"] != 0
    splits = nodes[~leaf]
    columns, by_level = splits["feature_idx"], splits["is_categorical"] != 0
    return (
        _depth(nodes["left"], nodes["right"], leaf) is not None
        and _within(columns, len(is_categorical))
        and bool(is_categorical[columns[by_level]].all())
        and all(
            sets.shape[1:] == (8,)
            and _within(splits["bitset_idx"][by_level], len(sets))
            for sets in (
                predictor.raw_left_cat_bitsets,
                predictor.binned_left_cat_bitsets,
            )
        )
    )


# -- support vectors ------------------------------------------------------------------


def _vectors_fit(one: Any) -> bool:
    if "support_" not in vars(one):
        return True
    n_vectors, n_sides = len(one.support_), len(one._n_support)
    n_pairs = n_sides * (n_sides - 1) // 2
    dual = one._dual_coef_.data if one._sparse else one._dual_coef_
    # Kernels that are computed beforehand have no vectors, but the rows of a kernel.
    if one.kernel == "precomputed" or callable(one.kernel):
        known = _within(one.support_, one.shape_fit_[0])
        known = known and (
            not one._sparse or one.support_vectors_.shape[0] == n_vectors
        )
    else:
        known = one.support_vectors_.shape == (n_vectors, one.n_features_in_)
    return (
        known
        and one._impl == type(one)._impl
        and n_sides >= 2
        and dual.size == (n_sides - 1) * n_vectors
        and one._intercept_.size == n_pairs
        and {one._probA.size, one._probB.size} <= {0, n_pairs}
        and bool((one._n_support >= 0).all())
        and ("svc" not in one._impl or one._n_support.sum() == n_vectors)
    )


_FORESTS = (
    *(ExtraTreesClassifier, ExtraTreesRegressor, IsolationForest),
    *(RandomForestClassifier, RandomForestRegressor, RandomTreesEmbedding),
)
_CHECKS: tuple[tuple[Any, Callable[[Any], bool]], ...] = (
    ((KNeighborsClassifier, RadiusNeighborsClassifier), _labels_fit),
    (BisectingKMeans, _bisections_fit),
    (BaseDecisionTree, _tree_fits),
    (_FORESTS, _members_fit),
    ((GradientBoostingClassifier, GradientBoostingRegressor), _boosting_fits),
    ((HistGradientBoostingClassifier, HistGradientBoostingRegressor), _histograms_fit),
    ((SVC, SVR, NuSVC, NuSVR, OneClassSVM), _vectors_fit),
)
