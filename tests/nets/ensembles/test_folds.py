from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from skal.exceptions import TrainingWarning
from skal.nets import FoldEnsembleClassifier, FoldEnsembleRegressor
from skal.nets.ensembles import fold_base, folds

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
Y = X[:, 0] - X[:, 1] + 0.1 * RNG.normal(size=40)
CODES = np.digitize(Y, [-0.8, 0.8])
BOTH = pytest.mark.parametrize("task", ["classification", "regression"])


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "_N_TREES", 5)


def make(task: str = "regression", n_estimators: int = 3, **options: Any) -> Any:
    """Make a small ensemble, of nets alone unless others are given."""
    kind = FoldEnsembleRegressor if task == "regression" else FoldEnsembleClassifier
    settings = {
        "hidden_sizes": (8,),
        "max_steps": 30,
        "others": None,
        "random_state": 0,
    }
    return kind(n_estimators, **{**settings, **options})


def target(task: str) -> np.ndarray:
    return Y if task == "regression" else CODES


def outputs(model: Any, rows: Any = X) -> np.ndarray:
    named = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    found: np.ndarray = getattr(model, named)(rows)
    return found


# -- what is predicted ----------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("periodic", [True, False, "auto"])
def test_predictions_are_averages_by_weight(task: str, periodic: Any) -> None:
    other = Ridge() if task == "regression" else LogisticRegression()
    ensemble = make(task, periodic=periodic, others=[other]).fit(X, target(task))
    assert len(ensemble.estimators_) == (6 if periodic == "auto" else 3)
    assert len(ensemble.n_steps_) == len(ensemble.estimators_)
    assert ensemble.weights_.shape == (len(ensemble.estimators_) + 1,)
    assert ensemble.weights_.sum() == pytest.approx(1)
    assert (ensemble.weights_ >= 0).all()
    rows = X.astype(np.float32).astype(np.float64)
    fitted = clone(other).fit(rows, target(task))
    models = [*(outputs(net) for net in ensemble.estimators_), outputs(fitted)]
    expected = sum(w * m for w, m in zip(ensemble.weights_, models, strict=True))
    np.testing.assert_allclose(outputs(ensemble), expected, rtol=1e-5, atol=1e-6)
    if task == "regression":
        mean, std = ensemble.predict(X, return_std=True)
        squares = [
            w * (m - mean) ** 2 for w, m in zip(ensemble.weights_, models, strict=True)
        ]
        np.testing.assert_allclose(std, np.sqrt(sum(squares)), rtol=1e-4, atol=1e-6)
    embedded = [net.get_params()["module__periodic"] for net in ensemble.estimators_]
    kinds = {True: [[0, 1, 2, 3]], False: [None], "auto": [None, [0, 1, 2, 3]]}
    assert embedded == [k for k in kinds[periodic] for _ in range(3)]


@BOTH
def test_held_out_predictions_are_those_of_the_net_of_the_fold(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealt = []
    deal = fold_base.deal_folds
    monkeypatch.setattr(
        fold_base, "deal_folds", lambda *a: dealt.append(deal(*a)) or dealt[-1]
    )
    ensemble = make(task).fit(X, target(task))
    for k, net in enumerate(ensemble.estimators_):
        held = dealt[0] == k
        np.testing.assert_allclose(
            ensemble.oof_prediction_[held],
            outputs(net, X[held]),
            rtol=1e-3,
            atol=1e-4,
        )


@pytest.mark.parametrize(("shift", "scale"), [(1e9, 1e6), (0, 1e-20), (-5, 1e30)])
def test_units_of_the_target_change_nothing(shift: float, scale: float) -> None:
    expected = make(others=[Ridge()]).fit(X, Y)
    ensemble = make(others=[Ridge()]).fit(X, shift + scale * Y)
    found = (ensemble.predict(X) - shift) / scale
    np.testing.assert_allclose(found, expected.predict(X), atol=2e-3)
    np.testing.assert_allclose(ensemble.weights_, expected.weights_, atol=1e-3)
    assert ensemble.oof_score_ == pytest.approx(expected.oof_score_, abs=1e-3)


def test_targets_too_fine_for_float32_are_warned_of() -> None:
    with pytest.warns(TrainingWarning, match=r"float32.*subtract the mean") as caught:
        make(max_steps=1).fit(X, Y + 1e9)
    assert caught[0].filename == __file__
    with pytest.warns(TrainingWarning, match="too coarse"):
        make(max_steps=1).fit(X, 1e-44 * Y)
    with pytest.raises(ValueError, match="zero in float32"):
        make(max_steps=1).fit(X, 1e-300 * Y)


def test_several_targets() -> None:
    both = np.stack([Y, 100 * X[:, 2] + 7], 1)
    ensemble = make(others=[Ridge()], max_steps=100).fit(X, both)
    mean, std = ensemble.predict(X, return_std=True)
    assert mean.shape == std.shape == ensemble.oof_prediction_.shape == both.shape
    lower, upper = ensemble.predict_interval(X)
    assert (lower < mean).all() and (mean < upper).all()  # noqa: PT018
    assert (upper - lower)[0, 1] > 5 * (upper - lower)[0, 0]
    assert ensemble.score(X, both) > 0.9
    for others in (None, "auto"):
        column = make(others=others).fit(X, Y[:, None])
        assert column.predict(X).shape == column.oof_prediction_.shape == (40, 1)
        flat = make(others=others).fit(X, Y)
        np.testing.assert_array_equal(column.predict(X)[:, 0], flat.predict(X))


def test_classes_of_strings() -> None:
    names = np.array(["b", "c", "a"])
    named = make("classification").fit(X, names[CODES])
    codes = make("classification").fit(X, np.array([1, 2, 0])[CODES])
    assert named.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(named.predict_proba(X), codes.predict_proba(X))
    np.testing.assert_array_equal(
        named.predict(X), np.array(list("abc"))[codes.predict(X)]
    )
    assert named.oof_prediction_.shape == (40, 3)
    known = np.array(list("abc"))[named.oof_prediction_.argmax(1)]
    assert named.oof_score_ == pytest.approx((known == names[CODES]).mean())


def test_rare_and_missing_classes() -> None:
    codes = np.r_[np.zeros(39), 5].astype(int)
    ensemble = make("classification", others="auto", classes=[0, 3, 5]).fit(X, codes)
    proba = ensemble.predict_proba(X)
    assert proba.shape == ensemble.oof_prediction_.shape == (40, 3)
    np.testing.assert_allclose(proba.sum(1), 1, rtol=1e-14)
    assert proba[:, 0].mean() > 0.8
    assert len(ensemble.others_) == 3
    single = make("classification", others="auto", classes=[0, 5], max_steps=10)
    assert single.fit(X, np.zeros(40, int)).others_ == []
    with pytest.raises(ValueError, match="at least two classes"):
        make("classification").fit(X, np.zeros(40))


# -- weights and groups ---------------------------------------------------------------


@BOTH
def test_a_weight_of_zero_removes_a_row(task: str) -> None:
    other = Ridge() if task == "regression" else LogisticRegression()
    y = target(task).copy()
    weight = np.where(np.arange(40) % 4, 2.0, 0.0)
    # A class that only rows of weight 0 have is known, though.
    options = {} if task == "regression" else {"classes": [0, 1, 2, 9]}
    fitted = make(task, others=[other], **options).fit(X, y, sample_weight=weight)
    used = weight > 0
    y[~used] = 1e6 if task == "regression" else 9
    changed = X + 100 * (weight == 0)[:, None]
    again = make(task, others=[other], **options).fit(changed, y, sample_weight=weight)
    np.testing.assert_allclose(outputs(fitted), outputs(again), rtol=1e-5, atol=1e-6)
    half = make(task, others=[other], **options)
    half.fit(X[used], target(task)[used], sample_weight=weight[used])
    np.testing.assert_allclose(outputs(fitted), outputs(half), rtol=1e-5, atol=1e-6)
    assert np.isnan(fitted.oof_prediction_[~used]).all()
    np.testing.assert_allclose(
        fitted.oof_prediction_[used], half.oof_prediction_, rtol=1e-5, atol=1e-6
    )
    assert fitted.oof_score_ == pytest.approx(half.oof_score_)


@BOTH
@pytest.mark.parametrize("factor", [2.0**-1000, 2.0**-100, 4.0, 2.0**100, 2.0**1000])
def test_only_ratios_of_weights_matter(task: str, factor: float) -> None:
    weight = np.random.default_rng(1).uniform(0.5, 2, 40)
    ensemble = make(task, others="auto").fit(X, target(task), sample_weight=weight)
    expected = outputs(ensemble)
    ensemble.fit(X, target(task), sample_weight=weight * factor)
    # Powers of 2 are exact; others may decide between equally good splits of trees.
    np.testing.assert_allclose(outputs(ensemble), expected, rtol=1e-12)


@BOTH
@pytest.mark.parametrize("value", [1e-300, 0.1, 1.0, 7.0, 1e300])
def test_equal_weights_are_like_none(task: str, value: float) -> None:
    plain = make(task, others="auto").fit(X, target(task))
    ensemble = make(task, others="auto")
    ensemble.fit(X, target(task), sample_weight=np.full(40, value))
    np.testing.assert_array_equal(outputs(ensemble), outputs(plain))
    ensemble.fit(X[:30], target(task)[:30])  # the Gaussian process joins, too
    weight = np.where(np.arange(40) < 30, value, 0)
    removed = clone(ensemble).fit(X, target(task), sample_weight=weight)
    assert list(map(type, removed.others_)) == list(map(type, ensemble.others_))
    np.testing.assert_allclose(
        outputs(removed), outputs(ensemble), rtol=1e-5, atol=1e-6
    )


def test_a_fold_of_vanishing_weights_does_not_look_well_predicted() -> None:
    groups = np.arange(40) // 10
    weight = np.where(groups == 0, 1e-44, 1.0)
    found = make(n_estimators=4, max_steps=100)
    found.fit(X, Y, sample_weight=weight, groups=groups)
    expected = clone(found).fit(X, Y, sample_weight=groups > 0, groups=groups)
    np.testing.assert_allclose(outputs(found), outputs(expected), rtol=1e-5)


@BOTH
def test_tiny_weights_are_like_none(task: str) -> None:
    y = target(task).copy()
    y[:10] = 1e3 if task == "regression" else 0
    weight = np.r_[np.full(10, 1e-9), np.ones(30)]
    other = LinearRegression() if task == "regression" else LogisticRegression()
    ensemble = make(task, others=[other], max_steps=100)
    found = ensemble.fit(X, y, sample_weight=weight).score(X[10:], target(task)[10:])
    assert found > 0.8
    if task == "regression":  # the right model, but for the outliers
        assert ensemble.weights_[-1] > 0.8


def test_weights_of_classes_are_weights_of_rows() -> None:
    by_class = {0: 4.0, 1: 0.5}
    rows = np.array([4.0, 0.5, 1.0])[CODES]
    other = LogisticRegression()
    found = make("classification", class_weight=by_class, others=[other]).fit(X, CODES)
    expected = make("classification", others=[other])
    expected.fit(X, CODES, sample_weight=rows)
    np.testing.assert_allclose(outputs(found), outputs(expected), rtol=1e-4)
    np.testing.assert_allclose(found.weights_, expected.weights_, rtol=1e-4)
    plain = make("classification", others=[other]).fit(X, CODES)
    assert outputs(found)[:, 0].mean() > outputs(plain)[:, 0].mean() + 0.05


def test_a_class_of_weight_zero_is_left_out() -> None:
    # A fold of rows without weight must not look like one that is predicted well.
    groups = np.where(CODES == 0, 0, 1 + np.arange(40) % 5)
    weights, other = {0: 0.0}, [LogisticRegression()]
    options = {"others": other, "class_weight": weights, "max_steps": 100}
    found = make("classification", **options).fit(X, CODES, groups=groups)
    used = CODES != 0
    half = make("classification", others=other, max_steps=100, classes=[0, 1, 2])
    half.fit(X[used], CODES[used], groups=groups[used])
    np.testing.assert_allclose(outputs(found), outputs(half), rtol=1e-4, atol=1e-6)
    assert np.isnan(found.oof_prediction_[~used]).all()
    none = make("classification", class_weight={0: 0, 1: 0, 2: 0})
    with pytest.raises(ValueError, match="gives every row a weight of zero"):
        none.fit(X, CODES)


def test_balanced_classes_without_rows_of_zero_weight() -> None:
    weight = np.where((CODES == 0) & (np.arange(40) % 2 == 0), 0.0, 1.0)
    options = {"class_weight": "balanced", "others": [LogisticRegression()]}
    found = make("classification", **options).fit(X, CODES, sample_weight=weight)
    used = weight > 0
    half = make("classification", **options).fit(X[used], CODES[used])
    np.testing.assert_allclose(outputs(found), outputs(half), rtol=1e-4, atol=1e-6)


def test_groups_are_held_out_together() -> None:
    # A group's rows are equal, and its targets are noise: only a leak predicts them.
    rng = np.random.default_rng(1)
    groups = np.arange(60) % 12
    rows = rng.normal(size=(12, 3))[groups]
    y = rng.normal(size=12)[groups]
    options = {"hidden_sizes": (64,), "max_steps": 200, "n_estimators": 4}
    leaky = make(**options).fit(rows, y).oof_score_
    honest = make(**options).fit(rows, y, groups=groups).oof_score_
    assert leaky > 0.9
    assert honest < 0.3
    with pytest.raises(ValueError, match="at least two groups"):
        make().fit(X, Y, groups=np.zeros(40))
    with pytest.raises(ValueError, match="3 entries for 40 rows"):
        make().fit(X, Y, groups=[1, 2, 3])


# -- honest estimates -----------------------------------------------------------------


def test_the_held_out_score_is_that_of_new_rows() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(460, 5))
    y = rows[:, 0] + rng.normal(size=460)  # noise is half of the variance
    ensemble = make(n_estimators=8, hidden_sizes=(64, 64), max_steps=120)
    ensemble.fit(rows[:60], y[:60])
    new, old = (ensemble.score(rows[s], y[s]) for s in (slice(60, None), slice(60)))
    assert abs(ensemble.oof_score_ - new) < 0.25
    labels = y[:60] > 0
    classifier = make("classification", 8, hidden_sizes=(64, 64), max_steps=120)
    classifier.fit(rows[:60], labels)
    assert abs(classifier.oof_score_ - classifier.score(rows[60:], y[60:] > 0)) < 0.12
    # Noise alone: whatever members know of their fold would show.
    noise = rng.normal(size=60)
    assert ensemble.fit(rows[:60], noise).oof_score_ < 0.2
    coin = rng.integers(0, 2, 60)
    assert classifier.fit(rows[:60], coin).oof_score_ < 0.5 + 3.5 * np.sqrt(0.25 / 60)
    assert old > new


def test_intervals_contain_as_many_labels_as_asked() -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(1100, 2))
    y = rows[:, 0] + rng.normal(size=1100)
    ensemble = make(n_estimators=4, others=[Ridge()]).fit(rows[:100], y[:100])
    for coverage in (0.5, 0.9):
        lower, upper = ensemble.predict_interval(rows[100:], coverage)
        share = ((lower <= y[100:]) & (y[100:] <= upper)).mean()
        # The quantile is that of 100 rows, and the share that of 1000.
        std = np.sqrt(coverage * (1 - coverage) * (1 / 100 + 1 / 1000))
        assert abs(share - coverage) < 3 * std
    errors = np.sort(np.abs(y[:100] - ensemble.oof_prediction_))
    lower, upper = ensemble.predict_interval(rows, 0.9)
    np.testing.assert_allclose((upper - lower) / 2, errors[90])  # of 101 * .9 rows
    lower, upper = ensemble.predict_interval(rows, 0.999)
    np.testing.assert_allclose((upper - lower) / 2, errors[-1])
    for coverage in (0, 1, 1.5, "high"):
        with pytest.raises(ValueError, match="between 0 and 1"):
            ensemble.predict_interval(rows, coverage)


# -- input of every kind --------------------------------------------------------------


@BOTH
def test_rows_of_every_kind(task: str) -> None:
    other = Ridge() if task == "regression" else LogisticRegression()
    y = target(task)
    expected = outputs(make(task, others=[other]).fit(X, y))
    frame = pd.DataFrame(X, columns=list("abcd"))
    for rows in (X.tolist(), sparse.csr_array(X), torch.as_tensor(X), frame):
        ensemble = make(task, others=[other]).fit(rows, y)
        np.testing.assert_allclose(outputs(ensemble, rows), expected, atol=1e-6)
        assert ensemble.n_features_in_ == 4
    assert ensemble.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        ensemble.predict(frame[list("badc")])
    for labels in (y.tolist(), pd.Series(y, index=range(40, 80)), torch.as_tensor(y)):
        found = make(task, others=[other]).fit(X, labels)
        np.testing.assert_allclose(outputs(found), expected, atol=1e-6)
    with pytest.raises(TypeError, match="needs a table as X, got dict"):
        make(task).fit({"a": X}, y)


@BOTH
@pytest.mark.parametrize("n_rows", [1, 2, 3, 9, 12])
@pytest.mark.parametrize("others", [None, "auto"])
def test_few_rows(task: str, n_rows: int, others: Any) -> None:
    options = {} if task == "regression" else {"classes": [0, 1, 2]}
    ensemble = make(task, 8, others=others, max_steps=10, **options)
    ensemble.fit(X[:n_rows], target(task)[:n_rows])
    assert np.isfinite(outputs(ensemble)).all()
    assert np.isfinite(ensemble.oof_prediction_).all() == (n_rows > 1)
    assert ensemble.weights_.sum() == pytest.approx(1)


def test_the_other_models_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    def others(task: str, **weights: Any) -> list[str]:
        ensemble = make(task, others="auto", max_steps=10)
        ensemble.fit(X, target(task), **weights)
        return [type(other).__name__ for other in ensemble.others_]

    few = ["LogisticRegression", "RandomForestClassifier", "GradientBoostingClassifier"]
    assert others("classification") == few
    monkeypatch.setattr(folds, "_MOST_CLASSES", 2)  # of three
    assert others("classification") == few[:2]
    plain = ["RidgeCV", "ExtraTreesRegressor"]
    assert others("regression") == [*plain, "GaussianProcessRegressor"]
    # Which takes no weights, and too long for many rows.
    assert others("regression", sample_weight=np.arange(40)) == plain
    monkeypatch.setattr(folds, "_MOST_FOR_PROCESS", 39)
    assert others("regression") == plain
    monkeypatch.setattr(folds, "_MOST_FOR_PROCESS", 40)
    assert others("regression") == [*plain, "GaussianProcessRegressor"]


@BOTH
def test_a_single_net(task: str) -> None:
    ensemble = make(task, 1, others="auto").fit(X, target(task))
    assert ensemble.weights_.tolist() == [1.0]
    assert ensemble.score(X, target(task)) > 0.3
    assert np.isnan(ensemble.oof_score_)
    assert np.isnan(ensemble.oof_prediction_).all()
    if task == "regression":
        with pytest.raises(ValueError, match="no held-out prediction"):
            ensemble.predict_interval(X)


@BOTH
@pytest.mark.parametrize("kind", ["constant columns", "one constant", "wide", "binary"])
def test_awkward_columns(task: str, kind: str) -> None:
    rows = {
        "constant columns": np.ones((40, 3)),
        "one constant": np.c_[X, np.full(40, 7.0)],
        "wide": RNG.normal(size=(40, 90)),
        "binary": (X > 0).astype(float),
    }[kind]
    ensemble = make(task, others="auto", max_steps=10).fit(rows, target(task))
    assert np.isfinite(outputs(ensemble, rows)).all()
    assert np.isfinite(ensemble.oof_score_)
    embedded = ensemble.estimators_[0].get_params()["module__periodic"]
    number = {"one constant": [0, 1, 2, 3], "wide": list(range(90))}
    assert embedded == number.get(kind)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_constant_targets(value: float) -> None:
    ensemble = make(others="auto", max_steps=10).fit(X, np.full(40, value))
    np.testing.assert_allclose(ensemble.predict(X), value, rtol=1e-6, atol=1e-6)
    assert np.isfinite(ensemble.oof_prediction_).all()


# -- failures -------------------------------------------------------------------------


@BOTH
def test_failed_training_is_warned_of_and_others_predict(task: str) -> None:
    other = Ridge() if task == "regression" else LogisticRegression()
    ensemble = make(task, lr=1e30, others=[other])
    with pytest.warns(TrainingWarning, match=r"3 of the 3 nets.*Scale X") as caught:
        ensemble.fit(X, target(task))
    assert caught[0].filename == __file__
    assert ensemble.weights_.tolist() == [0, 0, 0, 1]
    assert ensemble.score(X, target(task)) > 0.8
    assert np.isfinite(ensemble.oof_score_)
    with pytest.warns(TrainingWarning, match="3 of the 3 nets"):
        alone = make(task, lr=1e30).fit(X, target(task))
    assert np.isfinite(outputs(alone)).all()


INVALID: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"n_estimators": 0}, ValueError, "n_estimators must be an int of at least 1"),
    ({"periodic": "yes"}, ValueError, "periodic must be True, False or"),
    ({"others": "forest"}, ValueError, "others must be one of"),
    ({"others": Ridge()}, TypeError, "None or a list of regressors, got Ridge"),
    ({"others": [LogisticRegression()]}, TypeError, "others must be regressors"),
    ({"others": [Ridge]}, TypeError, "others must be regressors"),
    ({"max_steps": 0}, ValueError, "max_steps must be an int"),
    ({"max_steps": "long"}, ValueError, "max_steps must be"),
    ({"batch_size": 0}, ValueError, "batch_size must be an int"),
    ({"lr": -1}, ValueError, "lr must be a number above 0"),
    ({"weight_decay": -1}, ValueError, "weight_decay must be a number"),
    ({"hidden_sizes": 8}, ValueError, "hidden_sizes must be a sequence of ints"),
    ({"hidden_sizes": (0,)}, ValueError, "hidden_sizes must be a sequence of ints"),
    ({"device": "nowhere"}, ValueError, "device must be one that torch knows"),
]


@pytest.mark.parametrize(("options", "error", "message"), INVALID, ids=str)
def test_invalid_parameters_leave_the_ensemble_as_it_was(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    ensemble = make(max_steps=1).fit(X, Y)
    before = dict(vars(ensemble))
    ensemble.set_params(**options)
    with pytest.raises(error, match=message):
        ensemble.fit(X, Y)
    ensemble.set_params(**{k: before[k] for k in options})
    assert vars(ensemble) == before


def test_invalid_data() -> None:
    ensemble = make(max_steps=1).fit(X, Y)
    before = dict(vars(ensemble))
    nan = np.where(np.arange(40) == 3, np.nan, Y)
    for rows, y, weight in (
        (X, nan, None),
        (X * np.nan, Y, None),
        (X, Y[:9], None),
        (X, Y, np.zeros(40)),
        (X, Y, -np.ones(40)),
        (X, Y, np.ones(3)),
        (X, None, None),
    ):
        with pytest.raises(ValueError, match=r"."):
            ensemble.fit(rows, y, sample_weight=weight)
    with pytest.raises(TypeError, match="unexpected arguments"):
        ensemble.fit(X, Y, epochs=3)
    assert vars(ensemble) == before
    with pytest.raises(ValueError, match="features"):
        ensemble.predict(X[:, :2])


def test_others_that_cannot_join() -> None:
    with pytest.raises(ValueError, match=r"KNeighborsRegressor .* no sample_weight"):
        make(others=[KNeighborsRegressor()]).fit(X, Y, sample_weight=np.arange(40))
    assert len(make(others=[KNeighborsRegressor()]).fit(X, Y).others_) == 1
    with pytest.raises(TypeError, match=r"LinearSVC .* no predict_proba"):
        make("classification", others=[LinearSVC()]).fit(X, CODES)


def test_others_that_are_left_out_are_told() -> None:
    ensemble = make(others=[Ridge()], max_steps=5)
    with pytest.warns(TrainingWarning, match="others=, as there are fewer than 10 r"):
        assert ensemble.fit(X[:9], Y[:9]).others_ == []
    with pytest.warns(TrainingWarning, match="as all rows are in one fold"):
        make(n_estimators=1, others=[Ridge()], max_steps=5).fit(X, Y)
    one_class = make("classification", others=[LogisticRegression()], max_steps=5)
    with pytest.warns(TrainingWarning, match="not every classifier fits one class"):
        one_class.set_params(classes=[0, 1]).fit(X, np.zeros(40, int))


def test_a_coarse_target_is_told_once() -> None:
    ensemble = make(periodic="auto", max_steps=5)
    with pytest.warns(TrainingWarning, match="too coarse") as caught:
        ensemble.fit(X, 1e9 + Y)
    assert len(caught) == 1


@pytest.mark.parametrize("where", ["train_on_folds", "held_out_predictions"])
def test_an_interrupt_leaves_the_ensemble_as_it_was(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensemble = make(others=[Ridge()], max_steps=5).fit(X, Y)
    before, expected = dict(vars(ensemble)), ensemble.predict(X)

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(fold_base, where, interrupt)
    with pytest.raises(KeyboardInterrupt):
        ensemble.fit(X[:20], -Y[:20])
    assert vars(ensemble) == before
    np.testing.assert_array_equal(ensemble.predict(X), expected)


# -- as an estimator ------------------------------------------------------------------


@BOTH
def test_seeds_copies_and_global_generators(task: str) -> None:
    y = target(task)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    options = {"others": "auto", "max_steps": 10}
    first, again, other = (make(task, random_state=s, **options) for s in (0, 0, 1))
    found, same, different = (outputs(m.fit(X, y)) for m in (first, again, other))
    fresh = [outputs(make(task, random_state=None).fit(X, y)) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    np.testing.assert_array_equal(found, same)
    assert (found != different).any()
    assert (fresh[0] != fresh[1]).any()
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(outputs(copy), found)
    with pytest.raises(NotFittedError):
        outputs(clone(first))
    with pytest.raises(NotFittedError):
        make(task).predict(X)
    np.testing.assert_array_equal(outputs(clone(first).fit(X, y)), found)


def test_seed_of_the_ensemble_seeds_others_of_the_user() -> None:
    forests = [RandomForestRegressor(3), RandomForestRegressor(3, random_state=5)]
    fits = [make(others=forests, max_steps=10).fit(X, Y) for _ in range(2)]
    np.testing.assert_array_equal(outputs(fits[0]), outputs(fits[1]))
    assert [forest.random_state for forest in forests] == [None, 5]
    assert fits[0].others_[1].random_state == 5


@BOTH
def test_inside_other_estimators(task: str) -> None:
    y = target(task)
    model = make_pipeline(StandardScaler(), make(task, max_steps=10))
    step = type(model[-1]).__name__.lower()
    search = GridSearchCV(
        model, {f"{step}__lr": [1e-5, 0.05]}, cv=2, error_score="raise"
    ).fit(X, y)
    assert search.best_estimator_[-1].lr == search.best_params_[f"{step}__lr"]
    scores = cross_validate(model, X, y, cv=2, error_score="raise")
    assert np.isfinite(scores["test_score"]).all()
    if task == "regression":
        wrapped = TransformedTargetRegressor(model, transformer=StandardScaler())
        assert wrapped.fit(X, 5 * Y + 3).predict(X).shape == (40,)


def test_members_are_complete_nets() -> None:
    ensemble = make(max_steps=60).fit(X, 100 * Y + 50)
    for net in ensemble.estimators_:
        assert net.score(X, 100 * Y + 50) > 0.5
        net.set_params(max_epochs=2, lr=1e-4).partial_fit(X, 100 * Y + 50)
        assert net.score(X, 100 * Y + 50) > 0.5
