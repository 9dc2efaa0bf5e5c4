"""Noise on weights: lengths, directions, and the expectations of the theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from skal.posteriors import WeightNoise, perturb_weights
from skal.rng import seed_from
from tests.posteriors.helpers import X, draw, fit, unchanged


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)
    ).double()


def draws(module: nn.Module, scaling: str, scale: float, n: int) -> list[dict]:
    rng = torch.Generator().manual_seed(1)
    return [perturb_weights(module, scaling, scale, rng) for _ in range(n)]


def parameters(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in module.named_parameters()}


def test_per_tensor_moves_each_weight_by_its_own_norm_and_no_bias():
    module = net()
    clean = parameters(module)
    for drawn in draws(module, "per_tensor", 0.01, 3):
        assert set(drawn) == {"0.weight", "2.weight", "4.weight"}
        for name, weight in drawn.items():
            ratio = float((weight - clean[name]).norm() / clean[name].norm())
            assert ratio == pytest.approx(0.01, rel=1e-6)
    assert all(torch.equal(p, clean[n]) for n, p in module.named_parameters())


def test_global_moves_all_parameters_together():
    module = net()
    clean = parameters(module)
    total = math.sqrt(sum(float(p.square().sum()) for p in clean.values()))
    for drawn in draws(module, "global", 0.01, 3):
        assert set(drawn) == set(clean)
        moved = sum(float((drawn[n] - p).square().sum()) for n, p in clean.items())
        assert math.sqrt(moved) / total == pytest.approx(0.01, rel=1e-6)


def test_directions_are_isotropic():
    module = nn.Linear(50, 1, bias=False).double()
    steps = [d["weight"] - module.weight for d in draws(module, "per_tensor", 1, 400)]
    u = torch.stack(steps).detach().flatten(1) / module.weight.norm().detach()
    # A coordinate of a uniform direction in n dimensions is N(0, 1/n) but for O(1/n).
    assert kstest(u[:, :5].flatten() * math.sqrt(50), norm.cdf).pvalue > 1e-3
    assert abs(float((u @ u.T).fill_diagonal_(0).mean())) < 1e-2


class Tied(nn.Module):
    """Two layers that share a weight, and an activation that has none."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.act = nn.PReLU()
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.act(self.first(x)))


def test_tied_weights_are_moved_once_and_together():
    module = Tied()
    (drawn,) = draws(module, "per_tensor", 0.1, 1)
    assert set(drawn) == {"first.weight", "act.weight"}
    x = torch.randn(5, 4)
    by_call = functional_call(module, drawn, (x,))
    with torch.no_grad():
        module.first.weight.copy_(drawn["first.weight"])
        module.act.weight.copy_(drawn["act.weight"])
    assert torch.allclose(by_call, module(x))


def test_zero_weights_stay():
    module = nn.Linear(3, 2)
    nn.init.zeros_(module.weight)
    (drawn,) = draws(module, "per_tensor", 0.1, 1)
    assert not drawn["weight"].any()


@pytest.mark.parametrize("scaling", ["global", "per_tensor"])
def test_expected_deviation_is_that_of_the_jacobian(scaling):
    # E|f(t + dt) - f(t)|^2: globally z^2 |t|^2 |J|^2 / n, per tensor the sum of
    # z^2 |W_l|^2 |J_l|^2 / n_l; inner products follow tr(J_x J_y^T).
    module, scale = net(), 1e-3
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)).double()
    clean = parameters(module)
    jac = jacrev(lambda p: functional_call(module, p, (x,)))(clean)
    flat = {name: j.flatten(2) for name, j in jac.items()}  # (rows, outputs, n_l)
    if scaling == "per_tensor":
        flat = {name: j for name, j in flat.items() if "weight" in name}
        size = {n: float(clean[n].square().sum()) / clean[n].numel() for n in flat}
    else:
        total = sum(float(p.square().sum()) for p in clean.values())
        size = dict.fromkeys(flat, total / sum(p.numel() for p in clean.values()))
    gram = sum(
        size[name] * torch.einsum("xcn,ycn->xy", j, j) for name, j in flat.items()
    )
    with torch.no_grad():
        delta = torch.stack(
            [
                functional_call(module, drawn, (x,)) - module(x)
                for drawn in draws(module, scaling, scale, 6000)
            ]
        )
    seen = torch.einsum("kxc,kyc->xy", delta, delta) / len(delta)
    np.testing.assert_allclose(
        (seen / (scale**2 * gram)).diagonal(), np.ones(4), atol=0.05
    )
    worst = (seen / scale**2 - gram).abs().max() / gram.abs().max()
    assert float(worst) < 0.05


def test_a_linear_head_is_exact_at_any_scale():
    # |dW| is fixed, so E|dW x|^2 = z^2 |W|^2 |x|^2 / d whatever z is.
    module, scale = nn.Linear(6, 3, bias=False).double(), 50.0
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(3)).double()
    weights = [d["weight"] for d in draws(module, "per_tensor", scale, 6000)]
    with torch.no_grad():
        delta = x @ (torch.stack(weights) - module.weight).mT
        expected = scale**2 * module.weight.square().sum() * x.square().sum(1) / 6
    np.testing.assert_allclose(
        delta.square().sum(2).mean(0) / expected, np.ones(4), atol=0.05
    )


# -- as a posterior -----------------------------------------------------------------


@pytest.mark.on_cpu
@pytest.mark.parametrize("scaling", ["per_tensor", "global"])
def test_draws_are_the_net_by_perturbed_weights(scaling):
    net = fit()
    with unchanged(net):
        draws = draw(WeightNoise(n_draws=3, noise_scale=0.2, scaling=scaling), net)
        outputs = draws.collect()
    assert torch.equal(draws.collect(), outputs)
    rng = torch.Generator().manual_seed(0)
    module = net.module_.eval()
    for output in outputs:
        own = torch.Generator().manual_seed(int(seed_from(rng)))
        weights = perturb_weights(module, scaling, 0.2, own)
        with torch.no_grad():
            logits = functional_call(module, weights, (torch.from_numpy(X),))
        assert torch.allclose(output, logits.double().softmax(1), atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_draws": 0}, "n_draws must be an int"),
        ({"noise_scale": 0}, "noise_scale must be a number above 0"),
        ({"scaling": "loud"}, "scaling must be one of"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        draw(WeightNoise(**parameters), fit())


@pytest.mark.parametrize("scaling", ["per_tensor", "global"])
def test_complex_weights_move_in_both_parts(scaling):
    module = nn.Module()
    module.weight = nn.Parameter(torch.randn(300, 4, dtype=torch.complex64))
    rng = torch.Generator().manual_seed(0)
    moved = perturb_weights(module, scaling, 0.1, rng)["weight"]
    step = torch.view_as_real((moved - module.weight).detach())
    norm = torch.view_as_real(module.weight.detach()).norm()
    torch.testing.assert_close(step.norm(), 0.1 * norm)
    real, imaginary = step.square().mean(dim=(0, 1))
    assert 0.8 < real / imaginary < 1.25
