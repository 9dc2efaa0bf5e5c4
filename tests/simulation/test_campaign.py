from __future__ import annotations

import pickle
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer, make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from skal.nets import MLP, DeepEnsembleRegressor, NetRegressor
from skal.strategies import Margin, Random
from tests.simulation.helpers import (
    Data,
    FirstColumn,
    Shuffled,
    Untouchable,
    simulation,
)


def test_every_row_is_labeled_once_and_counted(regression: Data) -> None:
    X, y = regression
    began = perf_counter()
    fitted = simulation().fit(X, y)
    took = perf_counter() - began
    assert fitted.queried_indices_.shape == (3, 4)
    used = np.concatenate([fitted.initial_indices_, fitted.queried_indices_.ravel()])
    assert len(np.unique(used)) == 22
    assert used.min() >= 0
    assert used.max() < 80
    assert fitted.n_labeled_.tolist() == [10, 14, 18, 22]
    assert len(fitted.estimators_) == len(fitted.fit_times_) == 4
    assert len(fitted.query_times_) == 3
    # Parts of the time that all of it took.
    assert (fitted.fit_times_ > 0).all()
    assert (fitted.query_times_ > 0).all()
    assert fitted.fit_times_.sum() + fitted.query_times_.sum() < took


def test_as_many_candidates_as_are_picked(regression: Data) -> None:
    X, y = regression
    fitted = simulation(n_candidates=4).fit(X, y)
    assert fitted.queried_indices_.shape == (3, 4)


class _Normed(MLP):
    """Has a parametrization, which Python's pickler does not take."""

    def __init__(self, n_features: int, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs, (8,))
        weight_norm(self.head)


@pytest.mark.parametrize(
    "options",
    [{"module__activation": lambda: nn.Tanh()}, {"module": _Normed}],
    ids=["lambda", "parametrization"],
)
def test_nets_that_cannot_be_pickled(regression: Data, options: Any) -> None:
    X, y = regression
    net = NetRegressor(max_epochs=3, **options)
    fitted = simulation(net).fit(X, y)
    curve = fitted.learning_curve(X, y)
    assert len(set(curve)) == 4
    last = simulation(net, keep="last").fit(X, y)
    assert last.estimator_.score(X, y) == curve[-1]


def test_estimators_are_those_of_a_loop_by_hand(regression: Data) -> None:
    X, y = regression
    start = [3, 1, 41, 5]
    fitted = simulation(query_strategy=FirstColumn(), initial=start).fit(X, y)
    labeled = list(start)
    for step in range(4):
        expected = Ridge().fit(X[labeled], y[labeled])
        np.testing.assert_allclose(fitted.estimators_[step].coef_, expected.coef_)
        rest = [row for row in range(80) if row not in labeled]
        labeled += sorted(rest, key=lambda row: -abs(X[row, 0]))[:4]
    assert fitted.initial_indices_.tolist() == start
    assert fitted.queried_indices_.ravel().tolist() == labeled[4:16]
    np.testing.assert_allclose(fitted.predict(X), fitted.estimators_[-1].predict(X))


def test_score_is_the_mean_height_of_the_learning_curve(regression: Data) -> None:
    X, y = regression
    fitted = simulation().fit(X[:60], y[:60])
    curve = fitted.learning_curve(X[60:], y[60:])
    by_hand = [model.score(X[60:], y[60:]) for model in fitted.estimators_]
    np.testing.assert_allclose(curve, by_hand)
    middle = (np.array(by_hand[1:]) + by_hand[:-1]) / 2
    assert fitted.score(X[60:], y[60:]) == pytest.approx(middle.mean())


@pytest.mark.parametrize(
    "scoring",
    [
        "neg_mean_absolute_error",
        make_scorer(mean_absolute_error, greater_is_better=False),
        lambda model, X, y: -mean_absolute_error(y, model.predict(X)),
    ],
)
def test_scoring_is_scikit_learns(regression: Data, scoring: Any) -> None:
    X, y = regression
    fitted = simulation(scoring=scoring).fit(X, y)
    expected = [
        get_scorer("neg_mean_absolute_error")(model, X, y)
        for model in fitted.estimators_
    ]
    np.testing.assert_allclose(fitted.learning_curve(X, y), expected)


def test_same_seed_same_campaign_and_other_seed_other(regression: Data) -> None:
    X, y = regression
    estimator = DecisionTreeRegressor(max_features=2)
    first, second = (simulation(estimator).fit(X, y) for _ in range(2))
    other = simulation(estimator, random_state=1).fit(X, y)
    np.testing.assert_array_equal(first.queried_indices_, second.queried_indices_)
    np.testing.assert_array_equal(first.predict(X), second.predict(X))
    assert (first.queried_indices_ != other.queried_indices_).any()
    assert (first.initial_indices_ != other.initial_indices_).any()


def test_no_queries_leave_the_start(regression: Data) -> None:
    X, y = regression
    fitted = simulation(n_queries=0).fit(X, y)
    assert fitted.n_labeled_.tolist() == [10]
    assert fitted.queried_indices_.shape == (0, 4)
    assert fitted.score(X, y) == fitted.estimator_.score(X, y)


def test_all_rows_may_be_used(regression: Data) -> None:
    X, y = regression
    fitted = simulation(n_initial=8, n_instances=24).fit(X, y)
    assert sorted([*fitted.initial_indices_, *fitted.queried_indices_.ravel()]) == list(
        range(80)
    )


def _as_frame(X: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(X, columns=list("abcd"), index=range(5, 85))


@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        _as_frame,
        sparse.csr_matrix,
        sparse.coo_matrix,
        torch.from_numpy,
    ],
)
def test_kinds_of_rows_give_the_same_campaign(
    regression: Data, convert: Callable[[np.ndarray], Any]
) -> None:
    X, y = regression
    expected = simulation(query_strategy=Random()).fit(X, y)
    rows = convert(X)
    labels = pd.Series(y, index=rows.index) if convert is _as_frame else y
    fitted = simulation(query_strategy=Random()).fit(rows, labels)
    np.testing.assert_array_equal(fitted.queried_indices_, expected.queried_indices_)
    np.testing.assert_allclose(fitted.estimator_.coef_, expected.estimator_.coef_)


def test_memmaps_stay_on_disk(regression: Data, tmp_path: Any) -> None:
    X, y = regression
    np.save(tmp_path / "X.npy", X)
    fitted = simulation().fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y)
    expected = simulation().fit(X, y)
    np.testing.assert_array_equal(fitted.queried_indices_, expected.queried_indices_)


def test_labels_belong_to_rows_by_position(regression: Data) -> None:
    X, y = regression
    labels = pd.Series(y, index=range(85, 5, -1))
    fitted = simulation(query_strategy=Random()).fit(_as_frame(X), labels)
    expected = simulation(query_strategy=Random()).fit(X, y)
    np.testing.assert_allclose(fitted.estimator_.coef_, expected.estimator_.coef_)


def test_names_of_columns_reach_the_estimator(regression: Data) -> None:
    X, y = regression
    fitted = simulation(query_strategy=Random()).fit(_as_frame(X), y)
    np.testing.assert_array_equal(fitted.feature_names_in_, list("abcd"))


def test_kind_of_estimator_shows(classification: Data, regression: Data) -> None:
    classifier = simulation(LogisticRegression())
    assert is_classifier(classifier)
    assert not is_regressor(classifier)
    assert is_regressor(simulation())
    assert not hasattr(simulation(), "predict_proba")
    assert not hasattr(simulation(), "decision_function")
    X, y = classification
    labels = np.array(["x", "y", "z"])[y]
    fitted = clone(classifier).set_params(initial="stratified").fit(X, labels)
    assert fitted.predict_proba(X).shape == (90, 3)
    assert fitted.decision_function(X).shape == (90, 3)
    assert fitted.classes_.tolist() == ["x", "y", "z"]
    assert set(fitted.predict(X)) == {"x", "y", "z"}
    assert fitted.n_features_in_ == 5
    np.testing.assert_array_equal(
        np.unique(labels[fitted.initial_indices_]), ["x", "y", "z"]
    )


def test_cross_validation_stratifies_and_scores_curves(classification: Data) -> None:
    X, y = classification
    # Sorted by class: KFold would leave a class out of each training part.
    order = np.argsort(y, kind="stable")
    campaign = simulation(LogisticRegression(), Margin(), initial="stratified")
    result = cross_validate(campaign, X[order], y[order], cv=3, return_estimator=True)
    assert [len(e.classes_) for e in result["estimator"]] == [3, 3, 3]
    again = cross_val_score(campaign, X[order], y[order], cv=3, n_jobs=2)
    np.testing.assert_array_equal(result["test_score"], again)


def test_grid_search_over_strategies_and_their_parameters(regression: Data) -> None:
    X, y = regression
    search = GridSearchCV(
        simulation(),
        [
            {"query_strategy": [FirstColumn()], "query_strategy__value": [0.0, 2.0]},
            {"query_strategy": [Shuffled()], "estimator__alpha": [0.1, 10.0]},
        ],
        cv=2,
    ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 4
    assert len(np.unique(scores)) == 4
    assert search.best_estimator_.n_labeled_[-1] == 22


def test_clone_and_pickle(regression: Data) -> None:
    X, y = regression
    fitted = simulation().fit(X, y)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)
    with pytest.raises(NotFittedError):
        clone(fitted).score(X, y)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict(X), fitted.predict(X))
    assert "Ridge" in repr(fitted)


class _CountsCopies(Ridge):
    copies: list[int] = []  # noqa: RUF012

    def __deepcopy__(self, memo: Any) -> Any:
        self.copies.append(1)
        copied = type(self)()
        vars(copied).update(vars(self))
        return copied


@pytest.mark.parametrize(("keep", "copies"), [("all", 3), ("last", 0), ("none", 0)])
def test_each_fit_is_copied_at_most_once(
    regression: Data, keep: str, copies: int
) -> None:
    _CountsCopies.copies.clear()
    simulation(_CountsCopies(), keep=keep).fit(*regression)
    assert len(_CountsCopies.copies) == copies


def test_only_the_last_estimator_may_be_kept(regression: Data) -> None:
    X, y = regression
    expected = simulation().fit(X, y)
    fitted = clone(expected).set_params(keep="last").fit(X, y)
    np.testing.assert_array_equal(fitted.predict(X), expected.predict(X))
    assert fitted.n_features_in_ == 4
    assert not hasattr(fitted, "estimators_")
    with pytest.raises(ValueError, match=r"keep='last'.* Set keep='all'"):
        fitted.score(X, y)
    expected.set_params(keep="last").fit(X, y)
    assert not hasattr(expected, "estimators_")  # none of the first fit


def test_no_estimator_may_be_kept(regression: Data) -> None:
    X, y = regression
    fitted = simulation(keep="none").fit(X, y)
    np.testing.assert_array_equal(
        fitted.queried_indices_, simulation().fit(X, y).queried_indices_
    )
    assert len(pickle.dumps(fitted)) < len(pickle.dumps(simulation().fit(X, y)))
    with pytest.raises(ValueError, match=r"keep='none'.* Set keep='last'"):
        fitted.predict(X)
    assert not hasattr(fitted, "n_features_in_")


@pytest.mark.parametrize("keep", ["all", "last"])
def test_the_state_of_optimizers_is_not_kept(regression: Data, keep: str) -> None:
    X, y = regression
    net = NetRegressor(max_epochs=2)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), DeepEnsembleRegressor(net, n_estimators=2)),
        transformer=StandardScaler(),
    )
    fitted = simulation(model, n_queries=1, keep=keep).fit(X, y)
    for kept in [fitted.estimator_, *getattr(fitted, "estimators_", [])]:
        for member in kept.regressor_[-1].estimators_:
            assert not member.optimizer_.state
            assert member.optimizer_.param_groups
    fitted = simulation(net, n_queries=1).fit(X, y)
    before = fitted.predict(X)
    fitted.estimator_.partial_fit(X, y)  # training may continue
    assert (fitted.predict(X) != before).any()


def test_progress_bar_only_if_asked_for(
    regression: Data, capsys: pytest.CaptureFixture[str]
) -> None:
    simulation().fit(*regression)
    assert capsys.readouterr() == ("", "")
    simulation(verbose=1).fit(*regression)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_initial": 70}, r"labels 70 \+ 3 \* 4 = 82 rows, but X has n_samples=80"),
        ({"n_instances": 24}, r"10 \+ 3 \* 24 = 82"),
        ({"initial": list(range(69))}, r"69 \+ 3 \* 4 = 81"),
        ({"n_initial": 0}, "n_initial must be an int of at least 1, got 0"),
        ({"n_instances": 2.0}, r"n_instances must be .* at least 1, got 2\.0"),
        ({"n_queries": -1}, "n_queries must be an int of at least 0"),
        ({"n_candidates": True}, "n_candidates must be an int"),
        ({"n_candidates": 3}, "n_candidates=3 must be at least n_instances=4"),
        ({"initial": "nearest"}, "initial must be"),
        ({"keep": "first"}, "keep must be one of"),
        ({"initial": [80]}, "the rows are 0 to 79"),
    ],
)
def test_wrong_settings_are_refused_before_any_fit(
    regression: Data, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        simulation(Untouchable(), **settings).fit(*regression)


def test_wrong_labels_are_refused(regression: Data, classification: Data) -> None:
    X, y = regression
    with pytest.raises(ValueError, match="X has 80 rows, but y has 79 labels"):
        simulation(Untouchable()).fit(X, y[:-1])
    with pytest.raises(ValueError, match="requires y"):
        simulation(Untouchable()).fit(X, None)
    one = np.r_[np.zeros(79, int), 1]
    with pytest.raises(ValueError, match=r"have the class .*'stratified'"):
        simulation(LogisticRegression(), initial=[0, 1, 2]).fit(X, one)
    with pytest.raises(ValueError, match="Unknown label type"):
        simulation(LogisticRegression()).fit(X, y)


def test_failure_leaves_the_last_campaign(regression: Data) -> None:
    X, y = regression
    fitted = simulation().fit(X, y)
    before = fitted.predict(X)
    fitted.set_params(estimator=Untouchable())
    with pytest.raises(AssertionError):
        fitted.fit(X, y)
    np.testing.assert_array_equal(fitted.predict(X), before)


@pytest.mark.parametrize("model", [Ridge(), LogisticRegression()])
def test_scikit_learns_own_checks(model: Any) -> None:
    campaign = simulation(model, Random(), n_initial=8, n_instances=2, n_queries=1)
    unseen = "the bad value may be in a row that is never labeled, so never read"
    results = check_estimator(
        campaign.set_params(initial="stratified"),
        expected_failed_checks={"check_dtype_object": unseen},
        on_skip=None,
    )
    assert sum(result["status"] == "passed" for result in results) > 40


# -- callbacks ------------------------------------------------------------------------


def test_a_callback_sees_each_step(regression: Data) -> None:
    X, y = regression
    seen: list[Any] = []

    def callback(step: Any) -> int:
        seen.append(step._replace(estimator=step.estimator.score(X, y)))
        return 1  # only True ends a campaign

    fitted = simulation(callback=callback).fit(X, y)
    assert [step.step for step in seen] == [0, 1, 2, 3]
    assert [step.n_labeled for step in seen] == fitted.n_labeled_.tolist()
    np.testing.assert_array_equal(seen[0].labeled, fitted.initial_indices_)
    np.testing.assert_array_equal(
        [step.labeled for step in seen[1:]], fitted.queried_indices_
    )
    scores = [step.estimator for step in seen]
    np.testing.assert_array_equal(scores, fitted.learning_curve(X, y))
    assert {step.strategy for step in seen} == {"Shuffled"}


@pytest.mark.parametrize("keep", ["all", "last", "none"])
def test_a_callback_ends_the_campaign(regression: Data, keep: str) -> None:
    X, y = regression

    def stop(step: Any) -> np.bool_:
        return np.bool_(step.n_labeled >= 14)

    whole = simulation().fit(X, y)
    short = simulation(callback=stop, keep=keep).fit(X, y)
    assert short.n_labeled_.tolist() == [10, 14]
    np.testing.assert_array_equal(short.queried_indices_, whole.queried_indices_[:1])
    assert len(short.query_times_) == 1
    if keep != "none":
        np.testing.assert_array_equal(short.predict(X), whole.estimators_[1].predict(X))
