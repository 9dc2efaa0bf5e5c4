"""Rows as points: the features of the nets where there are nets, else the inputs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skal.reading.pool import Pool
from skal.reading.space import read_space
from skal.spaces import Dense, Embedding
from skal.validation import check_option

__all__ = ["Points", "read_points"]


class Points(NamedTuple):
    """Pool and labeled rows as vectors of one space.

    Attributes
    ----------
    pool : Tensor of shape (m, d)
    labeled : Tensor of shape (L, d)
        Without rows where the learner holds none.
    """

    pool: Tensor
    labeled: Tensor

    def both(self) -> Tensor:
        """Pool and labeled rows in one tensor, the pool first."""
        return torch.cat(self) if len(self.labeled) else self.pool


def read_points(pool: Pool, space: str, head: str | None, strategy: str) -> Points:
    """Read the pool and the labeled rows, side by side of all members.

    Parameters
    ----------
    pool : Pool
    space : {"auto", "features", "inputs"}
        ``"features"``: the inputs of the nets' heads.  ``"inputs"``: rows as the model
        sees them.  ``"auto"``: features if every model is a net or an ensemble of nets,
        else inputs.
    head : str, optional
        Name of the module whose input are the features; the last Linear by default.
    strategy : str
        Who asks, for the error.

    Raises
    ------
    ValueError
        If `space` is none of these, or what was read is not finite.
    UnsuitableLearnerError
        If features are asked for and a model is no net.
    """
    check_option("space", space, ["auto", "features", "inputs"])
    if space == "auto":
        nets = all(member.nets() for member in pool.members)
        space = "features" if nets else "inputs"
    if space == "features":
        pool.check_gives("net", f'{strategy} with space="features"', lambda: strategy)
    rows, labeled = read_space(pool, space, None, head, None)
    points = _vectors(rows)
    return Points(points, points[:0] if labeled is None else _vectors(labeled))


def _vectors(embedding: Embedding) -> Tensor:
    assert isinstance(embedding, Dense)  # as both spaces are
    return embedding.features.detach()
