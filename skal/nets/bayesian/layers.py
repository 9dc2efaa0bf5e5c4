"""A linear layer with a Gaussian for each weight."""

from __future__ import annotations

from collections.abc import Iterator
from math import expm1, log, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LINEAR", "BayesLinear"]


class BayesLinear(nn.Module):
    r"""Linear layer with a Gaussian posterior over its weights.

    In training mode each forward pass runs with freshly drawn weights, one draw for
    the whole batch; in eval mode it runs with their means, so that it is deterministic.

    Parameters
    ----------
    in_features, out_features : int
    prior_scale : float, default=1.0
        Standard deviation of the prior, a Gaussian around 0, of each weight and bias.
    initial_scale : float, default=0.02
        Standard deviation of each weight before training.
    bias : bool, default=True

    Attributes
    ----------
    weight_mu, weight_rho : Parameter of shape (out_features, in_features)
        Mean, and what gives the standard deviation, :math:`\log(1 + e^\rho)`.
    bias_mu, bias_rho : Parameter of shape (out_features,), or None

    Notes
    -----
    Weights are :math:`w = \mu + \log(1 + e^\rho)\,\varepsilon`,
    :math:`\varepsilon \sim N(0, 1)`. Means start as the weights of
    :class:`torch.nn.Linear` do. `weight` and `bias` give the means, so that what reads
    a head finds them by their usual names.

    References
    ----------
    Blundell et al., `Weight Uncertainty in Neural Networks
    <https://arxiv.org/abs/1505.05424>`_, ICML 2015.

    Examples
    --------
    >>> import torch
    >>> from skal.nets.bayesian import BayesLinear
    >>> layer = BayesLinear(3, 2)
    >>> X = torch.ones(4, 3)
    >>> torch.equal(layer(X), layer(X))
    False
    >>> layer = layer.eval()
    >>> torch.equal(layer(X), layer(X))
    True
    """

    weight_mu: nn.Parameter
    weight_rho: nn.Parameter
    bias_mu: nn.Parameter | None
    bias_rho: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        prior_scale: float = 1.0,
        initial_scale: float = 0.02,
        bias: bool = True,
    ) -> None:
        super().__init__()
        for name, scale in [
            ("prior_scale", prior_scale),
            ("initial_scale", initial_scale),
        ]:
            if not scale > 0:
                raise ValueError(f"{name} must be above 0, got {scale}.")
        self.in_features, self.out_features = in_features, out_features
        self.prior_scale, self.initial_scale = prior_scale, initial_scale
        for name, shape in [
            ("weight", (out_features, in_features)),
            ("bias", (out_features,) if bias else None),
        ]:
            for part in ("mu", "rho"):
                value = None if shape is None else nn.Parameter(torch.empty(shape))
                self.register_parameter(f"{name}_{part}", value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the means anew; set every standard deviation to `initial_scale`."""
        bound = 1 / sqrt(self.in_features) if self.in_features > 0 else 0.0
        scale = self.initial_scale
        rho = scale + log(-expm1(-scale))  # the inverse of log(1 + e^rho)
        for mu, rho_parameter in self._gaussians():
            nn.init.uniform_(mu, -bound, bound)
            nn.init.constant_(rho_parameter, rho)

    def _gaussians(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        yield self.weight_mu, self.weight_rho
        if self.bias_mu is not None and self.bias_rho is not None:
            yield self.bias_mu, self.bias_rho

    @property
    def weight(self) -> Tensor:
        """Mean of the weights."""
        return self.weight_mu

    @property
    def bias(self) -> Tensor | None:
        """Mean of the bias."""
        return self.bias_mu

    def forward(self, X: Tensor) -> Tensor:
        """Give outputs, (m, out_features), of rows (m, in_features)."""
        if not self.training:
            return F.linear(X, self.weight_mu, self.bias_mu)
        draws = [
            mu + F.softplus(rho) * torch.randn_like(mu) for mu, rho in self._gaussians()
        ]
        return F.linear(X, *draws)

    def kl_divergence(self) -> Tensor:
        """Kullback-Leibler divergence of the posterior from the prior, in nats."""
        total = self.weight_mu.new_zeros(())
        variance = self.prior_scale**2
        for mu, rho in self._gaussians():
            scale = F.softplus(rho)
            squares = (scale.square() + mu.square()) / (2 * variance)
            total = total + (squares - scale.log()).sum()
            total = total + mu.numel() * (log(self.prior_scale) - 0.5)
        return total

    def extra_repr(self) -> str:
        """Sizes and prior, for the module's repr."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias_mu is not None}, prior_scale={self.prior_scale}"
        )


#: Layers that can be the head of a net: outputs linear in what comes in.
LINEAR = (nn.Linear, BayesLinear)
