"""Weights kept during training as a posterior."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.nets.callbacks import WeightSnapshots
from skal.posteriors.nets import NetPosterior, Variant, with_weights
from skal.reading.pool import Member
from skal.shared_copy import plain_names
from skal.validation import check_int

__all__ = ["Snapshots", "find_snapshots"]


class Snapshots(NetPosterior):
    """The net after each of several epochs of its training.

    Parameters
    ----------
    n_draws : int, optional
        Number of snapshots to use, at least 2; the last ones are used.  By default, all
        are used.

    Notes
    -----
    The callback `skal.nets.WeightSnapshots` of the net keeps its weights, and its
    parameters determine after which epochs.  The pool need not be known during
    training.  Nothing is drawn.  The cost is one forward pass over the rows for each
    snapshot.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.callbacks import WeightSnapshots
    >>> from skal.reading.pool import Pool
    >>> from skal.posteriors import Snapshots
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=6, callbacks=[WeightSnapshots(warmup=2)])
    >>> draws = Snapshots().draw(Pool(net.fit(X, y), X), torch.Generator())
    >>> draws.n_draws
    4
    """

    def __init__(self, n_draws: int | None = None) -> None:
        self.n_draws = n_draws

    def _check_parameters(self) -> None:
        if self.n_draws is not None:
            check_int("n_draws", self.n_draws, minimum=2)

    def _variants(self, net: Member, rng: torch.Generator) -> Sequence[Variant]:
        estimator = net.estimator
        callback = find_snapshots(estimator)
        name = type(estimator).__name__
        if callback is None:
            raise UnsuitableLearnerError(
                f"{name} kept no weights during training for Snapshots to read. Fit it "
                f"with {name}(callbacks=[WeightSnapshots()]), from skal.nets."
            )
        kept = callback.of(estimator)
        wanted = 2 if self.n_draws is None else self.n_draws
        if len(kept) < wanted:
            raise UnsuitableLearnerError(
                f"{name} has kept the weights of {len(kept)} epochs, and Snapshots "
                f"needs {wanted}. Train for more epochs than max_epochs="
                f"{estimator.max_epochs}, or change the callback {callback!r}."
            )
        if self.n_draws is not None:
            kept = kept[-self.n_draws :]
        module = estimator.module_
        now = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        rename = plain_names(module)
        return [
            with_weights(partial(_as_now, weights, now, rename)) for weights in kept
        ]


def find_snapshots(net: Any) -> WeightSnapshots | None:
    """Find the callback of a net that keeps weights; None if there is none."""
    callbacks = (callback for _, callback in getattr(net, "callbacks_", []))
    return next((c for c in callbacks if isinstance(c, WeightSnapshots)), None)


def _as_now(
    weights: Mapping[str, Tensor],
    now: Mapping[str, Tensor],
    rename: Callable[[str], str],
) -> dict[str, Tensor]:
    """Copy weights, as a forward pass may write into them, to where the module is.

    Its device and type may be others than while it was trained.
    """
    return {
        rename(name): tensor.to(now[name], copy=True)
        for name, tensor in weights.items()
    }
