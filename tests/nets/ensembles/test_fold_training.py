from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skal.nets import NetClassifier, NetRegressor, TabularMLP
from skal.nets.data import ArrayDataset
from skal.nets.ensembles import fold_training
from skal.nets.ensembles.fold_training import Schedule, deal_folds, train_on_folds

N_NETS = 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 4)).astype(np.float32)
Y = (X[:, :1] * X[:, 1:2] + 0.3 * RNG.normal(size=(23, 1))).astype(np.float32)
CODES = (np.arange(23) % 3 + (X[:, 0] > 1)).clip(0, 2)
WEIGHT = np.linspace(0.2, 3, 23).astype(np.float32)


# -- folds ----------------------------------------------------------------------------


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("n_rows", "n_folds"), [(10, 4), (8, 8), (3, 8), (1, 8)])
def test_folds_are_of_equal_size(n_rows: int, n_folds: int) -> None:
    folds = deal_folds(n_rows, n_folds, rng())
    sizes = np.bincount(folds, minlength=n_folds)
    assert len(sizes) == n_folds
    assert sizes.max() - sizes.min() <= 1
    assert (sizes[n_rows:] == 0).all()


def test_folds_are_random() -> None:
    folds = [deal_folds(100, 4, rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(folds[0], folds[1])
    assert (folds[0] != folds[2]).any()
    counts = sum(np.eye(4)[deal_folds(6, 4, rng(seed))] for seed in range(600))
    # Folds 0 and 1 have two of six rows, folds 2 and 3 one.
    expected = 600 * np.array([2, 2, 1, 1]) / 6
    assert np.abs(counts - expected).max() < 5 * np.sqrt(600 / 4)


def test_each_fold_has_its_share_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [21, 9, 2])
    folds = deal_folds(32, 4, rng(), labels)
    for label, count in enumerate([21, 9, 2]):
        sizes = np.bincount(folds[labels == label], minlength=4)
        assert sizes.max() - sizes.min() <= 1
        assert sizes.sum() == count
    np.testing.assert_array_equal(np.bincount(folds), 8)


def test_groups_stay_together_and_folds_are_balanced() -> None:
    groups = np.repeat(list("abcdefgh"), [9, 7, 5, 5, 3, 3, 2, 2])
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(groups))
        folds = deal_folds(36, 3, rng(seed), groups=groups[order].tolist())
        for group in "abcdefgh":
            assert len(set(folds[groups[order] == group])) == 1
        sizes = np.bincount(folds, minlength=3)
        assert sizes.max() - sizes.min() <= 2
    alike = [deal_folds(8, 4, rng(s), groups=list("aabbccdd")) for s in range(20)]
    assert len({tuple(folds) for folds in alike}) > 5


def test_few_groups() -> None:
    folds = deal_folds(6, 4, rng(), groups=[5, 7, 7, 5, 7, 7])
    assert sorted(set(folds)) == [0, 1]
    assert folds[1] == 0  # the larger group goes first
    with pytest.raises(ValueError, match="at least two groups"):
        deal_folds(3, 2, rng(), groups=["a"] * 3)


# -- training -------------------------------------------------------------------------


def make_nets(n_nets: int = N_NETS, **options: Any) -> list[Any]:
    """Make nets that are built but not trained."""
    classifier = options.pop("classifier", False)
    nets = []
    for seed in range(n_nets):
        kind = NetClassifier if classifier else NetRegressor
        net = kind(
            TabularMLP,
            module__hidden_sizes=(8, 7),
            module__periodic=[0, 2],
            module__dropout=0.0,
            max_epochs=0,
            random_state=seed,
            **options,
        )
        nets.append(net.fit(X, CODES if classifier else Y))
    return nets


def mean_loss(net: Any, outputs: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    if isinstance(net, NetClassifier):
        losses = nn.functional.cross_entropy(outputs, y, reduction="none")
    else:
        losses = (outputs - y).square().mean(1)
    return (weight * losses).sum() / weight.sum()


def train_alone(
    net: Any,
    dataset: ArrayDataset,
    held: np.ndarray,
    schedule: Schedule,
    size: int,
    forced: int | None = None,
) -> tuple[dict[str, Tensor], Tensor, int]:
    """Train one net as plainly as possible; return its best weights and outputs."""
    module, generator = net.module_, torch.Generator().manual_seed(net.seed_)
    rows, y = torch.as_tensor(dataset.X), torch.as_tensor(dataset.y)
    weight = dataset.sample_weight
    weight = torch.ones(len(rows)) if weight is None else torch.as_tensor(weight)
    training = torch.as_tensor(np.flatnonzero(~held))
    factors = module.lr_factors()
    groups = []
    for name, p in module.named_parameters():
        is_linear = isinstance(module.get_submodule(name.rpartition(".")[0]), nn.Linear)
        decay = schedule.weight_decay / factors[name]
        decay = decay if is_linear and name.endswith("weight") else 0.0
        groups.append({"params": [p], "weight_decay": decay, "factor": factors[name]})
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95))
    queue: list[int] = []
    best = (math.inf, {}, torch.zeros(0), 0)
    for step in range(schedule.n_steps):
        t = (step + 1) / schedule.n_steps
        shape = t / 0.1 if t < 0.1 else (1 + math.cos(math.pi * (t - 0.1) / 0.9)) / 2
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr * shape * group["factor"]
        if len(queue) < size:
            order = torch.randperm(len(training), generator=generator)
            queue += training[order].tolist()
        batch, queue = queue[:size], queue[size:]
        optimizer.zero_grad()
        mean_loss(net, module(rows[batch]), y[batch], weight[batch]).backward()
        optimizer.step()
        if (step + 1) % 10 == 0 or step + 1 == schedule.n_steps:
            with torch.no_grad():
                outputs = module(rows[held])
                if forced is not None:
                    loss = 0.0 if step + 1 == forced else math.inf
                else:
                    loss = float(mean_loss(net, outputs, y[held], weight[held]))
            if loss < best[0]:
                state = {k: v.clone() for k, v in module.state_dict().items()}
                best = (loss, state, outputs, step + 1)
    return best[1:]


@pytest.mark.on_cpu
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classifier", [False, True])
@pytest.mark.parametrize("batch_size", [5, 64])
def test_each_net_equals_one_that_is_trained_alone(
    classifier: bool, weighted: bool, batch_size: int
) -> None:
    dataset = ArrayDataset(X, CODES if classifier else Y, WEIGHT if weighted else None)
    folds = deal_folds(len(X), N_NETS, rng())
    schedule = Schedule(34, batch_size, 0.05, 0.01)
    nets, alone = (make_nets(classifier=classifier) for _ in range(2))
    outputs, steps = train_on_folds(nets, dataset, folds, schedule)
    size = min(batch_size, *(int((folds != k).sum()) for k in range(N_NETS)))
    for k, (net, other) in enumerate(zip(nets, alone, strict=True)):
        state, expected, step = train_alone(other, dataset, folds == k, schedule, size)
        assert steps[k] == step
        torch.testing.assert_close(outputs[folds == k], expected, rtol=1e-3, atol=1e-4)
        for name, value in net.module_.state_dict().items():
            torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-4)


@pytest.mark.on_cpu
def test_outputs_are_those_of_the_trained_nets_for_rows_they_did_not_see() -> None:
    folds = deal_folds(len(X), N_NETS, rng())
    nets, others = make_nets(), make_nets()
    schedule = Schedule(40, 8, 0.05, 0.01)
    outputs, _ = train_on_folds(nets, ArrayDataset(X, Y), folds, schedule)
    for k, net in enumerate(nets):
        with torch.no_grad():
            own = net.module_(torch.from_numpy(X[folds == k]))
        torch.testing.assert_close(outputs[folds == k], own, rtol=1e-4, atol=1e-5)
    # No target of fold 0 has an influence on net 0 but by the step it ends at.
    changed = np.where(folds[:, None] == 0, 1 + 1e-4 * Y, Y).astype(np.float32)
    first = ArrayDataset(X, changed)
    single = Schedule(9, 8, 0.05, 0.01)
    train_on_folds(nets := make_nets(), ArrayDataset(X, Y), folds, single)
    train_on_folds(others, first, folds, single)
    same = [
        all(
            torch.equal(a, b)
            for a, b in zip(
                one.module_.parameters(), other.module_.parameters(), strict=True
            )
        )
        for one, other in zip(nets, others, strict=True)
    ]
    assert same == [True, False, False]


@pytest.mark.on_cpu
def test_a_net_with_an_empty_fold_stops_with_the_others() -> None:
    folds = np.arange(len(X)) % 2  # none for the third net
    nets, alone = make_nets(), make_nets()
    schedule = Schedule(60, 8, 0.05, 0.01)
    dataset = ArrayDataset(X, Y)
    outputs, steps = train_on_folds(nets, dataset, folds, schedule)
    assert outputs.isfinite().all()
    assert steps[2] in range(10, 61, 10)
    nothing = np.zeros(len(X), bool)
    size = min(8, 11)
    state, _, _ = train_alone(alone[2], dataset, nothing, schedule, size, steps[2])
    for name, value in nets[2].module_.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-4)


@pytest.mark.on_cpu
@pytest.mark.parametrize("n_rows", [1, 23])
def test_without_a_held_out_row_nets_train_to_the_last_step(n_rows: int) -> None:
    folds = np.zeros(n_rows, int)
    nets, alone = make_nets(), make_nets()
    schedule = Schedule(25, 8, 0.05, 0.01)
    dataset = ArrayDataset(X[:n_rows], Y[:n_rows])
    outputs, steps = train_on_folds(nets, dataset, folds, schedule)
    assert outputs.isnan().all()
    assert steps == [25] * N_NETS
    nothing = np.zeros(n_rows, bool)
    size = min(8, n_rows)
    state, _, _ = train_alone(alone[1], dataset, nothing, schedule, size, 25)
    for name, value in nets[1].module_.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_folds", [1, N_NETS])
def test_failed_training_leaves_the_initial_weights(n_folds: int) -> None:
    nets, initial = make_nets(), make_nets()
    folds = np.arange(len(X)) % n_folds
    outputs, steps = train_on_folds(
        nets, ArrayDataset(X, Y), folds, Schedule(30, 8, 1e30, 0.01)
    )
    assert steps == [0] * N_NETS
    assert outputs.isnan().all()
    for net, other in zip(nets, initial, strict=True):
        for p, q in zip(
            net.module_.parameters(), other.module_.parameters(), strict=True
        ):
            assert torch.equal(p, q)


def test_a_failing_net_does_not_stop_those_with_an_empty_fold() -> None:
    nets = make_nets()
    with torch.no_grad():
        nets[0].module_.head.bias.fill_(math.nan)
    folds = np.arange(len(X)) % 2
    outputs, steps = train_on_folds(
        nets, ArrayDataset(X, Y), folds, Schedule(30, 8, 0.05, 0.01)
    )
    assert steps[0] == 0
    assert min(steps[1:]) > 0
    assert outputs[folds == 0].isnan().all()
    assert outputs[folds == 1].isfinite().all()


def test_held_out_rows_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    folds = np.r_[np.zeros(11, int), np.ones(7, int), np.full(5, 2)]
    schedule = Schedule(30, 8, 0.05, 0.01)
    dataset = ArrayDataset(X, Y, WEIGHT)
    expected, steps = train_on_folds(make_nets(), dataset, folds, schedule)
    monkeypatch.setattr(fold_training, "_MOST_ROWS", 4 * N_NETS)
    found, again = train_on_folds(make_nets(), dataset, folds, schedule)
    assert steps == again
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_training_ends_once_no_net_becomes_better(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    set_rates = fold_training.set_rates

    def noting(optimizer: Any, progress: float) -> None:
        seen.append(round(2000 * progress))
        set_rates(optimizer, progress)

    monkeypatch.setattr(fold_training, "set_rates", noting)
    noise = RNG.normal(size=Y.shape).astype(np.float32)
    folds = np.arange(len(X)) % N_NETS
    _, steps = train_on_folds(
        make_nets(), ArrayDataset(X, noise), folds, Schedule(2000, 8, 0.05, 0.01)
    )
    assert max(seen) == max(steps) + 600 < 2000
