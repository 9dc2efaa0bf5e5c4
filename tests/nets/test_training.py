"""Refitting, going on, BatchNorm, and what a failed fit leaves behind."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from skal.nets import MLP, NetClassifier, NetRegressor
from tests.nets.data import Unsized, WithBatchNorm, blobs, line, states_equal

X, Y = blobs()
QUICK = {"max_epochs": 3, "random_state": 0}


@pytest.mark.parametrize(
    "options", [{}, {"module": Unsized()}], ids=["class", "instance"]
)
def test_refit_starts_anew(options: Any) -> None:
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


def test_refit_takes_new_sizes() -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    net.fit(np.c_[X, X], (Y == 0).astype(int))
    assert net.n_features_in_ == 8
    assert net.predict_proba(np.c_[X, X]).shape == (60, 2)


@pytest.mark.parametrize("how", ["warm_start", "partial_fit"])
def test_training_goes_on(how: str) -> None:
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


def test_one_epoch_is_one_pass_of_the_loop_written_by_hand() -> None:
    net = NetRegressor(
        Unsized(outputs=1),
        max_epochs=2,
        batch_size=16,
        iterator_train__shuffle=False,
    )
    Xr, y = line()
    module = deepcopy(net.module)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(2):
        for rows in torch.arange(60).split(16):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(
                module(torch.from_numpy(Xr)[rows])[:, 0], torch.from_numpy(y)[rows]
            )
            loss.backward()
            optimizer.step()
    assert states_equal(net.fit(Xr, y).module_, module)


def test_all_labels_train_by_default() -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    assert sum(net.history[-1, "batches", :, "train_batch_size"]) == 60
    assert "valid_loss" not in net.history[-1]


def test_quiet_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    net.fit(X, Y)
    assert capsys.readouterr().out == ""
    net.set_params(verbose=1).fit(X, Y)
    assert "train_loss" in capsys.readouterr().out


def test_no_table_of_epochs_is_made_while_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def table(*_: Any) -> str:
        raise AssertionError("made")

    monkeypatch.setattr("skorch.callbacks.PrintLog.table", table)
    NetClassifier(**QUICK).fit(X, Y)


@pytest.mark.parametrize("n_rows", [33, 32, 40, 2])
@pytest.mark.parametrize("source", ["array", "dataset"])
def test_batch_norm_with_a_last_batch_of_one_row(n_rows: int, source: str) -> None:
    Xr, y = line(n_rows)
    given = Xr
    if source == "dataset":
        given = torch.utils.data.TensorDataset(
            torch.from_numpy(Xr), torch.from_numpy(y)
        )
    net = NetRegressor(WithBatchNorm, batch_size=16, max_epochs=2).fit(given, y)
    assert sum(net.history[-1, "batches", :, "train_batch_size"]) == n_rows
    assert min(net.history[-1, "batches", :, "train_batch_size"]) > 1
    assert np.isfinite(net.predict(Xr)).all()


def test_drop_last_with_few_rows_still_trains() -> None:
    net = NetClassifier(iterator_train__drop_last=True, batch_size=100, **QUICK)
    start = deepcopy(net.set_params(max_epochs=0).fit(X, Y).module_)
    net.set_params(max_epochs=3).fit(X, Y)
    assert not states_equal(start, net.module_)


@pytest.mark.parametrize("net", [NetClassifier(), NetRegressor()], ids=["clf", "reg"])
def test_not_fitted(net: Any) -> None:
    with pytest.raises(NotFittedError):
        clone(net).predict(X)


@pytest.mark.parametrize("net", [NetClassifier(), NetRegressor()], ids=["clf", "reg"])
def test_y_is_required(net: Any) -> None:
    with pytest.raises(ValueError, match="requires y"):
        net.fit(X, None)
    with pytest.raises(ValueError, match="requires y"):
        net.fit({"X": X})


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


@pytest.mark.parametrize("error", ["training", "module"])
def test_a_fit_that_fails_leaves_the_net_as_it_was(
    error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NetClassifier(Breaks, **QUICK).fit(X, Y)
    proba, params, history = net.predict_proba(X), net.get_params(), list(net.history)
    if error == "training":
        with monkeypatch.context() as patch:
            patch.setattr(Breaks, "broken", True)
            with pytest.raises(RuntimeError, match="no"):
                net.fit(np.c_[X, X], np.array(["a", "b", "c"])[Y])
    else:
        net.module = nn.Bilinear
        with pytest.raises(TypeError):
            net.fit(np.c_[X, X], np.array(["a", "b", "c"])[Y])
        net.module = Breaks
    np.testing.assert_array_equal(net.predict_proba(X), proba)
    assert net.classes_.tolist() == [0, 1, 2]
    assert list(net.history) == history
    assert net.get_params().keys() == params.keys()


def test_an_unfitted_net_stays_unfitted_when_fit_fails() -> None:
    net = NetClassifier()
    with pytest.raises(ValueError, match="NaN"):
        net.fit(np.full((4, 2), np.nan), [0, 1, 0, 1])
    with pytest.raises(NotFittedError):
        net.predict(X)
    assert not hasattr(net, "n_features_in_")


def test_typos_are_errors() -> None:
    with pytest.raises(ValueError, match="max_epoch"):
        NetClassifier(max_epoch=3).fit(X, Y)
    with pytest.raises(TypeError, match="hidden"):
        NetClassifier(module__hidden=3).fit(X, Y)
    with pytest.raises(ValueError, match="learning_rate"):
        NetClassifier().set_params(learning_rate=3)


def test_initialize_before_fit_needs_sizes() -> None:
    with pytest.raises(ValueError, match="module__n_features"):
        NetClassifier().initialize()
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


def test_training_mode_forward_keeps_the_order_of_rows() -> None:
    net = NetClassifier(**QUICK).fit(X, Y)  # without dropout both modes agree
    torch.testing.assert_close(net.forward(X, training=True).detach(), net.forward(X))


@pytest.mark.parametrize("net_class", [NetClassifier, NetRegressor])
def test_device(net_class: Any, device: str) -> None:
    net = net_class(device=device, **QUICK).fit(X, Y)
    assert next(net.module_.parameters()).device.type == torch.device(device).type
    given = torch.from_numpy(X).to(device)
    np.testing.assert_array_equal(net.predict(given), net.predict(X))
    weighted = net_class(device=device, **QUICK).fit(X, Y, sample_weight=np.ones(60))
    np.testing.assert_allclose(weighted.predict(X), net.predict(X), atol=1e-4)
    net.fit(given, torch.from_numpy(Y).to(device))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the error is for lack of a GPU")
def test_no_gpu_is_said_clearly() -> None:
    with pytest.raises(ValueError, match="no GPU"):
        NetClassifier(device="cuda").fit(X, Y)


def test_several_outputs_of_a_module_the_first_counts() -> None:
    class Two(MLP):
        def forward(self, X: torch.Tensor) -> Any:
            outputs = super().forward(X)
            return outputs if self.training else (outputs, outputs * 0)

    net = NetClassifier(Two, **QUICK).fit(X, Y)
    np.testing.assert_array_equal(
        net.predict_proba(X), NetClassifier(**QUICK).fit(X, Y).predict_proba(X)
    )
    assert net.predict(X[:2]).shape == (2,)
