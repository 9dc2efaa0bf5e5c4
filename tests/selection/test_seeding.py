from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection import seeding
from skal.selection._seeding import seeding_weights
from skal.spaces import Cosine, Embedding
from tests.statistics import assert_follows


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_weights(ldm: np.ndarray, q: int, quantile: str) -> np.ndarray:
    order = np.argsort(ldm, kind="stable")
    ordered = ldm[order]
    rank = q + 1 if quantile == "program" else q  # counted from 1
    scale = ordered[min(rank, len(ldm)) - 1]
    if scale == 0:
        if not ordered.any():
            return np.ones_like(ldm)
        scale = ordered[ordered > 0][0]
    decay = np.exp(-np.maximum(ordered - scale, 0) / scale)
    decay[:q] = 1
    if q < len(ldm):
        decay[q:] = np.minimum(decay[q:] * q / decay[q:].sum(), 1)
    gamma = np.empty_like(ldm)
    gamma[order] = decay
    return gamma


def cosine_distances(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    return np.where(distance < 1e-5, 0, distance)


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=25),
    st.sampled_from(["program", "paper"]),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_weights(values, quantile, data):
    q = data.draw(st.integers(1, len(values)))
    ldm = np.array(values) / 12
    gamma = seeding_weights(torch.from_numpy(ldm), q, quantile).numpy()
    np.testing.assert_allclose(gamma, slow_weights(ldm, q, quantile), rtol=1e-12)
    assert ((gamma >= 0) & (gamma <= 1)).all()
    rest = np.argsort(ldm, kind="stable")[q:]
    assert gamma[rest].sum() <= q + 1e-9 or not ldm.any()


def test_many_ties_go_in_pool_order():
    ldm = torch.ones(5000)
    ldm[::2] = 0.5
    gamma = seeding_weights(ldm, 100)
    assert gamma[:200:2].tolist() == [1.0] * 100
    assert (gamma[200:] < 1).all()


def test_the_two_readings_of_the_quantile_differ():
    ldm = torch.tensor([0.1, 0.2, 0.4, 0.8])
    one, two = (seeding_weights(ldm, 2, quantile) for quantile in ("program", "paper"))
    # By hand: L_q = 0.4 and 0.2; decay 1, e^-1 and e^-1, e^-3, scaled to sum to 2.
    e = np.exp(-np.array([0.0, 1.0]))
    np.testing.assert_allclose(one[2:], np.minimum(e * 2 / e.sum(), 1), rtol=1e-6)
    e = np.exp(-np.array([1.0, 3.0]))
    np.testing.assert_allclose(two[2:], np.minimum(e * 2 / e.sum(), 1), rtol=1e-6)
    assert not torch.equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("quantile", ["program", "paper"])
def test_frequencies_follow_the_exact_law(quantile):
    rng = np.random.default_rng(0)
    ldm = np.array([0.02, 0.3, 0.05, 0.11, 0.08, 0.05])
    rows = rng.normal(size=(6, 3))
    rows[4] = rows[2]  # two rows at distance 0
    gamma, distance = slow_weights(ldm, 3, quantile), cosine_distances(rows)
    law = {}
    for a, b in itertools.permutations(range(6), 2):
        if 0 in (a, b):
            continue
        first = (gamma * distance[0]) ** 2
        second = (gamma * np.minimum(distance[0], distance[a])) ** 2
        p = first[a] / first.sum() * second[b] / second.sum()
        law[(0, a, b)] = p
    generator = gen(1)
    embedding = Cosine(torch.from_numpy(rows))
    draws = [
        tuple(
            seeding(
                torch.from_numpy(ldm), embedding, 3, generator, quantile=quantile
            ).indices.tolist()
        )
        for _ in range(4000)
    ]
    assert_follows(draws, law)


def test_first_pick_and_scores():
    ldm = torch.tensor([0.3, 0.1, 0.2, 0.1])
    picks = seeding(ldm, Cosine(torch.randn(4, 3, generator=gen(0))), 3, gen(0))
    assert picks.indices[0] in (1, 3)
    assert torch.equal(picks.scores, -ldm[picks.indices])


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_never_the_same_row_twice(seed, m, n_distinct, data):
    """Ties, zeros and rows without direction included."""
    n = data.draw(st.integers(1, m))
    rng = gen(seed)
    ldm = torch.randint(0, 4, (m,), generator=rng) / 3
    kinds = torch.randn(n_distinct, 2, generator=rng)
    kinds[0] = 0
    features = kinds[torch.randint(0, n_distinct, (m,), generator=rng)]
    picks = seeding(ldm, Cosine(features), n, rng).indices.tolist()
    assert len(set(picks)) == n
    assert set(picks) <= set(range(m))


def test_where_all_lie_on_a_pick_the_smallest_metric_is_next():
    ldm = torch.tensor([0.4, 0.1, 0.3, 0.1, 0.2])
    for features in (torch.ones(5, 2), torch.zeros(5, 2)):
        picks = seeding(ldm, Cosine(features), 5, gen(0)).indices.tolist()
        assert sorted(picks[:2]) == [1, 3]
        assert picks[2:] == [4, 2, 0]


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_metric_spreads_by_distance_alone(value):
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
    ldm = torch.full((4,), value)
    rng, embedding = gen(0), Cosine(torch.from_numpy(rows))
    draws = [
        tuple(seeding(ldm, embedding, 2, rng).indices.tolist()) for _ in range(4000)
    ]
    # Two of four equal metrics weigh 1, the others 2 / 2.  The first pick is any row.
    sq_dist = cosine_distances(rows) ** 2
    law = {
        (a, b): sq_dist[a, b] / sq_dist[a].sum() / 4
        for a, b in itertools.permutations(range(4), 2)
    }
    assert_follows(draws, law)


@pytest.mark.slow
def test_equal_metrics_weigh_the_same_on_average():
    """With ties, the n rows that weigh 1 are drawn, not the first of the pool."""
    ldm = torch.tensor([0.5] + [1.0] * 9)
    embedding = Cosine(torch.ones(10, 2))
    rng = gen(0)
    picked = torch.zeros(10)
    for _ in range(2000):
        picked[seeding(ldm, embedding, 4, rng).indices] += 1
    assert picked[0] == 2000
    # Binomial with p = 1/3: a standard deviation of 21.
    assert (picked[1:] - 2000 / 3).abs().max() < 90


def test_never_more_than_a_vector_of_distances():
    class Counting(Embedding):
        def __init__(self, features):
            self.inner, self.n_calls = Cosine(features), 0

        def __len__(self):
            return len(self.inner)

        def sq_norm(self):
            return self.inner.sq_norm()

        def sq_dist(self, i, rows=None):
            self.n_calls += 1
            return self.inner.sq_dist(i, rows)

        def nearest(self, centers):
            raise AssertionError("a matrix of pairs is not asked for")

    embedding = Counting(torch.randn(300, 4, generator=gen(0)))
    seeding(torch.rand(300, generator=gen(1)), embedding, 20, gen(2))
    assert embedding.n_calls <= 20


def test_same_seed_same_picks_and_the_global_generator_stays():
    ldm = torch.rand(200, generator=gen(1))
    embedding = Cosine(torch.randn(200, 4, generator=gen(0)))
    state = torch.get_rng_state()
    one, two, other = (seeding(ldm, embedding, 20, gen(s)).indices for s in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("n", [0, 5])
def test_bad_n(n):
    with pytest.raises(ValueError, match=r"between 1 and 4, the number of rows"):
        seeding(torch.zeros(4), Cosine(torch.ones(4, 2)), n, gen(0))
