"""Probes of a module on a few rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skal.reading.probing import are_aligned, are_close, probe_rows


@pytest.mark.parametrize("n_rows", [1, 2, 3, 7, 8, 9, 100])
def test_probe_rows_are_from_all_over_and_in_no_order(n_rows):
    rows = probe_rows(n_rows, 8).numpy()
    first = rows[:-1]
    assert len(set(first)) == len(first) == min(8, n_rows)
    assert rows[-1] == rows[0] == 0
    assert first.max() >= n_rows - np.ceil(n_rows / 8)
    steps = np.diff(rows)
    assert n_rows == 1 or ((steps > 0).any() and (steps < 0).any())
    # Not in order either by a value that only the later half of the rows has.
    later = np.diff((rows >= n_rows / 2).astype(int))
    assert n_rows == 1 or ((later > 0).any() and (later < 0).any())


def test_rows_that_reach_other_rows():
    x = torch.rand(4, 3, requires_grad=True)
    own, swapped, mixed = x * 2, x[[1, 0, 2, 3]] * 2, x - x.mean(dim=0)
    unused, constant = x * 3, torch.ones(4, 2)
    outputs = own.cumsum(dim=1)[:, :2] + swapped[[1, 0, 2, 3], :2].exp()
    outputs = outputs + mixed[:, :2] * 0.1
    found = are_aligned(outputs, [own, swapped, mixed, unused, x])
    assert found == [True, False, True, True, False]
    assert are_aligned(constant, [x]) == [True]
    assert are_aligned(outputs, []) == []


def test_outputs_whose_gradients_would_cancel():
    x = torch.rand(3, 1, requires_grad=True)
    outputs = torch.cat([x.flip(0), -x.flip(0)], dim=1)
    assert are_aligned(outputs, [x]) == [False]


def test_missing_gradients_are_those_of_zero():
    zero, one = torch.zeros(2), torch.ones(2)
    outputs = [torch.ones(3)]
    assert are_close(None, None, outputs)
    assert are_close(zero, None, outputs)
    assert not are_close(one, None, outputs)
    assert not are_close(None, one, outputs)
    assert are_close(one, one + 1e-6, outputs)
    assert not are_close(one, one + 0.1, outputs)
