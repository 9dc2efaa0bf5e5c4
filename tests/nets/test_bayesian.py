from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import LRScheduler
from skorch.dataset import ValidSplit
from torch import nn
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl
from torch.func import functional_call
from torch.nn import functional as F

from skal.nets import NetClassifier, NetRegressor
from skal.nets.bayesian import (
    BayesianMLP,
    BayesLinear,
    GaussianNLL,
    kl_divergence,
    one_draw,
    sample_weights,
)
from tests.nets.helpers import blobs, line


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spread_out(module: nn.Module, seed: int = 0) -> nn.Module:
    """Set means and scales to values that all differ."""
    rng = seeded(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return module


def posterior(module: nn.Module) -> list[Normal]:
    """Gaussian of each weight and bias of the module's Bayesian layers."""
    return [
        Normal(mu, F.softplus(rho))
        for layer in module.modules()
        if isinstance(layer, BayesLinear)
        for mu, rho in [
            (layer.weight_mu, layer.weight_rho),
            (layer.bias_mu, layer.bias_rho),
        ]
        if mu is not None
    ]


@pytest.mark.parametrize("prior_scale", [0.3, 2.5])
def test_divergence_is_that_of_torch(prior_scale: float) -> None:
    module = spread_out(BayesianMLP(3, 2, (5,), prior_scale=prior_scale))
    prior = Normal(0.0, prior_scale)
    expected = sum(torch_kl(q, prior).sum() for q in posterior(module))
    assert kl_divergence(module).item() == pytest.approx(expected.item(), rel=1e-5)


def test_divergence_is_the_mean_log_ratio_of_draws() -> None:
    layer = spread_out(BayesLinear(2, 2, prior_scale=0.7))
    prior, rng, ratios = Normal(0.0, 0.7), seeded(1), []
    for _ in range(4000):
        draws = sample_weights(layer, rng)
        ratios.append(
            sum(
                (q.log_prob(w) - prior.log_prob(w)).sum().item()
                for q, w in zip(posterior(layer), draws.values(), strict=True)
            )
        )
    error = np.std(ratios) / np.sqrt(len(ratios))
    assert kl_divergence(layer).item() == pytest.approx(np.mean(ratios), abs=4 * error)


def test_divergence_counts_a_shared_layer_once_and_others_not_at_all() -> None:
    layer = BayesLinear(3, 3)
    shared = nn.Sequential(layer, nn.Linear(3, 3), layer)
    torch.testing.assert_close(kl_divergence(shared), layer.kl_divergence())
    assert kl_divergence(nn.Linear(3, 3)).item() == 0


@pytest.mark.parametrize("scale", [1e-4, 0.02, 200.0])
def test_scale_at_the_start(scale: float) -> None:
    layer = BayesLinear(3, 2, initial_scale=scale)
    torch.testing.assert_close(
        F.softplus(layer.weight_rho), torch.full((2, 3), scale), rtol=1e-4, atol=0
    )


def test_training_draws_and_eval_uses_the_means() -> None:
    layer = spread_out(BayesLinear(3, 2))
    X = torch.randn(5, 3, generator=seeded())
    torch.manual_seed(0)
    drawn = torch.stack([layer(X) for _ in range(4000)]).detach()
    mean = F.linear(X, layer.weight_mu, layer.bias_mu).detach()
    variance = F.linear(
        X.square(), F.softplus(layer.weight_rho) ** 2, F.softplus(layer.bias_rho) ** 2
    ).detach()
    error = (variance / 4000).sqrt()
    assert ((drawn.mean(0) - mean).abs() < 4.5 * error).all()
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.12, atol=0)
    layer.eval()
    assert torch.equal(layer(X), mean)
    assert torch.equal(layer(X), layer(X))


def test_one_draw_serves_the_whole_batch() -> None:
    layer = spread_out(BayesLinear(3, 2))
    outputs = layer(torch.ones(4, 3))
    torch.testing.assert_close(outputs, outputs[:1].expand(4, 2))


@pytest.mark.parametrize("bias", [True, False])
def test_samples_have_the_posterior_mean_and_scale(bias: bool) -> None:
    layer = spread_out(BayesLinear(2, 3, bias=bias))
    rng = seeded(3)
    draws = [sample_weights(layer, rng) for _ in range(4000)]
    assert set(draws[0]) == ({"weight_mu", "bias_mu"} if bias else {"weight_mu"})
    weights = torch.stack([d["weight_mu"] for d in draws])
    scale = F.softplus(layer.weight_rho).detach()
    assert (
        (weights.mean(0) - layer.weight_mu).abs() < 4.5 * scale / np.sqrt(4000)
    ).all()
    torch.testing.assert_close(weights.std(0), scale, rtol=0.06, atol=0)


def test_samples_are_seeded_and_leave_module_and_global_rng_alone() -> None:
    module = spread_out(BayesianMLP(2, 1, (3,)))
    before = {k: v.clone() for k, v in module.state_dict().items()}
    state = torch.get_rng_state()
    first, again = sample_weights(module, seeded()), sample_weights(module, seeded())
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not any(first[k].requires_grad for k in first)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_samples_replace_the_weights_of_a_functional_call() -> None:
    module = spread_out(BayesianMLP(2, 1, (3,))).eval()
    X = torch.randn(4, 2, generator=seeded())
    w = sample_weights(module, seeded(5))
    hidden = torch.relu(X @ w["body.0.weight_mu"].T + w["body.0.bias_mu"])
    expected = hidden @ w["head.weight_mu"].T + w["head.bias_mu"]
    torch.testing.assert_close(functional_call(module, w, X), expected)


def test_samples_need_a_bayesian_layer() -> None:
    with pytest.raises(ValueError, match="Linear has no Bayesian layer"):
        sample_weights(nn.Linear(2, 1), seeded())


def test_scales_are_positive() -> None:
    for name in ("prior_scale", "initial_scale"):
        with pytest.raises(ValueError, match=f"{name} must be above 0, got 0"):
            BayesLinear(2, 1, **{name: 0.0})
    with pytest.raises(ValueError, match="noise_scale must be above 0, got -1"):
        GaussianNLL(noise_scale=-1)


def test_likelihood_is_that_of_torch_without_its_constant() -> None:
    f, y = torch.randn(2, 6, 1, generator=seeded())
    full = -Normal(f, 0.3).log_prob(y) - np.log(0.3 * np.sqrt(2 * np.pi))
    torch.testing.assert_close(GaussianNLL(0.3)(f, y), full.mean())
    torch.testing.assert_close(GaussianNLL(0.3, reduction="none")(f, y), full)


@pytest.mark.on_cpu
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("Net", [NetClassifier, NetRegressor])
def test_the_loss_of_an_epoch_contains_the_divergence_once(
    Net: Any, weighted: bool, reduction: str
) -> None:
    # A tiny scale removes the noise of draws, a learning rate of 0 any change.
    X, y = blobs(50)
    net = Net(
        BayesianMLP,
        module__hidden_sizes=(4,),
        module__initial_scale=1e-7,
        criterion__reduction=reduction,
        lr=0.0,
        max_epochs=1,
        batch_size=16,
        random_state=0,
    )
    net.fit(X, y, sample_weight=np.ones(50) if weighted else None)
    outputs = net.module_.eval()(torch.from_numpy(X)).detach()
    if Net is NetClassifier:
        losses = F.cross_entropy(outputs, torch.from_numpy(y), reduction="none")
    else:
        losses = (outputs[:, 0] - torch.from_numpy(y)).square()
    total = losses.sum() + kl_divergence(net.module_).detach()
    batches = net.history_[-1, "batches", :, "train_loss"]
    sizes = net.history_[-1, "batches", :, "train_batch_size"]
    if reduction == "mean":
        batches = np.multiply(batches, sizes)
    assert sum(batches) == pytest.approx(total.item(), rel=1e-4)


@pytest.mark.on_cpu
def test_divergence_is_shared_by_the_rows_that_train() -> None:
    X, y = blobs(50)
    net = NetClassifier(
        BayesianMLP,
        module__hidden_sizes=(4,),
        module__initial_scale=1e-7,
        train_split=ValidSplit(5),
        lr=0.0,
        max_epochs=1,
        random_state=0,
    ).fit(X, y)
    _, valid = net.get_split_datasets(X, y)
    net.module_.eval()
    bare = F.cross_entropy(
        net.module_(torch.from_numpy(X[valid.indices])),
        torch.from_numpy(y[valid.indices]),
    )
    assert net.history_[-1, "valid_loss"] == pytest.approx(bare.item(), rel=1e-4)
    train = np.delete(np.arange(50), valid.indices)
    bare = F.cross_entropy(
        net.module_(torch.from_numpy(X[train])), torch.from_numpy(y[train])
    )
    share = kl_divergence(net.module_).item() / 40
    assert net.history_[-1, "train_loss"] == pytest.approx(
        bare.item() + share, rel=1e-4
    )


@pytest.mark.on_cpu
def test_nets_without_bayesian_layers_have_no_divergence() -> None:
    X, y = blobs(30)
    net = NetClassifier(lr=0.0, max_epochs=1, random_state=0).fit(X, y)
    outputs = net.module_(torch.from_numpy(X))
    bare = F.cross_entropy(outputs, torch.from_numpy(y)).item()
    assert net.history_[-1, "train_loss"] == pytest.approx(bare, rel=1e-4)


def linear_regression(n_rows: int, noise: float, prior_scale: float) -> NetRegressor:
    """Fit weight and bias; x is centered, so that they are independent."""
    X = np.linspace(-1, 1, n_rows, dtype=np.float32)[:, None]
    y = 0.8 * X[:, 0] + 0.3
    return NetRegressor(
        BayesianMLP,
        module__hidden_sizes=(),
        module__prior_scale=prior_scale,
        criterion=GaussianNLL,
        criterion__noise_scale=noise,
        lr=0.05,
        max_epochs=800,
        batch_size=-1,
        # Each step sees one draw of the weights: small steps at the end average them.
        callbacks=[LRScheduler("CosineAnnealingLR", T_max=800)],
        random_state=0,
    ).fit(X, y)


def test_linear_regression_finds_the_exact_posterior() -> None:
    n_rows, noise, prior_scale = 12, 0.5, 0.7
    head = linear_regression(n_rows, noise, prior_scale).module_.head
    squares = (np.linspace(-1, 1, n_rows) ** 2).sum()
    for mu, rho, data, truth in [
        (head.weight_mu, head.weight_rho, squares / noise**2, 0.8),
        (head.bias_mu, head.bias_rho, n_rows / noise**2, 0.3),
    ]:
        precision = 1 / prior_scale**2 + data
        assert F.softplus(rho).item() == pytest.approx(precision**-0.5, rel=0.05)
        assert mu.item() == pytest.approx(truth * data / precision, abs=0.05)


def test_prior_is_recovered_if_data_are_uninformative() -> None:
    head = linear_regression(12, noise=1e3, prior_scale=0.7).module_.head
    for mu, rho in [
        (head.weight_mu, head.weight_rho),
        (head.bias_mu, head.bias_rho),
    ]:
        assert F.softplus(rho).item() == pytest.approx(0.7, rel=0.01)
        assert mu.item() == pytest.approx(0, abs=0.01)


def predictive_std(net: NetRegressor, x: list[float]) -> np.ndarray:
    """Standard deviation over draws of the posterior at some inputs."""
    X, rng = torch.tensor(x)[:, None], seeded(1)
    module = net.module_.eval()
    with torch.no_grad():
        draws = [
            functional_call(module, sample_weights(module, rng), X) for _ in range(300)
        ]
    return torch.stack(draws).std(0)[:, 0].numpy()


@pytest.mark.on_cpu
def test_posterior_contracts_with_data_and_widens_away_from_them() -> None:
    def fit(n_rows: int) -> NetRegressor:
        X = np.linspace(-1, 1, n_rows, dtype=np.float32)[:, None]
        return NetRegressor(
            BayesianMLP,
            module__hidden_sizes=(16,),
            criterion=GaussianNLL,
            criterion__noise_scale=0.1,
            lr=0.02,
            max_epochs=600,
            batch_size=-1,
            random_state=0,
        ).fit(X, np.sin(2 * X[:, 0]))

    few, many = predictive_std(fit(6), [0.0, 4.0]), predictive_std(fit(200), [0.0, 4.0])
    assert many[0] < 0.7 * few[0]
    assert few[1] > 2 * few[0]
    assert many[1] > 4 * many[0]


def test_bayesian_nets_are_estimators() -> None:
    X, y = line(40)
    net = NetRegressor(
        BayesianMLP, module__hidden_sizes=(4,), max_epochs=3, random_state=0
    )
    search = GridSearchCV(net, {"module__prior_scale": [0.1, 1.0]}, cv=2).fit(X, y)
    best = search.best_estimator_
    assert best.module_.head.prior_scale == search.best_params_["module__prior_scale"]
    expected = best.predict(X)
    again = clone(best).fit(X, y).predict(X)
    np.testing.assert_array_equal(expected, again)
    np.testing.assert_array_equal(expected, pickle.loads(pickle.dumps(best)).predict(X))


def test_training_is_seeded_and_leaves_global_rng_alone() -> None:
    X, y = blobs(40)
    state = torch.get_rng_state()
    nets = [
        NetClassifier(BayesianMLP, max_epochs=2, random_state=seed).fit(X, y)
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    proba = [net.predict_proba(X) for net in nets]
    np.testing.assert_array_equal(proba[0], proba[1])
    assert not np.array_equal(proba[0], proba[2])


class Tied(nn.Module):
    """Uses one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = BayesLinear(2, 2, initial_scale=1.0, bias=False)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        self.passes = self.layer(X), self.layer(X)
        return self.passes[0] + self.passes[1]


def test_a_step_has_one_draw_of_a_layer_used_twice() -> None:
    seen = []

    class Watched(Tied):
        def forward(self, X: torch.Tensor) -> torch.Tensor:
            outputs = super().forward(X)
            seen.append([part.detach().clone() for part in self.passes])
            return outputs

    X = np.ones((8, 2), dtype=np.float32)
    NetRegressor(Watched, max_epochs=3, batch_size=4, random_state=0).fit(X, X)
    steps = [first for first, second in seen if torch.equal(first, second)]
    assert len(steps) == len(seen) == 6
    assert not torch.equal(steps[0], steps[1])  # a new draw for the next one
    module = Tied()
    module(torch.ones(4, 2))
    assert not torch.equal(*module.passes)  # by itself, a layer draws each time
    with one_draw(module):
        module(torch.ones(4, 2))
    assert torch.equal(*module.passes)
    assert module.layer._kept is None


@pytest.mark.on_cpu
@pytest.mark.parametrize("n_targets", [1, 4])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_several_targets_have_the_posterior_of_one(
    n_targets: int, reduction: str
) -> None:
    # Each target has weights of its own, so that its posterior does not depend on the
    # number of the others: without its share of the loss, it is twice as wide at four.
    n_rows, noise, prior_scale = 12, 0.5, 0.7
    X = np.linspace(-1, 1, n_rows, dtype=np.float32)[:, None]
    Y = np.repeat(0.8 * X + 0.3, n_targets, axis=1)
    head = (
        NetRegressor(
            BayesianMLP,
            module__hidden_sizes=(),
            module__prior_scale=prior_scale,
            criterion=GaussianNLL,
            criterion__noise_scale=noise,
            criterion__reduction=reduction,
            lr=0.05,
            max_epochs=800,
            batch_size=-1,
            callbacks=[LRScheduler("CosineAnnealingLR", T_max=800)],
            random_state=0,
        )
        .fit(X, Y)
        .module_.head
    )
    precision = 1 / prior_scale**2 + (X**2).sum() / noise**2
    scale = F.softplus(head.weight_rho).detach().numpy()
    np.testing.assert_allclose(scale, precision**-0.5, rtol=0.2)
    precision = 1 / prior_scale**2 + n_rows / noise**2
    scale = F.softplus(head.bias_rho).detach().numpy()
    np.testing.assert_allclose(scale, precision**-0.5, rtol=0.2)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_of_one_change_nothing_with_several_targets(reduction: str) -> None:
    X, y = line(40)
    Y = np.c_[y, -y]
    options: dict[str, Any] = {
        "criterion__reduction": reduction,
        "max_epochs": 2,
        "lr": 0.0,
        "random_state": 0,
    }
    plain = NetRegressor(**options).fit(X, Y).history[:, "train_loss"]
    ones = NetRegressor(**options).fit(X, Y, sample_weight=np.ones(40))
    np.testing.assert_allclose(ones.history[:, "train_loss"], plain, rtol=1e-5)
