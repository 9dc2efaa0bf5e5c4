"""The networks that are trained at a query, sized from the data."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skal.contexts import hooked, input_of

__all__ = [
    "BetaVAE",
    "Body",
    "CosineClassifier",
    "mlp",
    "reverse_gradient",
    "unfamiliarity_net",
]


def mlp(*sizes: int, rng: torch.Generator | None = None) -> nn.Sequential:
    """Build float32 linear layers of these sizes with ReLU between them.

    Weights are drawn from `rng` with torch's default distribution; without it, from the
    global generator.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layer = nn.utils.skip_init(nn.Linear, n_in, n_out, dtype=torch.float32)
        for p in layer.parameters():
            nn.init.uniform_(p, -(n_in**-0.5), n_in**-0.5, generator=rng)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class BetaVAE(nn.Module):
    r"""Variational autoencoder whose divergence has a weight :math:`\beta`.

    Parameters
    ----------
    encoder : Module
        Maps rows ``(b, d)`` to means and log variances, ``(b, 2 * latent_dim)``.
    decoder : Module
        Maps ``(b, latent_dim)`` to ``(b, d)``.

    Examples
    --------
    >>> import torch
    >>> from skal.adversarial import BetaVAE
    >>> vae = BetaVAE.sized(30, latent_dim=8)
    >>> vae.mean(torch.zeros(4, 30)).shape
    torch.Size([4, 8])
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @classmethod
    def sized(
        cls, n_features: int, latent_dim: int, rng: torch.Generator | None = None
    ) -> BetaVAE:
        """Build two hidden layers each way, of twice the features, 64 to 512 units."""
        width = min(max(64, 2 * n_features), 512)
        return cls(
            mlp(n_features, width, width, 2 * latent_dim, rng=rng),
            mlp(latent_dim, width, width, n_features, rng=rng),
        )

    def mean(self, x: Tensor) -> Tensor:
        """Mean of the code of each row, ``(b, latent_dim)``."""
        return self.encoder(x).chunk(2, dim=1)[0]

    def loss(
        self, x: Tensor, beta: float, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        r"""Compute the loss of a mini-batch, and the means of its codes.

        Parameters
        ----------
        x : Tensor of shape (b, d)
        beta : float
        rng : torch.Generator
            On the CPU; draws the codes.

        Returns
        -------
        loss : Tensor
            Squared error, averaged over rows and features, plus :math:`\beta / d` times
            the divergence from the standard normal, averaged over rows.  For
            :math:`\beta = 1` this is the negative evidence lower bound with variance
            1/2, per feature.
        mean : Tensor of shape (b, latent_dim)
        """
        mean, log_var = self.encoder(x).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=rng, dtype=torch.float32).to(mean)
        code = mean + (log_var / 2).exp() * noise
        divergence = (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1) / 2
        error = F.mse_loss(self.decoder(code), x)
        return error + beta / x[0].numel() * divergence.mean(), mean


def unfamiliarity_net(
    n_features: int, rng: torch.Generator | None = None
) -> nn.Sequential:
    """Build a discriminator, of the logit that a row is labeled, ``(b, 1)``."""
    return mlp(n_features, 128, 128, 1, rng=rng)


class Body(nn.Module):
    """A net up to its head, whose features have unit length.

    Parameters
    ----------
    module : Module
        Not copied; runs in its current mode.
    head : str
        Name of the head among the modules.
    """

    def __init__(self, module: nn.Module, head: str) -> None:
        super().__init__()
        self.module = module
        self._head = head

    def forward(self, x: Tensor) -> Tensor:
        """Compute the features, ``(b, d)``, float32."""
        caught: list[Tensor] = []

        def catch(name: str, _: nn.Module, args: Any, kwargs: Any) -> None:
            caught.append(input_of(args, kwargs))

        head = self.module.get_submodule(self._head)
        with hooked({self._head: head}, catch, before=True):
            self.module(x.clone())  # it may write into its input
        return F.normalize(caught[-1].flatten(1).float())


class CosineClassifier(nn.Module):
    r"""Classifier with the logits :math:`\cos(w_c, z) / T`.

    Parameters
    ----------
    n_features, n_classes : int
    temperature : float
        T.
    rng : torch.Generator, optional
        On the CPU; draws the vectors.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        temperature: float,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        size = n_classes, n_features
        self.weight = nn.Parameter(
            torch.randn(size, generator=rng, dtype=torch.float32)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Compute the logits of features, ``(b, n_classes)``."""
        return F.linear(F.normalize(z), F.normalize(self.weight)) / self.temperature


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * grads[0], None


def reverse_gradient(x: Tensor, scale: float = 1.0) -> Tensor:
    """Return x unchanged, and reverse the sign of its gradient.

    Examples
    --------
    >>> import torch
    >>> from skal.adversarial import reverse_gradient
    >>> x = torch.tensor([2.0], requires_grad=True)
    >>> reverse_gradient(x).square().sum().backward()
    >>> x.grad
    tensor([-4.])
    """
    result: Tensor = _Reverse.apply(x, scale)
    return result
