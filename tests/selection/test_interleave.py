"""Batches taken by turns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skal.selection import Picks
from skal.selection._interleave import interleave


def by_hand(lists: list[list[int]], turns: list[int]) -> list[int]:
    """Cross out what is taken, everywhere, after each pick."""
    lists, taken = [list(rows) for rows in lists], []
    for turn in turns:
        row = lists[turn][0]
        taken.append(row)
        lists = [[r for r in rows if r != row] for rows in lists]
    return taken


@pytest.mark.parametrize("seed", range(30))
def test_equals_crossing_out(seed):
    rng = np.random.default_rng(seed)
    n, n_lists = int(rng.integers(1, 12)), int(rng.integers(1, 4))
    lists = [rng.permutation(15)[:n].tolist() for _ in range(n_lists)]
    turns = rng.integers(n_lists, size=n).tolist()
    batches = [Picks(torch.tensor(rows), 100.0 * torch.tensor(rows)) for rows in lists]
    picks = interleave(batches, torch.tensor(turns))
    assert picks.indices.tolist() == by_hand(lists, turns)
    assert picks.scores.tolist() == [100.0 * i for i in picks.indices.tolist()]
    assert picks.indices.dtype == torch.int64
    assert picks.scores.dtype == torch.float64


def test_scores_are_those_of_the_batch_that_gave_the_row():
    first = Picks(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    second = Picks(torch.tensor([0, 1]), torch.tensor([10.0, 20.0]))
    picks = interleave([first, second], torch.tensor([1, 0]))
    assert picks.indices.tolist() == [0, 1]
    assert picks.scores.tolist() == [10.0, 2.0]


def test_a_batch_without_turns_may_be_empty():
    none = Picks(torch.empty(0), torch.empty(0))
    some = Picks(torch.tensor([3, 1]), torch.zeros(2))
    assert interleave([none, some], torch.tensor([1, 1])).indices.tolist() == [3, 1]
    assert interleave([none], torch.tensor([], dtype=torch.long)).indices.shape == (0,)


def test_a_batch_that_runs_out_is_named():
    some = Picks(torch.tensor([3]), torch.zeros(1))
    with pytest.raises(ValueError, match="Batch 1 has no row left after 1 of 2"):
        interleave([some, some], torch.tensor([0, 1]))
