"""Bagging of any estimator, against fits of the same samples by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

from skal import ActiveLearner, ActiveLearningSimulation, CommitteeRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import Bagged, predictive_std
from skal.posteriors.bagged import _within_classes
from skal.reading.fitting import FittedCopy
from skal.reading.pool import Pool
from skal.rng import seed_from
from skal.strategies import (
    BALD,
    EPIG,
    BatchBALD,
    PredictiveVariance,
    VoteEntropy,
)
from tests.posteriors.helpers import draw

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
Y = X[:, 0] + 0.1 * RNG.normal(size=30)
CLASSES = np.where(X[:, 0] > 0.5, "high", "low")
POOL = RNG.normal(size=(25, 3))


def frame(A):
    return pd.DataFrame(A, columns=list("abc"))


def learner(estimator, X=X, y=Y):
    return ActiveLearner(estimator, X_training=X, y_training=y)


def by_hand(estimator, k=4, seed=0, y=Y):
    """Copies fitted on the samples that the generator draws."""
    rng = torch.Generator().manual_seed(seed)
    copies = []
    for _ in range(k):
        sample = torch.randint(30, (30,), generator=rng).numpy()
        copied = clone(estimator)
        for name, value in copied.get_params().items():
            if name.endswith("random_state") and value is None:  # one at most, here
                copied.set_params(**{name: seed_from(rng)})
        copies.append(copied.fit(X[sample], y[sample]))
    return copies


@pytest.mark.parametrize(
    "estimator",
    [
        SVR(),
        KNeighborsRegressor(),
        make_pipeline(StandardScaler(), Ridge()),
        TransformedTargetRegressor(SVR(), transformer=StandardScaler()),
    ],
    ids=["svr", "neighbors", "pipeline", "target transformer"],
)
def test_copies_of_the_learners_estimator(estimator):
    expected = np.array([m.predict(POOL) for m in by_hand(estimator)])
    asked = learner(estimator)
    draws = draw(Bagged(n_estimators=4), asked, POOL)
    np.testing.assert_allclose(draws.collect()[:, :, 0], expected)
    assert draws.task == "regression"
    # Rows of interest go through the pipelines of the copies.
    rows = draws.pool.rows_of(POOL[:3], "X_target")
    np.testing.assert_allclose(draws.collect(rows)[:, :, 0], expected[:, :3])
    labeled = [member.labeled for member in draws.pool.members]
    assert draws.collect(labeled).shape == (4, 30, 1)


def test_an_estimator_of_ones_own_is_cloned():
    own = make_pipeline(StandardScaler(), Ridge(alpha=3.0))
    expected = np.var([m.predict(POOL) for m in by_hand(own)], axis=0)
    asked = learner(SVR())
    fitted = asked.estimator
    strategy = PredictiveVariance(Bagged(own, 4))
    scores = strategy._score(Pool(asked, POOL), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(scores, expected)
    assert asked.estimator is fitted
    assert not hasattr(own[-1], "coef_")
    assert np.array_equal(asked.X_training, X)


def test_the_strategy_seeds_the_copies():
    asked = learner(DecisionTreeRegressor(max_features=1))
    strategy = PredictiveVariance(Bagged(n_estimators=5), random_state=3)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again = (strategy.score_samples(asked, POOL) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    other = PredictiveVariance(Bagged(n_estimators=5), random_state=4)
    assert not np.array_equal(first, other.score_samples(asked, POOL))


def test_a_search_is_not_run_again():
    search = GridSearchCV(SVR(), {"C": [0.1, 5.0]}, cv=2)
    asked = learner(search)
    best = clone(asked.estimator.best_estimator_)
    expected = [m.predict(POOL) for m in by_hand(best)]
    found = draw(Bagged(n_estimators=4), asked, POOL).collect()[:, :, 0]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("cls", [LogisticRegression, SVC])
def test_classes_that_a_sample_lacks(cls):
    y = np.array(["a"] * 14 + ["b"] * 15 + ["c"])
    asked = learner(cls(), y=y)
    draws = draw(Bagged(n_estimators=8), asked, POOL)
    outputs = draws.collect()
    assert draws.classes.tolist() == ["a", "b", "c"]
    torch.testing.assert_close(outputs.sum(2), torch.ones(8, 25).double())
    for n in (1, 3):
        assert len(VoteEntropy(Bagged()).select(asked, POOL, n).indices) == n


class NumbersClasses(LogisticRegression):
    """Takes classes numbered from 0 without a gap, as XGBoost does."""

    def fit(self, X, y):
        if np.ptp(y) + 1 != len(np.unique(y)) or np.min(y):
            raise ValueError(f"Invalid classes: {np.unique(y)}")
        return super().fit(X, y)


@pytest.mark.parametrize(
    ("estimator", "n_rare"),
    [(NumbersClasses(), 1), (CalibratedClassifierCV(SVC(), cv=2), 2)],
    ids=["all classes", "two rows of each class"],
)
def test_samples_that_a_classifier_cannot_be_fitted_on_are_drawn_within_classes(
    estimator, n_rare
):
    y = np.array([0] * (16 - n_rare) + [1] * n_rare + [2] * 14)
    with pytest.raises(ValueError, match=r"Invalid|less than 2 examples"):
        by_hand(estimator, 10, y=y)  # one of the samples of this seed
    asked = learner(estimator, y=y)
    draws = draw(Bagged(n_estimators=10), asked, POOL)
    outputs = draws.collect()
    torch.testing.assert_close(outputs.sum(2), torch.ones(10, 25).double())
    assert len(outputs.unique(dim=0)) == 10
    again = draw(Bagged(n_estimators=10), asked, POOL).collect()
    torch.testing.assert_close(outputs, again, rtol=0, atol=0)


def test_rows_drawn_within_classes():
    y = ["b", "a", "b", "c", "b", "b"] * 5
    sample = _within_classes(y, torch.Generator().manual_seed(0))
    assert [y[i] for i in sample] == y
    assert len(set(sample.tolist())) < 30
    drawn = [_within_classes(y, torch.Generator().manual_seed(s)) for s in range(400)]
    times = np.bincount(np.concatenate(drawn), minlength=30) / 400
    np.testing.assert_allclose(times, 1, atol=0.25)  # five standard errors
    mixed = np.array(["a", np.nan, 1, "a", np.nan], dtype=object)
    sample = _within_classes(mixed, torch.Generator().manual_seed(0))
    assert [str(label) for label in mixed[sample]] == ["a", "nan", "1", "a", "nan"]
    several = np.array([[0, 1], [1, 1], [0, 1], [1, 1]])
    sample = _within_classes(several, torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(several[sample], several)


def test_every_sample_has_two_classes():
    y = np.array([0] * 29 + [1])
    asked = learner(LogisticRegression(), y=y)
    for seed in range(3):  # a sample lacks the second class in one of three
        draws = draw(Bagged(n_estimators=10), asked, POOL, seed)
        assert all(len(m.estimator.classes_) == 2 for m in draws.pool.members)


@pytest.mark.parametrize(
    ("convert", "labels"),
    [
        (frame, pd.Series),
        (frame, lambda y: pd.DataFrame({"y": y})),
        (sparse.csr_matrix, np.asarray),
        (lambda A: A.tolist(), list),
    ],
    ids=["frame", "frames", "sparse", "lists"],
)
def test_containers(convert, labels):
    asked = learner(Ridge(), convert(X), labels(Y))
    expected = [m.predict(POOL) for m in by_hand(Ridge())]
    found = draw(Bagged(n_estimators=4), asked, convert(POOL)).collect()[:, :, 0]
    np.testing.assert_allclose(found, expected)


def test_strategies_that_compare_rows():
    asked = learner(HistGradientBoostingRegressor(max_iter=5))
    bagged = Bagged(SVR(), 4)
    for strategy in (
        BALD(bagged, random_state=0),
        BatchBALD(bagged, random_state=0),
        EPIG(bagged, X_target=POOL[:5], random_state=0),
        EPIG(bagged, random_state=0),
    ):
        assert len(set(strategy.select(asked, POOL, 3).indices.tolist())) == 3
    assert predictive_std(asked, POOL, bagged, random_state=0).shape == (25, 1)


def test_standard_deviations_are_in_units_of_the_learner():
    estimator = TransformedTargetRegressor(Ridge(), transformer=StandardScaler())
    asked = learner(estimator, y=100 * Y)
    plain = learner(clone(estimator), y=Y)
    std = predictive_std(asked, POOL, Bagged(n_estimators=3), random_state=1)
    plain = predictive_std(plain, POOL, Bagged(n_estimators=3), random_state=1)
    torch.testing.assert_close(std, 100 * plain)


def test_in_a_simulation():
    simulation = ActiveLearningSimulation(
        Ridge(),
        PredictiveVariance(Bagged(n_estimators=3)),
        n_initial=8,
        n_instances=3,
        n_queries=2,
        random_state=0,
    )
    assert simulation.fit(X, Y).queried_indices_.shape == (2, 3)


def test_what_cannot_be_bagged():
    with pytest.raises(UnsuitableLearnerError, match="the learner holds none"):
        draw(Bagged(), SVR().fit(X, Y), POOL)
    pair = CommitteeRegressor([learner(SVR()), learner(Ridge())])
    with pytest.raises(UnsuitableLearnerError, match="a committee has several"):
        draw(Bagged(), pair, POOL)
    assert draw(Bagged(Ridge(), 3), pair, POOL).n_draws == 3
    pair.learner_list[0].teach(X[:1], Y[:1])
    with pytest.raises(UnsuitableLearnerError, match="different labeled rows"):
        draw(Bagged(Ridge(), 3), pair, POOL)
    with pytest.raises(UnsuitableLearnerError, match="for regression, and LogisticReg"):
        draw(Bagged(LogisticRegression()), learner(SVR(), y=(Y > 0) * 1), POOL)
    for wrong in (SVR, "svr"):
        with pytest.raises(TypeError, match="estimator of Bagged must be"):
            draw(Bagged(wrong), learner(SVR()), POOL)
    for n in (1, 2.5, True):
        with pytest.raises(ValueError, match="n_estimators must be an int of at least"):
            draw(Bagged(n_estimators=n), learner(SVR()), POOL)
    with pytest.raises(ValueError, match=r"copy in Bagged of SVR could not be fitted"):
        draw(Bagged(SVR(C=-1.0)), learner(Ridge()), POOL)


def test_the_copies_are_a_learner_each():
    copied = FittedCopy(Ridge().fit(X, Y), X, Y)
    assert Pool(copied, POOL).task == "regression"
    assert len(Pool(copied, POOL).labeled) == 1
