"""The space in which a strategy compares rows: its choice, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from skal._stacking import stack_rows
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import Members, Posterior, resolve_posterior
from skal.posteriors.centred import centred_predictions
from skal.reading.access import NetAccess
from skal.reading.inputs import read_inputs
from skal.reading.pool import Member, Pool
from skal.reading.process import as_process, is_process, read_process
from skal.reading.space import (
    NET_SPACES,
    Reader,
    Space,
    as_space,
    covariance_features,
)
from skal.reading.trees import count_trees, read_leaves
from skal.reading.untrained import seen_rows
from skal.reading.unwrapping import is_gpytorch
from skal.rows import ChainedRows, Rows, array_if_tensor, as_dense
from skal.spaces import Dense, Embedding, OfProcess
from skal.validation import check_int, check_option

__all__ = [
    "ReadsSpace",
    "SpaceLike",
    "is_of_nets",
    "read_space",
    "reader_of_net",
    "resolve_space",
    "spaces_of",
]

#: A name, a source of models whose predictions are compared, or a function.
SpaceLike = str | Posterior | Callable[[Any, Any], Any]
#: Models from which on ``"auto"`` takes their predictions: K of them span K - 1
#: directions.
_ENOUGH = 5
_NAMES = (*NET_SPACES, "predictions", "leaves", "kernel", "inputs")
#: Largest length of vectors of leaves and kernels if `n_components` is None.
_N_COMPONENTS = 512
#: Functions that are drawn from a Gaussian process.
_N_FUNCTIONS = 100


class ReadsSpace:
    """Mixin of strategies with a parameter `space`.

    Notes
    -----
    A query sets ``space_``, the space that was read: ``space`` itself, or what
    ``"auto"`` chose.  Threads that share a strategy overwrite each other's; nothing
    reads it.
    """

    space: Any
    head: str | None
    space_: SpaceLike
    #: What ``"auto"`` chooses for nets.
    _space_of_nets: ClassVar[str] = "features"

    def _read_space(self, pool: Pool, rng: torch.Generator) -> Space:
        """Read pool and labeled rows in the space of the strategy's parameters."""
        n_components = getattr(self, "n_components", _N_COMPONENTS)
        space = resolve_space(pool, self.space, n_components, self._space_of_nets)
        read = _read(pool, space, n_components, self.head, rng)
        self.space_ = space
        return read


def read_space(
    pool: Pool,
    space: SpaceLike,
    n_components: int | None = 512,
    head: str | None = None,
    rng: torch.Generator | None = None,
) -> Space:
    """Read the pool, and the labeled rows if there are any, in a space of the learner.

    Parameters
    ----------
    pool : Pool
        Its learner need not be fitted for ``"inputs"`` and ``"auto"``.
    space : str, Posterior or callable
        ``"gradients"``
            Gradients of the outputs of a net (for a classifier, of the loss at the
            predicted label) with respect to all parameters.
        ``"last_layer"``
            The features with 1 appended, the gradients of a regressor with respect to
            its last layer.
        ``"features"``
            The input of the head of a net.
        ``"predictions"``
            Those of the models that `skal.posteriors.resolve_posterior` finds, less
            their mean: see `skal.posteriors.centred.centred_predictions`.  A
            `Posterior` stands for the predictions of its models.  Of a Gaussian process
            for regression, those of 100 functions drawn from it given its labels, whose
            inner products approximate the covariances that ``"kernel"`` has exactly.
        ``"leaves"``
            The leaves of the trees of a model: see `skal.spaces.Leaves`.
        ``"kernel"``
            Vectors whose inner products are the covariances of a Gaussian process of
            scikit-learn, or of an `ExactGPRegressor` of skorch: see
            `skal.reading.process.read_process`.
        ``"inputs"``
            Rows as the model sees them.  If it is not fitted, they pass through copies
            of the transformers of its Pipeline, fitted on the pool.
        ``"auto"``
            The first of these that every model of the learner has: features, kernel,
            predictions (of five models or more), leaves, inputs.
        callable
            If every model is a net or an ensemble of nets, it is called with ``(access,
            rows)`` for each of them, a `skal.reading.access.NetAccess` and
            `skal.rows.Rows`.  Otherwise it is called with ``(estimator, X)``: the model
            without its Pipeline, and all rows as this model sees them, as an array or a
            table.  It returns a tensor or an ndarray ``(rows, d)``.
    n_components : int or None
        Number of components to which gradients are projected; None uses exact
        gradients, stored as factors.  For ``"leaves"`` and ``"kernel"``, the largest
        length of vectors; None is 512.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    rng : torch.Generator, optional
        Used to draw the projection of ``"gradients"`` and the models of a posterior.

    Returns
    -------
    space : Space
        The vectors of several models are concatenated.

    Raises
    ------
    ValueError
        If a parameter is out of range, or what was read is not finite.
    UnsuitableLearnerError
        If the learner does not have the space; the message names those that it has.
    NotFittedError
        If the learner is not fitted, and the space is not that of the inputs.
    """
    space = resolve_space(pool, space, n_components)
    return _read(pool, space, n_components, head, rng)


def _read(
    pool: Pool,
    space: SpaceLike,
    n_components: int | None,
    head: str | None,
    rng: torch.Generator | None,
) -> Space:
    """Read a space that `resolve_space` returned; as `read_space`."""
    if space == "inputs":
        return _inputs(pool)
    if space == "predictions" and _has_functions(pool):
        return _functions(_kernel(pool, n_components or _N_COMPONENTS), rng)
    if space == "predictions" or isinstance(space, Posterior):
        return _predictions(pool, space, rng)
    if space == "leaves":
        return _leaves(pool, n_components or _N_COMPONENTS)
    if space == "kernel":
        return _kernel(pool, n_components or _N_COMPONENTS)
    if callable(space) and not is_of_nets(pool):
        return _called(pool, space)
    rows: list[Any] = []
    labeled: list[Any] = []
    for net, access in pool.nets(head):
        read = reader_of_net(access, space, n_components, rng)
        rows.append(read(net.rows))
        if net.labeled is not None:
            labeled.append(read(net.labeled))
    return as_space(rows, labeled)


def resolve_space(
    pool: Pool,
    space: SpaceLike,
    n_components: int | None = None,
    of_nets: str = "features",
) -> SpaceLike:
    """Check the choice of a space, and choose for ``"auto"``; see `read_space`.

    Parameters
    ----------
    of_nets : str
        What ``"auto"`` chooses for nets.
    """
    if n_components is not None:
        check_int("n_components", n_components)
    if isinstance(space, Posterior):
        _ = pool.members  # raises if the learner is not fitted
        return space
    if isinstance(space, type) and issubclass(space, Posterior):
        raise ValueError(
            f"space is the class {space.__name__}: pass an object, {space.__name__}()."
        )
    if callable(space):
        if not _takes_two(space):
            raise ValueError(
                "A callable space is called with (access, rows) for nets, such as "
                "lambda access, rows: access.features(rows), and with (estimator, X) "
                "for other learners; this one does not take them."
            )
        _ = pool.members
        return space
    check_option("space", space, [*_NAMES, "auto"])
    if space == "inputs":
        return space
    if space == "auto" and pool.is_before_first_fit:
        return "inputs"
    if space == "auto":
        return of_nets if is_of_nets(pool) else _first(pool)
    if space in NET_SPACES and not is_of_nets(pool):
        name = next(type(m.estimator).__name__ for m in pool.members if not m.nets())
        raise UnsuitableLearnerError(
            f"space={space!r} is read from the net of a skorch estimator, such as "
            f"skal.NetClassifier or skal.NetRegressor, and {name} is not one. "
            f"{_offer(pool)}"
        )
    return space


def spaces_of(pool: Pool) -> list[str]:
    """List the spaces that a fitted learner has; ``"inputs"`` comes last."""
    has = {
        **dict.fromkeys(NET_SPACES, is_of_nets(pool)),
        "kernel": all(map(is_process, pool.members)),
        "predictions": _has_models(pool, "auto") or _has_functions(pool),
        "leaves": count_trees(pool.members) > 1,
        "inputs": True,
    }
    return [name for name, found in has.items() if found]


def _has_functions(pool: Pool) -> bool:
    """Whether the one model is a distribution of functions, from which to draw."""
    members = pool.members
    return pool.task == "regression" and len(members) == 1 and is_process(members[0])


def _first(pool: Pool) -> str:
    """Choose a space for a learner that is not made of nets."""
    if all(map(is_process, pool.members)):
        return "kernel"
    if _has_models(pool, Members(), _ENOUGH):
        return "predictions"
    return "leaves" if count_trees(pool.members) > 1 else "inputs"


def _offer(pool: Pool) -> str:
    names = [f'"{name}"' for name in spaces_of(pool)]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return f"Use space={listed}, or a callable."


def is_of_nets(pool: Pool) -> bool:
    """Whether every model is a net or an ensemble of nets."""
    return all(member.nets() for member in pool.members)


def _has_models(pool: Pool, posterior: Posterior | str, at_least: int = 2) -> bool:
    try:
        resolved = resolve_posterior(posterior, pool)
        return resolved.draw(pool, torch.Generator()).n_draws >= at_least
    except UnsuitableLearnerError:
        return False


# -- readers -------------------------------------------------------------------------


def reader_of_net(
    access: NetAccess,
    space: SpaceLike,
    n_components: int | None = None,
    rng: torch.Generator | None = None,
) -> Reader:
    """Make the reader of the inputs or of a space of one net; see `read_space`.

    Parameters
    ----------
    access : NetAccess
    space : str or callable
        ``"inputs"``, one of `NET_SPACES`, or a function of ``(access, rows)``.
    n_components, rng
        As in `read_space`, for ``"gradients"``.
    """
    if space == "inputs":
        return read_inputs
    if callable(space):
        return lambda rows: _checked(space(access, rows), len(rows))
    return NET_SPACES[str(space)](access, n_components, rng)


def _inputs(pool: Pool) -> Space:
    views = seen_rows(pool)
    return as_space(
        [read_inputs(rows) for rows, _ in views],
        [read_inputs(labeled) for _, labeled in views if labeled is not None],
    )


def _predictions(pool: Pool, space: SpaceLike, rng: torch.Generator | None) -> Space:
    if rng is None:
        raise TypeError("The models of a posterior need a generator, rng.")
    posterior = space if isinstance(space, Posterior) else "auto"
    try:
        draws = resolve_posterior(posterior, pool).draw(pool, rng)
    except UnsuitableLearnerError as error:
        if isinstance(space, Posterior):
            raise
        raise UnsuitableLearnerError(f"{error} {_offer(pool)}") from None
    members = draws.pool.members
    labeled = [member.labeled for member in members if member.labeled is not None]
    rows = centred_predictions(draws, [member.rows for member in members])
    return as_space([rows], [centred_predictions(draws, labeled)] if labeled else [])


def _leaves(pool: Pool, n_components: int) -> Space:
    if (n_trees := count_trees(pool.members)) < 2:
        names = ", ".join(sorted({type(m.estimator).__name__ for m in pool.members}))
        lacks = "has a single tree" if n_trees else "does not tell its leaves"
        raise UnsuitableLearnerError(
            'space="leaves" compares rows by the leaves of two trees or more, and '
            f"{names} {lacks}. {_offer(pool)}"
        )
    return _as_pair(read_leaves(pool.members, n_components))


def _kernel(pool: Pool, n_components: int) -> Space:
    members = pool.members
    for member in members:
        if is_gpytorch(member.estimator):
            try:
                as_process(member.estimator)
            except UnsuitableLearnerError as error:
                raise UnsuitableLearnerError(f"{error} {_offer(pool)}") from None
        elif not is_process(member):
            raise UnsuitableLearnerError(
                'space="kernel" is read from a GaussianProcessRegressor, a '
                "GaussianProcessClassifier or an ExactGPRegressor of skorch, and "
                f"{type(member.estimator).__name__} is not one. {_offer(pool)}"
            )
    if len(members) == 1:
        return _as_pair(read_process(members[0], n_components))
    found = [read_process(member, n_components, own_rows=False) for member in members]
    return _as_pair([_mean_process(views) for views in zip(*found, strict=True)])


def _functions(kernel: Space, rng: torch.Generator | None) -> Space:
    """Draw functions of a Gaussian process given its labels, less their mean."""
    if rng is None:
        raise TypeError("The functions of a Gaussian process need a generator, rng.")
    rows, labeled = covariance_features(kernel, "auto", "auto")
    shape = (rows.shape[1], _N_FUNCTIONS)
    weights = torch.randn(shape, generator=rng, dtype=torch.float64).to(rows)
    weights -= weights.mean(dim=1, keepdim=True)
    weights /= _N_FUNCTIONS**0.5
    has_labeled = kernel.labeled is not None
    return Space(
        Dense(rows @ weights), Dense(labeled @ weights) if has_labeled else None
    )


def _mean_process(views: Sequence[Dense]) -> Dense:
    """Vectors whose inner products are the mean of those of several processes."""
    features = torch.cat([view.features for view in views], dim=1) / len(views) ** 0.5
    noise = [view.noise_variance for view in views if isinstance(view, OfProcess)]
    if len(noise) < len(views):
        return Dense(features)
    return OfProcess(features, torch.stack(noise).mean(dim=0))


def _as_pair(views: Sequence[Embedding]) -> Space:
    return Space(views[0], views[1] if len(views) > 1 else None)


# -- callable spaces -----------------------------------------------------------------


def _called(pool: Pool, space: Callable[..., Any]) -> Space:
    """Call a function with each model and its rows."""
    rows: list[Tensor] = []
    labeled: list[Tensor] = []
    for member in pool.members:

        def read(of: Rows, member: Member = member) -> Tensor:
            return _checked(space(member.to_read, _whole(of)), len(of))

        rows.append(read(member.rows))
        if member.labeled is not None:
            labeled.append(read(member.labeled))
    return as_space(rows, labeled)


def _whole(rows: Rows) -> Any:
    """Read all rows at once, as a model sees them."""
    if isinstance(rows, ChainedRows):
        return reduce(stack_rows, [_whole(part) for part in rows.parts])
    return array_if_tensor(rows.read(slice(0, len(rows))))


def _checked(vectors: Any, n: int) -> Tensor:
    """Convert what a callable space returned, once it is one vector for each row."""
    given = type(vectors).__name__
    if isinstance(vectors, Tensor):
        vectors = vectors.detach().to_dense()
    else:
        try:
            if isinstance(vectors, np.ma.MaskedArray):
                vectors = np.ma.filled(vectors.astype(np.float64), np.nan)
            vectors = as_dense(vectors)
        except ValueError as error:  # such as a tuple of several arrays
            raise ValueError(
                "space must return a tensor or an ndarray of shape (rows, d), got "
                f"{given}: {error}"
            ) from error
        if vectors.dtype.kind in "fiub":
            vectors = torch.from_numpy(vectors.astype(np.float64))
    if not isinstance(vectors, Tensor) or vectors.ndim != 2 or not vectors.shape[1]:
        shape = tuple(getattr(vectors, "shape", ()))
        raise ValueError(
            "space must return a tensor or an ndarray of shape (rows, d), got "
            f"{given} of shape {shape}."
        )
    if vectors.is_complex():
        raise ValueError(
            "space must return real numbers, got complex ones: return, for example, "
            "torch.view_as_real(vectors).flatten(1)."
        )
    if not vectors.is_floating_point():
        vectors = vectors.double()
    if len(vectors) != n:
        raise ValueError(f"space returned {len(vectors)} rows for {n}.")
    if not bool(vectors.isfinite().all()):
        raise ValueError(
            "The vectors that space returned are not finite. Did the training of the "
            "model diverge?"
        )
    return vectors


def _takes_two(space: Callable[..., Any]) -> bool:
    try:
        signature(space).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        pass
    return True
