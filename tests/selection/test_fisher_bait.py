"""BAIT for several directions a row, against dense matrices."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from skal.selection import Information, bait, fisher_bait
from tests.selection.ties import first, in_turn

KINDS = ["normal", "duplicated", "constant", "zero"]


def make(
    m: int, i: int, o: int, k: int, seed: int = 0, kind: str = "normal"
) -> Information:
    rng = torch.Generator().manual_seed(seed)
    inputs = torch.randn(m, i, generator=rng, dtype=torch.float64)
    outputs = torch.randn(m, k, o, generator=rng, dtype=torch.float64)
    if kind == "duplicated":
        inputs, outputs = inputs[torch.arange(m) % 4], outputs[torch.arange(m) % 4]
    elif kind == "constant":
        inputs, outputs = torch.ones_like(inputs), torch.ones_like(outputs)
    elif kind == "zero":
        outputs = torch.zeros_like(outputs)
    return Information(inputs, outputs)


class Anew:
    """Rows that are not stored, and how often they were all read."""

    def __init__(self, rows: Information) -> None:
        self.rows, self.shape, self.n_passes = rows, rows.shape, 0

    def take(self, rows: Tensor) -> Information:
        return self.rows.take(rows)

    def blocks(self, width: int) -> Iterator[tuple[slice, Information]]:
        self.n_passes += 1
        return self.rows.blocks(width)


def dense(rows: Information) -> np.ndarray:
    """Information of each row, ``(m, D, D)``, one outer product after the other."""
    result = []
    for z, g in zip(rows.inputs.numpy(), rows.outputs.numpy(), strict=True):
        vectors = [np.outer(own, z).ravel() for own in g]
        result.append(sum(np.outer(v, v) for v in vectors))
    return np.array(result)


def trace(
    each: np.ndarray, picked: list[int], fisher: np.ndarray, start: np.ndarray
) -> float:
    return float(np.trace(np.linalg.inv(start + each[picked].sum(axis=0)) @ fisher))


def slow(
    nets: list[Information],
    n: int,
    prior: float,
    labeled: list[Information] | None,
    known: bool,
    backward: bool,
) -> tuple[list[int], list[float]]:
    each = [dense(rows) for rows in nets]
    starts, fishers = [], []
    for k, own in enumerate(each):
        start, fisher = prior * np.eye(own.shape[1]), own.sum(axis=0)
        if labeled is not None:
            seen = dense(labeled[k]).sum(axis=0)
            fisher = fisher + seen
            start = start + seen if known else start
        starts.append(start)
        fishers.append(fisher)

    def total(picked: list[int]) -> float:
        return sum(map(trace, each, [picked] * len(each), fishers, starts))

    picked: list[int] = []
    scores: list[float] = []
    m = len(each[0])
    while len(picked) < (min(2 * n, m) if backward else n):
        totals = [np.inf if x in picked else total([*picked, x]) for x in range(m)]
        least, before = min(totals), total(picked)
        tie = 1e-9 * (before - least)
        best = first(x for x, value in enumerate(totals) if value <= least + tie)
        scores.append(before - totals[best])
        picked.append(best)
    while len(picked) > n:
        totals = [total(picked[:k] + picked[k + 1 :]) for k in range(len(picked))]
        gone = int(np.argmin(totals))
        del picked[gone], scores[gone]
    return picked, scores


@pytest.mark.parametrize("shape", [(3, 2, 2), (4, 3, 2), (1, 6, 3), (5, 1, 1)])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(("n_labeled", "known"), [(0, True), (5, True), (5, False)])
@pytest.mark.parametrize(("n_nets", "prior"), [(1, 1e-3), (2, 1.0)])
def test_equals_dense_matrices(shape, backward, n_labeled, known, n_nets, prior):
    nets = [make(14, *shape, seed=s) for s in range(n_nets)]
    labeled = [make(n_labeled, *shape, seed=9 + s) for s in range(n_nets)]
    given = labeled if n_labeled else None
    picked, scores = slow(nets, 4, prior, given, known, backward)
    for rows in (nets, list(map(Anew, nets))):
        picks = fisher_bait(rows, 4, prior, given, known, backward)
        assert picks.indices.tolist() == picked
        np.testing.assert_allclose(picks.scores, scores, rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("backward", [False, True])
def test_equals_dense_matrices_on_more_draws(seed, backward):
    rows, labeled = make(25, 3, 4, 3, seed), make(6, 3, 4, 3, seed + 50)
    picked, _ = slow([rows], 10, 0.1, [labeled], True, backward)
    for own in (rows, Anew(rows)):
        picks = fisher_bait([own], 10, 0.1, [labeled], backward=backward)
        assert picks.indices.tolist() == picked


@pytest.mark.parametrize("backward", [False, True])
def test_one_direction_is_the_regression_form(backward):
    rows, labeled = make(40, 5, 1, 1), make(6, 5, 1, 1, seed=1)
    phi = rows.inputs * rows.outputs[:, 0]
    known = labeled.inputs * labeled.outputs[:, 0]
    expected = bait(phi, 8, 0.5, known, backward)
    picks = fisher_bait([rows], 8, 0.25, [labeled], False, backward)
    assert picks.indices.tolist() == expected.indices.tolist()
    # there in units of the noise
    np.testing.assert_allclose(0.25 * picks.scores, expected.scores, rtol=1e-9)


@pytest.mark.parametrize("n_left", [1, 5])
def test_known_labels_are_as_if_picked_first(n_left):
    rows = make(12, 3, 2, 2)
    picks = fisher_bait([rows], 8, 0.3)
    first = picks.indices[:3]
    left = torch.tensor([x for x in range(12) if x not in first.tolist()])
    part, known = (Information(*(x[i] for x in rows)) for i in (left, first))
    rest = fisher_bait([part], n_left, 0.3, [known])
    assert torch.equal(left[rest.indices], picks.indices[3 : 3 + n_left])


def test_turning_the_directions_of_a_row_changes_nothing():
    rows = make(20, 3, 4, 3)
    turn, _ = torch.linalg.qr(torch.randn(20, 3, 3, dtype=torch.float64))
    turned = Information(rows.inputs, turn @ rows.outputs)
    expected, picks = (fisher_bait([r], 8, 0.1) for r in (rows, turned))
    assert torch.equal(picks.indices, expected.indices)
    np.testing.assert_allclose(picks.scores, expected.scores)


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 50, 2**21])
def test_blocks_and_single_precision_change_nothing(block, small_blocks):
    rows = make(60, 4, 3, 2)
    expected = fisher_bait([rows], 20, 0.1)
    small_blocks(block)
    single = Information(*(x.float() for x in rows))
    for own in (single, rows, Anew(single), Anew(rows)):
        picks = fisher_bait([own], 20, 0.1)
        assert torch.equal(picks.indices, expected.indices)
        np.testing.assert_allclose(picks.scores, expected.scores, rtol=1e-6)


def test_rows_that_are_not_stored_are_read_in_fewer_passes_than_picks():
    rows = Anew(make(60, 4, 3, 2))
    fisher_bait([rows], 40, 0.1)
    assert rows.n_passes <= 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backward", [False, True])
def test_distinct_on_any_pool(kind, backward):
    rows = make(20, 3, 2, 2, kind=kind)
    forms = (rows, Anew(rows))
    for own, prior, n in product(forms, (1e-9, 1.0), (0, 1, 7, 13, 20)):
        picks = fisher_bait([own], n, prior, backward=backward)
        assert len(set(picks.indices.tolist())) == n == len(picks.scores)
        assert picks.scores.isfinite().all()


@pytest.mark.parametrize("kind", ["constant", "zero"])
def test_rows_that_nothing_tells_apart_go_in_no_order(kind):
    rows = make(9, 2, 2, 1, kind=kind)
    for own in (rows, Anew(rows)):
        assert fisher_bait([own], 9).indices.tolist() == in_turn(range(9))


def test_the_rows_given_are_not_changed():
    rows: list[Tensor] = [x.clone() for x in make(10, 2, 2, 2)]
    fisher_bait([make(10, 2, 2, 2)], 5, backward=True)
    for x, kept in zip(make(10, 2, 2, 2), rows, strict=True):
        assert torch.equal(x, kept)
