"""Laplace on the last layer against closed forms and autograd's Hessian."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetBinaryClassifier
from torch import nn

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.nets import MLP, NetClassifier, NetRegressor
from skal.posteriors import LastLayerLaplace
from skal.posteriors.laplace import _by_cholesky, _by_kronecker, _curvature
from skal.reading.pool import Pool
from tests.models import with_labeled
from tests.posteriors.helpers import X, Y, collect, unchanged

#: Outputs are float32.
CLOSE = {"rtol": 1e-3, "atol": 1e-4}
VALUES = X[:, 0] + 0.1 * np.random.default_rng(1).normal(size=60)


def learner(net, X=X, y=Y):
    return ActiveLearner(net, X_training=X, y_training=y)


def variance(draws, size):
    """Variance over all noise of outputs ``(K, m)``, from the noise that was drawn.

    The draws are linear in the noise of their head, so that some more than it has
    elements tell all of it: exact, where a sample of any size is not.
    """
    noise = torch.randn(
        (len(draws), *size),
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
    ).flatten(1)
    design = torch.cat([noise, torch.ones_like(noise[:, :1])], dim=1)
    found = torch.linalg.lstsq(design, draws.double())
    torch.testing.assert_close(design @ found.solution, draws.double(), **CLOSE)
    return found.solution[:-1].square().sum(dim=0).numpy()


def gaussian(precision):
    """Variances of ``w @ (x, 1)`` for w of this precision, at the rows X."""
    design = np.column_stack([X, np.ones(len(X))]).astype(float)
    return np.einsum("md,de,me->m", design, np.linalg.inv(precision), design)


def moments(weight, X=X):
    """Weighted sum of the outer products of the rows ``(x, 1)``."""
    design = np.column_stack([X, np.ones(len(X))]).astype(float)
    return design.T @ (design * np.broadcast_to(weight, len(X))[:, None])


@pytest.mark.on_cpu
def test_regression_is_bayesian_linear_regression_on_the_features():
    # A linear net, so that the features are X; targets scaled, so that units matter.
    net = NetRegressor(module__hidden_sizes=(), max_epochs=200, lr=0.02)
    model = TransformedTargetRegressor(net, transformer=StandardScaler())
    fitted = learner(model, X[:40], 1000 * VALUES[:40] + 7)
    posterior = LastLayerLaplace(n_draws=40, prior_precision=2.0)
    outputs = collect(posterior, fitted)[:, :, 0]
    y = VALUES[:40] - VALUES[:40].mean()
    y = y / y.std()
    residual = fitted.estimator.regressor_.predict(X[:40]) - y
    precision = moments(1 / np.mean(residual**2), X[:40]) + 2 * np.eye(6)
    found = variance(outputs, (1, 6))
    np.testing.assert_allclose(found, gaussian(precision), rtol=2e-3)


def test_labels_in_read_only_memory_bring_no_warning(monkeypatch):
    # As the values of a pandas Series are.
    y = VALUES[:40].astype(np.float64)
    y.flags.writeable = False
    fitted = learner(NetRegressor(max_epochs=1, random_state=0), X[:40], y)
    torch.set_warn_always(True)  # else the first such warning is the last
    try:
        assert collect(LastLayerLaplace(n_draws=2), fitted).isfinite().all()
    finally:
        torch.set_warn_always(False)


def test_the_whole_hessian_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(30, 4)))
    weight = torch.from_numpy(rng.normal(size=(3, 4)))
    p = (z @ weight.T).softmax(1)
    curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]

    def loss(flat):
        logits = z @ flat.view(3, 4).T  # the Hessian does not depend on the labels
        return nn.functional.cross_entropy(logits, p, reduction="sum")

    hessian = torch.autograd.functional.hessian(loss, weight.flatten())
    covariance = torch.linalg.inv(hessian + 0.5 * torch.eye(12))
    basis = torch.eye(12, dtype=torch.float64).view(12, 3, 4)
    steps = _by_cholesky(z, curvature, 0.5, basis).flatten(1)  # the factor's columns
    assert torch.allclose(steps.T @ steps, covariance)


def test_the_kronecker_product_is_exact_where_rows_share_their_curvature():
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(30, 4)))
    root = torch.from_numpy(rng.normal(size=(3, 3)))
    curvature = (root @ root.T).expand(30, 3, 3)
    basis = torch.eye(12, dtype=torch.float64).view(12, 3, 4)
    one = _by_cholesky(z, curvature, 0.5, basis).flatten(1)
    two = _by_kronecker(z, curvature, 0.5, basis).flatten(1)
    assert torch.allclose(one.T @ one, two.T @ two)


@pytest.mark.on_cpu
def test_classification_spreads_away_from_the_labels():
    net = NetClassifier(module__hidden_sizes=(20,), max_epochs=50, random_state=0)
    fitted = learner(net)
    with unchanged(fitted.estimator):
        proba = collect(LastLayerLaplace(n_draws=200), fitted)
    assert proba.shape == (200, 60, 3)
    assert torch.allclose(proba.sum(2), torch.ones(200, 60).double())
    far = collect(LastLayerLaplace(n_draws=200), fitted, 30 * X)
    assert float(far.var(0).mean()) > 2 * float(proba.var(0).mean())
    tight = LastLayerLaplace(n_draws=50, prior_precision=1e8)
    np.testing.assert_allclose(
        collect(tight, fitted).mean(0), fitted.predict_proba(X), atol=1e-3
    )


@pytest.mark.on_cpu
def test_a_wide_head_takes_the_kronecker_product():
    net = NetClassifier(module__hidden_sizes=(800,), max_epochs=1, random_state=0)
    proba = collect(LastLayerLaplace(n_draws=5), learner(net))
    assert torch.allclose(proba.sum(2), torch.ones(5, 60).double())


@pytest.mark.on_cpu
def test_binary_by_one_logit():
    def make():
        return nn.Linear(5, 1)

    net = NeuralNetBinaryClassifier(
        make, max_epochs=30, lr=0.5, verbose=0, train_split=None
    )
    y = (Y > 0).astype(np.float32)
    fitted = learner(net.fit(X, y), X, y)
    assert collect(LastLayerLaplace(n_draws=5), fitted).shape == (5, 60, 2)
    p = fitted.estimator.predict_proba(X)[:, 1].astype(float)
    precision = moments(p * (1 - p)) + np.eye(6)
    np.testing.assert_allclose(logit_variance(fitted), gaussian(precision), rtol=2e-3)


def test_what_cannot_be_done_is_told():
    net = NetClassifier(module__hidden_sizes=(4,), max_epochs=1).fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match=r"labeled rows.*ActiveLearner"):
        collect(LastLayerLaplace(), net)
    ends = nn.Sequential(nn.Linear(5, 3), nn.Softmax(1))
    with pytest.raises(UnsuitableLearnerError, match="followed by another layer"):
        collect(LastLayerLaplace(), learner(NetClassifier(ends, max_epochs=1)))
    with pytest.raises(UnsuitableLearnerError, match="LogisticRegression is not one"):
        collect(LastLayerLaplace(), learner(LogisticRegression()))
    with pytest.raises(ValueError, match="prior_precision must be a number above 0"):
        collect(LastLayerLaplace(prior_precision=0), learner(net))


def logit_variance(fitted):
    """Variances of the logits of two classes, of a head with one output."""
    proba = collect(LastLayerLaplace(n_draws=40), fitted)
    return variance(proba[:, :, 1].log() - proba[:, :, 0].log(), (1, 6))


@pytest.mark.on_cpu
@pytest.mark.parametrize("how", ["class_weight", "balanced", "pos_weight"])
def test_a_row_counts_by_the_weight_of_its_class(how):
    # The weights of classes are those of rows: a row of weight 50 stands for 50 rows.
    labels = np.array(["no", "yes"])[(X[:, 0] > 0.8).astype(int)]
    rare = labels == "yes"
    weight = {0: 1.0, 1: 50.0}
    options = {"class_weight": {"no": 1, "yes": 50}}
    if how == "balanced":
        options = {"class_weight": "balanced"}
        weight = {0: 30 / (~rare).sum(), 1: 30 / rare.sum()}
    if how == "pos_weight":
        options = {"criterion__pos_weight": torch.tensor(50.0)}
    net = NetClassifier(
        MLP,
        module__hidden_sizes=(),
        criterion=nn.BCEWithLogitsLoss,
        lr=0.05,
        max_epochs=60,
        random_state=0,
        **options,
    )
    fitted = learner(net, X, labels)
    p = fitted.predict_proba(X)[:, 1].astype(float)
    w = np.where(rare, weight[1], weight[0])
    precision = moments(w * p * (1 - p)) + np.eye(6)
    np.testing.assert_allclose(logit_variance(fitted), gaussian(precision), rtol=2e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_weights_of_a_criterion_are_those_of_its_loss(smoothing):
    weight = torch.tensor([1.0, 7.0, 20.0])
    criterion = {"criterion__weight": weight, "criterion__label_smoothing": smoothing}
    net = NetClassifier(max_epochs=1, random_state=0, **criterion).fit(X, Y)
    member = Pool(learner(net), X).members[0]
    outputs = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 3)))
    own = nn.CrossEntropyLoss(weight.double(), label_smoothing=smoothing)
    own.reduction = "sum"
    for i in range(5):
        expected = torch.autograd.functional.hessian(
            lambda f, i=i: own(f[None], torch.tensor([Y[i]])), outputs[i]
        )
        torch.testing.assert_close(_curvature(member, outputs)[i], expected)


@pytest.mark.on_cpu
def test_each_target_has_its_own_noise():
    rng = np.random.default_rng(3)
    targets = np.column_stack([X[:, 0], X[:, 1]]) + [0.01, 1.0] * rng.normal(
        size=(60, 2)
    )
    net = NetRegressor(
        MLP, module__hidden_sizes=(), max_epochs=300, lr=0.05, random_state=0
    )
    fitted = learner(net, X, targets)
    outputs = collect(LastLayerLaplace(n_draws=60), fitted)
    noise = np.mean((fitted.predict(X) - targets) ** 2, axis=0)
    assert noise[1] > 100 * noise[0]
    for t in range(2):
        precision = moments(1 / noise[t]) + np.eye(6)
        found = variance(outputs[:, :, t], (2, 6))
        np.testing.assert_allclose(found, gaussian(precision), rtol=2e-3)


class Tied(nn.Module):
    """The weight of the head is that of the first layer, too."""

    def __init__(self, n_features: int, tied: bool) -> None:
        super().__init__()
        self.first = nn.Linear(n_features, n_features)
        self.head = nn.Linear(n_features, n_features)
        if tied:
            self.head.weight = self.first.weight

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.head(self.first(X).tanh())


@pytest.mark.on_cpu
@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "older", "tied"])
def test_heads_whose_weights_are_computed_or_shared(kind):
    change = {
        "weight_norm": nn.utils.parametrizations.weight_norm,
        "spectral_norm": nn.utils.parametrizations.spectral_norm,
        "older": nn.utils.weight_norm,
    }

    def make(tied: bool) -> nn.Module:
        module = Tied(X.shape[1], tied and kind == "tied")
        if tied and kind != "tied":
            change[kind](module.head)
        return module

    targets = X.astype(np.float64)
    nets = []
    for tied in (True, False):
        net = NetRegressor(partial(make, tied), max_epochs=40, random_state=0)
        nets.append(net.fit(X, targets))
    special, plain = (net.module_.eval() for net in nets)
    with torch.no_grad():
        special(torch.as_tensor(X[:2]).float())  # the older one computes its weight
        for name in ("first", "head"):
            layer, other = getattr(plain, name), getattr(special, name)
            layer.weight.copy_(other.weight)
            layer.bias.copy_(other.bias)
    before = {n: t.clone() for n, t in special.state_dict().items()}
    draws = [
        collect(LastLayerLaplace(5), with_labeled(net, X, targets)) for net in nets
    ]
    torch.testing.assert_close(draws[0], draws[1], **CLOSE)
    assert all(torch.equal(t, before[n]) for n, t in special.state_dict().items())
    assert float(draws[0].std(dim=0).min()) > 0
