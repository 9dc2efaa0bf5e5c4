from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.selection import tessar
from tests.numerics.test_nearest import KINDS, features
from tests.selection.ends import assert_begins
from tests.selection.test_perturbed_centers import SlowCenters
from tests.selection.ties import first, in_turn


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_tessar(rows, n, rng, centers, sigmas, n_copies, n_reference, rank=None):
    """Everything computed anew for each pick; the draws are those of the fast one."""
    m = len(rows)
    reference = torch.randperm(m, generator=rng)[:n_reference]
    scales = torch.tensor([s for s in sigmas for _ in range(n_copies)]).double()
    cells = SlowCenters(rows, centers, scales, reference, rng)
    picked: list[int] = []
    scores: list[float] = []
    while len(picked) < n:
        if not cells.centers:
            norms = rows.norm(dim=1)
            best = first(torch.nonzero(norms == norms.max())[:, 0].tolist())
            scores.append(float(norms[best]))
        else:
            distances = cells.sq_dist()
            near, cell = distances.min(axis=1), distances.argmin(axis=1)
            vldm = cells.metric()
            low = np.sort(vldm)[min(n if rank is None else rank, m) - 1]
            if low == 0 and vldm.any():
                low = vldm[vldm > 0].min()
            eta = np.maximum(vldm - low, 0) / low if low > 0 else np.zeros(m)
            weight = np.array([near[cell == c].sum() for c in cell])
            with np.errstate(divide="ignore"):
                log = np.log(near) / 2 + np.log(weight) - eta
            log[near == 0] = -np.inf
            log[picked] = -np.inf
            best = int(log.argmax())
            if log[best] == -np.inf:
                break
            ties = np.flatnonzero(log >= log[best] - 1e-9)
            best = first(ties.tolist())
            scores.append(float(np.exp(log[best])))
        picked.append(best)
        cells.add(best)
    return picked, scores


OPTIONS = {"sigmas": torch.tensor([0.01, 0.1, 0.5]), "n_copies": 3, "n_reference": 25}
SLOW = {**OPTIONS, "sigmas": OPTIONS["sigmas"].tolist()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_centers", [0, 1, 8])
@pytest.mark.parametrize("n", [1, 20, 50])
def test_equals_the_slow_version(kind, n_centers, n):
    rows = features(50, 4, kind=kind).double()
    centers = features(n_centers, 4, seed=1, kind=kind).double()
    picks = tessar(rows, n, gen(), centers, **OPTIONS)
    expected, scores = slow_tessar(rows, n, gen(), centers, **SLOW)
    assert_begins(picks, expected, n)
    known = picks.scores[: len(scores)]
    np.testing.assert_allclose(known, scores, rtol=1e-6, atol=1e-300)
    assert (picks.scores[len(scores) :] == 0).all()
    if n_centers == 0:
        assert_begins(tessar(rows, n, gen(), **OPTIONS), expected, n)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("rank", [None, 1, 7, 1000])
def test_equals_the_slow_version_in_more_rows(seed, rank):
    d = [2, 30][seed % 2]
    rows = features(150, d, seed=seed).double()
    centers = features(12, d, seed=seed + 100).double()
    picks = tessar(rows, 30, gen(seed), centers, **OPTIONS, rank=rank)
    expected, _ = slow_tessar(rows, 30, gen(seed), centers, **SLOW, rank=rank)
    assert picks.indices.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("with_centers", [True, False])
def test_all_rows_are_picked_once(kind, with_centers):
    rows = features(40, 3, kind=kind)
    centers = rows[:4] if with_centers else None
    picks = tessar(rows, 40, gen(), centers, **OPTIONS)
    assert sorted(picks.indices.tolist()) == list(range(40))
    assert not picks.scores.isnan().any()


def test_rows_on_a_center_come_last():
    rows, centers = features(30, 3), features(5, 3, seed=1)
    rows[[0, 3, 9]] = centers[[1, 1, 4]]
    rows[20:] = rows[10:20]
    picks = tessar(rows, 30, gen(), centers, **OPTIONS)
    last = picks.indices[17:]  # 20 - 3 places that are no center
    seconds = [in_turn([i, i + 10])[1] for i in range(10, 20)]
    assert sorted(last.tolist()) == sorted([0, 3, 9, *seconds])
    assert_begins(picks, picks.indices[:17].tolist(), 30)
    assert (picks.scores[:17] > 0).all()
    assert (picks.scores[17:] == 0).all()


def test_a_row_that_nothing_changes_is_before_one_on_a_center():
    # Only rows 0 and 1, on centers next to each other, change cells.  The weight of the
    # others is exp(-1000), which is 0 in floating point.
    centers = torch.tensor([[0.0], [1e-4], [100.0]]).double()
    others = torch.linspace(97, 103, 2000).double()[:, None]
    rows = torch.cat([centers[:2], others])
    options = {"sigmas": torch.tensor([1e-3]), "n_reference": 2002, "rank": 1}
    picks = tessar(rows, 3, gen(), centers, **options)
    assert picks.indices.min() > 1


def test_no_centers_start_from_the_largest_norm():
    rows = features(40, 3)
    picks = tessar(rows, 3, gen(), **OPTIONS)
    assert picks.indices[0] == rows.norm(dim=1).argmax()
    assert picks.scores[0] == rows.norm(dim=1).max()


def test_one_center_picks_the_farthest_row():
    # One cell has no faces: all that differs is the distance.
    rows, center = features(60, 8), features(1, 8, seed=1)
    picks = tessar(rows, 1, gen(), center, **OPTIONS)
    assert picks.indices[0] == (rows - center).norm(dim=1).argmax()


def test_between_centers_goes_before_farther_out():
    centers = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    rows = torch.tensor([[-1.2, 0.0], [1.0, 0.1], [3.1, 0.0]])
    picks = [int(tessar(rows, 1, gen(s), centers).indices[0]) for s in range(20)]
    assert set(picks) == {1}


def test_many_rows_outweigh_one():
    # Centers far apart, so that no move changes a cell.
    centers = torch.tensor([[0.0], [1000.0]])
    rows = torch.tensor([[1.0]] * 20 + [[1001.5]])
    picks = tessar(rows, 1, gen(), centers, sigmas=torch.tensor([0.01]))
    assert picks.indices.tolist() == [first(range(20))]


@pytest.mark.parametrize("seed", range(4))
def test_ties_go_in_no_order_whatever_is_rounded(seed):
    # The same distances in two cells, in opposite order: their sums differ by rounding.
    away = torch.rand(9, generator=gen(seed), dtype=torch.float64)
    one = torch.stack([torch.zeros(9).double(), away], dim=1)
    other = torch.stack([torch.full((9,), 1000.0).double(), away.flip(0)], dim=1)
    centers = torch.tensor([[0.0, 0.0], [1000.0, 0.0]]).double()
    sigmas = torch.tensor([1e-3])
    picks = tessar(torch.cat([one, other]), 1, gen(), centers, sigmas=sigmas)
    farthest = int(away.argmax())
    assert picks.indices.tolist() == [first([farthest, 17 - farthest])]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.25, 2.0, 64.0]))
def test_invariant_to_scale_and_shift(seed, scale):
    rows = features(50, 5, seed=seed).double()
    centers = features(6, 5, seed=seed + 1).double()
    expected = tessar(rows, 12, gen(), centers, **OPTIONS).indices
    scaled = tessar(rows * scale, 12, gen(), centers * scale, **OPTIONS).indices
    assert torch.equal(scaled, expected)
    shifted = tessar(rows - 2, 12, gen(), centers - 2, **OPTIONS).indices
    assert torch.equal(shifted, expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads):
    rows, centers = features(3000, 20), features(30, 20, seed=1)
    before = torch.get_num_threads()
    expected = tessar(rows, 10, gen(), centers)
    try:
        torch.set_num_threads(threads)
        picks = tessar(rows, 10, gen(), centers)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(picks.indices, expected.indices)


def test_first_pick_of_a_rank_does_not_depend_on_how_many():
    rows, centers = features(50, 4), features(8, 4, seed=1)
    first = {
        int(tessar(rows, n, gen(), centers, rank=5).indices[0]) for n in (1, 2, 20)
    }
    assert len(first) == 1


def test_arguments_are_not_changed():
    rows, centers = features(30, 3), features(5, 3, seed=1)
    kept = rows.clone(), centers.clone()
    tessar(rows, 5, gen(), centers)
    assert torch.equal(rows, kept[0])
    assert torch.equal(centers, kept[1])


def test_bad_input():
    rows, centers = features(10, 3), features(5, 3, seed=1)
    for n in (-1, 11):
        with pytest.raises(ValueError, match="n must be between 0 and 10"):
            tessar(rows, n, gen(), centers)
    with pytest.raises(ValueError, match=r"\(m, d\) and \(L, d\), got .*\(5, 2\)"):
        tessar(rows, 1, gen(), centers[:, :2])
    for sigmas in ([], [0.0], [-1.0], [1.0, torch.nan], [torch.inf]):
        with pytest.raises(ValueError, match="sigmas must be positive"):
            tessar(rows, 1, gen(), centers, sigmas=torch.tensor(sigmas))
    for option in ("n_copies", "n_reference", "rank"):
        with pytest.raises(ValueError, match="must be at least 1"):
            tessar(rows, 1, gen(), centers, **{option: 0})


def test_none_are_picked():
    picks = tessar(features(5, 3), 0, gen())
    assert picks.indices.shape == picks.scores.shape == (0,)
