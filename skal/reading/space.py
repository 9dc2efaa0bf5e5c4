"""Pool and labeled rows as vectors: the spaces in which strategies compare rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal._numerics.products import extent, has_room, transformed
from skal.reading.access import NetAccess
from skal.reading.gradients import Directions, GradientReader, per_row_gradients
from skal.rows import Rows
from skal.spaces import (
    Dense,
    Embedding,
    Factors,
    GradientEmbedding,
    Leaves,
    OfProcess,
    Sketch,
    feature_scale,
)
from skal.spaces.gaussian import posterior_transform, process_transform
from skal.spaces.leaves import leaf_vectors
from skal.validation import check_bool, check_positive

__all__ = [
    "NET_SPACES",
    "Reader",
    "Space",
    "as_space",
    "conditions_on_labels",
    "covariance_features",
    "covariance_transform",
    "loss_directions",
    "noise_std_of",
]

#: Reads rows in a space: vectors ``(rows, d)``, or the factors of gradients by layer.
Reader = Callable[[Rows], Any]
#: Noise of labels for a mean training variance of 1, where nothing else is known.
_NOISE_STD = 1e-3


class Space(NamedTuple):
    """Pool and labeled rows in one space.

    Attributes
    ----------
    pool : Embedding
        The m rows of the pool.
    labeled : Embedding or None
        The L labeled rows; None if the learner holds none.
    """

    pool: Embedding
    labeled: Embedding | None

    def dense(self, dtype: torch.dtype = torch.float64) -> Space:
        """Return the same space with rows as vectors, those of leaves in some dtype.

        Raises
        ------
        ValueError
            If the rows are gradients in factors.

        Notes
        -----
        Leaves become vectors of up to `n_components` elements; see
        `skal.spaces.leaves.leaf_vectors`.
        """
        if isinstance(self.pool, Leaves):
            known = self.labeled if isinstance(self.labeled, Leaves) else None
            vectors = leaf_vectors(self.pool, known, dtype)
            rows, labeled = vectors[: len(self.pool)], vectors[len(self.pool) :]
            return Space(Dense(rows), None if known is None else Dense(labeled))
        if not isinstance(self.pool, Dense):
            raise ValueError(
                "This strategy needs gradients as vectors. Set n_components to their "
                'length, such as 512, or use space="last_layer".'
            )
        return self

    def leaves_or_vectors(self) -> tuple[Leaves | Tensor, Leaves | Tensor]:
        """Return the leaves of the pool and of labeled rows, or else their vectors.

        For selectors that compare leaves themselves, which is faster and exact.  Raises
        as `dense`.
        """
        if not isinstance(self.pool, Leaves):
            return self.vectors()
        labeled = self.labeled
        no_rows = self.pool.take(slice(0))
        return self.pool, labeled if isinstance(labeled, Leaves) else no_rows

    def vectors(self, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
        """Return the vectors of the pool ``(m, d)`` and of labeled rows ``(L, d)``.

        Parameters and errors as in `dense`.
        """
        pool, labeled = self.dense(dtype)
        rows: Tensor = pool.features  # type: ignore[attr-defined]
        return rows, labeled.features if isinstance(labeled, Dense) else rows[:0]

    def to_cluster(self) -> Tensor:
        """Return the vectors of all rows, first those of the pool, ``(m + L, d)``.

        Raises as `dense`.  Those of leaves, which are longer than most, are float32.
        """
        if isinstance(self.pool, Leaves):
            known = self.labeled if isinstance(self.labeled, Leaves) else None
            return leaf_vectors(self.pool, known, torch.float32)
        return torch.cat(self.vectors())


# -- readers -------------------------------------------------------------------------


def _gradients(
    access: NetAccess, n_components: int | None, rng: torch.Generator | None
) -> Reader:
    directions = loss_directions(access)
    if n_components is None:
        return lambda rows: per_row_gradients(access, rows, "gradients", directions)
    if rng is None:
        raise TypeError("A projection of gradients needs a generator, rng.")
    reader = GradientReader(access, "gradients", directions)
    project = Sketch(n_components, rng)  # one for pool and labeled rows

    def read(batch: Any) -> Tensor:
        return project(reader(batch))

    return partial(access.collect, read=read, size=access.chunk_size)


def _last_layer(access: NetAccess, *_: Any) -> Reader:
    def read(batch: Any) -> Tensor:
        features, _ = access.forward_features(batch)
        return torch.cat([features, features.new_ones(len(features), 1)], dim=1)

    return partial(access.collect, read=read)


def _features(access: NetAccess, *_: Any) -> Reader:
    return access.features


#: Spaces of nets: each entry makes a `Reader` from ``(access, n_components, rng)``.
NET_SPACES: dict[str, Callable[..., Reader]] = {
    "gradients": _gradients,
    "last_layer": _last_layer,
    "features": _features,
}


def as_space(rows: Sequence[Any], labeled: Sequence[Any]) -> Space:
    """Concatenate the vectors of several models; their inner products add up.

    Parameters
    ----------
    rows, labeled : sequence
        What the `Reader` of each model read: tensors, or lists of `Factors`.

    Raises
    ------
    ValueError
        If labeled rows have vectors of another length than the pool.

    Notes
    -----
    Vectors are float64 where the squares of float32 elements would overflow, or vanish.
    """
    if not isinstance(rows[0], Tensor):
        return _of_factors(_flat(rows), _flat(labeled))
    both = [
        parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
        for parts in (rows, labeled)
        if parts
    ]
    widths = [vectors.shape[1] for vectors in both]
    if len(set(widths)) > 1:
        raise ValueError(
            f"A row of the pool has {widths[0]} elements in this space, and a labeled "
            f"row {widths[1]}: the numbers must be the same."
        )
    if not has_room(extent(*both), both[0].dtype):
        both = [vectors.double() for vectors in both]
    return Space(Dense(both[0]), Dense(both[1]) if labeled else None)


def _of_factors(rows: list[Factors], labeled: list[Factors]) -> Space:
    both = [layers for layers in (rows, labeled) if layers]
    largest, factors = 0.0, 0.0
    for same in zip(*both, strict=True):
        inputs, outputs = zip(*same, strict=True)
        sizes = extent(*inputs), extent(*outputs)
        largest = max(largest, sizes[0] * sizes[1])
        # A norm that overflows, times one of 0, is NaN.
        factors = max(factors, *sizes)
    dtype = rows[0].inputs.dtype
    if not (has_room(largest, dtype) and has_room(max(factors, 1.0), dtype)):
        both = [[Factors(a.double(), g.double()) for a, g in layers] for layers in both]
    embeddings = [GradientEmbedding(layers) for layers in both]
    return Space(embeddings[0], embeddings[1] if labeled else None)


def _flat(parts: Sequence[Any]) -> list[Factors]:
    return [layer for part in parts for layer in part]


def loss_directions(access: NetAccess) -> Directions | None:
    """Gradient of a classifier's loss at its own label with respect to the outputs.

    None for a regressor, of which each output is taken by itself.
    """
    if not is_classifier(access.net):
        return None
    to_proba = access.to_proba

    def directions(outputs: Tensor) -> Tensor:
        with torch.enable_grad():
            outputs = outputs.detach().double().requires_grad_()
            proba = to_proba(outputs)
            label = proba.argmax(dim=1, keepdim=True)
            loss = -proba.gather(1, label).log().sum()
            (gradient,) = torch.autograd.grad(loss, outputs)
        return gradient[:, :, None]

    return directions


# -- inner products as covariances -------------------------------------------------


def covariance_features(
    space: Space, noise_std: float | str, condition_on_labels: bool | str
) -> tuple[Tensor, Tensor]:
    """Features whose inner products are the covariances of a Gaussian process.

    Parameters
    ----------
    space : Space
        Inner products in it are the prior covariances.
    noise_std : float or "auto"
        Standard deviation of the label noise, for a mean training variance of 1.
        ``"auto"``: that of the process of `OfProcess`, in whose units the features are;
        otherwise 0.001.
    condition_on_labels : bool or "auto"
        Whether the process is conditioned on the labeled rows; ``"auto"``: if there
        are any.

    Returns
    -------
    features, labeled : Tensor
        Of pool and labeled rows; `labeled` has no rows if there are none.  Computed in
        float64, and rounded to the type of the vectors where squares have room in it.

    Raises
    ------
    ValueError
        If `condition_on_labels` is True and there are no labeled rows, or if gradients
        were not projected.
    """
    space = space.dense()
    features, labeled = space.vectors()
    transform = covariance_transform(space, noise_std, condition_on_labels)
    for dtype in (features.dtype, torch.float64):
        both = [transformed(rows, transform, dtype) for rows in (features, labeled)]
        if has_room(extent(*both), dtype):
            break
    return both[0], both[1]


def covariance_transform(
    space: Space, noise_std: float | str, condition_on_labels: bool | str
) -> Tensor:
    """Matrix ``(d, d)`` or scale ``()`` from vectors to those of `covariance_features`.

    Parameters and errors as in `covariance_features`.
    """
    is_own = _has_own_noise(space, noise_std)
    conditions = conditions_on_labels(condition_on_labels, space.labeled is not None)
    if is_own and not conditions:
        return torch.ones((), dtype=torch.float64)
    if is_own and isinstance(space.labeled, OfProcess):
        return process_transform(space.labeled)
    features, labeled = space.vectors()
    if conditions:
        return posterior_transform(labeled, noise_std_of(space, noise_std))
    return feature_scale(labeled if len(labeled) else features)


def noise_std_of(space: Space, noise_std: float | str) -> float:
    """Resolve ``noise_std="auto"``, in the units of `covariance_features`."""
    if _has_own_noise(space, noise_std):
        known = space.pool if space.labeled is None else space.labeled
        noise: Tensor = known.noise_variance  # type: ignore[attr-defined]
        return float(noise.mean().sqrt())
    return _NOISE_STD if isinstance(noise_std, str) else noise_std


def _has_own_noise(space: Space, noise_std: float | str) -> bool:
    """Whether the noise is that of a fitted process; checks `noise_std`."""
    if isinstance(noise_std, str) and noise_std == "auto":
        return isinstance(space.pool, OfProcess)
    check_positive("noise_std", noise_std)
    return False


def conditions_on_labels(condition_on_labels: bool | str, has_labeled: bool) -> bool:
    """Resolve ``condition_on_labels="auto"``.

    Raises
    ------
    ValueError
        If `condition_on_labels` is True and there are no labeled rows.
    """
    check_bool("condition_on_labels", condition_on_labels, auto=True)
    if condition_on_labels != "auto" and condition_on_labels and not has_labeled:
        raise ValueError(
            "condition_on_labels=True needs labeled rows, and the learner holds none. "
            'Pass them to it (X_training), or set condition_on_labels="auto".'
        )
    return bool(condition_on_labels) and has_labeled
