"""Expected model change against autograd, row by row and model by model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.overrides import TorchFunctionMode

from skal import ActiveLearner, CommitteeRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.nets import DeepEnsembleRegressor, WeightSnapshots
from skal.posteriors import MCDropout, Members, Snapshots, WeightNoise
from skal.strategies import EMCM
from tests.models import make_data, make_net, module_on_cpu
from tests.reading.test_gradients import Mixed, Twice

X, Y = make_data("regression")
POOL = make_data("regression", 23, seed=1)[0]
TWO = np.stack([Y, 3 * Y**2], axis=1)


def predictions(net, rows: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        outputs = module_on_cpu(net)(torch.as_tensor(rows, dtype=torch.float32))
    return outputs.double().numpy().reshape(len(rows), -1)


def by_autograd(net, rows, models: list[np.ndarray], space: str) -> list[float]:
    """Mean over models of the length of the gradient of half the squared error."""
    module = module_on_cpu(net)
    parameters = list((module if space == "gradients" else module.head).parameters())
    scores = []
    for r, x in enumerate(torch.as_tensor(rows, dtype=torch.float32)):
        lengths = []
        for model in models:
            out = module(x[None]).flatten().double()
            loss = (out - torch.as_tensor(model[r])).square().sum() / 2
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            squares = [float(g.double().square().sum()) for g in found if g is not None]
            lengths.append(sum(squares) ** 0.5)
        scores.append(np.mean(lengths))
    return scores


def snapshots_of(net, rows: np.ndarray) -> list[np.ndarray]:
    """Predictions of the epochs that a callback has kept."""
    module = net.module_
    own = {name: value.clone() for name, value in module.state_dict().items()}
    models = []
    for weights in dict(net.callbacks_)["WeightSnapshots"].weights_:
        module.load_state_dict(weights, strict=False)  # some weights are tied
        models.append(predictions(net, rows))
    module.load_state_dict(own)
    return models


@pytest.mark.parametrize("space", ["last_layer", "gradients"])
@pytest.mark.parametrize("y", [Y, TWO], ids=["one", "two"])
@pytest.mark.parametrize("module", [None, Twice, Mixed])
def test_equals_autograd(space, y, module):
    settings = {} if module is None else {"module": module}
    net = make_net("regression", **settings).fit(X, y)
    models = snapshots_of(net, POOL)
    assert len(models) == 4
    expected = by_autograd(net, POOL, models, space)
    scores = EMCM(Snapshots(), space).score_samples(net, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-6)


def test_one_target_is_the_mean_residual_times_the_features():
    net = make_net("regression").fit(X, Y)
    models = np.array(snapshots_of(net, POOL))[:, :, 0]
    residual = np.abs(predictions(net, POOL)[:, 0] - models).mean(axis=0)
    caught = []
    handle = net.module_.head.register_forward_pre_hook(
        lambda _, args: caught.append(args[0])
    )
    predictions(net, POOL)
    handle.remove()
    length = np.sqrt(caught[0].double().square().sum(dim=1).numpy() + 1)
    scores = EMCM().score_samples(net, POOL)
    np.testing.assert_allclose(scores, residual * length, rtol=1e-4)


def test_any_posterior():
    net = make_net("regression").fit(X, Y)
    scores = [
        EMCM(posterior, random_state=0).score_samples(net, POOL)
        for posterior in (MCDropout(n_draws=5), WeightNoise(n_draws=5), "auto")
    ]
    assert np.isfinite(scores).all()
    assert (np.min(scores, axis=1) > 0).all()
    assert np.abs(np.diff(scores, axis=0)).min(axis=1).max() > 0


@pytest.mark.parametrize("space", ["last_layer", "gradients"])
def test_nets_of_an_ensemble_are_the_net_in_turn(space):
    net = make_net("regression")
    ensemble = DeepEnsembleRegressor(net, n_estimators=3, random_state=0).fit(X, Y)
    parts = ensemble.estimators_
    models = [predictions(part, POOL) for part in parts]
    expected = [by_autograd(part, POOL, models, space) for part in parts]
    scores = EMCM(Members(), space).score_samples(ensemble, POOL)
    np.testing.assert_allclose(scores, np.mean(expected, axis=0), rtol=1e-3)


def test_members_of_a_committee_with_units_of_their_own():
    members = []
    for seed, rows in enumerate([slice(0, 40), slice(20, 60)]):
        scaled = TransformedTargetRegressor(
            make_pipeline(StandardScaler(), make_net("regression", random_state=seed)),
            transformer=StandardScaler(),
        )
        y = 50 + 7 * Y[rows] * (seed + 1)
        members.append(ActiveLearner(scaled, X_training=X[rows], y_training=y))
    models = [member.predict(POOL)[:, None] for member in members]  # in common units
    expected = []
    for member in members:
        fitted = member.estimator
        own = [fitted.transformer_.transform(model) for model in models]
        rows = fitted.regressor_[:-1].transform(POOL)
        expected.append(by_autograd(fitted.regressor_[-1], rows, own, "last_layer"))
    scores = EMCM().score_samples(CommitteeRegressor(members), POOL)
    np.testing.assert_allclose(scores, np.mean(expected, axis=0), rtol=1e-3)


def test_one_learner_is_scored_in_the_units_of_its_net():
    net = make_net("regression")
    scaled = TransformedTargetRegressor(net, transformer=StandardScaler())
    scaled.fit(X, 50 + 7 * Y)
    expected = EMCM().score_samples(scaled.regressor_, POOL)
    np.testing.assert_allclose(EMCM().score_samples(scaled, POOL), expected)


def test_models_that_agree_score_nothing():
    net = make_net("regression").fit(X, Y)
    weights = {k: p.detach() for k, p in net.module_.named_parameters()}
    dict(net.callbacks_)["WeightSnapshots"].weights_ = [weights] * 3
    scores = EMCM(Snapshots()).score_samples(net, POOL)
    np.testing.assert_allclose(scores, 0, atol=1e-5)


class Largest(TorchFunctionMode):
    """Watches how many numbers the largest tensor has that a function gives."""

    numbers = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(part, torch.Tensor):
                self.numbers = max(self.numbers, part.numel())
        return result


def test_memory_grows_no_faster_than_the_pool():
    # Programs that draw bootstraps of labeled rows and pool have them quadratic.
    X_labeled, y_labeled = make_data("regression", 500)
    learner = ActiveLearner(
        make_net("regression", max_epochs=2, callbacks=[WeightSnapshots(warmup=0)]),
        X_training=X_labeled,
        y_training=y_labeled,
    )
    largest = []
    for m in (1000, 8000):
        pool = make_data("regression", m, seed=1)[0]
        with Largest() as watch:
            EMCM(space="gradients").select(learner, pool, 100)
        largest.append(watch.numbers / m)
    # Neither K × m nor (labeled + m) × m numbers, nor gradients: activations at most.
    assert max(largest) <= 2 * 17


def test_bad_input():
    net = make_net("regression").fit(X, Y)
    with pytest.raises(ValueError, match=r"space must be one of .*got 'first'"):
        EMCM(space="first").select(net, POOL, 1)
    with pytest.raises(ValueError, match="posterior must be 'auto' or an object"):
        EMCM("dropout").select(net, POOL, 1)
    plain = make_net("regression", callbacks=[], module__dropout=0.0).fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match="no models to disagree"):
        EMCM().select(plain, POOL, 1)
