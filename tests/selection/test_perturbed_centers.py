from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skal.selection._perturbed_centers import PerturbedCenters
from tests.numerics.test_nearest import KINDS, all_sq_dist, features

SIGMAS = 10 ** torch.arange(-3.0, 0.6, 0.5).double().repeat_interleave(2)


class SlowCenters:
    """Keeps the centers and their copies as lists, and compares all anew when asked."""

    def __init__(self, rows, centers, sigmas, reference, rng):
        self.rows, self.sigmas, self.rng = rows, sigmas, rng
        self.reference = reference.tolist()
        self.centers: list[Tensor] = []
        for center in centers:
            if not any(torch.equal(center, known) for known in self.centers):
                self.centers.append(center)
        self.copies: list[list[Tensor]] = [[] for _ in sigmas]
        self.unit: float | None = None
        if self.centers:
            self.unit = self.median_distance()
            for k, sigma in enumerate(sigmas.tolist()):
                noise = self.noise(len(self.centers))
                for center, own in zip(self.centers, noise, strict=True):
                    self.copies[k].append(center + sigma * self.unit * own)

    def noise(self, n):
        shape = n, self.rows.shape[1]
        return torch.randn(shape, generator=self.rng).to(self.rows)

    def median_distance(self):
        near = self.sq_dist().min(axis=1)
        apart = np.sort(near[near > 0])
        return float(np.sqrt(apart[(len(apart) - 1) // 2])) if len(apart) else 0.0

    def sq_dist(self, centers=None):
        centers = self.centers if centers is None else centers
        return all_sq_dist(self.rows, torch.stack(centers)).numpy()

    def add(self, i):
        self.centers.append(self.rows[i])
        if self.unit is None:
            self.unit = self.median_distance()
        noise = self.noise(len(self.sigmas))
        for k, sigma in enumerate(self.sigmas.tolist()):
            self.copies[k].append(self.rows[i] + sigma * self.unit * noise[k])

    def metric(self):
        cell = self.sq_dist().argmin(axis=1)
        vldm = np.ones(len(self.rows))
        for copy in self.copies:
            changed = self.sq_dist(copy).argmin(axis=1) != cell
            rho = np.mean([changed[r] for r in self.reference])
            vldm[changed] = np.minimum(vldm[changed], rho)
        return vldm


def both(rows, centers, n_reference=20, seed=0, sigmas=SIGMAS):
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return [
        cls(
            rows, centers, sigmas, order[:n_reference], torch.Generator().manual_seed(1)
        )
        for cls in (PerturbedCenters, SlowCenters)
    ]


@pytest.mark.parametrize("kind", ["continuous", "tied", "far"])
@pytest.mark.parametrize("n_centers", [0, 1, 8])
@pytest.mark.parametrize("d", [1, 6])
def test_equals_the_slow_version_as_centers_are_added(kind, n_centers, d):
    rows = features(60, d, kind=kind).double()
    fast, slow = both(rows, features(n_centers, d, seed=1, kind=kind).double())
    order = torch.randperm(60, generator=torch.Generator().manual_seed(2)).tolist()
    for i in order[:25]:
        if slow.centers:
            np.testing.assert_array_equal(fast.metric(), slow.metric())
        # A row on a center is never picked while others are left; with a second center
        # at the same place the noise alone would decide which is nearest.
        if not any(torch.equal(rows[i], center) for center in slow.centers):
            fast.add(i)
            slow.add(i)
    np.testing.assert_array_equal(fast.metric(), slow.metric())


def test_what_products_round_away_is_compared_exactly():
    # Two groups far apart, each of rows that differ by less than products round.
    rows = features(120, 5) / 20
    rows[::2] += 300
    rows[1::2] -= 300

    def changed(rows):
        cells = both(rows, rows[:6])[0]
        for i in range(6, 30):
            cells.add(i)
        return cells.changed

    agree = changed(rows) == changed(rows.double())
    assert agree.double().mean() > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_any_block_gives_the_same(kind, small_blocks):
    rows, centers = features(203, 7, kind=kind), features(5, 7, seed=1, kind=kind)

    def run():
        cells = both(rows, centers)[0]
        for i in range(8):
            cells.add(i)
        return cells.changed

    expected = run()
    for size in (1, 50, 500):
        small_blocks(size)
        assert torch.equal(run(), expected)


def test_metric_counts_rows_of_reference():
    fast, _ = both(features(60, 4), features(8, 4, seed=1), n_reference=7)
    vldm = fast.metric() * 7
    torch.testing.assert_close(vldm, vldm.round())
    assert ((vldm >= 0) & (vldm <= 7)).all()
    never = ~fast.changed.any(dim=1)
    assert (vldm[never] == 7).all()


def test_hardly_any_noise_changes_nothing():
    rows, centers = features(60, 4), features(8, 4, seed=1)
    fast, _ = both(rows, centers, sigmas=torch.tensor([1e-12]))
    assert not fast.changed.any()
    assert (fast.metric() == 1).all()


def test_one_center_has_no_faces():
    fast, _ = both(features(60, 4), features(1, 4, seed=1))
    assert (fast.metric() == 1).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_more_copies_never_raise_the_metric(seed):
    rows, centers = features(40, 3, seed=seed), features(6, 3, seed=seed + 1)
    few = both(rows, centers, seed=seed, sigmas=SIGMAS[:5])[0].metric()
    many = both(rows, centers, seed=seed, sigmas=SIGMAS)[0].metric()
    assert (many <= few).all()
    assert (many < few).any()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.25, 8.0]))
def test_invariant_to_scale_and_shift(seed, scale):
    rows = features(40, 3, seed=seed).double()
    centers = features(6, 3, seed=seed + 1).double()
    expected = both(rows, centers)[0].metric()
    scaled = both(rows * scale, centers * scale)[0].metric()
    assert torch.equal(scaled, expected)
    shifted = both(rows + 3, centers + 3)[0].metric()
    assert torch.equal(shifted, expected)


def test_a_center_twice_is_one_site():
    rows, centers = features(40, 3), features(6, 3, seed=1)
    twice = centers[[0, 1, 0, 2, 3, 3, 4, 5, 0]]
    fast = both(rows, centers)[0]
    assert torch.equal(both(rows, twice)[0].changed, fast.changed)


def test_rows_near_a_face_change_most_easily():
    # Two centers of a line: the metric rises from the middle outwards.
    rows = torch.linspace(-1, 1, 41).double()[:, None]
    centers = torch.tensor([[-1.0], [1.0]]).double()
    sigmas = 10 ** torch.linspace(-3, 0, 200).double()
    vldm = both(rows, centers, n_reference=41, sigmas=sigmas)[0].metric()
    left, right = vldm[:21], vldm[20:]
    assert (left.diff() <= 0).all()
    assert (right.diff() >= 0).all()
    assert vldm[20] == vldm.min()
    # A row flips only with all that lie between it and the middle.
    between = (rows[:, 0].abs() / 0.05).round() / 41
    assert (vldm >= between - 1e-12).all()


def test_all_rows_on_centers():
    rows = features(10, 3, kind="constant")
    cells, _ = both(rows, rows[:1], n_reference=10)
    assert (cells.metric() == 1).all()
    cells.add(3)
    assert not cells.changed.any()
