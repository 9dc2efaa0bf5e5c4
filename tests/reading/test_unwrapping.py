from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVR

from skal.learners import ActiveLearner
from skal.reading.unwrapping import innermost, rewrap

INNER = SVR()


@pytest.mark.parametrize(
    "outer", [Ridge(), LogisticRegression(), ActiveLearner(Ridge())]
)
def test_without_wrappers_there_is_the_inner_one(outer):
    assert rewrap(outer, INNER) is INNER


def test_steps_and_their_names_are_kept():
    pipeline = Pipeline(
        [("a", StandardScaler(with_mean=False)), ("b", "passthrough"), ("c", Ridge())],
        memory="somewhere",
    )
    made = rewrap(ActiveLearner(pipeline), INNER)
    assert [name for name, _ in made.steps] == ["a", "b", "c"]
    assert made[0] is not pipeline[0]
    assert made[0].with_mean is False
    assert made["c"] is INNER
    assert made.memory == "somewhere"
    assert isinstance(pipeline["c"], Ridge)


def test_target_transformers_are_kept():
    inner = make_pipeline(StandardScaler(), Ridge())
    target = TransformedTargetRegressor(inner, transformer=MinMaxScaler())
    made = rewrap(target, INNER)
    assert isinstance(made.transformer, MinMaxScaler)
    assert made.transformer is not target.transformer
    assert innermost(made.regressor) is INNER
    assert isinstance(made.regressor[0], StandardScaler)
    assert rewrap(
        TransformedTargetRegressor(func=np.log1p, inverse_func=np.expm1), INNER
    )


def test_copies_are_not_fitted():
    X = np.arange(6.0)[:, None]
    target = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge()), transformer=StandardScaler()
    ).fit(X, X[:, 0])
    made = rewrap(target, INNER)
    assert not hasattr(made, "regressor_")
    assert not hasattr(made.regressor[0], "scale_")


def test_a_search_is_replaced_by_its_best_estimator():
    X = np.arange(12.0)[:, None]
    pipeline = make_pipeline(StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"standardscaler__with_std": [False]}, cv=2)
    assert rewrap(search, INNER)[0].with_std is True  # nothing found yet
    made = rewrap(search.fit(X, X[:, 0]), INNER)
    assert made[0].with_std is False
    assert made[-1] is INNER
