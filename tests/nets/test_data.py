from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from skal.nets.data import (
    ArrayDataset,
    Batches,
    BatchOrder,
    TargetDataset,
    array_source,
    first_rows,
    make_iterator,
    refuse_shuffling,
)

X = np.arange(40, dtype=np.float32).reshape(10, 4)
Y = np.arange(10)
TENSORS = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


# -- datasets -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        np.array,
        torch.from_numpy,
        sparse.csr_matrix,
        np.asfortranarray,
        lambda X: X[::-1].copy()[::-1],
    ],
    ids=["array", "tensor", "sparse", "fortran", "reversed"],
)
def test_batches_hold_the_rows_of_any_array(make: Any) -> None:
    dataset = ArrayDataset(make(X), Y)
    for rows in (None, np.array([7, 0, 3, 9, 2])):
        picked = np.arange(10) if rows is None else rows
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


def test_a_batch_knows_its_rows_and_their_weights() -> None:
    batch = ArrayDataset(X, Y, np.arange(10, dtype=np.float32)).batch(np.array([4, 1]))
    assert batch.rows.tolist() == batch.sample_weight.tolist() == [4, 1]
    x, y = batch
    np.testing.assert_array_equal(x, X[[4, 1]])
    np.testing.assert_array_equal(y, [4, 1])
    assert ArrayDataset(X, Y).batch(slice(2)).sample_weight is None


def test_subsets_of_subsets_are_resolved() -> None:
    dataset = ArrayDataset(X, Y)
    inner = Subset(dataset, [9, 8, 7, 6])
    arrays, rows = array_source(Subset(inner, [3, 0]))
    assert arrays is dataset
    assert rows.tolist() == [6, 9]
    assert array_source(Subset(TENSORS, [0])) is None


def test_targets_of_a_dataset_are_replaced() -> None:
    dataset = TargetDataset(TENSORS, -Y)
    assert len(dataset) == 10
    x, y = dataset[3]
    np.testing.assert_array_equal(x, X[3])
    assert y == -3


@pytest.mark.parametrize(
    "dataset",
    [
        ArrayDataset(X, Y),
        ArrayDataset(sparse.csr_matrix(X), Y),
        Subset(ArrayDataset(X[::-1].copy(), Y), [9, 8]),
        TENSORS,
        ArrayDataset(X[:2], Y[:2]),
    ],
    ids=["arrays", "sparse", "subset", "tensors", "two rows"],
)
def test_first_rows_are_a_batch_of_two(dataset: Dataset) -> None:
    assert torch.equal(first_rows(dataset), torch.from_numpy(X[:2]))


def test_first_rows_of_one_row_of_several_inputs_and_by_a_collate_function() -> None:
    assert first_rows(ArrayDataset(X[:1], Y[:1])).shape == (1, 4)
    rows = first_rows(ArrayDataset({"a": X, "b": Y}, Y))
    assert {name: part.shape for name, part in rows.items()} == {"a": (2, 4), "b": (2,)}
    collate = lambda pairs: (torch.stack([torch.as_tensor(x) for x, _ in pairs]) + 1, 0)
    rows = first_rows(ArrayDataset(X, Y), collate)
    assert torch.equal(rows, torch.from_numpy(X[:2] + 1))


# -- batches --------------------------------------------------------------------------

SIZES: list[tuple[int, dict[str, bool], list[int]]] = [
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
]


def test_sizes_of_batches() -> None:
    for n_rows, options, expected in SIZES:
        order = BatchOrder(n_rows, 4, **options)
        assert [len(rows) for rows in order] == expected, (n_rows, options)
        assert len(order) == len(expected)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        BatchOrder(10, 0)


def test_order_is_kept_or_shuffled_in_each_pass() -> None:
    plain = [i for rows in BatchOrder(10, 4) for i in rows]
    assert plain == list(range(10))
    order = BatchOrder(10, 4, shuffle=True, merge_single=True)
    torch.manual_seed(0)
    first, second = ([i for rows in order for i in rows] for _ in range(2))
    assert sorted(first) == sorted(second) == plain
    assert first != second
    assert first != plain


def test_tables_are_predicted_in_larger_batches_than_images() -> None:
    table, image = (
        ArrayDataset(np.zeros((100, 4))),
        ArrayDataset(np.zeros((100, 1, 2, 2))),
    )
    assert len(make_iterator(table, 8, False, {})) == 1
    assert len(make_iterator(image, 8, False, {})) == 13
    assert len(make_iterator(table, 8, False, {"batch_size": 10})) == 10
    assert len(make_iterator(table, -1, False, {})) == 1
    wide = ArrayDataset(np.zeros((100, 2**15), dtype=np.float32))
    assert len(make_iterator(wide, 8, False, {})) == 4  # fewer rows of more elements


def test_options_of_a_dataloader_are_passed_to_one() -> None:
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
    with pytest.raises(ValueError, match="shuffles"):
        refuse_shuffling(DataLoader(TENSORS, shuffle=True))
    loader = DataLoader(TENSORS)
    assert refuse_shuffling(loader) is loader
