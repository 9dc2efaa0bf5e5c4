from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.utils.data import DataLoader, Subset, TensorDataset

from skal.nets.data import (
    ArrayDataset,
    Batches,
    BatchOrder,
    array_source,
    make_iterator,
    refuse_shuffling,
)

X = np.arange(40, dtype=np.float32).reshape(10, 4)
Y = np.arange(10)


def sizes(order: BatchOrder) -> list[int]:
    batches = [len(rows) for rows in order]
    assert len(batches) == len(order)
    return batches


@pytest.mark.parametrize(
    ("n_rows", "options", "expected"),
    [
        (10, {}, [4, 4, 2]),
        (8, {}, [4, 4]),
        (9, {}, [4, 4, 1]),
        (9, {"merge_single": True}, [4, 5]),
        (10, {"merge_single": True}, [4, 4, 2]),
        (1, {"merge_single": True}, [1]),
        (5, {"merge_single": True}, [5]),
        (10, {"drop_last": True}, [4, 4]),
        (9, {"drop_last": True, "merge_single": True}, [4, 4]),
        (3, {"drop_last": True}, [3]),
    ],
)
def test_sizes_of_batches(n_rows: int, options: Any, expected: list[int]) -> None:
    assert sizes(BatchOrder(n_rows, 4, **options)) == expected


def test_order_is_kept_or_shuffled_anew_each_pass() -> None:
    plain = [i for rows in BatchOrder(10, 4) for i in rows]
    assert plain == list(range(10))
    order = BatchOrder(10, 4, shuffle=True, merge_single=True)
    torch.manual_seed(0)
    first, second = ([i for rows in order for i in rows] for _ in range(2))
    assert sorted(first) == sorted(second) == plain
    assert first != second
    assert first != plain


def test_batch_size_below_one() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        BatchOrder(10, 0)


@pytest.mark.parametrize(
    "make",
    [
        np.array,
        torch.from_numpy,
        sparse.csr_matrix,
        np.asfortranarray,
        lambda X: X[::-1][::-1],
        lambda X: X[::-1].copy()[::-1],
    ],
)
@pytest.mark.parametrize("rows", [None, np.array([7, 0, 3, 9, 2])])
def test_batches_hold_the_rows_of_any_array(make: Any, rows: Any) -> None:
    picked = np.arange(10) if rows is None else rows
    dataset = ArrayDataset(make(X), Y)
    batches = list(Batches(dataset, rows, BatchOrder(len(picked), 3)))
    assert all(x.dtype == torch.float32 for x, _ in batches)
    np.testing.assert_array_equal(torch.cat([x for x, _ in batches]), X[picked])
    np.testing.assert_array_equal(torch.cat([y for _, y in batches]), Y[picked])


def test_read_only_memory_does_not_warn() -> None:
    frozen = X.copy()
    frozen.flags.writeable = False
    ((batch, _),) = Batches(ArrayDataset(frozen), None, BatchOrder(10, 10))
    np.testing.assert_array_equal(batch, X)


def test_dicts_and_tuples_are_sliced_part_by_part() -> None:
    dataset = ArrayDataset({"a": X, "b": torch.from_numpy(Y)}, Y)
    (_, (second, _)) = Batches(dataset, None, BatchOrder(10, 5))
    np.testing.assert_array_equal(second["a"], X[5:])
    np.testing.assert_array_equal(second["b"], Y[5:])
    ((a, b), _) = ArrayDataset((X, Y), Y).batch(slice(2, 4))
    np.testing.assert_array_equal(a, X[2:4])
    np.testing.assert_array_equal(b, Y[2:4])


def test_weights_travel_with_y() -> None:
    dataset = ArrayDataset(X, Y, sample_weight=np.arange(10, dtype=np.float32))
    batch = dataset.batch(np.array([4, 1]))
    assert batch.sample_weight.tolist() == [4, 1]


def test_subsets_of_subsets_are_resolved() -> None:
    dataset = ArrayDataset(X, Y)
    inner = Subset(dataset, [9, 8, 7, 6])
    arrays, rows = array_source(Subset(inner, [3, 0]))
    assert arrays is dataset
    assert rows.tolist() == [6, 9]
    assert array_source(TensorDataset(torch.zeros(3))) is None


def test_tables_are_predicted_in_larger_batches_than_images() -> None:
    table = make_iterator(ArrayDataset(np.zeros((100, 4))), 8, False, {})
    images = make_iterator(ArrayDataset(np.zeros((100, 1, 2, 2))), 8, False, {})
    wish = make_iterator(ArrayDataset(np.zeros((100, 4))), 8, False, {"batch_size": 10})
    whole = make_iterator(ArrayDataset(np.zeros((100, 4))), -1, False, {})
    assert [len(it) for it in (table, images, wish, whole)] == [1, 13, 10, 1]


def test_wishes_for_a_dataloader_are_met() -> None:
    made = make_iterator(ArrayDataset(X, Y), 3, True, {"pin_memory": False})
    assert isinstance(made, DataLoader)
    rows = torch.cat([x for x, _ in made])
    assert [len(x) for x, _ in made] == [3, 3, 4]  # no batch of one row
    assert sorted(rows[:, 0].tolist()) == X[:, 0].tolist()
    with pytest.raises(ValueError, match="sample_weight"):
        make_iterator(ArrayDataset(X, Y, np.ones(10)), 3, True, {"pin_memory": False})


@pytest.mark.parametrize("option", ["shuffle", "drop_last"])
def test_predictions_must_be_in_order_and_complete(option: str) -> None:
    with pytest.raises(ValueError, match=f"iterator_valid__{option}"):
        make_iterator(ArrayDataset(X), 3, False, {option: True})


def test_shuffling_loaders_are_refused() -> None:
    dataset = ArrayDataset(X, Y)
    with pytest.raises(ValueError, match="shuffles"):
        refuse_shuffling(DataLoader(dataset, shuffle=True))
    loader = DataLoader(dataset)
    assert refuse_shuffling(loader) is loader
