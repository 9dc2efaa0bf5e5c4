"""Probes of a module on a few rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skal.reading.probing import (
    are_aligned,
    are_close,
    probe_rows,
    reads_rows_alone,
)


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


def mean_of_large(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean(dim=0) if len(x) > 16 else x


def sorts_large(x: torch.Tensor) -> torch.Tensor:
    return x[x[:, 0].argsort()] if len(x) > 100 else x


@pytest.mark.parametrize("read", [mean_of_large, sorts_large, lambda x: x.cumsum(0)])
@pytest.mark.parametrize("inputs", [lambda x: x, lambda x: (x, x), lambda x: {"a": x}])
def test_rows_that_depend_on_large_batches(read, inputs):
    x = 1000 + torch.randn(200, 3)

    def of(batch):
        if isinstance(batch, dict):
            batch = batch["a"]
        return read(batch if isinstance(batch, torch.Tensor) else batch[0])

    assert not reads_rows_alone(of, inputs(x))
    assert not reads_rows_alone(lambda b: [of(b) * 0, of(b)], inputs(x))


def test_rows_that_do_not_depend_on_others():
    x = torch.randn(200, 3)
    layer = torch.nn.Sequential(torch.nn.Linear(3, 400), torch.nn.Linear(400, 2))
    before = torch.get_rng_state()
    for read in (
        layer,
        lambda x: layer(x).round(),
        lambda x: [x, layer(x)],
        lambda x: torch.nn.functional.dropout(x),  # random: it cannot be told
        lambda x: x * float("nan"),
        lambda x: torch.ones(len(x), 1),
        lambda x: x[:5],
    ):
        assert reads_rows_alone(read, x)
        assert reads_rows_alone(read, x[:2])
    assert reads_rows_alone(mean_of_large, x[:1])
    assert not reads_rows_alone(lambda x: x - x.mean(dim=0), x[:2])
    assert torch.equal(torch.get_rng_state(), before)
