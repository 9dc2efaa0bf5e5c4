"""The game of VAAL: an autoencoder hides which rows are labeled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skal.adversarial.networks import BetaVAE
from skal.adversarial.training import Batches, auc, discrimination_loss, hiding_loss

__all__ = ["VAEGame"]


class VAEGame:
    r"""Variational autoencoder and discriminator, trained against each other.

    Parameters
    ----------
    vae : BetaVAE
    discriminator : Module
        Maps codes ``(b, latent_dim)`` to the logit that a row is labeled, ``(b, 1)``.
    beta : float
        Weight of the divergence; see `BetaVAE.loss`.
    adversary_weight : float
        Weight :math:`\lambda` of hiding from the discriminator.
    lr : float
        Learning rate of Adam, for both networks.
    rng : torch.Generator
        On the CPU; draws the codes.

    Notes
    -----
    With :math:`\mu` the mean of the code of a row and D the probability that the row is
    labeled, the autoencoder minimizes

    .. math:: \ell(x_L) + \ell(x_U) - \lambda\,(\log D(\mu_L) + \log D(\mu_U))

    where :math:`\ell` is `BetaVAE.loss`, in two steps for each step in which the
    discriminator minimizes :math:`-\log D(\mu_L) - \log(1 - D(\mu_U))`.
    """

    def __init__(
        self,
        vae: BetaVAE,
        discriminator: nn.Module,
        beta: float,
        adversary_weight: float,
        lr: float,
        rng: torch.Generator,
    ) -> None:
        self.vae = vae
        self.discriminator = discriminator
        self.beta, self.adversary_weight, self._rng = beta, adversary_weight, rng
        self._vae_optimizer = torch.optim.Adam(vae.parameters(), lr)
        self._optimizer = torch.optim.Adam(discriminator.parameters(), lr)

    def epoch(
        self, labeled: Tensor, unlabeled: Tensor, batches: Batches
    ) -> dict[str, float]:
        """Train for an epoch; return mean losses and the discriminator's ``"auc"``."""
        total = torch.zeros(2, device=labeled.device)
        n = 0
        for known, unknown in batches.epoch():
            x_u = unlabeled[unknown.to(unlabeled.device)]
            for _ in range(2):
                x_l = labeled[known.to(labeled.device)]
                vae_loss = self.vae_step(x_l, x_u)
                known = batches.labeled()
            total += torch.stack([vae_loss, self.discriminator_step(x_l, x_u)])
            n += 1
        losses = (total / n).tolist()
        with torch.no_grad():
            area = auc(self.logits(labeled), self.logits(unlabeled))
        return {"vae_loss": losses[0], "discriminator_loss": losses[1], "auc": area}

    def vae_step(self, x_l: Tensor, x_u: Tensor) -> Tensor:
        """Take a step of the autoencoder; return its loss before the step."""
        own_l, mean_l = self.vae.loss(x_l, self.beta, self._rng)
        own_u, mean_u = self.vae.loss(x_u, self.beta, self._rng)
        seen = hiding_loss(self.discriminator, mean_l, mean_u)
        loss = own_l + own_u + self.adversary_weight * seen
        self._vae_optimizer.zero_grad()
        loss.backward()
        self._vae_optimizer.step()
        return loss.detach()

    def discriminator_step(self, x_l: Tensor, x_u: Tensor) -> Tensor:
        """Take a step of the discriminator; return its loss before the step."""
        with torch.no_grad():
            mean_l, mean_u = self.vae.mean(x_l), self.vae.mean(x_u)
        loss = discrimination_loss(self.discriminator, mean_l, mean_u)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def logits(self, x: Tensor) -> Tensor:
        """Logit that each row is labeled, from the mean of its code, ``(m,)``."""
        nets = (self.vae, self.discriminator)
        for net in nets:
            net.eval()  # with batch norm a row would depend on the rows beside it
        with torch.no_grad():
            parts = [self.discriminator(self.vae.mean(part)) for part in x.split(4096)]
        for net in nets:
            net.train()
        return torch.cat(parts)[:, 0]
