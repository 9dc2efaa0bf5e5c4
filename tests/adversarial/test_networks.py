"""Small networks against closed forms and functions of torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from skal.adversarial import (
    BetaVAE,
    Body,
    CosineClassifier,
    reverse_gradient,
    unfamiliarity_net,
)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("beta", [0.0, 0.1, 7.0])
def test_loss_of_the_autoencoder(beta):
    torch.manual_seed(0)
    vae, x = BetaVAE.sized(6, 3), torch.randn(5, 6)
    loss, mean = vae.loss(x, beta, rng())
    mu, log_var = vae.encoder(x)[:, :3], vae.encoder(x)[:, 3:]
    assert torch.equal(mean, mu)
    assert torch.equal(vae.mean(x), mu)
    own = Normal(mu, (log_var / 2).exp())
    code = mu + own.scale * torch.randn(5, 3, generator=rng())
    error = (vae.decoder(code) - x).square().sum() / (5 * 6)
    divergence = kl_divergence(own, Normal(0.0, 1.0)).sum() / 5
    torch.testing.assert_close(loss, error + beta * divergence / 6)


@pytest.mark.parametrize(("n_features", "width"), [(4, 64), (100, 200), (3000, 512)])
def test_sizes_follow_the_data(n_features, width):
    vae = BetaVAE.sized(n_features, 3)
    sizes = [m.out_features for m in vae.modules() if isinstance(m, nn.Linear)]
    assert sizes == [width, width, 6, width, width, n_features]
    assert unfamiliarity_net(3)(torch.zeros(7, 3)).shape == (7, 1)


def test_cosine_classifier():
    torch.manual_seed(0)
    classifier, z = CosineClassifier(4, 3, 0.5), torch.randn(6, 4)
    cosines = nn.functional.cosine_similarity(z[:, None], classifier.weight, dim=2)
    torch.testing.assert_close(classifier(z), cosines / 0.5)
    torch.testing.assert_close(classifier(9 * z), classifier(z))


def test_reversed_gradient():
    x = torch.randn(5, requires_grad=True)
    assert torch.equal(reverse_gradient(x), x)
    reverse_gradient(x, 0.5).pow(3).sum().backward()
    torch.testing.assert_close(x.grad, -1.5 * x.detach().square())


X = torch.randn(50, 4, generator=rng())


def test_the_body_gives_what_goes_into_the_head_at_unit_length():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    expected = nn.functional.normalize(module[:2](X))
    torch.testing.assert_close(Body(module, "2")(X), expected)
    assert not module[2]._forward_pre_hooks


def test_the_body_of_a_module_that_names_what_it_gives_its_head():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(input=self.body(x))

    module = Named()
    expected = nn.functional.normalize(module.body(X))
    torch.testing.assert_close(Body(module, "head")(X), expected)
