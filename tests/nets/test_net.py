"""Training, seeds and data of BaseNet, by the nets that derive from it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from skal.nets import MLP, NetClassifier, NetRegressor
from tests.nets.helpers import (
    Conv,
    TwoInputs,
    Unsized,
    WithBatchNorm,
    blobs,
    line,
    states_equal,
)

X, Y = blobs()
XR, YR = line()
QUICK: dict[str, Any] = {"max_epochs": 3, "random_state": 0}
FULL: dict[str, Any] = {"batch_size": -1, "max_epochs": 30, "random_state": 0}
both_nets = pytest.mark.parametrize("Net", [NetClassifier, NetRegressor])


# -- training -------------------------------------------------------------------------


@pytest.mark.on_cpu
@pytest.mark.parametrize(
    "options", [{}, {"module": Unsized()}], ids=["class", "instance"]
)
def test_a_refit_starts_from_scratch(options: Any) -> None:
    given = deepcopy(options.get("module"))
    net = NetClassifier(**options, **QUICK)
    first = deepcopy(net.fit(X, Y).module_)
    second = net.fit(X, Y).module_
    assert states_equal(first, second)
    assert len(net.history) == 3
    if given is not None:
        assert net.module is options["module"]
        assert states_equal(net.module, given)  # not trained in place
        assert not states_equal(net.module_, given)


def test_a_refit_takes_new_sizes() -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    net.fit(np.c_[X, X], (Y == 0).astype(int))
    assert net.n_features_in_ == 8
    assert net.predict_proba(np.c_[X, X]).shape == (60, 2)


@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_training_continues(how: str) -> None:
    net = NetClassifier(Unsized(), warm_start=True, **QUICK)
    act = net.fit if how == "warm_start" else net.partial_fit
    act(X, Y)
    module, loss = net.module_, net.history[-1, "train_loss"]
    optimizer = net.optimizer_
    act(X, Y)
    assert net.module_ is module
    assert net.optimizer_ is optimizer
    assert len(net.history) == 6
    assert net.history[-1, "train_loss"] < loss
    with pytest.raises(ValueError, match="expecting 4 features"):
        act(X[:, :3], Y)


@pytest.mark.on_cpu
def test_epochs_are_those_of_a_loop_written_by_hand() -> None:
    net = NetRegressor(
        Unsized(outputs=1), max_epochs=2, batch_size=16, iterator_train__shuffle=False
    )
    module = deepcopy(net.module)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    for _ in range(2):
        for rows in torch.arange(60).split(16):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(
                module(torch.from_numpy(XR)[rows])[:, 0], torch.from_numpy(YR)[rows]
            )
            loss.backward()
            optimizer.step()
    assert states_equal(net.fit(XR, YR).module_, module)
    assert sum(net.history[-1, "batches", :, "train_batch_size"]) == 60  # no split
    assert "valid_loss" not in net.history[-1]


@pytest.mark.parametrize("n_rows", [33, 40, 2])
@pytest.mark.parametrize("source", ["array", "dataset"])
def test_batch_norm_with_a_last_batch_of_one_row(n_rows: int, source: str) -> None:
    rows, y = line(n_rows)
    given: Any = rows
    if source == "dataset":
        given = TensorDataset(torch.from_numpy(rows), torch.from_numpy(y))
    net = NetRegressor(WithBatchNorm, batch_size=16, max_epochs=2).fit(given, y)
    assert sum(net.history[-1, "batches", :, "train_batch_size"]) == n_rows
    assert min(net.history[-1, "batches", :, "train_batch_size"]) > 1
    assert np.isfinite(net.predict(rows)).all()


def test_drop_last_with_few_rows_still_trains() -> None:
    net = NetClassifier(iterator_train__drop_last=True, batch_size=100, **QUICK)
    start = deepcopy(net.set_params(max_epochs=0).fit(X, Y).module_)
    net.set_params(max_epochs=3).fit(X, Y)
    assert not states_equal(start, net.module_)


def test_the_log_of_epochs_is_made_only_if_it_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NetClassifier(**QUICK).set_params(verbose=1).fit(X, Y)
    assert "train_loss" in capsys.readouterr().out

    def table(*_: Any) -> str:
        raise AssertionError("made")

    monkeypatch.setattr("skorch.callbacks.PrintLog.table", table)
    net.set_params(verbose=0).fit(X, Y)
    assert capsys.readouterr().out == ""


class Watch(Callback):
    """Notes X, and predictions for it, as callbacks see them."""

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        self.X_, self.n_targets_ = X, len(y)

    def on_epoch_end(self, net: Any, **kw: Any) -> None:
        self.n_predicted_ = len(net.predict(self.X_))


def test_callbacks_see_X_as_it_was_given_and_can_predict_all_of_it() -> None:
    watch, rows = Watch(), X.tolist()
    weight = np.where(Y == 0, 0, 1)
    NetClassifier(callbacks=[watch], **QUICK).fit(rows, Y, sample_weight=weight)
    assert watch.X_ is rows
    assert watch.n_targets_ == 40  # rows of zero weight do not train
    assert watch.n_predicted_ == 60


# -- failures -------------------------------------------------------------------------


class Breaks(nn.Module):
    """A module whose forward pass fails on request."""

    broken = False

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(n_features, n_outputs)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        if self.broken:
            raise RuntimeError("no")
        return self.layer(X)


@pytest.mark.parametrize("cause", ["X", "y", "weights", "module", "training"])
def test_a_fit_that_fails_leaves_the_net_as_it_was(
    cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NetClassifier(Breaks, **QUICK).fit(X, Y)
    proba, history = net.predict_proba(X), list(net.history)
    before = {**vars(net)}
    wide, labels, weight = np.c_[X, X], np.array(["a", "b", "c"])[Y], None
    if cause == "X":
        wide[3, 3] = np.nan
    elif cause == "y":
        labels = labels[:-1]
    elif cause == "weights":
        weight = np.zeros(60)
    elif cause == "module":
        net.module = nn.Bilinear
    else:
        monkeypatch.setattr(Breaks, "broken", True)
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        net.fit(wide, labels, sample_weight=weight)
    monkeypatch.undo()
    net.module = Breaks
    np.testing.assert_array_equal(net.predict_proba(X), proba)
    assert list(net.history) == history
    assert vars(net).keys() == before.keys()
    assert all(vars(net)[k] is v for k, v in before.items() if k != "_history")
    if cause in ("X", "y", "weights"):
        with pytest.raises(ValueError, match=r"."):
            net.partial_fit(wide[:, :4], labels, sample_weight=weight)
        np.testing.assert_array_equal(net.predict_proba(X), proba)


@both_nets
def test_an_unfitted_net_stays_unfitted_when_fit_fails(Net: Any) -> None:
    net = Net()
    with pytest.raises(ValueError, match="NaN"):
        net.fit(np.full((4, 2), np.nan), [0, 1, 0, 1])
    with pytest.raises(NotFittedError):
        net.predict(X)
    assert not hasattr(net, "n_features_in_")


# -- parameters -----------------------------------------------------------------------


def test_typos_are_errors() -> None:
    with pytest.raises(ValueError, match="max_epoch"):
        NetClassifier(max_epoch=3).fit(X, Y)
    with pytest.raises(TypeError, match="hidden"):
        NetClassifier(module__hidden=3).fit(X, Y)
    with pytest.raises(ValueError, match="learning_rate"):
        NetClassifier().set_params(learning_rate=3)


def test_parameters_of_a_fitted_net_are_set_as_in_skorch() -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    net.set_params(lr=0.5)
    assert net.optimizer_.param_groups[0]["lr"] == 0.5
    net.set_params(optimizer__weight_decay=0.25)
    assert net.optimizer_.param_groups[0]["weight_decay"] == 0.25
    assert net.get_params()["optimizer__weight_decay"] == 0.25
    net.set_params(optimizer=torch.optim.SGD)
    assert isinstance(net.optimizer_, torch.optim.SGD)
    before = net.predict_proba(X)
    net.set_params(optimizer=torch.optim.Adam, lr=0.25)
    assert net.optimizer_.param_groups[0]["lr"] == 0.25
    np.testing.assert_array_equal(net.predict_proba(X), before)
    with pytest.warns(UserWarning, match="NetClassifier is rebuilt with new weights"):
        net.set_params(module__hidden_sizes=(3,))
    assert net.module_.body[1].out_features == 3  # at once, and still sized
    assert net.module_.head.out_features == 3
    net.set_params(iterator_valid__batch_size=10, iterator_train__shuffle=False)
    assert net.get_params()["iterator_valid__batch_size"] == 10
    net.fit(X, Y)
    assert net.module_.body[1].out_features == 3
    assert net.optimizer_.param_groups[0]["weight_decay"] == 0.25  # not lost in fit
    assert clone(net).get_params()["optimizer__weight_decay"] == 0.25


def test_parameters_that_cannot_be_set_change_nothing() -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    before = net.predict_proba(X)
    with pytest.raises(TypeError, match="hidden"):
        net.set_params(module__hidden=3, iterator_train__shuffle=False)
    assert "module__hidden" not in net.get_params()
    assert "iterator_train__shuffle" not in net.get_params()
    np.testing.assert_array_equal(net.predict_proba(X), before)


def test_a_module_instance_can_be_set() -> None:
    module = Unsized()
    net = NetClassifier(**QUICK).set_params(module=module)
    assert net.get_params()["module"] is module
    assert net.fit(X, Y).module_.layers[0].out_features == 8


def test_initialize_before_fit_requires_sizes() -> None:
    with pytest.raises(ValueError, match="module__n_features"):
        NetClassifier().initialize()
    with pytest.raises(ValueError, match="module__n_features"):
        NetClassifier().fit({"X": X}, Y)
    net = NetClassifier(module__n_features=4, module__n_outputs=3, classes=[0, 1, 2])
    assert net.initialize().predict(X).shape == (60,)
    net.partial_fit(X, Y)
    assert net.n_features_in_ == 4


def test_weights_can_be_saved_and_loaded(tmp_path: Any) -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    net.save_params(f_params=tmp_path / "weights.pt")
    sizes = {"module__n_features": 4, "module__n_outputs": 3, "classes": [0, 1, 2]}
    other = NetClassifier(**sizes).initialize()
    other.load_params(f_params=tmp_path / "weights.pt")
    np.testing.assert_array_equal(other.predict_proba(X), net.predict_proba(X))


# -- seeds ----------------------------------------------------------------------------

DROPOUT: dict[str, Any] = {
    "module__dropout": 0.5,
    "module__hidden_sizes": (8,),
    "max_epochs": 3,
    "batch_size": 7,
}
PROGRAM = """
from tests.nets.test_net import fit_and_predict
print(fit_and_predict())
"""


def fit_and_predict() -> list[float]:
    net = NetClassifier(**DROPOUT, random_state=5).fit(X, Y)
    return net.predict_proba(X).ravel().tolist()


class Own(DataLoader):
    """A user's loader, which shuffles."""

    def __init__(self, dataset: Any, batch_size: int) -> None:
        super().__init__(dataset, batch_size=batch_size, shuffle=True)


@pytest.mark.on_cpu
def test_another_process_gives_the_same() -> None:
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **threads},
    )
    assert there.stdout.strip() == str(fit_and_predict())


INSTANCE = Unsized()


@pytest.mark.parametrize("part", ["weights", "order", "order of a loader", "dropout"])
def test_each_draw_follows_the_seed(part: str) -> None:
    options: dict[str, Any] = {"max_epochs": 2, "module__hidden_sizes": (8,)}
    if part == "weights":
        options["max_epochs"] = 0
    elif part == "dropout":
        options.update(module__dropout=0.5, iterator_train__shuffle=False)
    else:
        options = {"module": INSTANCE, "batch_size": 7, "max_epochs": 2}
        if part == "order of a loader":
            options["iterator_train"] = Own
    fits = [NetClassifier(random_state=s, **options).fit(X, Y) for s in (1, 1, 2)]
    assert states_equal(fits[0].module_, fits[1].module_)
    assert not states_equal(fits[0].module_, fits[2].module_)


def test_numpy_generators_move_on() -> None:
    for make in (np.random.RandomState, np.random.default_rng):
        net = NetClassifier(max_epochs=1, random_state=make(0))
        first = net.fit(X, Y).module_
        second = net.fit(X, Y).module_
        same = NetClassifier(max_epochs=1, random_state=make(0)).fit(X, Y).module_
        assert states_equal(first, same)
        assert not states_equal(first, second)


def test_none_is_fresh_even_if_the_user_seeds_the_global_generators() -> None:
    fits = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        fits.append(NetClassifier(max_epochs=1).fit(X, Y))
    assert not states_equal(fits[0].module_, fits[1].module_)
    with pytest.raises(ValueError, match="random_state"):
        NetClassifier(random_state="seed").fit(X, Y)


def test_partial_fit_draws_further_seeds() -> None:
    def run() -> Any:
        net = NetClassifier(**DROPOUT, random_state=0)
        seeds = [net.partial_fit(X, Y).seed_ for _ in range(3)]
        assert len(set(seeds)) == 3
        return net

    assert states_equal(run().module_, run().module_)


@pytest.mark.filterwarnings("ignore:.* is rebuilt with new weights")
@pytest.mark.parametrize(
    "act",
    [
        lambda net: net.fit(X, Y),
        lambda net: net.partial_fit(X, Y),
        lambda net: net.initialize(),
        lambda net: net.predict(X),
        lambda net: net.forward(X),
        lambda net: net.set_params(module__hidden_sizes=(3,)),
    ],
    ids=["fit", "partial_fit", "initialize", "predict", "forward", "set_params"],
)
def test_global_generators_are_restored(act: Callable[[Any], Any]) -> None:
    def state() -> list[Any]:
        numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002
        return [torch.get_rng_state().tolist(), numpy_state, random.getstate()]

    loader = {f"iterator_{part}__num_workers": 0 for part in ("train", "valid")}
    for options in ({}, loader):
        net = NetRegressor(**DROPOUT, **options, random_state=0).fit(X, Y)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        before = state()
        act(net)
        assert state() == before


# -- weights of rows ------------------------------------------------------------------


@pytest.mark.on_cpu
@pytest.mark.parametrize("batch_size", [-1, 128])
@both_nets
def test_a_fit_with_weights_is_a_fit_on_repeated_rows(
    Net: Any, batch_size: int
) -> None:
    rows, y = blobs(20) if Net is NetClassifier else line(20)
    net = Net(**{**FULL, "batch_size": batch_size, "module__dropout": 0.0})
    weight = np.random.default_rng(0).integers(0, 4, 20)
    weighted = net.fit(rows, y, sample_weight=weight).module_
    repeated = net.fit(rows.repeat(weight, 0), y.repeat(weight)).module_
    plain = net.fit(rows, y).module_
    given = torch.from_numpy(rows)
    torch.testing.assert_close(weighted(given), repeated(given), rtol=1e-4, atol=1e-5)
    assert (weighted(given) - plain(given)).abs().max() > 1e-2


@pytest.mark.on_cpu
@pytest.mark.parametrize("factor", [1e-300, 1e-44, 1e-30, 1e30, 1e38, 1e300])
@both_nets
def test_only_ratios_of_weights_matter(Net: Any, factor: float) -> None:
    rows, y = blobs(20) if Net is NetClassifier else line(20)
    weight = np.random.default_rng(0).uniform(0.5, 2, 20)
    given = torch.from_numpy(rows)
    options: list[dict[str, Any]] = [{}]
    if Net is NetClassifier:
        options.append({"class_weight": {0: 3 * factor, 1: factor, 2: factor}})
    for option in options:
        by_class = {k: v / factor for k, v in option.get("class_weight", {}).items()}
        net = Net(**{**FULL, "module__dropout": 0.0, **option})
        scaled = net.fit(rows, y, sample_weight=weight * factor).module_(given)
        if option:
            net.set_params(class_weight=by_class)
        expected = net.fit(rows, y, sample_weight=weight).module_(given)
        torch.testing.assert_close(scaled, expected, rtol=1e-4, atol=1e-5)


def test_the_validation_loss_is_weighted_and_over_all_rows() -> None:
    weight = np.linspace(1, 5, 60)
    net = NetRegressor(train_split=ValidSplit(4), max_epochs=1, random_state=0)
    rows = np.arange(15)  # the first fold of a KFold without shuffling
    for given in (None, weight):
        net.fit(XR, YR, sample_weight=given)
        losses = (net.predict(XR[rows]) - YR[rows]) ** 2
        expected = np.average(losses, weights=None if given is None else given[rows])
        assert net.history[-1, "valid_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.on_cpu
def test_weights_do_not_outlive_the_training() -> None:
    net = NetRegressor(**QUICK).fit(XR, YR, sample_weight=np.linspace(1, 5, 60))
    y_pred, y_true = net.forward(XR), torch.from_numpy(YR)
    assert net.get_loss(y_pred, y_true) == pytest.approx(
        ((y_pred[:, 0] - y_true) ** 2).mean().item()
    )


@both_nets
def test_losses_of_rows_are_unweighted(Net: Any) -> None:
    rows, y = blobs(20) if Net is NetClassifier else line(20)
    options = {"class_weight": {1: 5}} if Net is NetClassifier else {}
    net = Net(**options, **FULL).fit(rows, y)
    losses = net.row_losses(net.forward(rows), torch.from_numpy(y))
    if Net is NetClassifier:
        expected = -np.log(net.predict_proba(rows)[np.arange(20), y])
    else:
        expected = (net.predict(rows) - y) ** 2
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-6)


class Doubling(Dataset):
    """A user's dataset, which doubles the rows."""

    def __init__(self, X: Any, y: Any = None, factor: float = 1.0) -> None:
        self.X, self.y, self.factor = X, y, np.float32(factor)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, i: int) -> Any:
        return self.X[i] * self.factor, 0.0 if self.y is None else self.y[i]


class OwnLoss(nn.Module):
    """A criterion without a reduction."""

    def forward(self, y_pred: Any, y_true: Any) -> Any:
        return (y_pred - y_true).abs().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": OwnLoss}, "`reduction`.*OwnLoss has none"),
        ({"iterator_train": Own}, "sample_weight requires the default iterator"),
        ({"dataset": Doubling}, "sample_weight requires X to be arrays"),
    ],
)
def test_weights_that_would_be_lost_are_refused(options: Any, message: str) -> None:
    net = NetRegressor(**options, **QUICK).fit(XR, YR)
    with pytest.raises(ValueError, match=message):
        net.fit(XR, YR, sample_weight=np.ones(60))


# -- data -----------------------------------------------------------------------------


def test_images_dicts_and_tuples() -> None:
    images = np.random.default_rng(0).normal(size=(60, 2, 6, 6))
    for given in (images, torch.from_numpy(images)):
        net = NetClassifier(Conv, max_epochs=1).fit(given, Y)
        assert net.predict_proba(given).shape == (60, 3)
    assert NetClassifier(**QUICK).fit(images, Y).predict(images).shape == (60,)  # flat
    inputs = {"numbers": X, "kind": Y}
    net = NetClassifier(TwoInputs, max_epochs=60, lr=0.01, random_state=0)
    assert net.fit(inputs, Y).score(inputs, Y) > 0.9

    class Pair(nn.Module):
        def __init__(self, n_outputs: int) -> None:
            super().__init__()
            self.head = nn.Linear(8, n_outputs)

        def forward(self, pair: Any) -> torch.Tensor:
            return self.head(torch.cat(list(pair), 1))

    net = NetClassifier(Pair, max_epochs=2).fit((X, torch.from_numpy(X)), Y)
    assert net.predict((X, X)).shape == (60,)


@pytest.mark.parametrize("labels", [None, ["x", "y", "z"]], ids=["own", "given"])
def test_datasets(labels: Any) -> None:
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    y = None if labels is None else np.array(labels)[Y]
    net = NetClassifier(max_epochs=40, lr=0.01, random_state=0).fit(dataset, y)
    assert net.classes_.tolist() == ([0, 1, 2] if labels is None else labels)
    expected = net.predict(X)
    assert (expected == net.classes_[Y]).mean() > 0.9
    assert net.predict(dataset).tolist() == expected.tolist()
    assert net.predict(Subset(dataset, [5, 3])).tolist() == expected[[5, 3]].tolist()


@pytest.mark.on_cpu
def test_a_dataset_class_of_the_user() -> None:
    net = NetRegressor(dataset=Doubling, dataset__factor=2.0, max_epochs=60, lr=0.02)
    assert net.fit(XR, YR).score(XR, YR) > 0.9
    with torch.no_grad():
        by_hand = net.module_.eval()(2 * torch.from_numpy(XR))[:, 0]
    np.testing.assert_allclose(net.predict(XR), by_hand, atol=1e-5)


# -- predictions ----------------------------------------------------------------------


def test_one_row_is_predicted_as_among_others() -> None:
    net = NetRegressor(**QUICK).fit(X, X[:, :2])
    together = net.predict(X)
    alone = np.concatenate([net.predict(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_array_equal(alone, together)
    for size in (1, 7, 33):
        net.set_params(iterator_valid__batch_size=size)
        np.testing.assert_array_equal(net.predict(X), together)


def test_in_training_mode_outputs_are_in_the_order_of_rows() -> None:
    net = NetClassifier(MLP, **QUICK).fit(X, Y)  # without dropout both modes agree
    torch.testing.assert_close(net.forward(X, training=True).detach(), net.forward(X))


def test_the_first_of_several_outputs_is_predicted() -> None:
    class Two(MLP):
        def forward(self, X: torch.Tensor) -> Any:
            outputs = super().forward(X)
            return outputs if self.training else (outputs, outputs * 0)

    net = NetClassifier(Two, **QUICK).fit(X, Y)
    expected = NetClassifier(MLP, **QUICK).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(net.predict_proba(X), expected)
    assert net.predict(X[:2]).shape == (2,)


@pytest.mark.parametrize(
    "options",
    [
        {"iterator_valid__shuffle": True},
        {"iterator_valid": Own},
        {"iterator_valid__sampler": torch.utils.data.RandomSampler(range(60))},
    ],
    ids=["shuffle", "own", "sampler"],
)
def test_iterators_that_would_scramble_predictions_are_refused(options: Any) -> None:
    net = NetClassifier(**QUICK).fit(X, Y).set_params(**options)
    for predict in (net.predict, net.predict_proba):
        with pytest.raises(ValueError, match="order"):
            predict(X)


@both_nets
def test_device(Net: Any, device: str) -> None:
    net = Net(device=device, **QUICK).fit(X, Y)
    assert next(net.module_.parameters()).device.type == torch.device(device).type
    given = torch.from_numpy(X).to(device)
    np.testing.assert_array_equal(net.predict(given), net.predict(X))
    weighted = clone(net).fit(X, Y, sample_weight=np.ones(60))
    np.testing.assert_allclose(weighted.predict(X), net.predict(X), atol=1e-4)
    net.fit(given, torch.from_numpy(Y).to(device))


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "expected"),
    [
        (40, 128, 300),  # a single batch
        (40, -1, 300),
        (256, 128, 150),
        (257, 128, 100),
        (768, 128, 50),
        (100_000, 128, 50),
    ],
)
def test_few_rows_get_more_epochs_by_default(
    n_rows: int, batch_size: int, expected: int
) -> None:
    net = NetRegressor(batch_size=batch_size)
    assert net.n_epochs(n_rows) == expected
    assert net.set_params(max_epochs=7).n_epochs(n_rows) == 7


def test_default_number_of_epochs_is_trained() -> None:
    net = NetClassifier(batch_size=10, module__hidden_sizes=(4,)).fit(X[:20], Y[:20])
    assert len(net.history) == 150
    assert net.max_epochs == "auto"
    net.partial_fit(X[:10], Y[:10])
    assert len(net.history) == 150 + 300


def test_unknown_word_for_the_number_of_epochs() -> None:
    net = NetClassifier(max_epochs=2).fit(X, Y)
    before = net.predict_proba(X)
    with pytest.raises(ValueError, match=r"max_epochs must be one of \['auto'\]"):
        net.set_params(max_epochs="many").fit(X, Y)
    np.testing.assert_array_equal(net.predict_proba(X), before)
