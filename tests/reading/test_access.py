"""What may be read from a net, against plain torch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch import NeuralNetRegressor as SkorchRegressor
from torch import nn
from torch.utils.data import DataLoader, StackDataset, TensorDataset

from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier, NetRegressor
from skal.nets.bayesian import BayesianMLP, BayesLinear
from skal.posteriors import WeightNoise
from skal.reading.access import NetAccess
from skal.reading.gradients import per_row_gradients
from skal.reading.pool import Pool
from skal.rows import Rows
from skal.strategies import (
    BADGE,
    BAIT,
    BALD,
    EGL,
    LCMD,
    LDM,
    CoreSet,
    Margin,
    NoiseStability,
)
from tests.models import make_data, make_net, with_labeled

X = make_data("regression", 40)[0].astype(np.float32)
Y = np.arange(40) % 3


class Conv(nn.Module):
    """Convolutions, BatchNorm, dropout, and a head that is declared first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.conv = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.hidden = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.head(self.drop(self.hidden(h).relu()))


def fit(cls=NeuralNetClassifier, module=None, X=X, y=Y, device="cpu", **parameters):
    module = module or nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    settings = {"max_epochs": 1, "verbose": 0, "train_split": None, "device": device}
    if cls is NeuralNetClassifier:
        settings["criterion"] = nn.CrossEntropyLoss
    return cls(module, **{**settings, **parameters}).fit(X, y)


def plain(net, X):
    net.module_.eval()
    with torch.no_grad():
        return net.module_(torch.as_tensor(X, device=net.device))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, torch.as_tensor])
def test_outputs_and_features_of_plain_skorch_nets(dtype, kind, device):
    net = fit(device=device)
    access, rows = NetAccess(net), Rows(kind(X.astype(dtype)))
    assert torch.allclose(access.outputs(rows), plain(net, X), atol=1e-6)
    features = access.features(rows)
    direct = net.module_[:2](torch.as_tensor(X, device=device))
    assert torch.allclose(features, direct, atol=1e-6)
    head = access.find_head(torch.as_tensor(X, device=device)).layer
    assert torch.equal(head.weight, net.module_[2].weight)
    assert head.weight is not net.module_[2].weight
    assert features.device.type == torch.device(device).type


def test_skals_nets_agree_with_their_own_predictions(device):
    for task in ("classification", "regression"):
        data, y = make_data(task, 40)
        net = make_net(task, device).fit(data, y)
        access = NetAccess(net)
        for pool in (data, sparse.csr_array(data), data.tolist()):
            outputs = access.outputs(Rows(pool))
            if task == "regression":
                expected, got = net.predict(data), outputs[:, 0]
            else:
                expected, got = net.predict_proba(data), access.to_proba(outputs)
            np.testing.assert_allclose(got.cpu().numpy(), expected, atol=1e-6)


def test_the_head_is_the_last_linear_that_runs():
    images = np.random.default_rng(0).normal(size=(20, 1, 6, 6)).astype(np.float32)
    net = fit(module=Conv(), X=images, y=Y[:20])
    access = NetAccess(net)
    features = access.features(Rows(images))
    head = access.find_head(torch.as_tensor(images))
    assert head.name == "head"  # declared first, run last
    assert torch.allclose(head.layer(features), plain(net, images), atol=1e-5)
    by_name = NetAccess(net, head="hidden").features(Rows(images))
    conv = net.module_.norm(net.module_.conv(torch.as_tensor(images)))
    assert torch.allclose(by_name, conv.relu().mean((2, 3)), atol=1e-5)
    flat = NetAccess(net, head="norm").features(Rows(images))  # any module will do
    assert flat.shape == (20, 6 * 4 * 4)


def test_modes_are_restored_and_batchnorm_is_frozen():
    images = np.random.default_rng(0).normal(size=(20, 1, 6, 6)).astype(np.float32)
    net = fit(module=Conv(), X=images, y=Y[:20])
    net.module_.train()
    net.module_.drop.eval()
    mean = net.module_.norm.running_mean.clone()
    access = NetAccess(net)
    first, second = access.outputs(Rows(images)), access.outputs(Rows(images))
    assert torch.equal(first, second)
    assert torch.equal(mean, net.module_.norm.running_mean)
    assert net.module_.training
    assert not net.module_.drop.training

    def fails(_: object) -> torch.Tensor:
        raise KeyError("inside")

    with pytest.raises(KeyError):
        access.collect(Rows(images), fails)
    assert net.module_.training
    assert not any(m._forward_pre_hooks for m in net.module_.modules())


def test_other_parameters_are_swapped_in_not_written():
    net = fit()
    access = NetAccess(net)
    zero = {name: torch.zeros_like(p) for name, p in net.module_.named_parameters()}
    before = [p.clone() for p in net.module_.parameters()]
    out = access.collect(Rows(X), lambda batch: access.forward(batch, zero))
    assert not out.any()
    z, out = access.collect(Rows(X), lambda b: access.forward_features(b, zero))
    assert not z.any()
    assert not out.any()
    assert all(map(torch.equal, before, net.module_.parameters()))


class Loss(nn.Module):
    """A criterion that says nothing of what the outputs are."""

    def forward(self, outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, y)


def test_probabilities_follow_from_the_criterion():
    rows = Rows(X)
    logits = fit()
    expected = torch.as_tensor(logits.predict_proba(X)).double()
    access = NetAccess(logits)
    assert torch.allclose(access.to_proba(access.outputs(rows)), expected, atol=1e-6)

    ends_in_softmax = nn.Sequential(nn.Linear(5, 3), nn.Softmax(dim=1))
    net = fit(module=ends_in_softmax, criterion=nn.NLLLoss)
    access = NetAccess(net)
    assert torch.allclose(
        access.to_proba(access.outputs(rows)), plain(net, X).double(), atol=1e-6
    )

    binary = fit(
        NeuralNetBinaryClassifier,
        module=nn.Sequential(nn.Linear(5, 1), nn.Flatten(0)),
        y=(Y > 0).astype(np.float32),
    )
    access = NetAccess(binary)
    proba = access.to_proba(access.outputs(rows))
    assert proba.shape == (40, 2)
    np.testing.assert_allclose(proba.numpy(), binary.predict_proba(X), atol=1e-6)

    with pytest.raises(
        UnsuitableLearnerError,
        match="Cannot tell from the criterion Loss",
    ):
        _ = NetAccess(fit(criterion=Loss)).to_proba
    told = NetAccess(fit(criterion=Loss, predict_nonlinearity=lambda x: x.softmax(1)))
    assert torch.allclose(
        told.to_proba(told.outputs(rows)).sum(1), torch.ones(40).double()
    )
    regressor = fit(SkorchRegressor, y=np.zeros((40, 3), np.float32))
    with pytest.raises(UnsuitableLearnerError, match="not a classifier"):
        _ = NetAccess(regressor).to_proba


def test_confident_rows_keep_their_differences():
    access = NetAccess(fit())
    proba = access.to_proba(torch.tensor([[20.0, 0.0, 0.0]]))
    assert float(1 - proba[0, 0]) == pytest.approx(2 * np.exp(-20), rel=1e-6)


class TwoInputs(nn.Module):
    """Takes two named inputs, and gives two outputs once it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> object:
        out = self.head(torch.cat([a, b], dim=1))
        return out if self.training else (out, a)


def test_dict_input_and_several_outputs():
    data = {"a": X[:, :2], "b": X[:, 2:]}
    net = fit(module=TwoInputs(), X=data)
    access = NetAccess(net)
    outputs = access.outputs(Rows(data))
    direct = net.module_.head(torch.as_tensor(X))
    assert torch.allclose(outputs, direct, atol=1e-6)
    assert torch.allclose(access.features(Rows(data)), torch.as_tensor(X))


def test_several_inputs_are_converted_to_the_type_of_the_net():
    wide = torch.as_tensor(X, dtype=torch.float64)
    pairs = StackDataset(StackDataset(wide[:, :2], wide[:, 2:]), torch.as_tensor(Y))
    net = fit(module=TwoInputs(), X={"a": X[:, :2], "b": X[:, 2:]})
    direct = net.module_.head(torch.as_tensor(X))
    found = NetAccess(net).outputs(Rows(pairs))
    assert torch.allclose(found, direct, atol=1e-6)


def test_a_net_without_linear_head():
    net = fit(module=nn.Sequential(nn.Conv1d(5, 3, 1), nn.Flatten()), X=X[:, :, None])
    with pytest.raises(UnsuitableLearnerError, match=r"no torch.nn.Linear.*\['0', '1'"):
        NetAccess(net).features(Rows(X[:, :, None]))
    with pytest.raises(UnsuitableLearnerError, match=r"no module named 'nope'"):
        NetAccess(net, head="nope").features(Rows(X[:, :, None]))
    assert NetAccess(net, head="0").features(Rows(X[:, :, None])).shape == (40, 5)


@pytest.mark.on_cpu
def test_the_head_of_a_bayesian_net_is_found_and_read_at_its_mean():
    net = NetClassifier(BayesianMLP, max_epochs=2, random_state=0).fit(X, Y)
    layers = [m for m in net.module_.modules() if isinstance(m, BayesLinear)]
    head = layers.pop()
    z = torch.as_tensor(X)
    for layer in layers:
        z = nn.functional.linear(z, layer.weight_mu, layer.bias_mu).relu()
    access = NetAccess(net)
    assert torch.allclose(access.features(Rows(X)), z, atol=1e-6)
    found = access.find_head(torch.as_tensor(X)).layer
    assert torch.equal(found.weight_mu, head.weight_mu)
    linear = nn.Linear(head.in_features, head.out_features)
    plain = NetClassifier(nn.Sequential(nn.Identity(), linear), max_epochs=1)
    plain.fit(z.detach().numpy(), Y)
    with torch.no_grad():
        plain.module_[1].weight.copy_(head.weight_mu)
        plain.module_[1].bias.copy_(head.bias_mu)
    for strategy in (LDM(random_state=0), CoreSet(), BADGE(random_state=0)):
        np.testing.assert_array_equal(
            strategy.select(net, X, 6).indices,
            strategy.select(plain, z.detach().numpy(), 6).indices,
        )


class Bypassed(nn.Module):
    """Has a Linear that does not run."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.head.weight.T


def test_a_head_that_does_not_run():
    with pytest.raises(UnsuitableLearnerError, match=r"runs none of \['head'\]"):
        NetAccess(fit(module=Bypassed())).features(Rows(X))


class Squeezing(nn.Sequential):
    """Removes all dimensions of length 1, that of a single row among them."""

    def forward(self, x):
        return super().forward(x).squeeze()


@pytest.mark.parametrize(
    ("kind", "n_outputs", "strategies"),
    [
        ("regressor", 1, [BAIT, LCMD, NoiseStability, CoreSet]),
        ("binary", 1, [BAIT, EGL, Margin, CoreSet]),
        ("classifier", 2, [BAIT, EGL, BADGE, Margin]),
    ],
)
def test_a_module_that_squeezes_a_single_row(kind, n_outputs, strategies):
    nets = []
    for module in (Squeezing, nn.Sequential):
        torch.manual_seed(0)
        layers = module(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, n_outputs))
        if kind == "regressor":
            nets.append(NetRegressor(layers, max_epochs=20).initialize())
        else:
            criterion = nn.BCEWithLogitsLoss if n_outputs == 1 else nn.CrossEntropyLoss
            net = NetClassifier(layers, criterion=criterion, max_epochs=20)
            nets.append(net.fit(X, Y > 0))
    nets[0].module_.load_state_dict(nets[1].module_.state_dict())
    squeezing, plain = nets
    few, one = Rows(X), Rows(X[:1])
    outputs = NetAccess(squeezing).outputs(few)
    assert torch.equal(outputs, NetAccess(plain).outputs(few))
    torch.testing.assert_close(NetAccess(squeezing).outputs(one), outputs[:1])
    for strategy in strategies:
        found, right = (strategy(random_state=0).select(n, X, 3) for n in nets)
        assert found.indices.tolist() == right.indices.tolist()
        assert strategy(random_state=0).select(squeezing, X[:1], 1).indices == 0


class TimeSteps(nn.Module):
    """Its Linear sees more rows than the net is given."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.reshape(-1, 1)).reshape(len(x), 5, 3).mean(1)


def test_a_head_of_other_rows():
    with pytest.raises(
        UnsuitableLearnerError, match="reads 10 rows where the net outputs 2"
    ):
        NetAccess(fit(module=TimeSteps())).features(Rows(X))


class Returns(nn.Module):
    """Returns its outputs within something else."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)
        self.wrap = wrap

    def forward(self, x: torch.Tensor) -> Any:
        return self.wrap(self.head(x))


class Lenient(NeuralNetClassifier):
    """Finds the outputs in what the module returns, in training."""

    def get_loss(self, y_pred: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        while not isinstance(y_pred, torch.Tensor):
            y_pred = next(iter(y_pred.values() if hasattr(y_pred, "keys") else y_pred))
        return super().get_loss(y_pred.softmax(1), *args, **kwargs)


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (lambda out: [out], "list"),
        (lambda out: {"logits": out}, "dict"),
        (lambda out: OrderedDict(logits=out), "OrderedDict"),
        (lambda out: ({"logits": out}, out), "dict"),
    ],
)
def test_outputs_that_are_not_tensors(wrap, name):
    net = fit(Lenient, module=Returns(wrap))
    for strategy in (Margin(), LCMD(), CoreSet(), NoiseStability()):
        with pytest.raises(UnsuitableLearnerError, match=f"Returns returns a {name}"):
            strategy.select(net, X, 2)


class ComplexHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3, dtype=torch.complex64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.to(torch.complex64)).abs()


def test_complex_features_and_outputs():
    access = NetAccess(fit(module=ComplexHead()))
    assert access.outputs(Rows(X)).dtype == torch.float32
    with pytest.raises(UnsuitableLearnerError, match="complex numbers"):
        access.features(Rows(X))
    access.module.forward = lambda x: access.module.head(x.to(torch.complex64))
    with pytest.raises(UnsuitableLearnerError, match="complex numbers"):
        access.outputs(Rows(X))


class Sorted(nn.Module):
    """Sorts the rows of a batch, up to its head or up to its output."""

    def __init__(self, until: str) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 4), nn.Linear(4, 3)
        self.until = until

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        order = x[:, 1].argsort()
        back = order.argsort()
        hidden = self.first(x[order]).tanh()
        if self.until == "head":
            return self.head(hidden[back])
        return self.head(hidden)[back]


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
def test_a_head_of_rows_in_another_order(order):
    rows = Rows(X[X[:, 1].argsort()[order]].copy())
    with pytest.raises(UnsuitableLearnerError, match="sorts or mixes the rows"):
        NetAccess(fit(module=Sorted("output"))).features(rows)
    access = NetAccess(fit(module=Sorted("head")))
    with torch.no_grad():
        expected = access.module.first(torch.as_tensor(rows.X)).tanh()
    torch.testing.assert_close(access.features(rows), expected)


@pytest.mark.filterwarnings("ignore:You set iterator_valid__shuffle")
def test_iterators_that_lose_the_order():
    with pytest.raises(UnsuitableLearnerError, match="iterator_valid__shuffle=False"):
        NetAccess(fit(iterator_valid__shuffle=True)).outputs(Rows(X))
    dropping = fit(iterator_valid__drop_last=True, batch_size=32)
    with pytest.raises(UnsuitableLearnerError, match="gave 32 of 40 rows"):
        NetAccess(dropping).outputs(Rows(X))
    assert NetAccess(fit(iterator_valid=DataLoader)).outputs(Rows(X)).shape == (40, 3)


def test_plain_neural_net():
    net = NeuralNet(
        nn.Linear(5, 1), nn.MSELoss, max_epochs=1, verbose=0, train_split=None
    ).fit(X, X[:, :1])
    assert NetAccess(net).outputs(Rows(X)).shape == (40, 1)


class ByKeyword(nn.Module):
    """Calls its head with a named argument."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(input=x)


def test_classes_of_the_columns_of_skorchs_nets() -> None:
    def make(**options: object) -> NeuralNetClassifier:
        parts = {"train_split": None, "max_epochs": 1, "verbose": 0, **options}
        return NeuralNetClassifier(
            nn.Linear(5, 4), criterion=nn.CrossEntropyLoss, **parts
        )

    # Without labels at hand, or with fewer than columns, targets are positions.
    data = TensorDataset(torch.tensor(X), torch.tensor(Y))
    for net in (make().fit(data, None), make().fit(X, Y)):
        assert NetAccess(net).column_classes(4).tolist() == [0, 1, 2, 3]
    named = make(classes=["a", "b", "c", "d"]).fit(X, Y)
    assert NetAccess(named).column_classes(4).tolist() == ["a", "b", "c", "d"]
    for classes in (["a", "b", "c"], [1, 2, 4]):
        wrong = make(classes=classes).fit(X, Y)
        with pytest.raises(UnsuitableLearnerError, match=r"4 outputs .* Name all"):
            NetAccess(wrong).column_classes(4)


def test_a_head_called_by_keyword():
    features = NetAccess(fit(module=ByKeyword())).features(Rows(X))
    assert torch.allclose(features, torch.as_tensor(X))


def test_outputs_that_are_not_finite_are_reported():
    net = fit()
    with torch.no_grad():
        net.module_[0].weight.fill_(torch.inf)
    with pytest.raises(ValueError, match="for the pool are not finite"):
        NetAccess(net).outputs(Rows(X))


class RefersToItself(nn.Module):
    """Reaches its dropout by a closure."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.drop = nn.Linear(5, 5), nn.Dropout(0.5)
        self.head = nn.Linear(5, 3)
        self.activation = lambda x: self.drop(x.relu())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.activation(self.hidden(x)))


def test_a_module_that_refers_to_itself_is_read_in_eval_mode():
    net = fit(module=RefersToItself())
    net.module_.train()
    outputs = NetAccess(net).outputs(Rows(X))
    assert torch.equal(outputs, plain(net, X))


@pytest.mark.on_cpu
def test_sparse_rows_after_transformers_are_never_dense_at_once(monkeypatch):
    words = np.array([f"w{k}" for k in range(3000)])
    texts = [" ".join(words[k : k + 3]) for k in range(2000)]
    net = NetClassifier(max_epochs=1, module__hidden_sizes=(4,), random_state=0)
    model = make_pipeline(TfidfVectorizer(), net)
    model.fit(texts, np.arange(2000) % 2)
    (member,) = Pool(model, texts).members
    expected = net.forward(model[:-1].transform(texts))
    access, seen = NetAccess(net), []
    get_dataset = net.get_dataset
    monkeypatch.setattr(
        net, "get_dataset", lambda X, y=None: seen.append(X.nbytes) or get_dataset(X, y)
    )
    with config_context(working_memory=64):
        outputs = access.outputs(member.rows)
    assert max(seen) <= 2**20
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


class Normalizing(nn.Module):
    """Normalizes by the rows of a batch, in large batches alone if there is a limit."""

    def __init__(self, limit: int = 0) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 4), nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(4, track_running_stats=False)
        self.limit = limit

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        if len(x) > self.limit:
            hidden = self.norm(hidden)
        return self.head(hidden)


@pytest.mark.parametrize("limit", [0, 20])
@pytest.mark.parametrize(
    "strategy", [Margin(), CoreSet(), BADGE(), BALD(WeightNoise())]
)
def test_outputs_that_depend_on_other_rows_warn(limit, strategy):
    net = fit(module=Normalizing(limit))
    learner = with_labeled(net, X, Y)
    message = r"depend on the other rows .* layers \['norm'\] .* track_running_stats"
    with pytest.warns(UserWarning, match=message):
        assert len(strategy.select(learner, X, 3).indices) == 3
    net.module_.norm = nn.Identity()
    assert len(strategy.select(learner, X, 3).indices) == 3  # without a warning


@pytest.mark.parametrize("module", [Sorted("head"), Normalizing(limit=99)])
@pytest.mark.parametrize("n_rows", [1, 2, 40])
def test_outputs_of_single_rows_do_not_warn(module, n_rows):
    net = fit(module=module)
    found = NetAccess(net).outputs(Rows(X[:n_rows]))
    torch.testing.assert_close(found, plain(net, X[:n_rows]))


def test_an_interrupted_check_is_made_again(monkeypatch):
    access, batch = NetAccess(fit(module=Normalizing())), torch.as_tensor(X)

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(access.module, "forward", interrupted)
        with pytest.raises(KeyboardInterrupt):
            access.check_rows_alone(batch)
    with pytest.warns(UserWarning, match="depend on the other rows"):
        assert not access.check_rows_alone(batch)
    assert not access.check_rows_alone(batch)  # without another warning


class SortsLarge(Sorted):
    """Sorts the rows of large batches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 16:
            return super().forward(x)
        return self.head(self.first(x).tanh())


def test_large_batches_that_are_sorted():
    net = fit(module=SortsLarge("output"))
    assert NetAccess(net).features(Rows(X[:16])).shape == (16, 4)
    with pytest.raises(UnsuitableLearnerError, match="sorts or mixes the rows"):
        NetAccess(net).features(Rows(X))
    assert torch.equal(NetAccess(net).outputs(Rows(X)), plain(net, X))
    few, many = (
        sum((a @ a.mT) * (g @ g.mT) for a, g in layers)
        for layers in (
            per_row_gradients(NetAccess(net), Rows(X[:16])),
            per_row_gradients(NetAccess(net), Rows(X)),
        )
    )
    torch.testing.assert_close(many[:16, :16], few)
