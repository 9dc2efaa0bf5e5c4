"""Rows of any container, counted, taken, converted and read in blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skal import ActiveLearner
from skal.rows import (
    ChainedRows,
    Rows,
    array_if_tensor,
    as_array,
    as_dense,
    dense_pieces,
    find_bad_rows,
    n_rows,
    read_together,
    row_shape,
    take_row,
    take_rows,
    take_slice,
)
from skal.strategies import Margin
from tests.learners.conftest import KINDS, convert, same_kind
from tests.learners.conftest import as_dense as dense

X = np.arange(40.0).reshape(10, 4)
#: One of each kind that is treated differently.
SOME = [
    *("ndarray", "frame", "list", "grad_tensor"),
    *("csr_array", "coo_matrix", "dok_array", "lil_matrix"),
]


# -- counting and taking --------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_taken_by_position(kind):
    rows = convert(X, kind)
    assert n_rows(rows) == 10
    taken = take_rows(rows, np.array([3, 0, 1]))
    assert same_kind(taken, rows)
    assert np.array_equal(dense(taken), X[[3, 0, 1]])
    if kind.partition("_")[0] in ("ndarray", "frame", "list", "tensor", "dict", "csr"):
        part = take_slice(rows, slice(2, 5))
        assert same_kind(part, rows)
        assert np.array_equal(dense(part), X[2:5])


def test_rows_of_datasets():
    dataset = TensorDataset(torch.arange(5))
    assert n_rows(dataset) == 5
    for taken in (
        take_rows(dataset, np.array([3, 4])),
        take_slice(dataset, slice(3, 9)),
    ):
        assert [int(row[0]) for row in taken] == [3, 4]


def test_one_row():
    assert np.array_equal(take_row(X, 2), X[2])
    assert take_row(convert(X, "frame"), 2).tolist() == X[2].tolist()
    assert np.array_equal(take_row(convert(X, "coo_array"), 2).toarray(), X[[2]])
    assert take_row(convert(X, "dict"), 2)["right"].tolist() == X[2, 2:].tolist()


@pytest.mark.parametrize(
    ("rows", "shape"),
    [
        (X, (4,)),
        (X.tolist(), (4,)),
        ([], ()),
        (X[:, 0], ()),
        (X.reshape(5, 2, 4), (2, 4)),
    ],
)
def test_shape_of_a_row(rows, shape):
    assert row_shape(rows) == shape


def test_what_has_no_rows():
    with pytest.raises(ValueError, match="differ in length"):
        n_rows({"a": X, "b": X[:5]})
    with pytest.raises(TypeError, match="single value"):
        n_rows(np.float64(3))
    for rows in (None, "ab", {1.0, 2.0}, (row for row in X)):
        with pytest.raises(TypeError, match=f"expected, got {type(rows).__name__}"):
            n_rows(rows)


# -- converting -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", SOME)
def test_conversions_to_arrays(kind):
    rows = convert(X, kind)
    assert np.array_equal(as_dense(rows), X)
    converted = as_array(rows)
    is_sparse = kind.partition("_")[2] in ("matrix", "array")
    assert sp.isspmatrix_csr(converted) == is_sparse
    assert np.array_equal(dense(converted), X)


def test_tensors_that_numpy_cannot_hold():
    half = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    assert array_if_tensor(half).dtype == np.float32
    assert array_if_tensor(torch.eye(3).to_sparse()).tolist() == np.eye(3).tolist()
    assert array_if_tensor("text") == "text"


# -- finite rows ----------------------------------------------------------------------

MORE_KINDS = {
    "dict": lambda x: {"a": np.ones(10), "b": x},
    "float32": lambda x: x.astype(np.float32),
    "objects": lambda x: x.astype(object),
    "frame of objects": lambda x: pd.DataFrame(x.astype(object)),
    "nullable frame": lambda x: pd.DataFrame(x).astype("Float64"),
    "half precision": lambda x: torch.as_tensor(x).bfloat16(),
    "images": lambda x: x.reshape(10, 2, 2),
    "dask": lambda x: pytest.importorskip("dask.array").from_array(x, chunks=(3, 4)),
}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("kind", [*SOME, *MORE_KINDS])
def test_rows_with_a_bad_value_are_found(kind, value):
    def make(x):
        return MORE_KINDS[kind](x) if kind in MORE_KINDS else convert(x, kind)

    bad = X.copy()
    bad[4, 1] = bad[8, 0] = bad[8, 1] = value
    expected = np.isin(np.arange(10), [4, 8])
    assert np.array_equal(find_bad_rows(make(bad)), expected)
    only_infinite = find_bad_rows(make(bad), allow_nan=True)
    if np.isnan(value):
        assert only_infinite is None
    else:
        assert np.array_equal(only_infinite, expected)
    assert find_bad_rows(make(X)) is None


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor, pd.DataFrame])
def test_nan_in_an_imaginary_part(make):
    rows = np.ones((4, 2), dtype=complex)
    assert find_bad_rows(make(rows)) is None
    rows[2, 1] = complex(1, np.nan)
    assert find_bad_rows(make(rows)).tolist() == [False, False, True, False]


def test_finite_values_of_an_overflowing_sum_pass():
    for rows in (np.full((4, 2), 1e308), torch.full((4, 2), 3e38)):
        assert find_bad_rows(rows) is None


@pytest.mark.parametrize(
    "rows",
    [
        ["a", "b"],
        [[1, 2], [3]],
        np.array([["a"], ["b"]], dtype=object),
        np.arange(6).reshape(3, 2),
        torch.arange(6).reshape(3, 2),
        torch.ones(5, 4, device="meta"),
        pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}),
        TensorDataset(torch.arange(5)),
    ],
    ids=[
        *("texts", "lists of different lengths", "array of objects", "ints"),
        *("tensor of ints", "meta tensor", "DataFrame", "Dataset"),
    ],
)
def test_rows_that_have_no_nan(rows):
    assert find_bad_rows(rows) is None


def test_a_missing_label_is_not_taken_for_a_word():
    assert find_bad_rows(["a", float("nan"), "b"]).tolist() == [False, True, False]


# -- reading in blocks ----------------------------------------------------------------


@pytest.mark.parametrize("memory", [0.0025, 1024])
@pytest.mark.parametrize("kind", [*SOME, "dask"])
def test_blocks_hold_all_rows_in_order(kind, memory):
    rows = MORE_KINDS[kind](X) if kind in MORE_KINDS else convert(X, kind)
    with config_context(working_memory=memory):
        blocks = list(Rows(rows).blocks())
    assert np.array_equal(np.concatenate([dense(b) for _, b in blocks]), X)
    stops = [rows.stop for rows, _ in blocks]
    assert [rows.start for rows, _ in blocks] == [0, *stops[:-1]]
    assert stops[-1] == 10


def test_working_memory_bounds_the_block():
    with config_context(working_memory=16 * 3 * 32 / 2**20):  # 3 rows of 32 bytes
        assert Rows(X).block_size() == 3
        assert [len(b) for _, b in Rows(X).blocks()] == [3, 3, 3, 1]
    with config_context(working_memory=0):
        assert Rows(X).block_size() == 1


def test_only_a_block_of_a_memmap_is_read(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with config_context(working_memory=16 * 3 * 32 / 2**20):  # 3 rows of 32 bytes
        _, block = next(Rows(mapped).blocks())
    assert type(block) is np.ndarray
    np.testing.assert_array_equal(block, X[:3])


def test_transformers_are_applied_in_turn_to_arrays():
    first = StandardScaler().fit(X)
    second = StandardScaler(with_mean=False).fit(X)
    expected = second.transform(first.transform(X))
    for data in (X, torch.as_tensor(X).requires_grad_()):
        rows = Rows(data, [first]).through([second], allow_nan=False)
        ((_, block),) = rows.blocks()
        np.testing.assert_allclose(block, expected)
        ((where, row),) = rows.first().blocks()
        assert where == slice(0, 1)
        np.testing.assert_allclose(row, expected[:1])


@pytest.mark.parametrize("memory", [0.0005, 1024])
def test_bad_rows_are_counted_over_blocks(memory):
    bad = X.copy()
    bad[4, 1] = bad[8, 0] = bad[8, 1] = np.nan
    with config_context(working_memory=memory):
        message = r"^2 of 10 rows of the pool contain .*infinity \(the first is row 4"
        with pytest.raises(ValueError, match=message):
            Rows(bad).check_finite()
        with pytest.raises(ValueError, match="after the pipeline's transformers"):
            Rows(bad, [StandardScaler().fit(X)]).check_finite()
        Rows(bad, allow_nan=True).check_finite()


def test_rows_are_checked_once_and_by_a_whole_pass():
    rows = Rows(X.copy())
    with config_context(working_memory=0.0005):
        next(rows.blocks())
        rows.X[0] = np.nan
        with pytest.raises(ValueError, match="contain NaN"):
            rows.check_finite()
        rows.X[0] = 0
        rows.check_finite()
        rows.X[0] = np.nan
        rows.check_finite()  # not searched again


def test_chained_rows_come_one_after_the_other():
    scaler = StandardScaler().fit(X)
    chain = ChainedRows([Rows(X[:4]), Rows(X[4:])])
    scaled = chain.through([scaler], allow_nan=False)
    with config_context(working_memory=0.0005):
        for rows, expected in ((chain, X), (scaled, scaler.transform(X))):
            blocks = list(rows.blocks())
            found = np.concatenate([block for _, block in blocks])
            np.testing.assert_allclose(found, expected)
            assert len(rows) == blocks[-1][0].stop == 10


class OnDisk:
    """An array that is read by rising positions alone, as those of h5py."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        if isinstance(rows, np.ndarray) and (np.diff(rows) <= 0).any():
            raise TypeError("Indexing elements must be in increasing order")
        return self.values[rows]


def test_rows_on_a_disk_are_taken_in_any_order():
    indices = np.array([7, 3, 3, 9, 0])
    assert np.array_equal(take_rows(OnDisk(X), indices), X[indices])
    model = LogisticRegression().fit(X, np.arange(10) % 2)
    expected = Margin().select(model, X, 4).indices
    learner = ActiveLearner(model, Margin())
    found, rows = learner.query(OnDisk(X), 4)
    assert np.array_equal(found, expected)
    assert np.array_equal(rows, X[expected])


# -- sizes of blocks ------------------------------------------------------------------


class Widen(BaseEstimator):
    """Makes n_columns of one, dense or sparse."""

    def __init__(self, n_columns=4096, dense=False):
        self.n_columns, self.dense = n_columns, dense

    def transform(self, X):
        rows = np.arange(len(X))
        wide = (np.ones(len(X)), (rows, np.asarray(X)[:, 0] % self.n_columns))
        wide = sp.csr_matrix(wide, shape=(len(X), self.n_columns))
        return wide.toarray() if self.dense else wide


def sizes(rows):
    return [block.stop - block.start for block, _ in rows.blocks()]


@pytest.mark.parametrize("width", [None, 4096])
def test_blocks_follow_what_transformers_make_of_rows(width):
    X = np.arange(3000)[:, None]
    with config_context(working_memory=16):  # a block takes 1 MiB
        dense = sizes(Rows(X, [Widen(dense=True)], width=width))
        csr = sizes(Rows(X, [Widen()], width=width))
        assert sizes(Rows(X)) == [3000]
    assert dense[0] == (512 if width is None else 32)
    assert set(dense[1:-1]) == {32}  # of 32 KiB each
    assert csr == [dense[0], 3000 - dense[0]]
    assert sum(dense) == 3000


def test_views_of_the_same_rows_are_read_together():
    X = np.arange(700)[:, None]
    with config_context(working_memory=16):
        narrow, wide = Rows(X), Rows(X, [Widen(dense=True)])
        read = list(read_together([narrow, wide]))
        assert [rows.stop - rows.start for rows, _ in read][:2] == [512, 32]
        for rows, (plain, widened) in read:
            assert np.array_equal(plain, X[rows])
            assert np.array_equal(widened.argmax(axis=1), X[rows, 0])
        chains = [ChainedRows([rows, rows]) for rows in (narrow, wide)]
        ends = [rows.stop for rows, _ in read_together(chains)]
        assert ends[-1] == 1400
        assert 700 in ends


def test_sparse_rows_become_dense_in_pieces():
    X = sp.random(300, 4096, 0.01, format="csr", random_state=0)
    with config_context(working_memory=64):  # a piece takes 1 MiB
        pieces = list(dense_pieces(X))
    assert [len(piece) for piece in pieces] == [32] * 9 + [12]
    assert np.array_equal(np.concatenate(pieces), X.toarray())
    whole = X.toarray()
    assert next(dense_pieces(whole)) is whole
