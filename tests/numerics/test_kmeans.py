"""K-means on tensors, by both estimators of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans, MiniBatchKMeans

from skal._numerics import kmeans as module
from skal._numerics.kmeans import k_means
from skal.rng import resolve_rng, seed_from
from tests.numerics.test_nearest import KINDS, features

BLOBS = features(4, 3, seed=5)[torch.arange(80) % 4] * 9 + features(80, 3) * 0.1

both = pytest.mark.parametrize("full", [2**22, 0])


@both
def test_finds_heaps(full, monkeypatch):
    monkeypatch.setattr(module, "_FULL", full)
    found = k_means(BLOBS, 4, resolve_rng(0))
    assert len({(i % 4, int(c)) for i, c in enumerate(found.labels)}) == 4
    middle = torch.stack([BLOBS[found.labels == c].mean(dim=0) for c in range(4)])
    torch.testing.assert_close(found.centers, middle, rtol=0, atol=0.1)


@pytest.mark.parametrize(
    ("full", "work", "cls", "settings"),
    [
        (2**22, 2**23, KMeans, {"max_iter": 100, "tol": 0}),
        (2**22, 700 * 9 * 5, KMeans, {"max_iter": 5, "tol": 0}),
        (2**22, 1, KMeans, {"max_iter": 3, "tol": 0}),
        (0, 1, MiniBatchKMeans, {"batch_size": 5000}),
    ],
)
@pytest.mark.parametrize("weigh", [False, True])
def test_is_scikit_learns(full, work, cls, settings, weigh, monkeypatch):
    monkeypatch.setattr(module, "_FULL", full)
    monkeypatch.setattr(module, "_WORK", work)
    rows = features(700, 3).double()
    given = torch.arange(1.0, 701.0).double() if weigh else None
    found = k_means(rows, 9, resolve_rng(3), given)
    seed, weights = seed_from(resolve_rng(3)), None if given is None else given.numpy()
    seeds = module._seeds(rows.numpy(), 9, seed, weights)
    model = cls(9, init=seeds, n_init=1, random_state=seed, **settings)
    model.fit(rows.numpy(), sample_weight=weights)
    np.testing.assert_array_equal(found.labels, model.labels_)
    np.testing.assert_allclose(found.centers, model.cluster_centers_)


def test_weights_pull_the_centers():
    rows, weights = features(40, 3).double(), torch.arange(40.0)
    center = k_means(rows, 1, resolve_rng(0), weights).centers[0]
    expected = (rows * weights[:, None]).sum(dim=0) / weights.sum()
    torch.testing.assert_close(center, expected)
    nothing = k_means(rows, 1, resolve_rng(0), torch.zeros(40)).centers[0]
    torch.testing.assert_close(nothing, rows.mean(dim=0))
    one = k_means(rows, 1, resolve_rng(0), torch.eye(40)[7]).centers[0]
    torch.testing.assert_close(one, rows[7], rtol=0, atol=1e-8)


def by_trying(
    rows: np.ndarray, n_clusters: int, seed: int, weights: np.ndarray
) -> list[int]:
    """Greedy k-means++ by the definition, distance by distance."""
    rng = np.random.default_rng(seed)
    picks = [int(rng.choice(len(rows), p=weights / weights.sum()))]
    n_tried = 2 + int(np.log(n_clusters))

    def sq_dist(centers: list[int]) -> np.ndarray:
        return np.array(
            [min(((x - rows[c]) ** 2).sum() for c in centers) for x in rows]
        )

    waiting = []
    for us in rng.random((n_clusters - 1, n_tried)):
        if not waiting:  # draw for one seed, with 32 for two, with 64 for three
            share = weights * sq_dist(picks)
            share /= share.sum()
            waiting = [share] * min(8, 1 + len(picks) // 32)
        share = waiting.pop()
        tried = [int((share.cumsum() <= u).sum()) for u in us]
        costs = [(weights * sq_dist([*picks, c])).sum() for c in tried]
        picks.append(tried[int(np.argmin(costs))])
    return picks


@pytest.mark.parametrize("table", [0, 2**12])
@pytest.mark.parametrize("weigh", [False, True])
def test_seeds_are_those_of_greedy_k_means_pp(table, weigh, monkeypatch):
    monkeypatch.setattr(module, "_TABLE", table)
    rows = features(40, 3).double().numpy()
    weights = np.random.default_rng(1).random(40) if weigh else None
    given = np.ones(40) if weights is None else weights
    for n_clusters in (1, 2, 9, 38):
        found = module._seeds(rows, n_clusters, 7, weights)
        np.testing.assert_array_equal(
            found, rows[by_trying(rows, n_clusters, 7, given)]
        )


def test_seeds_lie_in_every_heap():
    heaps = features(30, 5, seed=2).numpy() * 50
    rows = np.repeat(heaps, 20, axis=0) + features(600, 5).numpy()
    for seed in range(5):
        found = module._seeds(rows, 30, seed, None)
        nearest = ((found[:, None] - heaps) ** 2).sum(axis=2).argmin(axis=1)
        assert len(set(nearest.tolist())) == 30


def test_seeds_drawn_together_lie_in_every_heap_too():
    heaps = features(300, 8, seed=2).numpy() * 50
    rows = np.repeat(heaps, 5, axis=0) + features(1500, 8).numpy()
    found = module._seeds(rows, 300, 0, None)
    nearest = ((found[:, None] - heaps) ** 2).sum(axis=2).argmin(axis=1)
    assert len(set(nearest.tolist())) >= 297


def test_many_rows_are_seeded_by_a_sample(monkeypatch):
    whole = module._seeds(BLOBS.numpy(), 4, 0, None)
    monkeypatch.setattr(module, "_SEEDING", 1)
    weights, rows = np.ones(80), {tuple(row) for row in BLOBS.tolist()}
    for n_clusters in (1, 4, 20, 60):
        seeds = module._seeds(BLOBS.numpy(), n_clusters, 0, weights)
        distinct = {tuple(row) for row in seeds.tolist()}
        assert len(distinct) == n_clusters
        assert distinct <= rows
    assert not np.array_equal(module._seeds(BLOBS.numpy(), 4, 0, None), whole)


@both
@pytest.mark.parametrize("kind", KINDS)
def test_any_rows_without_a_warning(full, kind, monkeypatch):
    monkeypatch.setattr(module, "_FULL", full)
    rows = features(30, 3, kind=kind)
    for n_clusters in (1, 12, 30, 99):
        labels, centers = k_means(rows, n_clusters, resolve_rng(0), torch.zeros(30))
        assert len(centers) == min(n_clusters, 30)
        assert centers.isfinite().all()
        assert labels.dtype == torch.long
        assert 0 <= int(labels.min()) <= int(labels.max()) < len(centers)


def test_rows_and_weights_are_not_changed():
    rows, weights = features(30, 3), torch.arange(30.0) - 0.0
    kept = rows.clone(), weights.clone()
    k_means(rows, 4, resolve_rng(0), weights)
    torch.testing.assert_close((rows, weights), kept, rtol=0, atol=0)
