"""The game of MAL: encoder and classifier disagree about the entropy of the pool."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skal.adversarial.networks import CosineClassifier, reverse_gradient
from skal.adversarial.training import Batches, auc, discrimination_loss, hiding_loss

__all__ = ["MinimaxGame", "mean_entropy"]


def mean_entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the predicted classes, in nats."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


class MinimaxGame:
    r"""Encoder, cosine classifier and discriminator, trained against each other.

    Parameters
    ----------
    encoder : Module
        Maps rows to features of unit length, ``(b, d)``.
    classifier : CosineClassifier
    discriminator : Module
        Maps features to the logit that a row is labeled, ``(b, 1)``.
    entropy_weight, adversary_weight : float
        Weights of the entropy of unlabeled rows, and of hiding from the discriminator.
    lr : float
        Learning rate of Adam, for all networks.

    Notes
    -----
    Encoder F and classifier C minimize the cross-entropy of the labeled rows.  On
    unlabeled rows F minimizes, and C maximizes, the entropy of :math:`C(F(x))`, in one
    backward pass with the gradient reversed between them.  The discriminator learns to
    recognize the features of labeled rows, and F learns to deceive it, as in `VAEGame`.
    """

    def __init__(
        self,
        encoder: nn.Module,
        classifier: CosineClassifier,
        discriminator: nn.Module,
        entropy_weight: float,
        adversary_weight: float,
        lr: float,
    ) -> None:
        self.encoder = encoder
        self.classifier = classifier
        self.discriminator = discriminator
        self.entropy_weight = entropy_weight
        self.adversary_weight = adversary_weight
        self._own = [*encoder.parameters(), *classifier.parameters()]
        self._own_optimizer = torch.optim.Adam(self._own, lr)
        self._optimizer = torch.optim.Adam(discriminator.parameters(), lr)

    def epoch(
        self, labeled: Tensor, y: Tensor, unlabeled: Tensor, batches: Batches
    ) -> dict[str, float]:
        """Train for an epoch; return mean losses and the discriminator's ``"auc"``."""
        names = ("classification_loss", "entropy", "discriminator_loss")
        total = torch.zeros(len(names), device=labeled.device)
        n = 0
        for known, unknown in batches.epoch():
            known = known.to(labeled.device)
            x_l, x_u = labeled[known], unlabeled[unknown.to(unlabeled.device)]
            own = self.own_step(x_l, y[known], x_u)
            total += torch.stack([*own, self.discriminator_step(x_l, x_u)])
            n += 1
        result = dict(zip(names, (total / n).tolist(), strict=True))
        areas = [
            torch.cat([logit for logit, _ in self.read(x)])
            for x in (labeled, unlabeled)
        ]
        return {**result, "auc": auc(*areas)}

    def own_step(self, x_l: Tensor, y: Tensor, x_u: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step of encoder and classifier; return cross-entropy and entropy."""
        z_l, z_u = self.encoder(x_l), self.encoder(x_u)
        fit = F.cross_entropy(self.classifier(z_l), y)
        entropy = self.entropy(z_u)
        seen = hiding_loss(self.discriminator, z_l, z_u)
        # The classifier raises the entropy; with the gradient reversed, the encoder
        # lowers it.
        loss = fit - self.entropy_weight * entropy + self.adversary_weight * seen
        self._own_optimizer.zero_grad()
        loss.backward()
        self._own_optimizer.step()
        return fit.detach(), entropy.detach()

    def entropy(self, z: Tensor) -> Tensor:
        """Mean entropy of the classes, with the gradient by the features reversed."""
        return mean_entropy(self.classifier(reverse_gradient(z)))

    def discriminator_step(self, x_l: Tensor, x_u: Tensor) -> Tensor:
        """Take a step of the discriminator; return its loss before the step."""
        with torch.no_grad():
            z_l, z_u = self.encoder(x_l), self.encoder(x_u)
        loss = discrimination_loss(self.discriminator, z_l, z_u)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def read(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the logits to be labeled and the entropies, some rows at a time."""
        with torch.no_grad():
            for part in x.split(4096):
                z = self.encoder(part)
                log_p = self.classifier(z).log_softmax(dim=1)
                yield self.discriminator(z)[:, 0], -(log_p.exp() * log_p).sum(dim=1)
