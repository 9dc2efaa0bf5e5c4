"""Hashes of rows do not depend on containers, and change with every cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from torch.utils.data import TensorDataset

from skal.campaign.hashing import hash_columns, hash_rows, hash_texts

FROZEN_ARRAY = [8722109220039412668, 18281544119084632746]
FROZEN_TABLE = [3974912298282107919, 9885227649426974792, 1689423945522631609]
FROZEN_TEXTS = [16667848380713045890, 16855011095736510735]


def make_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "area": [50, 70, 90],
            "größe": [1.5, np.nan, -0.0],
            "kind": ["flat", None, "house"],
            "sold": pd.to_datetime(["2024-01-31", "2024-02-01", None]),
            "new": [True, False, True],
        }
    )


def test_hashes_stay_the_same_between_versions() -> None:
    # Written down when the function was made: campaigns of then must open.
    X = np.array([[1.0, 2.0], [np.nan, -0.0]])
    assert hash_rows(X).tolist() == FROZEN_ARRAY
    assert hash_rows(make_table()).tolist() == FROZEN_TABLE
    assert hash_texts(["7", "grün"]).tolist() == FROZEN_TEXTS


def test_hashes_do_not_depend_on_types_or_the_order_of_columns() -> None:
    table = make_table()
    expected = hash_rows(table)
    assert np.array_equal(hash_rows(table.astype({"area": float})), expected)
    assert np.array_equal(hash_rows(table.astype({"kind": "category"})), expected)
    assert np.array_equal(hash_rows(table.convert_dtypes()), expected)
    assert np.array_equal(hash_rows(table.astype(object)), expected)
    assert np.array_equal(hash_rows(table[table.columns[::-1]]), expected)


def test_containers_of_the_same_numbers_have_the_same_hashes() -> None:
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    X[1, 2] = 0
    expected = hash_rows(X)
    assert np.array_equal(hash_rows(torch.as_tensor(X)), expected)
    assert np.array_equal(hash_rows(sparse.csr_matrix(X)), expected)
    assert np.array_equal(hash_rows(X.tolist()), expected)
    named = pd.DataFrame(X, columns=["a", "b", "c"])
    assert np.array_equal(hash_rows(pl.from_pandas(named)), hash_rows(named))
    assert np.array_equal(hash_rows(X.reshape(5, 3, 1)), expected)
    data = TensorDataset(torch.as_tensor(X), torch.zeros(5))
    assert np.array_equal(hash_rows(data), expected)
    assert np.array_equal(hash_rows(named["a"]), hash_rows(named[["a"]]))
    assert len(np.unique(hash_rows({"x": X, "z": X[:, :1]}))) == 5


def test_cells_without_a_hash_of_python_are_hashed_as_text() -> None:
    lists = pd.DataFrame({"a": [[1, 2], [1], [1, 2]]})
    hashes = hash_rows(lists)
    assert hashes[0] == hashes[2] != hashes[1]
    assert np.array_equal(hashes, hash_rows(lists.astype(str)))


def test_rows_are_hashed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_table()
    keys = hash_texts(["a", "b", "c"])
    expected = hash_rows(table), hash_columns(table, keys)
    monkeypatch.setattr("skal.campaign.hashing._BLOCK", 2)
    assert np.array_equal(hash_rows(table), expected[0])
    assert hash_columns(table, keys) == expected[1]


@pytest.mark.parametrize("column", list(make_table()))
def test_a_changed_cell_changes_its_row_and_its_column(column: str) -> None:
    table, other = make_table(), make_table()
    other[column] = other[column].astype(object)
    other.loc[0, column] = other.loc[2, column]
    if column == "new":
        other.loc[0, column] = False
    assert (hash_rows(other) != hash_rows(table)).tolist() == [True, False, False]
    keys = hash_texts(["a", "b", "c"])
    before, after = hash_columns(table, keys), hash_columns(other, keys)
    assert before is not None
    assert after is not None
    assert [c for c in before if after[c] != before[c]] == [column]


def test_swapped_cells_are_other_rows() -> None:
    a = pd.DataFrame({"x": [1.0], "y": [2.0]})
    b = pd.DataFrame({"x": [2.0], "y": [1.0]})
    assert hash_rows(a)[0] != hash_rows(b)[0]
    keys = hash_texts(["a", "b"])
    c, d = pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"x": [2, 1]})
    assert hash_columns(c, keys) != hash_columns(d, keys)
    # The order of the rows does not matter, as their ids are known.
    assert hash_columns(c, keys) == hash_columns(d, keys[::-1])


@pytest.mark.parametrize("kind", ["int64", "uint64", "Int64", "object"])
def test_integers_beyond_floats_differ(kind: Any) -> None:
    near = pd.Series([2**53, 2**53 + 1, 2**53 + 2, 2**62, 2**62 + 1, 5])
    column = near.astype(kind)
    hashes = hash_rows(column.to_frame("a"))
    assert len(set(hashes.tolist())) == len(near)
    floats = hash_rows(near[[0, 2, 3]].astype(float).to_frame("a"))
    assert (hashes[[0, 2, 3]] == floats).all()
    assert (hash_rows(near.astype(object).to_frame("a")) == hashes).all()


def test_integers_beyond_all_floats_are_hashed() -> None:
    huge = pd.DataFrame({"a": pd.Series([10**400, 10**400 + 1, 7], dtype=object)})
    assert len(set(hash_rows(huge).tolist())) == 3
