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
from skal.strategies.greedy_sampling import GreedySampling, WiGS
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


# -- a weighted sum of both distances --------------------------------------------------


def slow_sum(weight, X, f, X_labeled, y_labeled, n):
    """Pick by all pairs; distances are scaled to the range of those to labeled rows."""
    known = [*zip(X_labeled, y_labeled, strict=True)]
    pairs = [
        (np.linalg.norm(a - x), np.linalg.norm(b - y))
        for a, b in zip(X, f, strict=True)
        for x, y in known
    ]
    low, high = np.min(pairs, axis=0), np.max(pairs, axis=0)
    picks, scores = [], []
    while len(picks) < n:
        values = np.full(len(X), -np.inf)
        for i in set(range(len(X))) - set(picks):
            values[i] = min(
                weight * (np.linalg.norm(X[i] - x) - low[0]) / (high[0] - low[0])
                + (1 - weight)
                * (np.linalg.norm(f[i] - y) - low[1])
                / (high[1] - low[1])
                for x, y in known
            )
        picks.append(int(values.argmax()))
        scores.append(values.max())
        known.append((X[picks[-1]], f[picks[-1]]))
    return picks, scores


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("n_targets", [1, 2])
def test_wigs_equals_all_distances(weight, n_targets, small_blocks):
    small_blocks(100)
    X, y = make_data("regression", 20)
    y = np.stack([y, y**2], axis=1)[:, :n_targets] if n_targets > 1 else y
    learner = ActiveLearner(LinearRegression(), X_training=X, y_training=y)
    f = learner.predict(POOL).reshape(40, -1)
    picks, scores = slow_sum(weight, POOL, f, X, y.reshape(20, -1), 12)
    selection = WiGS(weight).select(learner, POOL, 12)
    assert selection.indices.tolist() == picks
    np.testing.assert_allclose(selection.scores, scores, rtol=1e-9)


@pytest.mark.parametrize(("weight", "criterion"), [(1.0, "inputs"), (0, "outputs")])
def test_wigs_of_one_distance_is_greedy_sampling(weight, criterion):
    X, y = make_data("regression", 20)
    learner = ActiveLearner(Ridge(), X_training=X, y_training=y)
    expected = GreedySampling(criterion).select(learner, POOL, 10).indices
    got = WiGS(weight).select(learner, POOL, 10).indices
    np.testing.assert_array_equal(got, expected)


def test_wigs_finds_a_wrong_prediction_beside_a_labeled_row():
    """There a product is 0, and a sum is not."""
    X = np.array([[0.0], [1.0], [2.0], [3.0]])
    learner = ActiveLearner(LinearRegression(), X_training=X, y_training=[0, 1, 9, 3])
    pool = np.array([[2.0], [0.9]])
    assert GreedySampling().select(learner, pool).indices.tolist() == [1]
    assert WiGS(0.1).select(learner, pool).indices.tolist() == [0]


def test_wigs_without_labels_begins_in_the_middle():
    X, y = make_data("regression", 20)
    model = Ridge().fit(X, y)
    first = ((POOL - POOL.mean(axis=0)) ** 2).sum(axis=1).argmin()
    f = model.predict(POOL)[:, None]
    others = np.delete(np.arange(40), first)
    dx = np.linalg.norm(POOL - POOL[first], axis=1)
    dy = np.abs(f - f[first])[:, 0]
    second = (dx / dx.max() + dy / dy.max())[others].argmax()
    got = WiGS().select(model, POOL, 2)
    assert got.indices.tolist() == [first, others[second]]
    assert got.scores[0] == np.inf


def test_wigs_where_a_distance_tells_nothing():
    X = make_data("regression", 20)[0]
    learner = ActiveLearner(Ridge(), X_training=X, y_training=np.ones(20))
    expected = GreedySampling("inputs").select(learner, POOL, 5).indices
    np.testing.assert_array_equal(WiGS().select(learner, POOL, 5).indices, expected)


@pytest.mark.parametrize("weight", [-0.1, 1.1, np.nan, True, None, "half"])
def test_bad_weight(weight):
    with pytest.raises(ValueError, match="weight must be from 0 to 1"):
        WiGS(weight).select(Ridge().fit(POOL, POOL[:, 0]), POOL)
