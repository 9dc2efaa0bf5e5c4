"""Queries before the first label."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import SelectKBest, r_regression
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.utils.validation import check_is_fitted

from skal import (
    ActiveLearner,
    CommitteeRegressor,
    NetClassifier,
    NetRegressor,
    strategies,
)
from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.reading.untrained import seen_rows
from skal.strategies import (
    LCMD,
    CoreSet,
    GreedySampling,
    KMeansPP,
    KMedoids,
    MaxDist,
    PredictiveVariance,
    ProbCover,
    Random,
    TypiClust,
    all_strategies,
)
from tests.models import make_data, make_strategy

POOL, Y = make_data("regression", 40)
SCALED = (POOL - POOL.mean(axis=0)) / POOL.std(axis=0)
FIRST = [
    TypiClust(random_state=0),
    ProbCover(random_state=0),
    LCMD(),
    KMeansPP(random_state=0),
    KMedoids(),
    MaxDist(),
    CoreSet(),
    GreedySampling("inputs"),
]


def pipeline():
    return make_pipeline(StandardScaler(), Ridge())


@pytest.mark.parametrize("strategy", FIRST, ids=lambda s: type(s).__name__)
def test_a_campaign_from_nothing(strategy):
    model = pipeline()
    learner = ActiveLearner(model, strategy)
    picked, rows = learner.query(POOL, n_instances=4)
    for step in model:
        with pytest.raises(NotFittedError):
            check_is_fitted(step)
    # As of a model that receives the scaled rows.
    fitted = ActiveLearner(Ridge().fit(SCALED, Y))
    strategy_of_fitted = strategy.__class__(**strategy.get_params(deep=False))
    if hasattr(strategy, "space"):
        assert strategy.space_ == "inputs"
        strategy_of_fitted.set_params(space="inputs")
    expected = strategy_of_fitted.select(fitted, SCALED, 4).indices
    np.testing.assert_array_equal(picked, expected)
    learner.teach(rows, Y[picked])
    again, _ = learner.query(np.delete(POOL, picked, axis=0), n_instances=4)
    assert len(set(again.tolist())) == 4


@pytest.mark.parametrize("strategy", [*FIRST, Random(random_state=0)], ids=str)
def test_a_gaussian_process_without_labels_is_not_fitted(strategy):
    # It can predict, by its prior; scikit-learn therefore calls it fitted.
    process = GaussianProcessRegressor()
    picks = {
        kind: strategy.select(ActiveLearner(model), rows, 4).indices.tolist()
        for kind, model, rows in [
            ("alone", process, SCALED),
            (
                "pipeline",
                make_pipeline(StandardScaler(), GaussianProcessRegressor()),
                POOL,
            ),
            ("other", pipeline(), POOL),
        ]
    }
    assert picks["alone"] == picks["pipeline"] == picks["other"]


def test_what_a_gaussian_process_lacks_before_its_first_label():
    for process in (
        GaussianProcessRegressor(),
        FrozenEstimator(GaussianProcessRegressor()),
    ):
        with pytest.raises(NotFittedError, match="Before the first label"):
            PredictiveVariance().select(process, POOL, 2)
        with pytest.raises(NotFittedError, match="Before the first label"):
            LCMD(space="kernel").select(process, POOL, 2)


def works_unfitted(strategy, learner):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strategy.select(learner, POOL, 3)
    except (NotFittedError, UnsuitableLearnerError):
        return False
    return True


def test_the_error_and_the_page_name_the_strategies_that_work():
    with pytest.raises(NotFittedError, match="pick by the inputs") as info:
        PredictiveVariance().select(Ridge(), POOL, 2)
    hint = str(info.value).split("inputs alone: ")[1]
    page = Path(__file__).parents[2].joinpath("docs", "strategies.rst").read_text()
    page = page.split("\nBefore the first label\n")[1].split("If the learner contains")[
        0
    ]
    both, regression = hint.split("; for regression also ")
    regression = regression.split("Random()")[0]
    for text, learners in (
        (both, [LogisticRegression(), Ridge()]),
        (regression, [Ridge()]),
    ):
        for name, argument in re.findall(r"(\w+)\((?:criterion=\"(\w+)\")?\)", text):
            made = getattr(strategies, name)(*filter(None, [argument]))
            assert all(works_unfitted(made, learner) for learner in learners), name
    named = set(re.findall(r"(\w+)\(", hint)) - {"Random"}
    assert named == set(re.findall(r"(?:`|``)(\w+)(?:`|\()", page))
    for cls in all_strategies():
        if cls.__name__ not in {*named, "Random"}:
            assert not works_unfitted(make_strategy(cls), Ridge()), cls
    classes = set(re.findall(r"(\w+)\(", both))
    for name in named - classes:
        made = getattr(strategies, name)()
        assert not works_unfitted(made, LogisticRegression()), name


def test_wrappers_and_labeled_rows():
    frame = pd.DataFrame(POOL, columns=list("abcde"))
    for model in (
        GridSearchCV(pipeline(), {}),
        TransformedTargetRegressor(pipeline()),
        make_pipeline("passthrough", pipeline()),
    ):
        learner = ActiveLearner(model)
        ((rows, labeled),) = seen_rows(Pool(learner, frame))
        np.testing.assert_allclose(rows.read(slice(40)), SCALED)
        assert labeled is None
        learner.X_training, learner.y_training = frame[:7][list("edcba")], Y[:7]
        ((_, labeled),) = seen_rows(Pool(learner, frame))
        ((_, block),) = labeled.blocks()
        np.testing.assert_allclose(block, SCALED[:7])
        learner.X_training = frame[:7][list("abcd")]
        with pytest.raises(ValueError, match=r"different columns: \['e'\]"):
            seen_rows(Pool(learner, frame))


def test_a_net_before_its_first_fit():
    net = NetClassifier(max_epochs=2)
    strategy = LCMD()
    assert len(strategy.select(net, POOL, 3).indices) == 3
    assert strategy.space_ == "inputs"
    with pytest.raises(NotFittedError, match="CoreSet"):
        LCMD(space="gradients").select(net, POOL, 3)


def test_what_is_refused():
    supervised = make_pipeline(SelectKBest(k=2), LogisticRegression())
    with pytest.raises(ValueError, match=r"SelectKBest could not be fitted.*Random"):
        TypiClust().select(supervised, POOL, 2)
    bad = POOL.copy()
    bad[[3, 9], 1] = np.nan
    with pytest.raises(ValueError, match=r"2 of 40 rows .*first is row 3"):
        LCMD().select(pipeline(), bad, 2)
    with pytest.raises(NotFittedError, match='criterion="inputs"'):
        GreedySampling().select(pipeline(), POOL, 2)
    half = CommitteeRegressor(
        [ActiveLearner(Ridge().fit(POOL, Y)), ActiveLearner(Ridge())]
    )
    with pytest.raises(NotFittedError):
        LCMD().select(half, POOL, 2)


MIXED = pd.DataFrame(
    {
        "area": [50.0, np.nan, 70.0, 90.0, 60.0],
        "kind": ["flat", None, "house", "flat", np.nan],
    }
)


def by_column(numbers, texts, model):
    parts = [("numbers", numbers, ["area"]), ("texts", texts, ["kind"])]
    return make_pipeline(ColumnTransformer(parts), model)


@pytest.mark.parametrize(
    "model",
    [
        by_column(SimpleImputer(), OneHotEncoder(), Ridge()),
        by_column("passthrough", "drop", HistGradientBoostingRegressor()),
        by_column("drop", OneHotEncoder(), Ridge()),
        # A step that needs labels: the first fit will tell.
        by_column(
            "passthrough",
            TargetEncoder(cv=2, target_type="continuous"),
            HistGradientBoostingRegressor(),
        ),
        make_pipeline(OneHotEncoder(), SelectKBest(r_regression, k=2), Ridge()),
    ],
)
def test_missing_values_that_the_first_fit_accepts(model):
    members = [ActiveLearner(model), ActiveLearner(clone(model))]
    for learner in (model, members[0], CommitteeRegressor(members)):
        picked = Random(random_state=0).select(learner, MIXED, 3).indices
        assert len(set(picked)) == 3
    model.fit(MIXED, [1.0, 2.0, 4.0, 3.0, 5.0])


@pytest.mark.parametrize(
    "model",
    [
        by_column("passthrough", OneHotEncoder(), Ridge()),
        by_column(StandardScaler(), "drop", NetRegressor()),
        by_column(PCA(), "drop", Ridge()),
    ],
)
def test_missing_values_that_the_first_fit_refuses(model):
    with pytest.raises(ValueError, match="1 of 5 rows of the pool contain NaN"):
        Random().select(model, MIXED.fillna({"kind": "flat"}), 3)
    with pytest.raises(ValueError, match="NaN"):
        model.fit(MIXED.fillna({"kind": "flat"}), [1.0, 2.0, 3.0, 4.0, 5.0])
