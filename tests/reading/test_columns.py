"""Columns of pool and taught rows, matched by name with those of training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, Committee, NetClassifier
from skal.learners import CEALLearner
from skal.reading.pool import complete_columns, match_columns
from skal.strategies import (
    BADGE,
    LCMD,
    VAAL,
    CoreSet,
    GreedySampling,
    KMedoids,
    Margin,
    ProbCover,
    Random,
    TypiClust,
)

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(90, 3)) * [1, 50, 1], columns=list("abc"))
Y = (X["a"] > 0).astype(int)
FULL = X.assign(id=range(90), note="t")
USED = make_column_transformer((StandardScaler(), ["a", "b"]))


class ByPosition(RegressorMixin, BaseEstimator):
    """A model that keeps no names."""

    def fit(self, X: object, y: object) -> ByPosition:
        self.model_ = LinearRegression().fit(np.asarray(X), y)
        return self

    def predict(self, X: object) -> np.ndarray:
        return self.model_.predict(np.asarray(X))


@pytest.mark.parametrize(
    ("strategy", "model"),
    [
        (TypiClust(random_state=0), RandomForestClassifier(5, random_state=0)),
        (ProbCover(random_state=0), LogisticRegression()),
        (KMedoids(), LogisticRegression()),
        (VAAL(max_epochs=2, random_state=0), LogisticRegression()),
        (CoreSet(space="inputs"), NetClassifier(max_epochs=1, random_state=0)),
        (GreedySampling("inputs"), Ridge()),
        (GreedySampling(), ByPosition()),
        (Margin(), LogisticRegression()),
        (Margin(), make_pipeline(StandardScaler(), LogisticRegression())),
        (LCMD(random_state=0), NetClassifier(max_epochs=1, random_state=0)),
        (BADGE(random_state=0), NetClassifier(max_epochs=1, random_state=0)),
        (Random(random_state=0), LogisticRegression()),
    ],
    ids=lambda x: type(x).__name__,
)
def test_the_order_of_columns_does_not_matter(strategy, model):
    pool = X[30:]
    learner = ActiveLearner(clone(model), strategy, X[:30], Y[:30])
    expected = strategy.select(learner, pool, 5)
    found = strategy.select(learner, pool[["b", "c", "a"]], 5)
    assert_array_equal(found.indices, expected.indices)
    assert_array_equal(found.scores, expected.scores)
    learner.X_training = X[:30][["c", "a", "b"]]
    if isinstance(model, ByPosition):  # only the labeled rows know the names
        learner.estimator.fit(learner.X_training, Y[:30])
    found = strategy.select(learner, pool, 5)
    assert_array_equal(found.indices, expected.indices)


@pytest.mark.parametrize("strategy", [Random(random_state=0), Margin()])
@pytest.mark.parametrize(
    ("train", "new"), [(FULL, FULL[["b", "a"]]), (X[["a", "b"]], FULL), (FULL, FULL)]
)
def test_columns_that_a_pipeline_does_not_need(strategy, train, new):
    model = make_pipeline(clone(USED), LogisticRegression())
    learner = ActiveLearner(model, strategy, train[:30], Y[:30])
    indices, rows = learner.query(new[30:], 4)
    assert list(rows.columns) == list(new.columns)
    plain = make_pipeline(StandardScaler(), LogisticRegression())
    plain.fit(X[:30][["a", "b"]], Y[:30])
    expected = strategy.select(plain, X[30:][["a", "b"]], 4)
    assert_array_equal(indices, expected.indices)
    learner.teach(rows, Y[30:].iloc[indices])
    assert list(learner.X_training.columns) == list(train.columns)
    assert_array_equal(learner.X_training["b"], [*X["b"][:30], *rows["b"]])
    if "note" in train and "note" not in new:
        assert learner.X_training["note"][-4:].isna().all()
    plain.fit(learner.X_training[["a", "b"]], learner.y_training)
    # Up to rounding: sums depend on how the columns lie in memory.
    expected = plain.predict_proba(X[["a", "b"]])
    assert_allclose(learner.predict_proba(FULL), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "new", [X[["a", "b"]], X.assign(d=1.0), X.rename(columns={"a": "d"})]
)
@pytest.mark.parametrize(
    "model", [LogisticRegression(), NetClassifier(max_epochs=1, random_state=0)]
)
def test_columns_that_the_model_refuses_are_named(new, model):
    missing = [c for c in X if c not in new]
    additional = [c for c in new if c not in X]
    message = rf"missing \{missing!r}.*additional \{additional!r}".replace("]", r"\]")
    learner = ActiveLearner(clone(model), Margin(), X[:30], Y[:30])
    with pytest.raises(ValueError, match=message):
        learner.query(new[30:])
    with pytest.raises(ValueError, match=message):
        learner.teach(new[30:32], Y[30:32])
    assert len(learner.X_training) == len(learner.y_training) == 30


def test_members_with_columns_of_their_own():
    members = [
        ActiveLearner(LogisticRegression(), X_training=X[:30], y_training=Y[:30]),
        ActiveLearner(
            make_pipeline(clone(USED), LogisticRegression()),
            X_training=FULL[10:50],
            y_training=Y[10:50],
        ),
    ]
    committee = Committee(members, TypiClust(random_state=0))
    expected = committee.query(FULL[50:][["a", "b", "c"]], 3)[0]
    assert_array_equal(committee.query(X[50:][["c", "b", "a"]], 3)[0], expected)
    committee.teach(X[50:54][["c", "b", "a"]], Y[50:54])
    assert list(members[0].X_training) == list("abc")
    assert list(members[1].X_training) == list(FULL)


def test_rows_with_pseudo_labels_get_the_columns_of_the_labeled_ones():
    model = make_pipeline(clone(USED), LogisticRegression())
    learner = CEALLearner(model, Margin(), FULL[:30], Y[:30], threshold=0.5)
    pool = X[30:][["b", "a"]]
    indices, rows = learner.query(pool, 2)
    assert len(learner.X_pseudo) > 0
    learner.teach(rows, Y[30:].iloc[indices])
    assert len(learner.X_training) == 32


def test_rows_without_common_names_are_matched_by_position():
    model = LogisticRegression().fit(X.to_numpy(), Y)
    learner = ActiveLearner(model)
    learner.X_training, learner.y_training = X.to_numpy(), Y
    for rows in (X, X.to_numpy(), X.set_axis([0, 1, 2], axis=1)):
        assert match_columns(rows, learner.X_training, learner).X is rows
    with pytest.raises(ValueError, match=r"2 features.*trained on 3"):
        Margin().select(learner, X[["a", "b"]])
    repeated = X[["a", "a", "b"]]
    assert match_columns(repeated, X, learner).X is repeated


def test_missing_columns_keep_the_types_of_the_others():
    model = make_pipeline(clone(USED), LogisticRegression()).fit(FULL, Y)
    whole = complete_columns(FULL[:3][["b", "a"]], FULL, model)
    assert list(whole) == list(FULL)
    assert whole["id"].dtype.kind == "f"
    assert whole["note"].isna().all()
