"""The rows on which a module is run to see what it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.utils.data import Subset, TensorDataset

from skal.nets.data import ArrayDataset, first_rows

X = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    "dataset",
    [
        ArrayDataset(X, np.zeros(4)),
        ArrayDataset(sparse.csr_matrix(X), np.zeros(4)),
        Subset(ArrayDataset(X[::-1].copy(), np.zeros(4)), [3, 2]),
        TensorDataset(torch.from_numpy(X), torch.zeros(4)),
        ArrayDataset(X[:2], np.zeros(2)),
    ],
)
def test_two_rows_as_a_batch(dataset: Any) -> None:
    assert torch.equal(first_rows(dataset), torch.from_numpy(X[:2]))


def test_one_row_several_inputs_and_a_collate_function_of_ones_own() -> None:
    assert first_rows(ArrayDataset(X[:1], np.zeros(1))).shape == (1, 3)
    rows = first_rows(ArrayDataset({"a": X, "b": X[:, 0]}, np.zeros(4)))
    assert {name: tuple(part.shape) for name, part in rows.items()} == {
        "a": (2, 3),
        "b": (2,),
    }
    first, second = first_rows(ArrayDataset((X, X), np.zeros(4)))
    assert first.shape == second.shape == (2, 3)
    collate = lambda pairs: (torch.stack([torch.as_tensor(x) for x, _ in pairs]) + 1, 0)
    rows = first_rows(ArrayDataset(X, np.zeros(4)), collate)
    assert torch.equal(rows, torch.from_numpy(X[:2] + 1))
