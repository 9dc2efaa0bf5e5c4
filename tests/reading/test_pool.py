"""A learner and its pool, unwrapped."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skal import ActiveLearner, Committee, CommitteeRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.strategies import LCMD, GreedySampling, Margin, Random

RNG = np.random.default_rng(0)
X, POOL = RNG.normal(size=(30, 3)), RNG.normal(size=(11, 3))
Y = (X[:, 0] > 0).astype(int)


def read(rows: object) -> np.ndarray:
    return np.concatenate([np.asarray(block) for _, block in rows.blocks()])


def test_nested_wrappers_are_taken_off_in_order():
    inner = make_pipeline(StandardScaler(), Ridge())
    model = GridSearchCV(
        TransformedTargetRegressor(
            RandomizedSearchCV(
                Pipeline([("a", MinMaxScaler()), ("b", "passthrough"), ("c", inner)]),
                {"c__ridge__alpha": [1.0]},
                n_iter=1,
                cv=2,
            ),
            transformer=StandardScaler(),
        ),
        {},
        cv=2,
    ).fit(X, X[:, 0])
    learner = ActiveLearner(model)
    learner.X_training, learner.y_training = X, X[:, 0]
    (member,) = Pool(learner, POOL).members
    search = model.best_estimator_.regressor_.best_estimator_
    assert isinstance(member.estimator, Ridge)
    first = search.steps[0][1]
    second = search.steps[2][1].steps[0][1]
    np.testing.assert_allclose(
        read(member.rows), second.transform(first.transform(POOL))
    )
    np.testing.assert_allclose(
        read(member.labeled), second.transform(first.transform(X))
    )
    assert member.target_transformers == (model.best_estimator_.transformer_,)
    assert Pool(learner, POOL).task == "regression"
    np.testing.assert_allclose(
        member.estimator.predict(read(member.rows)),
        member.target_transformers[0].transform(model.predict(POOL)[:, None])[:, 0],
    )


def test_a_search_without_refit_is_refused():
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, refit=False, cv=2)
    with pytest.raises((NotFittedError, UnsuitableLearnerError)):
        _ = Pool(search.fit(X, Y), POOL).members


def test_tasks():
    assert Pool(LogisticRegression(), POOL).task == "classification"
    assert Pool(make_pipeline(StandardScaler(), Ridge()), POOL).task == "regression"
    assert Pool(TransformedTargetRegressor(), POOL).task == "regression"
    assert Pool(StandardScaler(), POOL).task == "unknown"


def test_missing_values_are_judged_where_the_model_sees_them():
    gappy, bad_pool = X.copy(), POOL.copy()
    gappy[::5, 1] = bad_pool[[2, 5], 0] = np.nan
    imputing = make_pipeline(SimpleImputer(), LogisticRegression()).fit(gappy, Y)
    assert len(Margin().select(imputing, bad_pool, 3).indices) == 3
    takes_nan = HistGradientBoostingClassifier(max_iter=2).fit(gappy, Y)
    assert len(Margin().select(takes_nan, bad_pool, 3).indices) == 3
    scaling = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    for strategy in (Margin(), Random()):
        with pytest.raises(ValueError, match=r"2 of 11 rows .*first is row 2"):
            strategy.select(scaling, bad_pool, 3)
    with pytest.raises(ValueError, match="2 of 11 rows"):
        Random().select(LogisticRegression(), bad_pool)  # not fitted


class TakesNoArrays(Ridge):
    """Refuses the sparse arrays of scipy, as CatBoost does, but not its matrices."""

    def fit(self, X, y):
        assert sparse.isspmatrix(X)
        return super().fit(X, y)

    def predict(self, X):
        assert sparse.isspmatrix(X)
        return super().predict(X)


@pytest.mark.parametrize("kind", ["csr_array", "csc_array", "coo_array", "csc_matrix"])
@pytest.mark.parametrize(
    "strategy",
    [GreedySampling(), LCMD(space=lambda model, X: model.predict(X)[:, None])],
)
def test_sparse_rows_reach_a_model_as_in_its_fit(kind, strategy):
    rows, pool = getattr(sparse, kind)(X), getattr(sparse, kind)(POOL)
    learner = ActiveLearner(TakesNoArrays(), X_training=rows, y_training=X[:, 0])
    plain = ActiveLearner(Ridge(), X_training=X, y_training=X[:, 0])
    expected = strategy.select(plain, POOL, 4).indices
    np.testing.assert_array_equal(strategy.select(learner, pool, 4).indices, expected)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(SimpleImputer(), LogisticRegression()),
        HistGradientBoostingClassifier(),
    ],
    ids=["scaler", "imputer", "boosting"],
)
def test_masked_values_are_not_read_as_data(model):
    """scikit-learn would read what is under the mask, even where it accepts NaN."""
    masked = np.ma.masked_array(POOL, np.zeros(POOL.shape, dtype=bool))
    learner = ActiveLearner(model, X_training=X, y_training=Y)
    expected = Margin().select(learner, POOL, 3).indices
    np.testing.assert_array_equal(Margin().select(learner, masked, 3).indices, expected)
    masked[4, 1] = masked[7, 0] = np.ma.masked
    for strategy in (Random(), LCMD(), Margin()):
        for pool in (masked, {"rows": masked}):
            with pytest.raises(ValueError, match=r"2 of 11 .* masked .* is row 4"):
                strategy.select(learner, pool, 3)


def test_fitted_are_all_models_or_none():
    fitted, bare = LogisticRegression().fit(X, Y), LogisticRegression()
    assert Pool(fitted, POOL).is_fitted
    assert not Pool(bare, POOL).is_fitted
    one, other = ActiveLearner(fitted), ActiveLearner(bare)
    assert not Pool(Committee([one, other]), POOL).is_fitted
    other.teach(X, Y)
    assert Pool(Committee([one, other]), POOL).is_fitted


def test_texts():
    texts = ["good fun", "bad mood", "good mood", "bad fun"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
        texts, [1, 0, 1, 0]
    )
    for pool in (["good", "fun", "bad"], pd.Series(["good", "fun", "bad"])):
        assert Margin().select(model, pool, 1).indices.tolist() == [1]
    array = np.array(["good", "fun", "bad"])
    assert Margin().select(model, array, 1).indices.tolist() == [1]


def test_named_columns():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    pool = pd.DataFrame(POOL, columns=["a", "b", "d"])
    model = LogisticRegression().fit(frame, Y)
    with pytest.raises(ValueError, match=r"missing \['c'\], additional \['d'\]"):
        Margin().select(model, pool)


def test_the_expected_number_of_features_comes_from_labeled_rows_too():
    class Bare:
        """An estimator that knows nothing of its inputs."""

        classes_ = (0, 1)

        def fit(self, X: object, y: object) -> Bare:
            self.fitted_ = True
            return self

        def predict_proba(self, X: object) -> np.ndarray:
            raise AssertionError("must not be reached")

    learner = ActiveLearner(LogisticRegression())
    learner.estimator = Bare().fit(X, Y)
    learner.X_training, learner.y_training = X, Y
    with pytest.raises(ValueError, match=r"2 features.*trained on 3"):
        _ = Pool(learner, POOL[:, :2]).members


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame, torch.as_tensor])
def test_part_of_a_pool(kind):
    learner = ActiveLearner(
        make_pipeline(StandardScaler(), LogisticRegression()),
        X_training=X,
        y_training=Y,
    )
    whole = Pool(learner, kind(POOL))
    part = whole.take(torch.tensor([2, 7, 8]))
    assert (len(whole), len(part)) == (11, 3)
    np.testing.assert_array_equal(
        read(part.members[0].rows), read(whole.members[0].rows)[[2, 7, 8]]
    )
    assert part.members[0].labeled.X is X
    np.testing.assert_array_equal(part.proba()[0], whole.proba()[0][[2, 7, 8]])


def test_part_of_a_pool_of_an_unfitted_learner():
    bad = POOL.copy()
    bad[4] = np.nan
    pool = Pool(LogisticRegression(), bad)
    pool.take(np.array([0, 3, 5])).check_finite()
    with pytest.raises(ValueError, match="1 of 2 rows of the part of the pool"):
        pool.take(np.array([3, 4])).check_finite()


def test_members_that_hold_no_rows_see_those_of_the_others():
    bare = ActiveLearner(LogisticRegression().fit(X, Y))
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    taught = ActiveLearner(pipe, X_training=X[:9], y_training=Y[:9])
    for members in ([bare, taught], [taught, bare]):
        pool = Pool(Committee(members), POOL)
        for member, learner in zip(pool.members, members, strict=True):
            assert member.labeled is not None
            scaled = learner is taught
            expected = pipe[:-1].transform(X[:9]) if scaled else X[:9]
            np.testing.assert_allclose(read(member.labeled), expected)
            assert np.array_equal(member.y, Y[:9])


def test_labels_of_members_are_joined_if_they_have_the_same_columns():
    def members(*labels):
        return CommitteeRegressor(
            [ActiveLearner(Ridge(), X_training=X.copy(), y_training=y) for y in labels]
        )

    mixed, plain = members(X[:, 0], X[:, :1]), members(X[:, 0], X[:, 0])
    for member in Pool(mixed, POOL).members:
        assert np.array_equal(member.y, np.tile(X[:, :1], (2, 1)))
    picks, expected = (LCMD().select(m, POOL, 4).indices for m in (mixed, plain))
    assert np.array_equal(picks, expected)
    with pytest.raises(UnsuitableLearnerError, match=r"labels of \[1, 3\] columns"):
        _ = Pool(members(X[:, 0], X), POOL).members


def test_labeled_rows_as_they_are_held():
    X, other = np.ones((4, 2)), np.zeros((3, 2))
    y, others = np.array([0, 1, 0, 1]), np.array([1, 0, 1])
    members = [ActiveLearner(LogisticRegression()) for _ in range(3)]
    committee = Committee(members)
    assert Pool(committee, X).labeled == []
    assert Pool(LogisticRegression(), X).labeled == []
    for member in members:
        member.X_training, member.y_training = X, y
    for learner in (members[0], committee):
        ((rows, labels),) = Pool(learner, X).labeled
        assert rows is X
        assert labels is y
    members[1].X_training, members[1].y_training = other, others
    sets = Pool(committee, X).labeled
    assert [rows is held for (rows, _), held in zip(sets, (X, other), strict=True)]
    assert [labels is held for (_, labels), held in zip(sets, (y, others), strict=True)]
    assert [len(rows) for rows, _ in sets] == [4, 3]
