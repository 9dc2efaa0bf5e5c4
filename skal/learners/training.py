"""Fit estimators on labeled rows, and undo a fit that fails."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet

from skal._tables import is_other_table, naming_cells
from skal.learners.checks import warn_of_spellings
from skal.nets.copying import copy_estimator, parts_within
from skal.nets.estimator import EstimatorNet
from skal.nets.outcome import warn_if_untrained, warn_of_new_weights
from skal.reading.unwrapping import as_input, is_gpytorch
from skal.rows import copied_rows, n_rows, take_rows

__all__ = [
    "bootstrap_sample",
    "fit_estimator",
    "rows_to_read",
    "set_owners",
    "unchanged_on_error",
    "warn_if_owned",
    "warn_if_rebuilt",
]


def bootstrap_sample(
    X: Any, y: Any, fit_kwargs: Mapping[str, Any], rng: torch.Generator
) -> tuple[Any, Any, dict[str, Any]]:
    """Draw as many rows as there are, with replacement.

    Arguments of `fit` with one value per row, such as ``sample_weight``, are sampled
    together with the rows.

    Returns
    -------
    X, y, fit_kwargs
        Of the rows drawn.
    """
    n = n_rows(X)
    drawn = torch.randint(n, (n,), generator=rng).numpy()
    along = {
        key: take_rows(value, drawn) if _has_rows(value, n) else value
        for key, value in fit_kwargs.items()
    }
    return take_rows(X, drawn), take_rows(y, drawn), along


def _has_rows(value: Any, n: int) -> bool:
    if hasattr(value, "iloc") or is_other_table(value):
        return len(value) == n
    if isinstance(value, list | np.ndarray | torch.Tensor):
        return np.ndim(value) > 0 and len(value) == n
    return False


def rows_to_read(X: Any, estimator: Any) -> Any:
    """Convert rows as `as_input` does, and copy what an estimator may write into.

    A net is given copies of its batches, so that it needs none of all rows, which may
    be on disk.
    """
    rows = as_input(X, estimator)
    return rows if isinstance(estimator, NeuralNet) else copied_rows(rows)


def fit_estimator(
    estimator: Any,
    X: Any,
    y: Any,
    fit_kwargs: Mapping[str, Any],
    bootstrap_rng: torch.Generator | None = None,
) -> None:
    """Fit in place; on a bootstrap sample if a generator is given."""
    warn_of_spellings(y)
    along = dict(fit_kwargs)
    if bootstrap_rng is not None:
        X, y, along = bootstrap_sample(X, y, along, bootstrap_rng)
    X, y = rows_to_read(X, estimator), rows_to_read(y, estimator)
    with naming_cells(X, "X"):
        estimator.fit(X, y, **along)
    for net in _plain_nets(estimator):
        if not is_gpytorch(net):  # trained in a few steps
            warn_if_untrained(net)


#: The learner that trained an estimator last, by the id of the estimator.
_OWNERS: WeakValueDictionary[int, Any] = WeakValueDictionary()


def warn_if_owned(learners: Iterable[Any]) -> None:
    """Warn if training these learners changes another one that is alive.

    Estimators are fitted in place, so learners with the same estimator object change
    each other's predictions.
    """
    for learner in learners:
        owner = _OWNERS.get(id(learner.estimator), learner)
        if owner is not learner and owner.estimator is learner.estimator:
            warnings.warn(
                f"This fit changes another {type(owner).__name__}, which was trained "
                "with the same estimator object. Pass clone(estimator) (from "
                "sklearn.base) to each learner.",
                UserWarning,
                stacklevel=4,
            )
            return


def set_owners(learners: Iterable[Any]) -> None:
    """Remember which learners have trained their estimators, while they are alive."""
    for learner in learners:
        _OWNERS[id(learner.estimator)] = learner


@contextmanager
def warn_if_rebuilt(estimator: Any) -> Iterator[None]:
    """Warn if the block makes a trained net of skorch build its module anew.

    skorch does so where a parameter of the module is set, in silence.  The nets of skal
    warn by themselves.
    """
    nets = [net for net in _plain_nets(estimator) if vars(net).get("history_")]
    before = [vars(net).get("module_") for net in nets]
    yield
    for net, module in zip(nets, before, strict=True):
        if vars(net).get("module_") is not module:
            warn_of_new_weights(net, stacklevel=4)


def _plain_nets(estimator: Any) -> list[NeuralNet]:
    """List the nets of skorch itself within an estimator."""
    nets = parts_within(estimator, NeuralNet)
    return [net for net in nets if not isinstance(net, EstimatorNet)]


@contextmanager
def unchanged_on_error(estimators: Iterable[Any]) -> Iterator[None]:
    """Restore estimators to their state before the block if it raises.

    Notes
    -----
    Keeps a copy of each fitted estimator while the block runs. The block fits the
    original objects, so that other references to them see the fit, and estimators
    with ``warm_start=True`` continue from their last one.
    """
    saved: dict[int, tuple[Any, dict[str, Any]]] = {}
    try:
        for estimator in estimators:
            if id(estimator) not in saved:
                saved[id(estimator)] = estimator, _save(estimator)
        yield
    except BaseException:
        for estimator, state in saved.values():
            object.__setattr__(estimator, "__dict__", state)
        raise


def _save(estimator: Any) -> dict[str, Any]:
    """Return attributes that restore `estimator`, whatever is done to it next."""
    try:
        return vars(copy_estimator(estimator))
    # Copying runs user code and may raise anything.
    except Exception as error:
        if _continues(estimator):
            raise TypeError(
                f"{type(estimator).__name__} cannot be copied, so a failed fit could "
                "not be undone, and with warm_start=True it cannot start from an "
                "unfitted clone either. Take what cannot be copied out of it, such as "
                "a lock or an open file."
            ) from error
        # An estimator that starts over at each fit can start from an unfitted clone.
        state = vars(estimator)
        object.__setattr__(estimator, "__dict__", vars(clone(estimator)))
        return state


def _continues(estimator: Any) -> bool:
    return any(
        key.rpartition("__")[2] == "warm_start" and bool(value)
        for key, value in estimator.get_params().items()
    )
