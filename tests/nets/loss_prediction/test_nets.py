"""Nets that learn to predict their losses."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from skal.nets import (
    MLP,
    DeepEnsembleClassifier,
    DiversityEncouragingEnsembleClassifier,
    LossPredictionClassifier,
    LossPredictionRegressor,
    NetClassifier,
    NetRegressor,
    SnapshotEnsembleRegressor,
    SplitHeadEnsembleClassifier,
)
from skal.nets.bayesian import BayesianMLP
from tests.nets.helpers import Conv, Softmax, TwoInputs, blobs, line, states_equal

SMALL: dict[str, Any] = {
    "module": MLP,
    "module__hidden_sizes": (6, 5),
    "width": 7,
    "max_epochs": 5,
    "lr": 0.02,
    "random_state": 0,
}
TASKS = [
    pytest.param(LossPredictionClassifier, NetClassifier, blobs, id="classifier"),
    pytest.param(LossPredictionRegressor, NetRegressor, line, id="regressor"),
]
every_task = pytest.mark.parametrize(("net", "plain", "data"), TASKS)


def noisy(task: str, n: int = 600, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Make rows, targets, and a mask of the rows whose targets are pure noise."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 3)).astype(np.float32)
    noise = X[:, 0] > 0.2
    if task == "regression":
        return X, X[:, 1] + np.where(noise, rng.normal(size=n), 0), noise
    return X, np.where(noise, rng.integers(0, 2, n), X[:, 1] > 0), noise


# -- training -------------------------------------------------------------------------


@pytest.mark.parametrize("detach_after", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(
    "net", [LossPredictionClassifier, LossPredictionRegressor], ids=["c", "r"]
)
def test_a_noisy_region_is_ranked_above_a_clean_one(
    net: Any, detach_after: float
) -> None:
    task = "regression" if net is LossPredictionRegressor else "classification"
    X, y, noise = noisy(task)
    net = net(lr=3e-3, max_epochs=30, detach_after=detach_after, random_state=0)
    net.fit(X[:400], y[:400])
    assert roc_auc_score(noise[400:], net.predict_loss(X[400:])) > 0.9


def by_hand(
    net: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray, n_attached: int
) -> tuple[nn.Module, nn.Module, list[float]]:
    """Train an MLP of two layers and its loss module, one batch an epoch, with SGD."""
    start = clone(net).set_params(max_epochs=0).fit(X, y)
    module, predictor = deepcopy(start.module_), deepcopy(start.loss_module_)
    rows, target, weights = map(torch.from_numpy, (X, y, weight))
    parameters = [*module.parameters(), *predictor.parameters()]
    rankings = []
    for epoch in range(net.max_epochs):
        first = module.body[0](rows).relu()
        second = module.body[2](first).relu()
        outputs = module.head(second)
        if isinstance(net, LossPredictionClassifier):
            losses = F.cross_entropy(outputs, target, reduction="none")
        else:
            losses = (outputs[:, 0] - target) ** 2
        if epoch >= n_attached:
            first, second = first.detach(), second.detach()
        hidden = [
            layer(h).relu()
            for layer, h in zip(predictor.layers, (first, second), strict=True)
        ]
        predicted = predictor.head(torch.cat(hidden, 1))[:, 0]
        pairs, n = [], len(X)
        for i in range(n // 2):
            j = n - 1 - i
            sign = 1 if losses[i] > losses[j] else -1
            hinge = -sign * (predicted[i] - predicted[j]) + net.margin
            pairs.append(hinge.clamp(min=0))
        ranking = sum(pairs) / len(pairs)
        rankings.append(float(ranking.detach()))
        loss = (weights * losses).sum() / weights.sum() + net.weight * ranking
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter -= net.lr * gradient
    return module, predictor, rankings


@pytest.mark.on_cpu
@every_task
@pytest.mark.parametrize(
    ("detach_after", "n_attached"),
    [(0.0, 0), (0.1, 0), (0.7, 4), (1.0, 5)],
)
def test_training_is_that_of_the_paper(
    net: Any, plain: Any, data: Any, detach_after: float, n_attached: int
) -> None:
    X, y = data(13)
    weight = np.linspace(0.5, 2, 13).astype(np.float32)
    net = net(
        optimizer=torch.optim.SGD,
        batch_size=-1,
        iterator_train__shuffle=False,
        detach_after=detach_after,
        weight=0.7,
        margin=1.5,
        **{**SMALL, "lr": 0.2},
    )
    module, predictor, rankings = by_hand(net, X, y, weight, n_attached)
    net.fit(X, y, sample_weight=weight)
    for fitted, expected in [(net.module_, module), (net.loss_module_, predictor)]:
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(
                fitted.state_dict()[name], value, rtol=1e-3, atol=1e-4
            )
    np.testing.assert_allclose(
        net.history[:, "loss_prediction_loss"], rankings, rtol=1e-3
    )


@every_task
def test_a_detached_module_equals_that_of_a_plain_net(
    net: Any, plain: Any, data: Any
) -> None:
    X, y = data()
    options = {k: v for k, v in SMALL.items() if k != "width"}
    options |= {"module__dropout": 0.3, "batch_size": 16}
    expected = plain(**options).fit(X, y)
    detached = net(detach_after=0.0, **options).fit(X, y)
    assert states_equal(detached.module_, expected.module_)
    np.testing.assert_array_equal(detached.predict(X), expected.predict(X))
    attached = net(detach_after=0.6, **options).fit(X, y)
    assert not states_equal(attached.module_, expected.module_)


class Spy(Callback):
    """Notes in each epoch whether the loss module reaches the module."""

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        self.reaches: list[bool] = []
        note = lambda _, args: self.reaches.append(args[0][0].requires_grad)
        self.handle = net.loss_module_.register_forward_pre_hook(note)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        self.handle.remove()


def test_each_training_counts_epochs_from_zero() -> None:
    X, y = blobs()
    spy = Spy()
    net = LossPredictionClassifier(
        callbacks=[spy], warm_start=True, **{**SMALL, "max_epochs": 10}
    )
    for train in (net.fit, net.fit, net.partial_fit):
        train(X, y)
        assert spy.reaches == [True] * 6 + [False] * 4
    assert len(net.history) == 30
    net.set_params(max_epochs=1).partial_fit(X, y)
    assert spy.reaches == [True]


@every_task
def test_odd_batches_and_batches_of_one_row(net: Any, plain: Any, data: Any) -> None:
    X, y = data(29)
    for batch_size in (1, 7, -1):
        fitted = net(batch_size=batch_size, **SMALL).fit(X, y)
        ranking = fitted.history[:, "loss_prediction_loss"]
        assert np.isfinite(ranking).all()
        assert (np.array(ranking) == 0).all() == (batch_size == 1)


def test_history_has_both_losses_and_validation_that_of_the_task() -> None:
    X, y = line()
    net = LossPredictionRegressor(train_split=ValidSplit(3), weight=2.0, **SMALL)
    net.set_params(lr=0.0, batch_size=-1, iterator_train__shuffle=False).fit(X, y)
    plain = NetRegressor(MLP, train_split=ValidSplit(3), lr=0.0, batch_size=-1)
    plain.set_params(max_epochs=1, module__hidden_sizes=(6, 5), random_state=0)
    plain.fit(X, y)
    row, expected = net.history[0], plain.history[0]
    assert row["valid_loss"] == pytest.approx(expected["valid_loss"], rel=1e-5)
    assert row["train_loss"] == pytest.approx(
        expected["train_loss"] + 2 * row["loss_prediction_loss"], rel=1e-5
    )
    assert "_step_blocks" not in vars(net)
    assert not any(part._forward_hooks for part in net.module_.modules())


def test_weights_of_rows_count_in_the_task_and_not_in_the_ranking() -> None:
    X, y = blobs(30)
    options = {**SMALL, "lr": 0.0, "batch_size": -1, "iterator_train__shuffle": False}
    rankings, losses = [], []
    for weight, by_class in [
        (None, None),
        (np.linspace(1, 9, 30), None),
        (None, {1: 7}),
    ]:
        net = LossPredictionClassifier(class_weight=by_class, **options)
        net.fit(X, y, sample_weight=weight)
        rankings.append(net.history[0, "loss_prediction_loss"])
        losses.append(net.history[0, "train_loss"])
    assert rankings[0] == rankings[1] == rankings[2]
    assert len(set(losses)) == 3


# -- predicted losses -----------------------------------------------------------------


@pytest.mark.on_cpu
@every_task
def test_predicted_losses_are_the_loss_module_of_the_blocks(
    net: Any, plain: Any, data: Any
) -> None:
    X, y = data()
    net = net(**SMALL).fit(X, y)
    assert net.blocks_ == ["body.1", "body.3"]
    rows = torch.from_numpy(X)
    first = net.module_.body[:2](rows)
    expected = net.loss_module_([first, net.module_.body[2:](first)]).detach()
    losses = net.predict_loss(X)
    assert losses.dtype == np.float32
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)
    # The prediction of a row depends on the number of other rows by rounding alone.
    singly = [net.predict_loss(X[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(np.concatenate(singly), losses[:5], rtol=1e-6)
    for other in (torch.from_numpy(X), sparse.csr_matrix(X), X.tolist()):
        np.testing.assert_array_equal(net.predict_loss(other), losses)
    np.testing.assert_allclose(net.forward_loss(rows).detach(), losses, atol=1e-5)


@every_task
def test_same_seed_same_net_in_copies_and_pickles(
    net: Any, plain: Any, data: Any
) -> None:
    X, y = data()
    net = net(batch_size=16, **SMALL)
    expected = net.fit(X, y).predict_loss(X)
    before = torch.get_rng_state()
    again = clone(net).fit(X, y)
    np.testing.assert_array_equal(again.predict_loss(X), expected)
    assert torch.equal(torch.get_rng_state(), before)
    for copy in (pickle.loads(pickle.dumps(net)), deepcopy(net)):
        np.testing.assert_array_equal(copy.predict_loss(X), expected)
        assert copy.blocks_ == net.blocks_
        # Training continues alike, with the state of the optimizer.
        np.testing.assert_array_equal(
            copy.partial_fit(X, y).predict_loss(X),
            deepcopy(net).partial_fit(X, y).predict_loss(X),
        )
    other = clone(net).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.predict_loss(X), expected)


def test_parameters_of_the_module_rebuild_both_modules() -> None:
    X, y = blobs()
    net = LossPredictionClassifier(**SMALL).fit(X, y)
    with pytest.warns(UserWarning, match="rebuilt with new weights"):
        net.set_params(module__hidden_sizes=(9,))
    assert net.blocks_ == ["body.1"]
    assert net.predict_loss(X).shape == (60,)
    assert net.partial_fit(X, y).score(X, y) > 0.3


def test_saved_parameters_hold_the_loss_module(tmp_path: Any) -> None:
    X, y = blobs()
    net = LossPredictionClassifier(**SMALL).fit(X, y)
    paths = {f"f_{name}": tmp_path / name for name in ("params", "loss_module")}
    net.save_params(**paths)
    other = clone(net).set_params(random_state=5, max_epochs=0).fit(X, y)
    other.load_params(**paths)
    np.testing.assert_array_equal(other.predict_loss(X), net.predict_loss(X))


# -- as an estimator ------------------------------------------------------------------


@every_task
def test_pipelines_and_searches(net: Any, plain: Any, data: Any) -> None:
    X, y = data()
    pipeline = make_pipeline(StandardScaler(), net(**SMALL))
    name = pipeline.steps[-1][0]
    grid = {f"{name}__weight": [0.5, 1.0], f"{name}__blocks": ["auto", ["body.3"]]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    best = search.best_estimator_[-1]
    assert best.weight == search.best_params_[f"{name}__weight"]
    assert best.predict_loss(X).shape == (60,)


def test_images_dicts_datasets_and_criteria() -> None:
    X, y = blobs()
    images = np.random.default_rng(0).normal(size=(60, 2, 6, 6)).astype(np.float32)
    net = LossPredictionClassifier(Conv, max_epochs=2).fit(images, y)
    assert (net.blocks_, len(net.predict_loss(images))) == (["conv"], 60)
    # Read a part that is neither linear nor convolutional.
    inputs = {"numbers": X, "kind": y}
    net = LossPredictionClassifier(TwoInputs, blocks=["embedding"], max_epochs=2)
    assert net.fit(inputs, y).predict_loss(inputs).shape == (60,)
    net = LossPredictionClassifier(
        batch_size=-1, iterator_train__shuffle=False, **SMALL
    )
    expected = net.fit(X, y).predict_loss(X)
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    np.testing.assert_allclose(
        net.fit(dataset).predict_loss(dataset), expected, rtol=1e-4, atol=1e-5
    )
    for options in [
        {"criterion": nn.BCEWithLogitsLoss},
        {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1},
        {"module": BayesianMLP},
        {"optimizer": torch.optim.LBFGS},
    ]:
        net = LossPredictionClassifier(**{**SMALL, **options}).fit(X, y % 2)
        assert np.isfinite(net.history[:, "loss_prediction_loss"]).all()
        assert net.predict_loss(X).shape == (60,)
    net = LossPredictionRegressor(criterion=nn.HuberLoss, **SMALL)
    assert net.fit(X, X[:, :2]).predict_loss(X).shape == (60,)  # two targets


def test_functional_activations_and_batch_norm() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(4, 8), nn.BatchNorm1d(8)
            self.head = nn.Linear(8, 3)

        def forward(self, X: torch.Tensor) -> torch.Tensor:
            return self.head(F.relu(self.norm(self.first(X))))

    X, y = blobs(33)
    net = LossPredictionClassifier(Net(), batch_size=16, max_epochs=3).fit(X, y)
    assert net.blocks_ == ["norm"]
    # Looking for blocks has not moved the statistics.
    assert int(net.module_.norm.num_batches_tracked) == 6


def test_ensembles_of_such_nets() -> None:
    X, y = blobs()
    net = LossPredictionClassifier(module__dropout=0.2, **SMALL)
    deep = DeepEnsembleClassifier(net, 2, random_state=0).fit(X, y)
    assert not deep.trained_together_
    diverse = DiversityEncouragingEnsembleClassifier(net, 2, random_state=0).fit(X, y)
    regressor = LossPredictionRegressor(**SMALL)
    snapshots = SnapshotEnsembleRegressor(regressor, 2, random_state=0).fit(X, y)
    for ensemble in (deep, diverse, snapshots):
        for member in ensemble.estimators_:
            assert member.predict_loss(X).shape == (60,)
    with pytest.raises(ValueError, match="cannot be taken apart"):
        SplitHeadEnsembleClassifier(net, 2).fit(X, y)


# -- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": "all"}, "blocks must be 'auto' or a list"),
        ({"blocks": []}, "blocks must be 'auto' or a list"),
        ({"blocks": ["nowhere"]}, r"MLP has no parts \['nowhere'\]"),
        ({"module__hidden_sizes": ()}, "no linear or convolutional layer before"),
        ({"module": Softmax, "criterion": nn.NLLLoss}, "no linear or convolutional"),
        ({"width": 0}, "width must be an int of at least 1"),
        ({"margin": 0}, "margin must be a number above 0"),
        ({"weight": -1}, "weight must be a number above 0"),
        ({"detach_after": 1.1}, "detach_after must be from 0 to 1, got 1.1"),
        ({"detach_after": -0.1}, "detach_after must be from 0 to 1"),
        ({"detach_after": np.nan}, "detach_after must be from 0 to 1"),
        ({"detach_after": True}, "detach_after must be from 0 to 1"),
    ],
)
def test_bad_parameters_leave_the_net_as_it_was(options: Any, message: str) -> None:
    X, y = blobs()
    hidden = {} if "module" in options else {"module__hidden_sizes": (6,)}
    net = LossPredictionClassifier(**{"max_epochs": 1, **hidden, **options})
    with pytest.raises(ValueError, match=message):
        net.fit(X, y)
    assert not net.initialized_
    assert "loss_module_" not in vars(net)
    fitted = LossPredictionClassifier(max_epochs=1, random_state=0).fit(X, y)
    expected = fitted.predict_loss(X)
    for name, value in options.items():
        if "module" not in name and name != "criterion":
            setattr(fitted, name, value)
            with pytest.raises(ValueError, match=message):
                fitted.fit(X, y)
            np.testing.assert_array_equal(fitted.predict_loss(X), expected)


def test_diverging_losses_are_an_error() -> None:
    X, y = line()
    net = LossPredictionRegressor(optimizer=torch.optim.SGD, lr=1e9, max_epochs=50)
    with pytest.raises(ValueError, match=r"losses are NaN.*diverge.*smaller lr"):
        net.fit(X, y)
    assert not net.initialized_


def test_a_criterion_without_losses_of_rows_is_refused() -> None:
    class Own(nn.Module):
        def forward(self, y_pred: Any, y_true: Any) -> Any:
            return (y_pred - y_true).abs().mean()

    with pytest.raises(ValueError, match=r"losses of single rows.*Own has none"):
        LossPredictionRegressor(criterion=Own).fit(*line())


def test_rows_are_needed_before_blocks_can_be_found() -> None:
    net = LossPredictionClassifier(module__n_features=4, module__n_outputs=3)
    with pytest.raises(ValueError, match="has not seen any; call fit"):
        net.initialize()
    net.partial_fit(*blobs())
    assert net.initialize().blocks_ == ["body.2", "body.5", "body.8"]


@pytest.mark.parametrize("name", ["blcks", "loss_module__width"])
def test_parameters_that_do_not_exist(name: str) -> None:
    X, y = blobs()
    with pytest.raises((TypeError, ValueError), match=name):
        LossPredictionClassifier(**{name: 3}, max_epochs=1).fit(X, y)
