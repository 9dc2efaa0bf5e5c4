"""Frank-Wolfe: rows whose weighted sum stands for the sum of all."""

from __future__ import annotations

import torch
from torch import Tensor

from skal.selection.base import Picks, check_n
from skal.selection.max_det import first_of_largest, sq_norms

__all__ = ["frank_wolfe"]


def frank_wolfe(features: Tensor, n: int) -> Picks:
    r"""Approximate the sum of all features by few of them (ACS-FW [1]_).

    Parameters
    ----------
    features : Tensor of shape (m, d)
        Commonly `skal.kernels.posterior_features`.
    n : int
        From 0 to m.

    Returns
    -------
    picks : Picks
        Scores are the inner products of their directions with what is left of the sum
        when picked, float64.

    Raises
    ------
    ValueError
        If `n` is out of range.

    Notes
    -----
    With :math:`\phi = \sum_x \phi_x`, :math:`s = \sum_x \lVert \phi_x \rVert` and the
    approximation :math:`a`, 0 at first, the next pick is :math:`\arg\max_x \langle \phi
    - a, \phi_x / \lVert \phi_x \rVert \rangle`, and a moves toward :math:`s \, \phi_x /
    \lVert \phi_x \rVert` to the nearest point to :math:`\phi`.  Rows already picked are
    left out, so that n steps give n rows.  Rows of zeros come last; ties go in pool
    order.  One pass over the features a pick.

    References
    ----------
    .. [1] Pinsler, Gordon, Nalisnick and Hernández-Lobato, "Bayesian batch active
       learning as sparse subset approximation", NeurIPS 2019.
       https://arxiv.org/abs/1908.02144

    Examples
    --------
    >>> import torch
    >>> from skal.selection.frank_wolfe import frank_wolfe
    >>> rows = torch.tensor([[2.0, 0.0], [9.0, 9.0], [0.0, 2.0], [-1.0, 0.0]])
    >>> frank_wolfe(rows, 3).indices
    tensor([1, 2, 0])
    """
    check_n(n, len(features))
    norms = sq_norms(features).sqrt()
    positive = norms > 0
    inverse = torch.where(positive, 1 / norms, 0.0)
    target = features.sum(dim=0, dtype=torch.float64)
    total = float(norms.sum())
    left = torch.ones_like(positive)
    indices = torch.empty(n, dtype=torch.long, device=features.device)
    scores = norms.new_empty(n)
    approximation = torch.zeros_like(target)
    for k in range(n):
        rest = target - approximation
        value = (features @ rest.to(features.dtype)).double() * inverse
        choice = left & positive
        if not bool(choice.any()):
            choice = left
        i = first_of_largest(torch.where(choice, value, -torch.inf))
        indices[k], scores[k], left[i] = i, value[i], False
        direction = features[i].double() * (total * inverse[i]) - approximation
        sq_length = float(direction @ direction)
        if sq_length > 0:
            length = min(max(float(direction @ rest) / sq_length, 0.0), 1.0)
            approximation = approximation + length * direction
    return Picks(indices, scores)
