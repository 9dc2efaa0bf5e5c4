"""The minimax game: which step raises the entropy and which lowers it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skal.adversarial import (
    Batches,
    Body,
    CosineClassifier,
    MinimaxGame,
    unfamiliarity_net,
)
from skal.adversarial.minimax import mean_entropy


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


X_L = torch.randn(30, 4, generator=rng(1))
Y = X_L[:, :3].argmax(dim=1)
X_U = torch.randn(50, 4, generator=rng(2))


def make(entropy_weight=1.0, adversary_weight=0.0, lr=1e-3) -> MinimaxGame:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    return MinimaxGame(
        Body(module, "2"),
        CosineClassifier(16, 3, 0.3),
        unfamiliarity_net(16),
        entropy_weight,
        adversary_weight,
        lr,
    )


def entropy_of(game: MinimaxGame) -> float:
    with torch.no_grad():
        return float(mean_entropy(game.classifier(game.encoder(X_U))))


def test_mean_entropy():
    logits = torch.randn(6, 4, generator=rng())
    expected = torch.distributions.Categorical(logits=logits).entropy().mean()
    torch.testing.assert_close(mean_entropy(logits), expected)
    certain = mean_entropy(torch.tensor([[0.0, 1e4]]))
    assert float(certain) == 0


@pytest.mark.parametrize(("part", "sign"), [("encoder", -1), ("classifier", 1)])
def test_a_step_of_the_encoder_lowers_the_entropy_and_one_of_the_classifier_raises_it(
    part, sign
):
    game = make()
    before = entropy_of(game)
    loss = -game.entropy(game.encoder(X_U))  # as it stands in the step
    loss.backward()
    with torch.no_grad():
        for p in getattr(game, part).parameters():
            if p.grad is not None:  # the head has none: features end before it
                p -= 1e-2 * p.grad
    assert sign * (entropy_of(game) - before) > 1e-6


@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.7, 0.0), (0.0, 0.4), (0.7, 0.4)])
def test_gradients_of_a_step_are_those_of_the_two_losses(weights):
    game = make(*weights)
    reference = copy.deepcopy(game)
    z_l, z_u = reference.encoder(X_L), reference.encoder(X_U)
    fit = F.cross_entropy(reference.classifier(z_l), Y)
    entropy = mean_entropy(reference.classifier(z_u))
    net = reference.discriminator
    cross = F.binary_cross_entropy_with_logits
    seen = sum(cross(net(z), torch.ones(len(z), 1)) for z in (z_l, z_u))
    of_encoder = fit + weights[0] * entropy + weights[1] * seen
    of_classifier = fit - weights[0] * entropy
    encoder = [*reference.encoder.parameters()][:2]
    expected = [
        *torch.autograd.grad(of_encoder, encoder, retain_graph=True),
        *torch.autograd.grad(of_classifier, reference.classifier.weight),
    ]
    game.own_step(X_L, Y, X_U)
    own = [*[*game.encoder.parameters()][:2], game.classifier.weight]
    for p, gradient in zip(own, expected, strict=True):
        torch.testing.assert_close(p.grad, gradient)


def test_the_discriminator_learns_and_what_is_read_is_of_each_row():
    game = make(adversary_weight=0.1)
    moved = X_U + 3
    batches = Batches(30, 50, 10, 100, rng())
    history = [game.epoch(X_L, Y, moved, batches) for _ in range(25)]
    assert history[-1]["auc"] > 0.9
    assert history[-1]["classification_loss"] < history[0]["classification_loss"]
    logits, entropy = zip(*game.read(moved), strict=True)
    with torch.no_grad():
        z = game.encoder(moved)
        torch.testing.assert_close(logits[0], game.discriminator(z)[:, 0])
        own = torch.distributions.Categorical(logits=game.classifier(z)).entropy()
    torch.testing.assert_close(entropy[0], own, atol=1e-5, rtol=1e-4)
