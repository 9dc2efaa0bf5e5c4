"""A vector for each row, seen only through norms and distances."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skal.linalg import linear

__all__ = ["Cosine", "Dense", "Embedding"]

#: Squared distances between two embeddings are made in blocks of so many.
_BLOCK = 2**22
#: Numbers that stay in cache while a row is subtracted and squared.
_CACHE = 2**17


class Embedding(ABC):
    """Rows of a space, of which selectors see norms and distances only.

    So that gradients may stay factored, and nothing of size m × m is made.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def sq_norm(self) -> Tensor:
        """Squared norm of each row, ``(m,)``."""

    @abstractmethod
    def sq_dist(self, i: int) -> Tensor:
        """Squared distance of each row to row `i`, ``(m,)``; 0 to its duplicates."""

    @abstractmethod
    def min_sq_dist(self, other: Embedding) -> Tensor:
        """Squared distance of each row to the nearest of `other`, ``(m,)``."""


class Dense(Embedding):
    """Vectors as they are, with the Euclidean distance.

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Not copied.

    Examples
    --------
    >>> import torch
    >>> from skal.embeddings import Dense
    >>> Dense(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).sq_dist(0)
    tensor([ 0., 25.])
    """

    def __init__(self, features: Tensor) -> None:
        if features.ndim != 2:
            raise ValueError(
                f"features must have the shape (m, d), got {tuple(features.shape)}."
            )
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    def sq_norm(self) -> Tensor:
        """Squared norm of each row, ``(m,)``."""
        return self._differences(torch.zeros_like(self.features[:1]))

    def sq_dist(self, i: int) -> Tensor:
        """Squared distance of each row to row `i`, ``(m,)``; 0 to its duplicates."""
        return self._differences(self.features[i : i + 1])

    def min_sq_dist(self, other: Embedding) -> Tensor:
        """Squared distance of each row to the nearest of `other`, ``(m,)``.

        The nearest is found by matrix products, its distance then taken exactly: a
        row that `other` has too is at 0 but for the rounding of the search.
        """
        if not isinstance(other, Dense):
            raise TypeError(f"Cannot compare Dense with {type(other).__name__}.")
        centers = other.features
        origin = centers.mean(dim=0)  # near the origin less is lost to rounding
        shifted = centers - origin
        half_sq = shifted.square().sum(dim=1) / 2
        result = self.features.new_empty(len(self))
        step = max(1, _BLOCK // max(1, len(centers)))
        for start in range(0, len(self), step):
            block = self.features[start : start + step]
            products = linear(origin - block, shifted, half_sq)
            difference = block - centers[products.argmin(dim=1)]
            result[start : start + step] = difference.square().sum(dim=1)
        return result

    def _differences(self, center: Tensor) -> Tensor:
        # |a|^2 - 2ab + |b|^2 would lose small distances, and duplicates, to rounding;
        # the square of a root would lose ties.
        result = self.features.new_empty(len(self))
        step = max(1, _CACHE // max(1, center.shape[1]))
        for start in range(0, len(self), step):
            difference = self.features[start : start + step] - center
            result[start : start + step] = difference.square_().sum(dim=1)
        return result


class Cosine(Embedding):
    r"""Vectors by their direction; ``sq_dist`` is the cosine distance, squared.

    Parameters
    ----------
    features : Tensor of shape (m, d)

    Notes
    -----
    The distance is :math:`1 - \cos(x, y)`, half the squared Euclidean distance of the
    unit vectors.  A row of zeros has no direction: it is at 0 from other such rows and
    at 1 from all else.
    """

    def __init__(self, features: Tensor) -> None:
        norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
        self.is_zero = norm[:, 0] == 0
        self._unit = Dense(features / torch.where(self.is_zero[:, None], 1.0, norm))

    def __len__(self) -> int:
        return len(self._unit)

    def sq_norm(self) -> Tensor:
        """Squared norm of each row: 1, or 0 for a row of zeros, ``(m,)``."""
        return (~self.is_zero).to(self._unit.features.dtype)

    def sq_dist(self, i: int) -> Tensor:
        """Squared cosine distance of each row to row `i`, ``(m,)``."""
        distance = self._unit.sq_dist(i) / 2
        distance[self.is_zero != self.is_zero[i]] = 1.0
        return distance.square()

    def min_sq_dist(self, other: Embedding) -> Tensor:
        """Squared cosine distance of each row to the nearest of `other`, ``(m,)``."""
        if not isinstance(other, Cosine):
            raise TypeError(f"Cannot compare Cosine with {type(other).__name__}.")
        # A row of zeros is at 1 from all that have a direction, and opposites are at 2.
        rows, centers = ~self.is_zero, ~other.is_zero
        result = torch.ones_like(self.sq_norm())
        if bool(rows.any()) and bool(centers.any()):
            unit = Dense(self._unit.features[rows])
            nearest = unit.min_sq_dist(Dense(other._unit.features[centers]))
            result[rows] = (nearest / 2).square()
        if bool(other.is_zero.any()):
            result.clamp_(max=1.0)
            result[self.is_zero] = 0.0
        return result
