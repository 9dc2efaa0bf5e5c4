"""Each row's nearest center, kept up to date as rows become centers."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.embeddings import Dense, Embedding

__all__ = ["NearestCenters", "nearest"]

#: Numbers that are worked on together.
_BLOCK = 2**21
#: Columns that distances are bounded by before they are computed.
_SHADOW = 32
#: Rows that the directions of the shadow are learned from.
_SAMPLE = 2048
#: Bounds leave this share of the squared norms for rounding.
_SLACK = 1e-5


def nearest(embedding: Embedding, centers: Embedding) -> tuple[Tensor, Tensor]:
    """Squared distance of each row to the nearest of some centers, and its number.

    Parameters
    ----------
    embedding : Embedding of m rows
        `Dense`, or one with a method ``nearest(centers)``.
    centers : Embedding

    Returns
    -------
    sq_dist : Tensor of shape (m,)
    center : Tensor of shape (m,), int64
        Of equally near ones the first.

    Raises
    ------
    TypeError
        If the two do not compare.
    """
    if hasattr(embedding, "nearest"):
        found: tuple[Tensor, Tensor] = embedding.nearest(centers)
        return found
    if not (isinstance(embedding, Dense) and isinstance(centers, Dense)):
        raise TypeError(
            f"The nearest of {type(centers).__name__} to rows of "
            f"{type(embedding).__name__} cannot be told."
        )
    rows, points = embedding.features, centers.features
    origin = points.mean(dim=0)  # near the origin less is lost to rounding
    shifted = points - origin
    half_sq = shifted.square().sum(dim=1) / 2
    sq_dist = rows.new_empty(len(rows))
    center = torch.empty(len(rows), dtype=torch.long, device=rows.device)
    step = max(1, _BLOCK // max(len(points), rows.shape[1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        found_here = torch.addmm(half_sq, block - origin, shifted.T, alpha=-1)
        index = found_here.argmin(dim=1)
        center[start : start + step] = index
        difference = block - points[index]
        sq_dist[start : start + step] = difference.square().sum(dim=1)
    return sq_dist, center


class NearestCenters:
    r"""Squared distance of each row to its nearest center, and which one that is.

    Parameters
    ----------
    embedding : Embedding of m rows
    centers : Embedding, optional
        Centers there are from the beginning, in the same space.

    Attributes
    ----------
    sq_dist : Tensor of shape (m,)
        Infinity as long as there is no center.
    center : Tensor of shape (m,), int64
        Number of the nearest center: first those given, then the rows added.  Of
        equally near ones the older.
    n_centers : int

    Notes
    -----
    For `Dense` two bounds spare most distances and change none [1]_.  A row x of
    center a stays where :math:`d(c, a) \ge 2 d(x, a)` for the new center c.  Of the
    others those stay whose distance from c is too large already in 31 principal
    directions, with the norm of the rest for one more.  Without them a new center takes
    a pass over all numbers of the embedding.

    References
    ----------
    .. [1] Elkan, "Using the triangle inequality to accelerate k-means", ICML 2003.
       https://cdn.aaai.org/ICML/2003/ICML03-022.pdf
    """

    def __init__(self, embedding: Embedding, centers: Embedding | None = None) -> None:
        self.embedding = embedding
        self.n_centers = 0 if centers is None else len(centers)
        if centers is None or len(centers) == 0:
            self.sq_dist = torch.full_like(embedding.sq_norm(), torch.inf)
            self.center = torch.full_like(self.sq_dist, -1, dtype=torch.long)
        else:
            self.sq_dist, self.center = nearest(embedding, centers)
        self._bounds: _Bounds | None = None
        if isinstance(embedding, Dense) and embedding.features.shape[1] > _SHADOW:
            given = centers.features if isinstance(centers, Dense) else None
            self._bounds = _Bounds(embedding.features, given)

    def add(self, i: int) -> None:
        """Make row `i` a center."""
        rows = None
        if self._bounds is not None:
            rows = self._bounds.candidates(i, self.sq_dist, self.center)
        if rows is None or not isinstance(self.embedding, Dense):
            distances = self.embedding.sq_dist(i)
            closer = distances < self.sq_dist
            self.sq_dist = torch.where(closer, distances, self.sq_dist)
            self.center.masked_fill_(closer, self.n_centers)
        else:
            features = self.embedding.features
            for part in rows.split(max(1, _BLOCK // features.shape[1])):
                distances = _sq_dist(features[part], features[i])
                closer = distances < self.sq_dist[part]
                self.sq_dist[part[closer]] = distances[closer]
                self.center[part[closer]] = self.n_centers
        self.n_centers += 1


class _Bounds:
    """Tells the rows that a new center may take."""

    def __init__(self, features: Tensor, centers: Tensor | None) -> None:
        self.features = features
        self.centers = [] if centers is None else [centers]
        sample = features[:: max(1, len(features) // _SAMPLE)]
        self.origin = sample.mean(dim=0)
        centered = sample - self.origin
        directions = torch.linalg.eigh(centered.T @ centered).eigenvectors
        basis = directions[:, 1 - _SHADOW :]
        self.shadow = features.new_empty(len(features), _SHADOW)
        self.sq_norm = features.new_empty(len(features))
        step = max(1, _BLOCK // features.shape[1])
        for start in range(0, len(features), step):
            block = features[start : start + step] - self.origin
            shadow = block @ basis
            sq_norm = block.square().sum(dim=1)
            rest = (sq_norm - shadow.square().sum(dim=1)).clamp(min=0).sqrt()
            self.shadow[start : start + step, :-1] = shadow
            self.shadow[start : start + step, -1] = rest
            self.sq_norm[start : start + step] = sq_norm

    def candidates(self, i: int, sq_dist: Tensor, center: Tensor) -> Tensor | None:
        """Rows nearer to row `i` than to their centers, and some more; None for all."""
        new = self.features[i]
        known = self.centers
        self.centers = [*known, new[None]]
        if len(self.centers) > 64:
            self.centers = [torch.cat(self.centers)]
        if not known:
            return None
        from_centers = torch.cat([_sq_dist(points, new) for points in known])
        near = sq_dist * (4 * (1 + _SLACK)) > from_centers[center]
        near &= sq_dist > 0
        rows = torch.nonzero(near)[:, 0]
        if len(rows) > len(sq_dist) // 4:  # cheaper to look at all than to pick out
            close = self._close(slice(None), i, sq_dist)
            rows = torch.nonzero(close & near)[:, 0]
        else:
            rows = rows[self._close(rows, i, sq_dist[rows])]
        return None if len(rows) > len(sq_dist) // 3 else rows

    def _close(self, rows: Tensor | slice, i: int, sq_dist: Tensor) -> Tensor:
        """Whether the bound on the distance to row `i` is below another distance."""
        bound = _sq_dist(self.shadow[rows], self.shadow[i])
        return bound < sq_dist + _SLACK * (self.sq_norm[rows] + self.sq_norm[i])


def _sq_dist(rows: Tensor, point: Tensor) -> Tensor:
    """Squared distances, 0 to duplicates, as `Dense.sq_dist` has them."""
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(rows, point[None], compute_mode=mode)[:, 0].square()
