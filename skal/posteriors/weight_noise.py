"""Noise on the weights of a net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["perturb_weights"]


def perturb_weights(
    module: nn.Module, noise: str, noise_scale: float, rng: torch.Generator
) -> dict[str, Tensor]:
    r"""Draw weights near those of a module.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
    noise : {"per_tensor", "global"}
        ``"per_tensor"``: every weight tensor moves by ``noise_scale`` of its own norm,
        biases stay.  ``"global"``: all parameters together move by ``noise_scale`` of
        their common norm.
    noise_scale : float
        Length of the step over the norm of what is moved.
    rng : torch.Generator
        On the CPU, so that the draws are the same on any device.

    Returns
    -------
    parameters : dict of str to Tensor
        By the names of ``module.named_parameters()``; a tensor that two modules share
        appears, and is moved, once.

    Notes
    -----
    With :math:`e \sim N(0, I)`, per tensor
    :math:`W_l + \zeta \, \lVert W_l \rVert_F \, e_l / \lVert e_l \rVert_F`, and global
    :math:`\theta + \zeta \, \lVert \theta \rVert \, e / \lVert e \rVert`.
    """
    moved = {
        name: parameter.detach()
        for name, parameter in module.named_parameters()
        if parameter.is_floating_point()
        and (noise == "global" or "bias" not in name.rpartition(".")[2])
    }
    steps = {
        name: torch.randn(weight.shape, generator=rng, dtype=torch.float32)
        for name, weight in moved.items()
    }
    if noise == "global":
        length = noise_scale * _norm(moved) / _norm(steps)
        lengths = dict.fromkeys(moved, length)
    else:
        lengths = {
            name: noise_scale * _norm({name: moved[name]}) / _norm({name: steps[name]})
            for name in moved
        }
    return {
        name: weight + (lengths[name] * steps[name]).to(weight)
        for name, weight in moved.items()
    }


def _norm(tensors: dict[str, Tensor]) -> float:
    """Euclidean norm of several tensors together."""
    return sum(float(t.double().square().sum()) for t in tensors.values()) ** 0.5
