"""What NGBoost, GPyTorch, imbalanced-learn and polars add to learners."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner
from skal.posteriors import Bagged
from skal.strategies import BALD, LCMD, Margin, PredictiveVariance, ViaProxy
from tests.matrix.learners import data_for, fitted, pool_rows
from tests.models import with_labeled


def test_variances_of_ngboost_are_those_of_its_distribution():
    pytest.importorskip("ngboost", reason="ngboost is missing: make test-learners")
    learner = fitted("NGBRegressor")
    scores = PredictiveVariance().score_samples(learner, pool_rows())
    std = learner.estimator.pred_dist(pool_rows()).std()
    np.testing.assert_allclose(scores, np.square(std))


def test_variances_of_gpytorch_are_those_of_its_labels_less_the_noise():
    pytest.importorskip("gpytorch", reason="gpytorch is missing: make test-learners")
    learner = fitted("GPyTorchRegressor")
    scores = PredictiveVariance().score_samples(learner, pool_rows())
    _, std = learner.estimator.predict(pool_rows(), return_std=True)
    noise = float(learner.estimator.likelihood_.noise.detach())
    np.testing.assert_allclose(scores + noise, np.square(std), rtol=1e-3)


@pytest.mark.filterwarnings("ignore")  # deprecated functions of torch, used by GPyTorch
def test_the_recipe_of_the_guide_for_gpytorch_learns():
    pytest.importorskip("gpytorch", reason="gpytorch is missing: make test-learners")
    page = Path(__file__).parents[2] / "docs" / "other_learners.rst"
    (block,) = re.findall(
        r"code-block:: python\n\n(.*?)\n\n(?=\S)", page.read_text(), re.DOTALL
    )
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    names = {"X": X, "y": y, "ActiveLearner": ActiveLearner, "LCMD": LCMD}
    names |= {"make_pipeline": make_pipeline, "StandardScaler": StandardScaler}
    exec(textwrap.dedent(block), names)
    assert len(set(names["positions"].tolist())) == 5
    assert names["learner"].score(names["rows"][40:], names["targets"][40:]) > 0.1
    assert names["learner"].query_strategy.space_ == "kernel"


def test_a_sampler_of_imbalanced_learn_acts_in_fit_alone():
    pipeline = pytest.importorskip(
        "imblearn.pipeline", reason="imbalanced-learn is missing: make test-learners"
    )
    sampling = pytest.importorskip("imblearn.over_sampling")
    X, y = data_for("LogisticRegression")
    balanced = pipeline.make_pipeline(
        StandardScaler(),
        sampling.RandomOverSampler(random_state=0),
        LogisticRegression(),
    )
    learner = ActiveLearner(balanced, None, X, y)
    seen = balanced[0].transform(pool_rows())
    alone = balanced[-1]
    for strategy in (Margin(), LCMD(random_state=0)):
        picked = strategy.select(learner, pool_rows(), 4)
        if isinstance(strategy, Margin):
            np.testing.assert_allclose(
                picked.scores, Margin().select(alone, seen, 4).scores
            )
        assert len(set(picked.indices.tolist())) == 4


def test_copies_of_a_pipeline_of_imbalanced_learn_have_its_samplers():
    pipeline = pytest.importorskip(
        "imblearn.pipeline", reason="imbalanced-learn is missing: make test-learners"
    )
    sampling = pytest.importorskip("imblearn.under_sampling")
    X, y = data_for("LogisticRegression")
    sampler = sampling.RandomUnderSampler(random_state=0)
    balanced = pipeline.make_pipeline(StandardScaler(), sampler, LogisticRegression())
    learner = ActiveLearner(balanced, None, X, y)
    strategy = BALD(Bagged(n_estimators=4), random_state=0)
    expected = BALD(Bagged(clone(balanced), 4), random_state=0)
    np.testing.assert_array_equal(
        strategy.select(learner, pool_rows(), 4).indices,
        expected.select(learner, pool_rows(), 4).indices,
    )
    proxy = ViaProxy(strategy=Margin(), random_state=0)
    assert len(set(proxy.select(learner, pool_rows(), 4).indices.tolist())) == 4


@pytest.mark.parametrize("strategy", [Margin(), LCMD(random_state=0)])
def test_frames_of_polars_are_read_as_arrays_are(strategy):
    polars = pytest.importorskip("polars")
    X, y = data_for("LogisticRegression")
    names = [f"x{k}" for k in range(X.shape[1])]
    frame = polars.DataFrame(X, schema=names)
    pool = polars.DataFrame(pool_rows(), schema=names)
    learner = ActiveLearner(LogisticRegression(), None, frame, y)
    index, rows = learner.query(pool, n_instances=4)
    assert isinstance(rows, polars.DataFrame)
    plain = ActiveLearner(LogisticRegression(), None, X, y)
    found, expected = (
        strategy.select(a, b, 4).indices.tolist()
        for a, b in ((learner, pool), (plain, pool_rows()))
    )
    assert found == expected
    learner.teach(rows, data_for("LogisticRegression", 4)[1])
    assert len(learner.X_training) == len(X) + 4
    assert len(index) == 4


def test_any_classes_for_xgboost_as_the_guide_advises():
    """XGBoost itself takes no texts, and no numbers with a gap."""
    xgboost = pytest.importorskip("xgboost", reason="run make test-learners")
    X, y = data_for("XGBClassifier", 60)
    texts = np.array(["low", "mid", "top"])[y]
    model = VotingClassifier(
        [("xgboost", xgboost.XGBClassifier(n_estimators=5, n_jobs=1, random_state=0))],
        voting="soft",
    )
    for known in (texts != "mid", np.full(60, True)):
        learner = ActiveLearner(clone(model), None, X[known], texts[known])
        assert set(learner.predict(X)) <= set(texts[known])
        numbered = np.unique(texts[known], return_inverse=True)[1]
        plain = clone(model.estimators[0][1]).fit(X[known], numbered)
        np.testing.assert_allclose(
            Margin().score_samples(learner, pool_rows()),
            Margin().score_samples(plain, pool_rows()),
        )
        strategy = LCMD()
        np.testing.assert_array_equal(
            strategy.select(learner, pool_rows(), 4).indices,
            LCMD().select(with_labeled(plain, X[known], numbered), pool_rows(), 4)[0],
        )
        assert strategy.space_ == "leaves"
        BALD(Bagged(n_estimators=3), random_state=0).select(learner, pool_rows(), 4)
