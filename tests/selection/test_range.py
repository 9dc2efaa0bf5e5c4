from __future__ import annotations

import pytest
import torch

from skal.selection._bait import bait
from skal.selection._frank_wolfe import frank_wolfe
from skal.selection._kmeans_pp import kmeans_pp
from skal.selection._lcmd import lcmd
from skal.selection._max_det import max_det
from skal.spaces import Dense

ROWS = torch.arange(10.0).reshape(5, 2)


@pytest.mark.parametrize("n", [-1, 6])
@pytest.mark.parametrize(
    "select",
    [
        lambda n: bait(ROWS, n),
        lambda n: frank_wolfe(ROWS, n),
        lambda n: kmeans_pp(Dense(ROWS), n, torch.Generator()),
        lambda n: lcmd(Dense(ROWS), n),
        lambda n: max_det(ROWS, n),
    ],
)
def test_n_out_of_range(select, n):
    with pytest.raises(ValueError, match="n must be between 0 and 5"):
        select(n)
