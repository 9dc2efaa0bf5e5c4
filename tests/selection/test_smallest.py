from __future__ import annotations

import pytest
import torch

from skal.selection.smallest import smallest


@pytest.mark.parametrize("k", [1, 3, 12])
@pytest.mark.parametrize("n", [12, 40, 97, 500, 1001])
@pytest.mark.parametrize("ties", [False, True])
def test_equals_sorting(n, k, ties):
    values = torch.randn(60, n, generator=torch.Generator().manual_seed(n + k))
    if ties:
        values = values.round()
    found, positions = smallest(values, k)
    expected = values.sort(dim=1, stable=True)
    assert torch.equal(found, expected.values[:, :k])
    assert torch.equal(values.gather(1, positions), found)
    assert all(len(set(row)) == k for row in positions.tolist())
    if not ties:
        assert torch.equal(positions, expected.indices[:, :k])


def test_the_last_columns_count():
    values = torch.arange(1003.0).flip(0)[None]
    assert smallest(values, 2)[1].tolist() == [[1002, 1001]]


def test_infinity_is_a_number():
    values = torch.full((2, 100), torch.inf)
    values[:, 57] = 1.0
    found, positions = smallest(values, 3)
    assert found[:, 0].tolist() == [1.0, 1.0]
    assert positions[:, 0].tolist() == [57, 57]
    assert torch.isinf(found[:, 1:]).all()


def test_no_rows():
    assert smallest(torch.ones(0, 300), 2)[0].shape == (0, 2)
