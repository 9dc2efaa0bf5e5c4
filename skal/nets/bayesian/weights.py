"""What is read of a module with Bayesian layers: divergence and draws."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skal.nets.bayesian.layers import BayesLinear

__all__ = ["bayesian_layers", "kl_divergence", "sample_weights"]


def bayesian_layers(module: nn.Module) -> dict[str, BayesLinear]:
    """Bayesian layers of a module, by name; a layer used twice once."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, BayesLinear)
    }


def kl_divergence(module: nn.Module) -> Tensor:
    r"""Kullback-Leibler divergence of a module's posterior from its prior.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    kl : Tensor, a scalar
        In nats, summed over the Bayesian layers; 0 if there are none.

    Notes
    -----
    For each weight :math:`\log(s/\sigma) + (\sigma^2 + \mu^2) / (2 s^2) - 1/2`, s being
    the scale of the prior.

    Bayes by backprop minimizes the summed loss of all rows plus this, a batch taking
    its share 1 / (number of batches). Where the loss of a batch is the *mean* over its
    rows, all is divided by the rows of a batch, and the share is
    1 / (number of training rows).

    Examples
    --------
    >>> import torch
    >>> from skal.nets.bayesian import BayesianMLP, kl_divergence
    >>> module = BayesianMLP(2, 1, hidden_sizes=(3,))
    >>> for name, parameter in module.named_parameters():
    ...     value = 0.541324854612918 if name.endswith("rho") else 0.0
    ...     _ = torch.nn.init.constant_(parameter, value)  # log(1 + e^.541) = 1
    >>> abs(kl_divergence(module).item()) < 1e-5
    True
    """
    layers = bayesian_layers(module).values()
    if not layers:
        return torch.zeros(())
    return torch.stack([layer.kl_divergence() for layer in layers]).sum()


def sample_weights(module: nn.Module, rng: torch.Generator) -> dict[str, Tensor]:
    """Draw the weights of all Bayesian layers from the posterior.

    Parameters
    ----------
    module : torch.nn.Module
        It is only read.
    rng : torch.Generator
        On the CPU, whatever the device of the module.

    Returns
    -------
    weights : dict of str to Tensor
        Replacements of the means, for :func:`torch.func.functional_call` on the module
        in eval mode.

    Raises
    ------
    ValueError
        If there is no Bayesian layer.

    Examples
    --------
    >>> import torch
    >>> from torch.func import functional_call
    >>> from skal.nets.bayesian import BayesianMLP, sample_weights
    >>> module = BayesianMLP(2, 1, hidden_sizes=(3,)).eval()
    >>> weights = sample_weights(module, torch.Generator().manual_seed(0))
    >>> sorted(weights)
    ['body.0.bias_mu', 'body.0.weight_mu', 'head.bias_mu', 'head.weight_mu']
    >>> functional_call(module, weights, torch.zeros(4, 2)).shape
    torch.Size([4, 1])
    """
    layers = bayesian_layers(module)
    if not layers:
        raise ValueError(
            f"{type(module).__name__} has no Bayesian layer to draw weights from; "
            "build it of BayesLinear, as BayesianMLP is."
        )
    draws = {}
    for name, layer in layers.items():
        prefix = f"{name}." if name else ""
        for part in ("weight", "bias"):
            mu, rho = getattr(layer, f"{part}_mu"), getattr(layer, f"{part}_rho")
            if mu is not None:
                noise = torch.randn(mu.shape, generator=rng).to(mu)
                draws[f"{prefix}{part}_mu"] = (mu + F.softplus(rho) * noise).detach()
    return draws
