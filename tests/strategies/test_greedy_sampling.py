"""Greedy sampling against all distances, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, CommitteeRegressor
from skal.strategies.greedy_sampling import GreedySampling
from tests.models import make_data, make_net

POOL = make_data("regression", 40, seed=1)[0]
CRITERIA = ["both", "inputs", "outputs"]


def slow(criterion, X, f, X_labeled, y_labeled, n):
    picks, scores = [], []
    while len(picks) < n:
        best, best_score = -1, -np.inf
        for i in range(len(X)):
            if i in picks:
                continue
            known = [*zip(X_labeled, y_labeled, strict=True)]
            known += [(X[j], f[j]) for j in picks]
            distances = []
            for x, y in known:
                dx, dy = np.linalg.norm(X[i] - x), np.linalg.norm(f[i] - y)
                distances.append(
                    {"both": dx * dy, "inputs": dx, "outputs": dy}[criterion]
                )
            if min(distances) > best_score:
                best, best_score = i, min(distances)
        picks.append(best)
        scores.append(best_score)
    return picks, scores


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("n_targets", [1, 2])
def test_equals_all_distances(criterion, n_targets, small_blocks):
    small_blocks(100)
    X, y = make_data("regression", 20)
    y = np.stack([y, y**2], axis=1)[:, :n_targets] if n_targets > 1 else y
    learner = ActiveLearner(LinearRegression(), X_training=X, y_training=y)
    f = learner.predict(POOL).reshape(40, -1)
    picks, scores = slow(criterion, POOL, f, X, y.reshape(20, -1), 12)
    selection = GreedySampling(criterion).select(learner, POOL, 12)
    assert selection.indices.tolist() == picks
    np.testing.assert_allclose(selection.scores, scores, rtol=1e-9)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_distances_are_those_of_the_model_inside(criterion):
    X, y = make_data("regression", 20)
    y = 100 * y + 7
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), LinearRegression()),
        transformer=StandardScaler(),
    )
    learner = ActiveLearner(model, X_training=X, y_training=y)
    scaler, target = StandardScaler().fit(X), StandardScaler().fit(y[:, None])
    f = target.transform(learner.predict(POOL)[:, None])
    picks, _ = slow(
        criterion,
        scaler.transform(POOL),
        f,
        scaler.transform(X),
        target.transform(y[:, None]),
        8,
    )
    assert GreedySampling(criterion).select(learner, POOL, 8).indices.tolist() == picks


@pytest.mark.parametrize("criterion", CRITERIA)
def test_starts_in_the_middle_without_labeled_rows(criterion):
    X, y = make_data("regression")
    model = LinearRegression().fit(X, y)
    f = model.predict(POOL)[:, None]
    middle = f if criterion == "outputs" else POOL
    first = int(np.linalg.norm(middle - middle.mean(axis=0), axis=1).argmin())
    selection = GreedySampling(criterion).select(model, POOL, 5)
    assert selection.indices[0] == first
    assert selection.scores[0] == np.inf
    rest, _ = slow(criterion, POOL, f, POOL[[first]], f[[first]], 4)
    assert selection.indices[1:].tolist() == rest


def test_committee_predicts_together():
    X, y = make_data("regression", 20)
    members = [
        ActiveLearner(
            RandomForestRegressor(5, random_state=s), X_training=X, y_training=y
        )
        for s in range(3)
    ]
    f = np.mean([m.predict(POOL) for m in members], axis=0)[:, None]
    picks, _ = slow("outputs", POOL, f, X, y[:, None], 6)
    committee = CommitteeRegressor(members)
    strategy = GreedySampling("outputs")
    assert strategy.select(committee, POOL, 6).indices.tolist() == picks


def test_bad_input():
    X, y = make_data("regression")
    net = make_net("regression").fit(X, y)
    with pytest.raises(ValueError, match=r"criterion must be one of .*'x'"):
        GreedySampling("x").select(net, POOL, 1)
    with torch.no_grad():
        net.module_.head.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="predictions of the model are not finite"):
        GreedySampling("outputs").select(net, POOL, 1)
    assert len(GreedySampling("inputs").select(net, POOL, 2).indices) == 2


def test_labels_in_read_only_memory_bring_no_warning():
    # As the values of a pandas Series are.
    X, y = make_data("regression", 20)
    y = y.astype(np.float64)
    y.flags.writeable = False
    learner = ActiveLearner(LinearRegression(), X_training=X, y_training=y)
    torch.set_warn_always(True)  # else the first such warning is the last
    try:
        assert len(GreedySampling("outputs").select(learner, POOL, 2).indices) == 2
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize("criterion", ["both", "inputs"])
def test_missing_values_that_the_model_takes_have_no_distances(criterion):
    X, y = make_data("regression", 20)
    gap = X.copy()
    gap[[3, 7], 1] = np.nan
    forest = RandomForestRegressor(5, random_state=0)
    learner = ActiveLearner(forest, X_training=X, y_training=y)
    with pytest.raises(ValueError, match=r"2 of 20 rows of the pool .* row 3\)"):
        GreedySampling(criterion).select(learner, gap, 1)
    learner = ActiveLearner(clone(forest), X_training=gap, y_training=y)
    with pytest.raises(ValueError, match=r"2 of 20 rows of the labeled data .* row 3"):
        GreedySampling(criterion).select(learner, X, 1)
    assert len(GreedySampling("outputs").select(learner, gap, 2).indices) == 2


def test_inputs_without_distances():
    class Length:
        """A regressor of texts."""

        def fit(self, X, y):
            self.is_fitted_ = True
            return self

        def predict(self, X):
            return np.array([float(len(x)) for x in X])

        def __sklearn_is_fitted__(self):
            return True

    texts = np.array(["a", "bbb", "cc"], dtype=object)
    with pytest.raises(ValueError, match="no distances"):
        GreedySampling("inputs").select(Length().fit(texts, None), texts, 1)
    picked = GreedySampling("outputs").select(Length().fit(texts, None), texts, 3)
    assert picked.indices[0] == 2


@pytest.mark.parametrize("criterion", ["both", "inputs"])
def test_inputs_far_from_zero_keep_their_distances(criterion):
    """Unix seconds within an hour, where expanded squares lose all digits."""
    rng = np.random.default_rng(0)
    seconds = 1.7e9 + np.sort(rng.uniform(0, 3600, 60))[:, None]
    y = rng.normal(size=60)
    labeled = rng.permutation(60)[:20]
    near_zero, far = [
        GreedySampling(criterion).select(
            ActiveLearner(Ridge(), X_training=X[labeled], y_training=y[labeled]), X, 8
        )
        for X in (seconds - 1.7e9, seconds)
    ]
    # Ridge's rounding of its predictions is far below the gaps between scores.
    assert near_zero.indices.tolist() == far.indices.tolist()
    np.testing.assert_allclose(near_zero.scores, far.scores, rtol=1e-6)
    assert not set(far.indices) & set(labeled)
