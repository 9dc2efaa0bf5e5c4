"""Features and classes that play against each other on unlabeled rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skal.adversarial.batches import Batches
from skal.adversarial.networks import CosineClassifier, reverse_gradient
from skal.adversarial.training import auc
from skal.adversarial.vaal import discrimination_loss, hiding_loss
from skal.hooks import hooked, input_of

__all__ = ["Body", "Mal", "mean_entropy"]


class Body(nn.Module):
    """A net up to its head: gives what goes into the head, of unit length.

    Parameters
    ----------
    module : Module
        Not copied; runs in the mode that it is in.
    head : str
        Name of the head among its modules.
    """

    def __init__(self, module: nn.Module, head: str) -> None:
        super().__init__()
        self.module = module
        self._head = head

    def forward(self, x: Tensor) -> Tensor:
        """Give features, ``(b, d)``."""
        caught: list[Tensor] = []

        def catch(name: str, _: nn.Module, args: Any, kwargs: Any) -> None:
            caught.append(input_of(args, kwargs))

        head = self.module.get_submodule(self._head)
        with hooked({self._head: head}, catch, before=True):
            self.module(x)
        return F.normalize(caught[-1].flatten(1))


def mean_entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the classes of rows, in nats."""
    log_p = logits.log_softmax(dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


class Mal:
    r"""Encoder, cosine classifier and discriminator.

    Parameters
    ----------
    encoder : Module
        Maps rows to features of unit length, ``(b, d)``.
    classifier : CosineClassifier
    discriminator : Module
        Maps features to the logit that a row is labeled, ``(b, 1)``.
    entropy_weight, adversary_weight : float
    lr : float
        Step of Adam, for all.

    Notes
    -----
    Encoder F and classifier C lower the cross-entropy of the labeled rows.  On the
    unlabeled F lowers, and C raises, the entropy of :math:`C(F(x))`: one backward pass
    with the gradient reversed between them.  F hides from the discriminator, and the
    discriminator finds, which rows are labeled, as in `Vaal`.
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
        """Train for an epoch; give mean losses and the discriminator's ``"auc"``."""
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
        """One step of encoder and classifier; give cross-entropy and entropy before."""
        z_l, z_u = self.encoder(x_l), self.encoder(x_u)
        fit = F.cross_entropy(self.classifier(z_l), y)
        entropy = self.entropy(z_u)
        seen = hiding_loss(self.discriminator, z_l, z_u)
        # The classifier raises the entropy; reversed, the encoder lowers it.
        loss = fit - self.entropy_weight * entropy + self.adversary_weight * seen
        self._own_optimizer.zero_grad()
        loss.backward()
        self._own_optimizer.step()
        return fit.detach(), entropy.detach()

    def entropy(self, z: Tensor) -> Tensor:
        """Mean entropy of the classes of features, its gradient by them reversed."""
        return mean_entropy(self.classifier(reverse_gradient(z)))

    def discriminator_step(self, x_l: Tensor, x_u: Tensor) -> Tensor:
        """One step of the discriminator; give its loss before."""
        with torch.no_grad():
            z_l, z_u = self.encoder(x_l), self.encoder(x_u)
        loss = discrimination_loss(self.discriminator, z_l, z_u)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.detach()

    def read(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, of some rows at a time, the logit to be labeled and the entropy."""
        with torch.no_grad():
            for part in x.split(4096):
                z = self.encoder(part)
                log_p = self.classifier(z).log_softmax(dim=1)
                yield self.discriminator(z)[:, 0], -(log_p.exp() * log_p).sum(dim=1)
