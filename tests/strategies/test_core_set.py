"""Core-set against a slow k-center, and its guarantee."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from skal import ActiveLearner, Committee
from skal.strategies import CoreSet, MaxDist
from tests.models import make_data, make_net, module_on_cpu

POOL = make_data("regression", 30, seed=1)[0]


def features(net, X: np.ndarray) -> np.ndarray:
    layers = list(module_on_cpu(net).children())
    body = layers[0][:-1] if len(layers) == 1 else torch.nn.Sequential(*layers[:-1])
    with torch.no_grad():
        return body(torch.as_tensor(X, dtype=torch.float32)).double().numpy()


def slow(Z: np.ndarray, centers: np.ndarray, n: int) -> tuple[list, list]:
    picks: list[int] = []
    scores: list[float] = []
    for _ in range(n):
        taken = np.vstack([centers, Z[picks]])
        if len(taken):
            nearest = np.linalg.norm(Z[:, None] - taken[None], axis=2).min(1)
        else:
            nearest = np.linalg.norm(Z, axis=1)
        nearest[picks] = -1
        picks.append(int(nearest.argmax()))
        scores.append(nearest.max())
    return picks, scores


def test_picks_of_the_slow_version():
    for task in ("classification", "regression"):
        X, y = make_data(task)
        learner = ActiveLearner(make_net(task), X_training=X, y_training=y)
        Z, labeled = features(learner.estimator, POOL), features(learner.estimator, X)
        picks, scores = slow(Z, labeled, 8)
        selection = CoreSet().select(learner, POOL, 8)
        assert selection.indices.tolist() == picks
        np.testing.assert_allclose(selection.scores, scores, rtol=1e-4)
        assert (np.diff(selection.scores) <= 1e-6).all()


def test_without_labeled_rows_the_largest_norm_comes_first():
    X, y = make_data("regression")
    net = make_net("regression").fit(X, y)
    Z = features(net, POOL)
    picks, _ = slow(Z, np.empty((0, Z.shape[1])), 6)
    assert picks[0] == np.linalg.norm(Z, axis=1).argmax()
    assert CoreSet().select(net, POOL, 6).indices.tolist() == picks


def test_covers_within_twice_the_optimal_radius():
    X, y = make_data("regression", 20)
    learner = ActiveLearner(make_net("regression"), X_training=X, y_training=y)
    Z, L = features(learner.estimator, POOL[:12]), features(learner.estimator, X)

    def radius(rows: tuple[int, ...] | list[int]) -> float:
        centers = np.vstack([L, Z[list(rows)]])
        return np.linalg.norm(Z[:, None] - centers[None], axis=2).min(1).max()

    best = min(radius(rows) for rows in itertools.combinations(range(12), 3))
    greedy = radius(CoreSet().select(learner, POOL[:12], 3).indices.tolist())
    assert best <= greedy <= 2 * best


def test_labeled_rows_in_the_pool_come_last():
    X, y = make_data("regression", 20)
    learner = ActiveLearner(make_net("regression"), X_training=X, y_training=y)
    pool = np.vstack([X[:10], POOL[:10]])
    indices = CoreSet().select(learner, pool, 20).indices
    assert set(indices[:10].tolist()) == set(range(10, 20))


def test_members_with_rows_of_their_own_know_of_each_others():
    X, y = make_data("classification", 40)
    parts = [slice(0, 14), slice(14, 40)]
    committee = Committee(
        [
            ActiveLearner(
                make_net("classification", random_state=seed),
                X_training=X[part],
                y_training=y[part],
            )
            for seed, part in enumerate(parts)
        ]
    )
    pool = np.vstack([X[:20], POOL[:5]])
    selection = CoreSet().select(committee, pool, 25)
    assert set(selection.indices[:5].tolist()) == set(range(20, 25))
    np.testing.assert_allclose(selection.scores[5:], 0, atol=1e-5)


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize(
    ("space", "n_components"),
    [
        ("gradients", None),
        ("gradients", 64),
        ("last_layer", None),
        ("features", 512),
        ("inputs", 512),
    ],
)
def test_every_space_covers_as_farthest_first_does(task, space, n_components):
    X, y = make_data(task)
    learner = ActiveLearner(make_net(task), X_training=X, y_training=y)
    parameters = {"space": space, "n_components": n_components, "random_state": 3}
    expected = MaxDist(**parameters).select(learner, POOL, 12)
    selection = CoreSet(**parameters).select(learner, POOL, 12)
    np.testing.assert_array_equal(selection.indices, expected.indices)
    np.testing.assert_array_equal(selection.scores, expected.scores)


def test_inputs_and_features_of_ones_own():
    X, y = make_data("regression")
    learner = ActiveLearner(make_net("regression"), X_training=X, y_training=y)
    picks, _ = slow(POOL, X, 8)
    assert CoreSet(space="inputs").select(learner, POOL, 8).indices.tolist() == picks

    def first_two(access, rows):
        return torch.cat([torch.as_tensor(b[:, :2]) for _, b in rows.blocks()])

    picks, _ = slow(POOL[:, :2], X[:, :2], 8)
    assert CoreSet(space=first_two).select(learner, POOL, 8).indices.tolist() == picks


def test_only_a_sketch_is_drawn():
    X, y = make_data("regression")
    learner = ActiveLearner(make_net("regression"), X_training=X, y_training=y)
    for space, differs in [("gradients", True), ("features", False)]:
        strategies = [CoreSet(None, space, 2, random_state=seed) for seed in (0, 0, 1)]
        first, again, other = (
            strategy.select(learner, POOL).scores.item() for strategy in strategies
        )
        assert first == again
        assert (first != other) == differs
