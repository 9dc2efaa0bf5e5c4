from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import LRScheduler
from torch import Tensor, nn

from skal.nets import (
    MLP,
    DeepEnsembleRegressor,
    NetClassifier,
    NetRegressor,
    SplitHeadEnsembleRegressor,
    TabularMLP,
)
from skal.nets.rates import (
    Course,
    Recipe,
    has_factors,
    parameter_groups,
    set_rates,
    warm_cosine,
)
from tests.nets.helpers import blobs, line, states_equal

X, Y = line(40)
SMALL: dict[str, Any] = {"module__hidden_sizes": (6, 5), "random_state": 0}


def rate(t: float) -> float:
    """The rate at a share of the fit, relative to the largest."""
    return t / 0.1 if t < 0.1 else (1 + math.cos(math.pi * (t - 0.1) / 0.9)) / 2


def train_by_hand(
    module: TabularMLP, X: Tensor, y: Tensor, n_steps: int, lr: float, decay: float
) -> None:
    """Train on all rows at once, as the notes of NetRegressor say."""
    factors = module.lr_factors()
    groups = []
    for name, p in module.named_parameters():
        layer = module.get_submodule(name.rpartition(".")[0])
        decays = isinstance(layer, nn.Linear) and name.endswith("weight")
        own = decay / factors[name] if decays else 0.0
        groups.append({"params": [p], "weight_decay": own, "factor": factors[name]})
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95))
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * group["factor"] * rate((step + 0.5) / n_steps)
        optimizer.zero_grad()
        outputs = module(X)
        if y.dtype == torch.long:
            nn.functional.cross_entropy(outputs, y).backward()
        else:
            nn.functional.mse_loss(outputs[:, 0], y).backward()
        optimizer.step()


@pytest.mark.on_cpu
@pytest.mark.parametrize("n_rows", [40, 1000])
@pytest.mark.parametrize("Net", [NetClassifier, NetRegressor])
def test_training_is_that_of_a_loop_written_by_hand(Net: Any, n_rows: int) -> None:
    rows, y = blobs(n_rows) if Net is NetClassifier else line(n_rows)
    options = {**SMALL, "module__dropout": 0.0, "module__periodic": [0]}
    options |= {"batch_size": -1, "iterator_train__shuffle": False}
    module = Net(max_epochs=0, **options).fit(rows, y).module_
    lr, decay = (0.03, 1.0) if Net is NetClassifier else (0.05, 0.1)
    decay *= min(1, 400 / n_rows)
    train_by_hand(module, torch.from_numpy(rows), torch.from_numpy(y), 23, lr, decay)
    net = Net(max_epochs=23, **options).fit(rows, y)
    for name, value in module.state_dict().items():
        torch.testing.assert_close(
            net.module_.state_dict()[name], value, rtol=1e-4, atol=1e-5
        )


def rates_of(net: Any) -> list[float]:
    """Rate of the head's bias, whose factor is .1, in each step of a fit."""
    seen = []
    step = net.train_step

    def noting(batch: Any, **kw: Any) -> Any:
        groups = net.optimizer_.param_groups
        bias = net.module_.head.bias
        seen.extend(g["lr"] for g in groups if any(p is bias for p in g["params"]))
        return step(batch, **kw)

    net.train_step = noting
    net.fit(X, Y)
    del net.train_step
    return seen


@pytest.mark.parametrize("batch_size", [16, 64])
def test_each_fit_has_one_course_of_rates(batch_size: int) -> None:
    net = NetRegressor(max_epochs=4, batch_size=batch_size, **SMALL)
    n_steps = 4 * math.ceil(len(X) / batch_size)
    expected = [0.005 * rate((k + 0.5) / n_steps) for k in range(n_steps)]
    assert rates_of(net) == pytest.approx(expected)
    assert net.optimizer_.param_groups[-1]["lr"] > 0.004  # the next fit begins anew
    net.set_params(warm_start=True)
    assert rates_of(net) == pytest.approx(expected)
    assert "_course" not in vars(net)


def test_a_number_is_the_rate_of_all_parameters() -> None:
    net = NetRegressor(lr=0.02, max_epochs=3, **SMALL)
    assert rates_of(net) == [0.02] * 3
    (group,) = net.optimizer_.param_groups
    assert group["betas"] == (0.9, 0.999)


@pytest.mark.parametrize(
    "options",
    [
        {"module": MLP},
        {"optimizer": torch.optim.SGD},
        {"optimizer__param_groups": [("head.*", {"momentum": 0.0})]},
    ],
    ids=["no factors", "not Adam", "own groups"],
)
def test_other_modules_and_optimizers_have_a_constant_rate(options: Any) -> None:
    if "optimizer__param_groups" in options:
        options = {**options, "optimizer": torch.optim.SGD}
    assert rates_of(NetRegressor(max_epochs=3, **SMALL, **options)) == [1e-3] * 3


def test_a_rate_of_the_optimizer_takes_precedence() -> None:
    net = NetRegressor(max_epochs=3, optimizer__lr=0.01, **SMALL)
    assert rates_of(net) == [0.01] * 3


def test_parameters_of_the_optimizer_are_respected() -> None:
    net = NetRegressor(
        max_epochs=1, optimizer__weight_decay=0.25, optimizer__betas=(0.8, 0.9), **SMALL
    ).fit(X, Y)
    for group in net.optimizer_.param_groups:
        assert (group["weight_decay"], group["betas"]) == (0.25, (0.8, 0.9))


def test_a_scheduler_of_the_user_has_the_rates_to_itself() -> None:
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.5)
    net = NetRegressor(max_epochs=3, callbacks=[scheduler], **SMALL)
    assert rates_of(net) == pytest.approx([0.005, 0.0025, 0.00125])


def test_the_rate_of_a_fitted_net_is_set() -> None:
    net = NetRegressor(max_epochs=3, **SMALL).fit(X, Y)
    before = {k: v.clone() for k, v in net.module_.state_dict().items()}
    net.set_params(lr=0.25)
    assert {g["lr"] for g in net.optimizer_.param_groups} == {0.25}
    with pytest.warns(UserWarning, match="rebuilt with new weights"):
        net.set_params(lr="auto", module__hidden_sizes=(6, 5), verbose=0)
    assert net.lr == "auto"
    assert sorted({g["lr"] for g in net.optimizer_.param_groups})[-1] == pytest.approx(
        0.3
    )
    fresh = NetRegressor(max_epochs=3, **SMALL).fit(X, Y)
    fresh.set_params(lr="auto")
    assert all(torch.equal(v, fresh.module_.state_dict()[k]) for k, v in before.items())


@pytest.mark.parametrize("lr", ["fast", ""])
def test_unknown_words_are_refused(lr: str) -> None:
    net = NetRegressor(max_epochs=3, **SMALL).fit(X, Y)
    before = {k: v.clone() for k, v in net.module_.state_dict().items()}
    with pytest.raises(ValueError, match=r"lr must be one of \['auto'\]"):
        net.set_params(lr=lr).fit(X, Y)
    assert all(torch.equal(v, net.module_.state_dict()[k]) for k, v in before.items())


def test_a_batch_at_a_time_is_learned() -> None:
    net = NetRegressor(max_epochs=1, batch_size=-1, **SMALL)
    losses = []
    for _ in range(60):
        net.partial_fit(X, Y)
        losses.append(net.history[-1, "train_loss"])
    assert losses[-1] < 0.3 * losses[0]


def test_members_trained_together_equal_those_trained_alone() -> None:
    net = NetRegressor(max_epochs=9, batch_size=16, **SMALL)
    together = DeepEnsembleRegressor(net, 3, random_state=0).fit(X, Y)
    for member in together.estimators_:
        alone = NetRegressor(
            **{**net.get_params(), "random_state": member.random_state}
        )
        alone.fit(X, Y)
        for name, value in alone.module_.state_dict().items():
            torch.testing.assert_close(
                member.module_.state_dict()[name], value, rtol=1e-3, atol=1e-4
            )


def test_split_heads_have_the_rates_of_the_whole_module() -> None:
    ensemble = SplitHeadEnsembleRegressor(
        NetRegressor(max_epochs=30, **SMALL), 2, random_state=0
    ).fit(X, Y)
    member = ensemble.estimators_[0]
    # A column scale, whose rate is largest, has moved by more than a constant 1e-3 can.
    assert (member.module_.body[0].weight - 1).abs().max() > 0.1


def test_parameters_that_lack_a_factor_have_the_plain_rate() -> None:
    module = TabularMLP(4, 1, (6,))
    other = nn.Parameter(torch.zeros(3))
    named = [*module.named_parameters(), ("criterion.weight", other)]
    groups = parameter_groups(module, named, Recipe(0.05, 0.1))
    (own,) = [g for g in groups if any(p is other for p in g["params"])]
    assert (own["lr"], own["weight_decay"]) == (1e-3, 0.0)
    assert sum(len(g["params"]) for g in groups) == len(named)


def test_weights_decay_in_a_fit_with_adamw_alone() -> None:
    def decays(net: Any) -> set[float]:
        return {g["weight_decay"] for g in net.optimizer_.param_groups}

    net = NetRegressor(max_epochs=30, **SMALL).fit(X, Y)
    assert max(decays(net)) > 0.1
    net.partial_fit(X[:5], Y[:5])  # more rows may come
    assert decays(net) == {0.0}
    adam = NetRegressor(max_epochs=30, optimizer=torch.optim.Adam, **SMALL)
    assert decays(adam.fit(X, Y)) == {0.0}
    assert "_has_all_rows" not in vars(net)


def test_a_wrapped_module_has_the_same_rates() -> None:
    module = TabularMLP(4, 1, (6,))
    named = [(f"_orig_mod.{n}", p) for n, p in module.named_parameters()]
    found = parameter_groups(module, named, Recipe(0.05, 0.1))
    parallel = nn.DataParallel(module)
    assert has_factors(parallel)
    expected = parameter_groups(module, module.named_parameters(), Recipe(0.05, 0.1))
    for groups in (
        found,
        parameter_groups(parallel, parallel.named_parameters(), Recipe(0.05, 0.1)),
    ):
        assert [(g["lr"], g["weight_decay"]) for g in groups] == [
            (g["lr"], g["weight_decay"]) for g in expected
        ]


def test_course_of_batches_of_unknown_number() -> None:
    p = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([{"params": [p], "lr": 2.0, "largest_lr": 2.0}])
    course, seen = Course(optimizer, 2, 40), []
    for _ in range(2):
        course.begin_epoch(iter(()))
        for _ in range(3):
            course.begin_step()
            seen.append(optimizer.param_groups[0]["lr"])
    expected = [2 * rate(0.25)] * 3 + [2 * rate(0.75)] * 3
    assert seen == pytest.approx(expected)
    course.end()
    assert optimizer.param_groups[0]["lr"] == 2.0


def test_groups_of_the_user_are_left_alone() -> None:
    p = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([p], lr=0.5)
    set_rates(optimizer, 0.9)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_shape_of_the_course() -> None:
    factors = [warm_cosine((step + 1) / 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert np.argmax(factors) == 9
    assert factors[54] == pytest.approx(0.5)
    assert factors[-1] == pytest.approx(0.0, abs=1e-12)


def test_same_seed_same_net() -> None:
    one, other = (NetRegressor(max_epochs=5, **SMALL).fit(X, Y) for _ in range(2))
    assert states_equal(one.module_, other.module_)
