"""Predictions of plausible models as vectors of rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skal._numerics.products import extent, has_room
from skal.posteriors.base import Draws
from skal.rows import Rows

__all__ = ["centred_predictions"]


def centred_predictions(draws: Draws, rows: Sequence[Rows]) -> Tensor:
    r"""Vectors whose inner products are the covariances of predictions [1]_.

    Parameters
    ----------
    draws : Draws
        K models.
    rows : sequence of Rows
        m rows as each member of the learner sees them.

    Returns
    -------
    vectors : Tensor of shape (m, K * C)
        Computed in float64, kept in float32 where squares have room in it.

    Raises
    ------
    ValueError
        If a prediction is not finite.

    Notes
    -----
    Element (k, c) of the vector of row x is :math:`(f_{kc}(x) - \bar f_c(x)) / \sqrt
    K`, with the prediction :math:`f_k` of model k and its mean over the models.  The
    inner product of two rows is the covariance of their predictions over the models,
    summed over targets.  For a classifier, f are the probabilities of all C classes;
    of two classes, each says the same.

    References
    ----------
    .. [1] Kirsch, "Black-box batch active learning for regression", TMLR 2023.
       https://arxiv.org/abs/2302.08981
    """
    width = draws.n_draws * draws.n_outputs
    vectors = torch.empty(0, width)
    for where, outputs in draws.blocks(rows):
        apart = outputs - outputs[0]  # exactly 0 where all models agree
        centred = apart - apart.mean(dim=0)
        block = centred.transpose(0, 1).flatten(1) / draws.n_draws**0.5
        if where.start == 0:
            fits = not block.isfinite().all() or has_room(extent(block), torch.float32)
            dtype = torch.float32 if fits else torch.float64
            vectors = block.new_empty(len(rows[0]), width, dtype=dtype)
        vectors[where] = block
    if not bool(vectors.isfinite().all()):
        raise ValueError(
            "The predictions of the models are not finite. Did a training diverge?"
        )
    return vectors
