"""The contract of all ensembles."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import make_regression
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skal.nets import NetClassifier, NetRegressor, TabularMLP, ensembles
from skal.nets.ensembles.base import seeded_clone, sum_to_one
from tests.nets.ensembles.helpers import (
    CLASSIFIERS,
    REGRESSORS,
    data_for,
    make,
    small_net,
)
from tests.nets.helpers import blobs, states_equal

EVERY = pytest.mark.parametrize("name", [*CLASSIFIERS, *REGRESSORS])
#: Each kind once; both tasks occur.
EACH_KIND = pytest.mark.parametrize(
    "name", [*CLASSIFIERS[::2], *REGRESSORS[1::2]], ids=str
)
EACH_TASK = pytest.mark.parametrize("name", [CLASSIFIERS[0], REGRESSORS[0]])


def test_kinds_come_in_pairs() -> None:
    assert [n.replace("Classifier", "Regressor") for n in CLASSIFIERS] == REGRESSORS
    assert len(CLASSIFIERS) == 4


@EVERY
def test_parameters_task_and_tags(name: str) -> None:
    kind = getattr(ensembles, name)
    given = {p: object() for p in inspect.signature(kind).parameters}
    ensemble = kind(**given)
    assert vars(ensemble) == given  # __init__ only stores
    assert ensemble.get_params(deep=False) == given
    ensemble = make(name)
    assert is_classifier(ensemble) == (name in CLASSIFIERS)
    assert is_regressor(ensemble) == (name in REGRESSORS)
    tags = ensemble.__sklearn_tags__()
    assert tags.input_tags.sparse
    assert tags.target_tags.multi_output == (name in REGRESSORS)
    with pytest.raises(NotFittedError, match=name):
        ensemble.predict(data_for(name)[0])


# -- members --------------------------------------------------------------------------


@EVERY
def test_members_are_different_complete_nets(name: str) -> None:
    X, y = data_for(name)
    given = small_net(name)
    ensemble = getattr(ensembles, name)(given, 3, random_state=0).fit(X, y)
    assert not given.initialized_
    members = ensemble.estimators_
    assert len(members) == 3
    for i, one in enumerate(members):
        for other in members[:i]:
            assert not states_equal(one.module_, other.module_)
    for member in members:
        assert type(member) is type(given)
        assert type(member.module_) is TabularMLP
        shown, wanted = member.get_params(), given.get_params()
        assert shown.keys() == wanted.keys()
        for param in ("max_epochs", "warm_start", "callbacks", "lr"):
            assert shown[param] == wanted[param]
        assert isinstance(member.random_state, int)
        before = member.history_[-1]["epoch"]
        member.partial_fit(X, y)
        assert member.history_[-1]["epoch"] == before + 6


@EACH_KIND
def test_seeds_refits_copies(name: str) -> None:
    X, y = data_for(name)
    global_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (make(name, seed=s).fit(X, y) for s in (0, 0, 1))
    fresh = [make(name, seed=None).fit(X, y) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), global_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    states = [e.estimators_[0].module_ for e in (first, again, other, *fresh)]
    assert states_equal(states[0], states[1])
    assert not states_equal(states[0], states[2])
    assert not states_equal(states[3], states[4])
    expected, members = first.predict(X), first.estimators_
    np.testing.assert_array_equal(again.predict(X), expected)
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copy.predict(X), expected)
    assert not hasattr(clone(first), "estimators_")
    np.testing.assert_array_equal(first.fit(X, y).predict(X), expected)
    assert all(
        one is not other for one, other in zip(members, first.estimators_, strict=True)
    )


def test_each_random_state_in_a_member_has_a_different_seed() -> None:
    model = VotingRegressor([("one", NetRegressor()), ("other", NetRegressor())])
    params = seeded_clone(model, 5).get_params()
    seeds = [v for k, v in params.items() if k.endswith("random_state")]
    assert len(seeds) == 2
    assert seeds[0] != seeds[1]
    again = seeded_clone(model, 5).get_params()
    assert seeds == [v for k, v in again.items() if k.endswith("random_state")]
    assert seeded_clone(NetRegressor(), 5).random_state == 5


# -- predictions ----------------------------------------------------------------------


def test_rows_that_are_no_distribution_stay() -> None:
    labels = np.array([[0.5, 0.9], [0.2, 0.1], [np.nan, 1.0], [0.25, 0.75]])
    np.testing.assert_array_equal(sum_to_one(labels), labels)
    single = np.array([[1 / 3, 2 / 3]]).astype(np.float32).astype(np.float64)
    assert single.sum() != 1
    assert abs(sum_to_one(single).sum() - 1) < 1e-15


def test_probabilities_are_averaged() -> None:
    X, codes = blobs(40)
    y = np.array(["c", "a", "b"])[codes]
    ensemble = make("DeepEnsembleClassifier", max_epochs=3).fit(X, y)
    proba = ensemble.predict_proba(X)
    mean = sum(m.predict_proba(X).astype(float) for m in ensemble.estimators_) / 3
    exact = mean / mean.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(proba, exact, rtol=1e-12)
    np.testing.assert_allclose(exact, mean, rtol=1e-6)
    # As float64, which scikit-learn's `log_loss` checks to 1.5e-8.
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-14)
    assert ensemble.classes_.tolist() == ["a", "b", "c"]
    assert ensemble.predict(X).tolist() == ensemble.classes_[mean.argmax(1)].tolist()


@pytest.mark.parametrize("n_targets", [1, 2])
def test_predictions_are_averaged(n_targets: int) -> None:
    X, y = make_regression(40, 4, n_targets=n_targets, random_state=0)
    for name in REGRESSORS:
        ensemble = make(name).fit(X, y)
        mean, std = ensemble.predict(X, return_std=True)
        members = np.array([m.predict(X) for m in ensemble.estimators_])
        assert mean.shape == std.shape == y.shape
        np.testing.assert_allclose(mean, members.mean(0))
        np.testing.assert_allclose(std, members.std(0))
        assert (std > 0).all()
        np.testing.assert_array_equal(ensemble.predict(X), mean)
        assert not hasattr(ensemble, "predict_proba")


# -- fit ------------------------------------------------------------------------------


@EACH_KIND
def test_pipeline_and_grid_search(name: str) -> None:
    X, y = data_for(name)
    model = make_pipeline(StandardScaler(), make(name, n_estimators=2, max_epochs=4))
    step = name.lower()
    search = GridSearchCV(
        model, {f"{step}__estimator__lr": [1e-6, 0.02]}, cv=2, error_score="raise"
    ).fit(X, y)
    member = search.best_estimator_[-1].estimators_[0]
    assert member.lr == search.best_params_[f"{step}__estimator__lr"]
    assert member.optimizer_.param_groups[0]["lr"] == member.lr
    assert len(cross_val_score(model, X, y, cv=2, error_score="raise")) == 2


@EACH_TASK
def test_columns_of_a_frame(name: str) -> None:
    X, y = data_for(name)
    frame = pd.DataFrame(X, columns=list("abcd"))
    ensemble = make(name)
    assert not hasattr(ensemble, "n_features_in_")
    assert not hasattr(ensemble, "feature_names_in_")
    ensemble.fit(frame, y)
    assert ensemble.n_features_in_ == 4
    assert ensemble.feature_names_in_.tolist() == list("abcd")
    expected = make(name).fit(X, y).predict(X)
    np.testing.assert_array_equal(ensemble.predict(frame), expected)


@EACH_KIND
def test_weights_of_rows(name: str) -> None:
    X, y = data_for(name)
    weight = np.r_[np.zeros(20), np.ones(20)]
    weighted = make(name).fit(X, y, sample_weight=weight).predict(X)
    half = make(name).fit(X[20:], y[20:], sample_weight=np.ones(20)).predict(X)
    np.testing.assert_allclose(weighted, half, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_estimators", [0, 2.0, True, None])
def test_number_of_members_is_checked(n_estimators: Any) -> None:
    with pytest.raises(ValueError, match="n_estimators must be an int of at least 1"):
        make("DeepEnsembleClassifier", n_estimators=n_estimators).fit(*blobs())


@EACH_TASK
def test_task_of_members_is_checked(name: str) -> None:
    wrong = DummyRegressor() if name in CLASSIFIERS else DummyClassifier()
    kind = "classifier" if name in CLASSIFIERS else "regressor"
    with pytest.raises(TypeError, match=f"needs a {kind}, got Dummy"):
        getattr(ensembles, name)(wrong).fit(*data_for(name))


@pytest.mark.parametrize("name", CLASSIFIERS[1:])
def test_kinds_that_train_their_net_themselves_need_a_net(name: str) -> None:
    model = make_pipeline(StandardScaler(), small_net(name))
    with pytest.raises(TypeError, match=r"got Pipeline; .* put the ensemble there"):
        getattr(ensembles, name)(model).fit(*blobs())


@EACH_KIND
def test_a_fit_that_fails_leaves_the_ensemble_as_it_was(name: str) -> None:
    X, y = data_for(name)
    ensemble = make(name).fit(X, y)
    before = dict(vars(ensemble))
    with pytest.raises(ValueError, match="NaN"):
        ensemble.fit(np.full_like(X, np.nan), y)
    assert vars(ensemble) == before


class FailsThirdTime(nn.Linear):
    """Cannot be built three times."""

    built = 0

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)
        type(self).built += 1
        if type(self).built == 3:
            raise RuntimeError("third time")


def test_a_member_that_fails_leaves_the_ensemble_as_it_was() -> None:
    X, y = blobs()
    ensemble = make("DeepEnsembleClassifier").fit(X, y)
    before = dict(vars(ensemble))
    FailsThirdTime.built = 0
    ensemble.set_params(estimator=NetClassifier(FailsThirdTime, max_epochs=1))
    with pytest.raises(RuntimeError, match="third time"):
        ensemble.fit(X, y)
    assert ensemble.estimators_ is before["estimators_"]
    assert ensemble.trained_together_ is before["trained_together_"]
