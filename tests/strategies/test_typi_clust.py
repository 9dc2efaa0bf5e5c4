"""TypiClust: its clusters, and the effect of labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from skal._numerics.kmeans import k_means
from skal.rng import resolve_rng, seed_from
from skal.selection import typi_clust
from skal.strategies import TypiClust
from tests.models import with_labeled

RNG = np.random.default_rng(0)
HEAPS = 20 * RNG.normal(size=(6, 4))
X = HEAPS[np.arange(90) % 6] + RNG.normal(size=(90, 4))
MODEL = LinearRegression().fit(X, X[:, 0])


def test_a_row_of_each_heap():
    picked = TypiClust(random_state=0).select(MODEL, X, 6)
    assert sorted((picked.indices % 6).tolist()) == list(range(6))
    # The score is the inverse mean distance to the seven nearest of its heap.
    for i, score in zip(picked.indices, picked.scores, strict=True):
        distances = np.sort(np.linalg.norm(X[i % 6 :: 6] - X[i], axis=1))[1:8]
        assert score == pytest.approx(1 / distances.mean())


def test_heaps_with_labels_are_left_out():
    learner = with_labeled(MODEL, HEAPS[:4], HEAPS[:4, 0])
    picked = TypiClust(random_state=0).select(learner, X, 2).indices
    assert sorted((picked % 6).tolist()) == [4, 5]


@pytest.mark.parametrize(
    ("settings", "n_clusters"),
    [({}, 13), ({"max_clusters": 9}, 9), ({"n_clusters": 30, "max_clusters": 9}, 30)],
)
def test_clusters_are_of_pool_and_labeled_rows(settings, n_clusters):
    rng = np.random.default_rng(1)
    pool, labeled = rng.normal(size=(60, 3)), rng.normal(size=(8, 3))
    model = LinearRegression().fit(labeled, labeled[:, 0])
    rows, rng = torch.from_numpy(np.concatenate([pool, labeled])), resolve_rng(5)
    seed_from(rng)  # the door draws one
    clusters = k_means(rows, n_clusters, rng).labels
    counts = clusters[60:].bincount(minlength=n_clusters)
    expected = typi_clust(rows[:60], clusters[:60], 5, 4, counts)
    learner = with_labeled(model, labeled, labeled[:, 0])
    got = TypiClust(n_neighbors=4, random_state=5, **settings).select(learner, pool, 5)
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_allclose(got.scores, expected.scores)


def test_more_picks_than_clusters_go_round_again():
    picked = TypiClust(max_clusters=6, random_state=0).select(MODEL, X, 14).indices
    assert len(set(picked.tolist())) == 14
    assert sorted(np.bincount(picked % 6).tolist()) == [2, 2, 2, 2, 3, 3]


@pytest.mark.parametrize("name", ["n_neighbors", "n_clusters", "max_clusters"])
def test_bad_input(name, monkeypatch):
    monkeypatch.setattr(TypiClust, "_read_space", lambda *_: pytest.fail("read first"))
    for value in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match=f"{name} must be an int of at least 1"):
            TypiClust(**{name: value}).select(MODEL, X, 2)
