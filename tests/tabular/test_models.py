from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline

from skal import ActiveLearner, NetClassifier, NetRegressor
from skal.strategies import LCMD, Margin, Random
from skal.tabular import (
    make_tabular_classifier,
    make_tabular_preprocessor,
    make_tabular_regressor,
)

N = 40


def _table(n: int = N) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    area = rng.uniform(20, 200, n)
    kind = rng.choice(["flat", "house", "barn"], n)
    y = 1e5 + 2e3 * area + 5e4 * (kind == "house")
    area[rng.random(n) < 0.1] = np.nan
    X = pd.DataFrame({"area": area, "kind": kind, "lift": rng.random(n) < 0.5})
    return X, y


def _net(cls: Any) -> Any:
    return cls(max_epochs=30, batch_size=8, random_state=0)


def test_a_linear_model_is_that_of_the_preprocessed_rows() -> None:
    X, y = _table()
    Z = make_tabular_preprocessor().fit_transform(X)
    expected = y.mean() + y.std() * (
        Ridge().fit(Z, (y - y.mean()) / y.std()).predict(Z)
    )
    model = make_tabular_regressor(Ridge()).fit(X, y)
    np.testing.assert_allclose(model.predict(X), expected)
    unscaled = make_tabular_regressor(Ridge(), scale_target=False).fit(X, y)
    np.testing.assert_allclose(unscaled.predict(X), Ridge().fit(Z, y).predict(Z))


def test_models_are_plain_compositions() -> None:
    model = make_tabular_regressor(random_state=7, device="cpu")
    assert isinstance(model, TransformedTargetRegressor)
    names = TransformedTargetRegressor().get_params()
    assert model.get_params(deep=False).keys() == names.keys()
    assert type(model.regressor) is Pipeline
    assert list(model.regressor.named_steps) == ["preprocessor", "estimator"]
    assert model.regressor["estimator"].random_state == 7
    assert type(make_tabular_regressor(scale_target=False)) is Pipeline
    classifier = make_tabular_classifier(random_state=7)
    assert type(classifier) is Pipeline
    assert classifier["estimator"].random_state == 7
    own = make_tabular_preprocessor(linear_range=None)
    for make in (make_tabular_regressor, make_tabular_classifier):
        made = make(preprocessor=own)
        pipeline = getattr(made, "regressor", made)
        assert pipeline["preprocessor"] is own


@pytest.mark.parametrize("make", [make_tabular_regressor, make_tabular_classifier])
def test_seed_and_device_belong_to_the_default_estimator(make: Any) -> None:
    for option in ({"random_state": 0}, {"device": "cuda"}):
        with pytest.raises(ValueError, match="belong to the default estimator"):
            make(Ridge(), **option)


@pytest.mark.parametrize("make", [make_tabular_regressor, make_tabular_classifier])
def test_the_device_reaches_the_nets(make: Any) -> None:
    model = make(device="cuda:7")
    devices = {v for k, v in model.get_params().items() if k.endswith("device")}
    assert devices == {"cuda:7"}


def test_default_regressor_learns_and_is_reproducible() -> None:
    X, y = _table(80)
    model = make_tabular_regressor(random_state=0)
    model.set_params(regressor__estimator__max_steps=60)
    model.set_params(regressor__estimator__others=None)
    model.fit(X[:60], y[:60])
    predictions = model.predict(X[60:])
    assert np.sqrt(np.mean((predictions - y[60:]) ** 2)) < y.std()
    again = clone(model).fit(X[:60], y[:60])
    np.testing.assert_array_equal(again.predict(X[60:]), predictions)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict(X[60:]), predictions)


def test_default_classifier_learns_and_is_reproducible() -> None:
    X, y = _table(80)
    labels = np.where(y > np.median(y), "dear", "cheap")
    model = make_tabular_classifier(random_state=0)
    model.set_params(estimator__max_steps=60, estimator__others=None)
    model.fit(X[:60], labels[:60])
    proba = model.predict_proba(X[60:])
    assert proba.shape == (20, 2)
    assert list(model.classes_) == ["cheap", "dear"]
    assert model.score(X[60:], labels[60:]) > 0.5
    again = clone(model).fit(X[:60], labels[:60])
    np.testing.assert_array_equal(again.predict_proba(X[60:]), proba)


def test_they_take_part_in_searches_and_cross_validation() -> None:
    X, y = _table()
    grid: dict[str, Any] = {
        "regressor__preprocessor__number__robustasinhscaler__linear_range": [None, 1.0],
        "regressor__estimator__alpha": [0.1, 1.0],
    }
    search = GridSearchCV(make_tabular_regressor(Ridge()), grid, cv=3).fit(X, y)
    assert set(search.best_params_) == set(grid)
    scores = cross_validate(make_tabular_regressor(_net(NetRegressor)), X, y, cv=2)
    assert np.isfinite(scores["test_score"]).all()
    labels = y > np.median(y)
    classifier = make_tabular_classifier(LogisticRegression())
    scores = cross_validate(classifier, X, labels, cv=3, scoring="neg_log_loss")
    assert (scores["test_score"] > np.log(0.5)).all()


def test_weights_reach_an_estimator_that_takes_them() -> None:
    X, y = _table()
    weights = np.ones(N)
    weights[20:] = 0
    model = make_tabular_regressor(Ridge(), preprocessor=make_tabular_preprocessor())
    model.fit(X, y, estimator__sample_weight=weights)
    Z = make_tabular_preprocessor().fit_transform(X)
    scaled = (y - y.mean()) / y.std()
    expected = Ridge().fit(Z[:20], scaled[:20]).predict(Z)
    np.testing.assert_allclose(model.predict(X), y.mean() + y.std() * expected)
    net = make_tabular_classifier(_net(NetClassifier))
    net.fit(X, y > np.median(y), estimator__sample_weight=weights)
    assert np.isfinite(net.predict_proba(X)).all()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_learners_query_tables_as_they_are(library: str) -> None:
    X, y = _table()
    module = pytest.importorskip(library)
    if library == "polars":
        rows = {c: X[c].tolist() for c in X}
        labeled, pool = (
            module.DataFrame({c: v[part] for c, v in rows.items()}, strict=False)
            for part in (slice(20), slice(20, None))
        )
    else:
        labeled, pool = X[:20], X[20:]
    model = make_tabular_regressor(_net(NetRegressor))
    learner = ActiveLearner(model, LCMD(random_state=0), labeled, y[:20])
    positions, picked = learner.query(pool, n_instances=3)
    assert len(set(positions.tolist())) == 3
    learner.teach(picked, y[20:][positions])
    assert len(learner.X_training) == 23
    assert np.isfinite(learner.predict(pool)).all()


@pytest.mark.parametrize("kind", ["texts", "levels"])
def test_a_query_warns_once_for_each_column(kind: str) -> None:
    X, y = _table()
    cells = (
        [f"{k}.5" for k in range(N)] if kind == "texts" else ["a", "b", "c", "d"] * 10
    )
    X = X.assign(extra=cells)
    new = "?" if kind == "texts" else [f"new {k % 7}" for k in range(N // 2)]
    pool = X[20:].assign(extra=new)
    model = make_tabular_regressor(_net(NetRegressor))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learner = ActiveLearner(model, LCMD(random_state=0), X[:20], y[:20])
    with pytest.warns(UserWarning, match="20 of 20 cells of column 'extra'") as warned:
        learner.query(pool, n_instances=3)
    assert len(warned) == 1


def test_default_models_are_queried() -> None:
    X, y = _table()
    regressor = make_tabular_regressor(random_state=0)
    regressor.set_params(regressor__estimator__max_steps=30)
    positions, _ = ActiveLearner(regressor, LCMD(random_state=0), X[:20], y[:20]).query(
        X[20:], n_instances=3
    )
    assert len(set(positions.tolist())) == 3
    labels = np.where(y > np.median(y), "dear", "cheap")
    classifier = make_tabular_classifier(random_state=0)
    classifier.set_params(estimator__max_steps=30)
    learner = ActiveLearner(classifier, Margin(), X[:20], labels[:20])
    positions, _ = learner.query(X[20:], n_instances=3)
    proba = np.sort(learner.predict_proba(X[20:]), axis=1)
    margins = proba[:, -1] - proba[:, -2]
    assert set(positions.tolist()) == set(np.argsort(margins)[:3].tolist())


def test_other_learners_are_estimators_too() -> None:
    X, y = _table()
    model = make_tabular_regressor(GaussianProcessRegressor(alpha=1e-3))
    learner = ActiveLearner(model, Random(random_state=0), X[:20], y[:20])
    assert np.isfinite(learner.predict(X)).all()


def test_diagram_names_the_steps() -> None:
    diagram = make_tabular_regressor()._repr_html_()
    for name in ("preprocessor", "onehotencoder", "TargetScaler", "estimator"):
        assert name.lower() in diagram.lower()


@pytest.mark.parametrize("scale_target", [True, False])
@pytest.mark.parametrize("missing", ["masked", "nan", "None", "NA"])
def test_missing_targets_are_refused(missing: str, scale_target: bool) -> None:
    X, y = _table()
    gap = np.arange(N) == 3
    targets = {
        "masked": np.ma.array(y, mask=gap),
        "nan": np.where(gap, np.nan, y),
        "None": [None, *y[1:]],
        "NA": pd.Series(y).convert_dtypes().mask(gap),
    }
    model = make_tabular_regressor(_net(NetRegressor), scale_target=scale_target)
    message = r"1 of 40 rows.*row 3" if missing == "masked" else "contains NaN"
    with pytest.raises(ValueError, match=message):
        model.fit(X, targets[missing])
    nothing = np.ma.array(y, mask=False)
    assert model.fit(X, nothing).predict(X).shape == (N,)
    with pytest.raises(ValueError, match=r"1 of 40 rows; the first is row 3\. Rows"):
        ActiveLearner(model, Random(), X, targets["masked"])


def test_constant_targets_are_predicted() -> None:
    X, y = _table()
    model = make_tabular_regressor(Ridge()).fit(X, np.full(N, 7.0))
    np.testing.assert_allclose(model.predict(X), 7.0)
    several = make_tabular_regressor(Ridge()).fit(X, np.column_stack([y, -y]))
    assert several.predict(X).shape == (N, 2)


def test_class_weights_reach_every_model_of_the_default() -> None:
    X, y = make_classification(
        600, 5, n_redundant=0, weights=[0.9], class_sep=0.7, random_state=0
    )
    found = {}
    for weights in (None, "balanced"):
        model = make_tabular_classifier(class_weight=weights, random_state=0)
        model.named_steps["estimator"].set_params(
            n_estimators=3, hidden_sizes=(16,), max_steps=100
        )
        ensemble = model.fit(X[:200], y[:200])[-1]
        rows = model[:-1].transform(X[200:])
        models = [*ensemble.estimators_, *ensemble.others_]
        rare = np.stack([part.predict_proba(rows)[:, 1] for part in models])
        found[weights] = rare, model.predict(X[200:])
    plain, weighted = (found[weights][0] for weights in (None, "balanced"))
    assert (np.abs(weighted - plain).mean(axis=1) > 0.005).all()
    # The leaves of full trees are pure whatever the weights, so that these change less.
    n_smooth = len(ensemble.estimators_) + 1  # nets and the linear model
    means = weighted.mean(axis=1), plain.mean(axis=1)
    assert (means[0][:n_smooth] > 1.2 * means[1][:n_smooth]).all()
    recalls = [recall_score(y[200:], labels) for _, labels in found.values()]
    assert recalls[1] > recalls[0] + 0.1


def test_class_weights_belong_to_the_default_estimator() -> None:
    with pytest.raises(
        ValueError, match="class_weight, random_state and device belong"
    ):
        make_tabular_classifier(LogisticRegression(), class_weight="balanced")
    model = make_tabular_classifier(class_weight={"a": 1, "b": 2})
    assert model["estimator"].class_weight == {"a": 1, "b": 2}
