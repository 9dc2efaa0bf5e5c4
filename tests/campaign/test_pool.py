"""Ids, rows as people read them, and what is said of rows that changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from torch.utils.data import TensorDataset

from skal.campaign.pool import CampaignPool, id_text
from skal.exceptions import PoolChangedError


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *((3, "3"), (np.int64(3), "3"), (3.0, "3"), (np.float32(-3), "-3")),
        *((3.5, "3.5"), (" a b ", "a b"), ((1, "x"), "(1, 'x')"), (True, "True")),
    ],
)
def test_ids_are_written_as_text(key: Any, text: str) -> None:
    assert id_text(key) == text


@pytest.mark.parametrize("key", [None, float("nan"), pd.NA, pd.NaT, "", "  "])
def test_missing_ids_are_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="An id is missing"):
        id_text(key)


def test_numbers_of_ids_and_of_rows_must_agree() -> None:
    X = np.zeros((3, 2))
    with pytest.raises(ValueError, match="3 rows and 2 ids"):
        CampaignPool(X, ["a", "b"])
    with pytest.raises(ValueError, match="3 rows and 4 in display"):
        CampaignPool(X, display=pd.DataFrame(np.zeros((4, 1))))
    with pytest.raises(ValueError, match=r"1 are not, such as \['1'\]"):
        CampaignPool(X, [1, "1", 2])


X = np.arange(6.0).reshape(3, 2)
FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]}, index=[7, 8, 9])


@pytest.mark.parametrize(
    ("rows", "columns", "cells"),
    [
        (FRAME, ["a", "b"], [[3, None], [1, "x"]]),
        (FRAME["a"], ["a"], [[3], [1]]),
        (pl.from_pandas(FRAME), ["a", "b"], [[3, None], [1, "x"]]),
        (X, ["x0", "x1"], [[4, 5], [0, 1]]),
        (torch.tensor(X), ["x0", "x1"], [[4, 5], [0, 1]]),
        (sparse.csr_array(X), ["x0", "x1"], [[4, 5], [0, 1]]),
        (X[:, 0], ["value"], [[4], [0]]),
        (np.zeros((3, 2, 2)), [], [[], []]),
        ({"a": X}, [], [[], []]),
        (TensorDataset(torch.tensor(X)), [], [[], []]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_rows_as_people_read_them(rows: Any, columns: Any, cells: Any) -> None:
    pool = CampaignPool(rows)
    table = pool.table(np.array([2, 0]))
    assert list(table.columns) == pool.column_names() == columns
    found = table.astype(object).where(table.notna(), None)
    assert found.to_numpy().tolist() == cells


def test_display_is_shown_in_place_of_the_rows() -> None:
    pool = CampaignPool(X, ["u", "v", "w"], FRAME)
    assert pool.table(np.array([1]))["b"].tolist() == ["y"]
    ordered, missing = pool.ordered(["w", "t", "u"])
    assert missing == [1]
    assert ordered.texts == ["w", "u", "v"]
    assert ordered.display.index.tolist() == [9, 7, 8]
    np.testing.assert_array_equal(ordered.X, X[[2, 0, 1]])
    assert pool.ordered(["u", "v"]) == (pool, [])


def _what_changed(before: pd.DataFrame, after: pd.DataFrame, **options: Any) -> str:
    old = CampaignPool(before)
    pool, missing = CampaignPool(after).ordered(old.texts)
    stored = old.texts, old.hashes.tolist(), old.column_hashes(), missing
    append = options.get("append", False)
    try:
        pool.check_same(*stored, append)
    except PoolChangedError as error:
        return str(error).removeprefix("The pool is not that of the campaign: ")
    return ""


def test_what_changed_is_named() -> None:
    base = pd.DataFrame({"a": range(8), "b": 1.5, "c": "x"})
    changed = base.copy()
    changed.loc[[2, 5], "b"] = 2.5
    cases: list[tuple[pd.DataFrame, str]] = [
        (base.iloc[::-1], ""),
        (changed, "2 rows hold other values (ids 2, 5), in the columns ['b']."),
        (
            base.assign(a=0, c="y"),
            "8 rows hold other values (ids 0, 1, 2, 3, 4, ...), in the columns "
            "['a', 'c'].",
        ),
        (
            base.drop(columns="a").assign(d=1, c="z"),
            "8 rows hold other values (ids 0, 1, 2, 3, 4, ...), in the columns ['c'], "
            "with new columns ['d'], without the columns ['a'].",
        ),
        (base.iloc[:6], "2 of 8 rows are missing (ids 6, 7)."),
        (
            base.set_axis([*range(7), 9]),
            "1 of 8 rows are missing (ids 7); 1 rows are new (ids 9); pass append=True "
            "to add them.",
        ),
        (
            changed.iloc[:7],
            "1 of 8 rows are missing (ids 7); 2 rows hold other values (ids 2, 5).",
        ),
        (
            pd.concat([changed, base.set_axis(range(10, 18))]),
            "2 rows hold other values (ids 2, 5), in the columns ['b']; 8 rows are new "
            "(ids 10, 11, 12, 13, 14, ...); pass append=True to add them.",
        ),
        (
            pd.concat([base, base.iloc[:5].set_axis(range(10, 15))]),
            "5 rows are new (ids 10, 11, 12, 13, 14); pass append=True to add them.",
        ),
    ]
    for after, words in cases:
        said = _what_changed(base, after)
        assert said == (f"{words} Pass the same rows, with the same ids." * bool(words))
    assert _what_changed(base, cases[-1][0], append=True) == ""


def test_changes_of_rows_without_names_are_counted() -> None:
    pool, other = CampaignPool(X), CampaignPool(X + np.eye(3, 2, -1))
    assert pool.column_hashes() is None
    with pytest.raises(
        PoolChangedError, match=r"2 rows hold other values \(ids 1, 2\)"
    ):
        other.check_same(pool.texts, pool.hashes.tolist(), None, [], False)


def test_a_pool_with_other_ids_is_told_to_pass_them() -> None:
    pool = CampaignPool(X, ids=["a", "b", "c"])
    other, missing = CampaignPool(X).ordered(pool.texts)
    words = r"None of the 3 ids .* a, b, c, .* 0, 1, 2\. Pass the same ids="
    with pytest.raises(PoolChangedError, match=words):
        other.check_same(pool.texts, pool.hashes.tolist(), None, missing, True)
