"""Loss minimized by each step of autoencoder and discriminator."""

from __future__ import annotations

import copy

import pytest
import torch

from skal.adversarial import Batches, BetaVAE, VAEGame, unfamiliarity_net
from skal.adversarial.training import discrimination_loss, hiding_loss


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(beta=0.1, weight=1.0, lr=1e-3) -> VAEGame:
    torch.manual_seed(0)
    return VAEGame(BetaVAE.sized(4, 2), unfamiliarity_net(2), beta, weight, lr, rng())


X_L = torch.randn(30, 4, generator=rng(1))
X_U = torch.randn(50, 4, generator=rng(2)) + 1


@pytest.mark.parametrize("weight", [0.0, 2.5])
def test_a_step_of_the_autoencoder_lowers_its_loss_and_moves_nothing_else(weight):
    game = make(weight=weight)
    before = copy.deepcopy(game.discriminator.state_dict())

    @torch.no_grad()
    def loss() -> float:
        draw = rng(9)
        own_l, mean_l = game.vae.loss(X_L, game.beta, draw)
        own_u, mean_u = game.vae.loss(X_U, game.beta, draw)
        hiding = hiding_loss(game.discriminator, mean_l, mean_u)
        return float(own_l + own_u + weight * hiding)

    game._rng = rng(9)
    first = loss()
    assert float(game.vae_step(X_L, X_U)) == pytest.approx(first, rel=1e-6)
    assert loss() < first
    for name, value in game.discriminator.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_step_of_the_discriminator_lowers_its_loss_and_moves_nothing_else():
    game = make()
    before = copy.deepcopy(game.vae.state_dict())

    @torch.no_grad()
    def loss() -> float:
        means = game.vae.mean(X_L), game.vae.mean(X_U)
        return float(discrimination_loss(game.discriminator, *means))

    first = loss()
    assert float(game.discriminator_step(X_L, X_U)) == pytest.approx(first, rel=1e-6)
    assert loss() < first
    for name, value in game.vae.state_dict().items():
        assert torch.equal(value, before[name])


def test_two_steps_of_the_autoencoder_for_each_of_the_discriminator(monkeypatch):
    game, played = make(), []
    for name in ("vae_step", "discriminator_step"):
        step = getattr(game, name)

        def record(*args, name=name, step=step):
            played.append((name, len(args[0]), len(args[1])))
            return step(*args)

        monkeypatch.setattr(game, name, record)
    result = game.epoch(X_L, X_U, Batches(30, 50, 20, 1000, rng()))
    assert played == [
        (name, 20, n)
        for n in (20, 20, 10)
        for name in ("vae_step", "vae_step", "discriminator_step")
    ]
    assert result.keys() == {"vae_loss", "discriminator_loss", "auc"}


def test_logits_read_the_mean_of_the_code_in_blocks():
    game = make()
    x = torch.randn(5000, 4, generator=rng(5))
    with torch.no_grad():
        expected = game.discriminator(game.vae.encoder(x)[:, :2])[:, 0]
    torch.testing.assert_close(game.logits(x), expected)


def test_logits_of_a_row_do_not_depend_on_chance_or_on_the_rows_beside_it():
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(
        torch.nn.Linear(4, 8),
        torch.nn.BatchNorm1d(8),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(8, 4),
    )
    discriminator = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(2, 1))
    vae = BetaVAE(encoder, BetaVAE.sized(4, 2).decoder)
    game = VAEGame(vae, discriminator, 0.1, 1.0, 1e-3, rng())
    game.epoch(X_L, X_U, Batches(30, 50, 10, 50, rng()))
    before = copy.deepcopy(encoder.state_dict())
    logits = game.logits(X_U)
    torch.testing.assert_close(game.logits(X_U[:1]), logits[:1])
    torch.testing.assert_close(game.logits(X_U), logits)
    torch.testing.assert_close(encoder.state_dict(), before, rtol=0, atol=0)
    assert encoder.training
    assert discriminator.training
