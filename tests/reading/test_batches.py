"""Batches of several kinds, taken apart."""

from __future__ import annotations

import pytest
import torch

from skal.reading.batches import (
    arguments,
    batch_length,
    index_batch,
    split,
    tensors_of,
)

ROWS, MORE = torch.arange(10.0).reshape(5, 2), torch.arange(5)
BATCHES = {
    "tensor": ROWS,
    "tuple": (ROWS, MORE),
    "list": [ROWS, MORE],
    "dict": {"x": ROWS, "k": MORE},
}


def tensors(batch):
    if isinstance(batch, dict):
        return list(batch.values())
    return list(batch) if isinstance(batch, (tuple, list)) else [batch]


@pytest.mark.parametrize("kind", BATCHES)
@pytest.mark.parametrize("size", [2, 5, None])
def test_pieces_are_the_batch_in_order(kind, size):
    pieces = split(BATCHES[kind], size)
    lengths = [batch_length(piece) for piece in pieces]
    most = 5 if size is None else size
    assert sum(lengths) == 5
    assert all(n == min(most, 5) for n in lengths[:-1])
    for found, whole in zip(
        zip(*map(tensors, pieces), strict=True), tensors(BATCHES[kind]), strict=True
    ):
        assert torch.equal(torch.cat(found), whole)


def test_names_stay():
    assert [set(piece) for piece in split(BATCHES["dict"], 3)] == [{"x", "k"}] * 2


@pytest.mark.parametrize("kind", BATCHES)
def test_a_module_gets_each_tensor_once(kind):
    args, kwargs = arguments(BATCHES[kind])
    assert set(kwargs) == ({"x", "k"} if kind == "dict" else set())
    given = [*args, *kwargs.values()]
    assert len(given) == len(tensors(BATCHES[kind]))
    for found, expected in zip(given, tensors(BATCHES[kind]), strict=True):
        assert torch.equal(found, expected)
        assert found is not expected  # the module may write into it


@pytest.mark.parametrize("kind", BATCHES)
def test_every_tensor_is_indexed(kind):
    for index in (slice(2), slice(3, 9), None):
        part = index_batch(BATCHES[kind], index)
        for found, x in zip(tensors_of(part), tensors(BATCHES[kind]), strict=True):
            assert torch.equal(found, x[index])
    assert len(list(tensors_of([part, (part,)]))) == 2 * len(tensors(part))
