"""A vector for each row, seen only through norms and distances."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from skal._numerics.matmul import linear

__all__ = ["Dense", "Embedding"]

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
    >>> from skal.spaces.dense import Dense
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
