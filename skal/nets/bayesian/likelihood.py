"""A loss that knows how large the noise of the targets is."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["GaussianNLL"]


class GaussianNLL(nn.MSELoss):
    r"""Negative log likelihood of targets with Gaussian noise of known size.

    Parameters
    ----------
    noise_scale : float, default=1.0
        Standard deviation of the noise, in the units of the targets.
    reduction : {"mean", "sum", "none"}, default="mean"
        Over rows and targets.

    Notes
    -----
    :math:`(y - f)^2 / (2\sigma^2)`, without the constant. With a Bayesian net the
    weight of the data against the prior hangs on :math:`\sigma`;
    :class:`torch.nn.MSELoss` stands for :math:`\sigma = 1/\sqrt 2`.

    Examples
    --------
    >>> import torch
    >>> from skal.nets.bayesian import GaussianNLL
    >>> GaussianNLL(noise_scale=0.5)(torch.zeros(2, 1), torch.ones(2, 1))
    tensor(2.)
    """

    def __init__(self, noise_scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        if not noise_scale > 0:
            raise ValueError(f"noise_scale must be above 0, got {noise_scale}.")
        self.noise_scale = noise_scale

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Loss of predictions and targets of the same shape."""
        return super().forward(input, target) / (2 * self.noise_scale**2)
