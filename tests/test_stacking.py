"""Rows appended to rows of any kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch

from skal._stacking import hstack_rows, stack_rows, with_columns_of
from tests.learners.conftest import KINDS, as_dense, convert, same_kind

X = np.arange(20.0).reshape(5, 4) + 1


@pytest.mark.parametrize("kind", KINDS)
def test_stacking_keeps_kind(kind):
    old, new = convert(X, kind), convert(X[:2] + 100, kind)
    stacked = stack_rows(old, new)
    assert same_kind(stacked, old)
    assert np.array_equal(as_dense(stacked), np.vstack((X, X[:2] + 100)))


@pytest.mark.parametrize("new_kind", ["ndarray", "frame", "list", "csr_array"])
@pytest.mark.parametrize("kind", ["ndarray", "frame", "list", "tensor", "csc_matrix"])
def test_new_rows_become_the_kind_of_the_old(kind, new_kind):
    old = convert(X, kind)
    stacked = stack_rows(old, convert(X[:2] * 2, new_kind))
    assert same_kind(stacked, old)
    assert np.array_equal(as_dense(stacked), np.vstack((X, X[:2] * 2)))


@pytest.mark.parametrize(
    ("old", "new", "joint"),
    [
        ("f4", "f8", "f4"),
        ("f8", "f4", "f8"),
        ("f4", "i8", "f4"),
        ("i8", "i4", "i8"),
        ("i4", "f8", "i4"),  # whole numbers lose nothing
        ("U3", "U9", "U9"),
        ("O", "i8", "O"),
    ],
)
def test_type_of_array_is_kept(old, new, joint):
    stacked = stack_rows(np.array([1, 0]).astype(old), np.array([1, 0]).astype(new))
    assert stacked.dtype == joint


@pytest.mark.parametrize("container", [np.asarray, torch.as_tensor, pd.Series])
def test_integers_are_promoted_rather_than_cut(container):
    stacked = stack_rows(container(np.array([1, 2])), container(np.array([0.5])))
    assert list(np.asarray(stacked)) == [1, 2, 0.5]
    small = stack_rows(container(np.array([1], "i1")), container(np.array([300])))
    assert list(np.asarray(small)) == [1, 300]


@pytest.mark.parametrize("kind", ["frame", "int_frame", "csr_matrix", "tensor"])
def test_floats_of_tables_keep_their_width(kind):
    stacked = stack_rows(convert(X.astype("f4"), kind), convert(X, kind))
    assert as_dense(stacked).dtype == np.float32


def test_integer_frame_is_promoted_by_column_and_keeps_its_index():
    old = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=[7, 7])
    stacked = stack_rows(old, pd.DataFrame({"b": ["z"], "a": [0.5]}, index=[9]))
    assert stacked["a"].tolist() == [1, 2, 0.5]
    assert stacked["b"].tolist() == ["x", "y", "z"]
    assert stacked["b"].dtype == old["b"].dtype
    assert stacked.index.tolist() == [7, 7, 9]


def test_frame_with_repeated_column_labels():
    old = pd.DataFrame(X, columns=list("aabc"))
    assert np.array_equal(stack_rows(old, old).to_numpy(), np.vstack((X, X)))
    with pytest.raises(ValueError, match="columns of X differ"):
        stack_rows(old, old.iloc[:, ::-1])


def test_frame_names_missing_and_unknown_columns():
    frame = convert(X, "frame")
    with pytest.raises(ValueError, match=r"missing \['f0'\], additional \['g'\]"):
        stack_rows(frame, frame.rename(columns={"f0": "g"}))


@pytest.mark.parametrize("kind", ["ndarray", "frame", "list", "tensor", "csr_matrix"])
def test_wrong_number_of_features_is_named(kind):
    with pytest.raises(ValueError, match=r"shape \(3,\), but .* shape \(4,\)"):
        stack_rows(convert(X, kind), convert(X[:, :3], kind))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.array([0, 1]), np.array(["a"])),
        (np.array(["a"]), np.array([0])),
        (["a"], [0]),
        (pd.Series([0, 1]), ["a"]),
        (pd.Series(["a"]), pd.Series([1])),
        (np.array([0.0, 1]), np.array(["a"], dtype=object)),
        (np.array(["a"], dtype=object), np.array([0])),
        (np.array(["a"], dtype=object), np.array([0.5], dtype=object)),
        ([0, 1], [1, "a"]),
        ([True], ["True"]),
        (pd.Series([0, 1], dtype=object), pd.Series(["a"])),
        (pd.Series(["a"], dtype=object), pd.Series([1], dtype="Int64")),
        (pd.Series(["a"], dtype="category"), pd.Series([0])),
    ],
)
def test_numbers_and_strings_do_not_mix(old, new):
    with pytest.raises(ValueError, match="do not mix"):
        stack_rows(old, new, "y")


def test_missing_values_are_neither_numbers_nor_strings():
    old = pd.DataFrame({"kind": ["a", None], "size": [1.0, np.nan]}, dtype=object)
    new = pd.DataFrame({"kind": [np.nan, "b"], "size": [None, 2]}, dtype=object)
    stacked = stack_rows(old, new)
    assert stacked.dropna().to_numpy().tolist() == [["a", 1.0], ["b", 2]]


def test_a_column_that_held_both_from_the_beginning_may_go_on():
    old = pd.DataFrame({"kind": pd.Series(["a", 1], dtype=object)})
    stacked = stack_rows(old, pd.DataFrame({"kind": [2]}))
    assert stacked["kind"].tolist() == ["a", 1, 2]


@pytest.mark.parametrize(
    "old",
    [
        np.ones(2, "f2"),
        np.ones((2, 1), "f2"),
        torch.ones(2).half(),
        sp.csr_array(np.ones((2, 1), "f4")),
        pd.Series(np.ones(2, "f2")),
        pl.Series("y", np.ones(2, "f4")),
    ],
    ids=lambda old: type(old).__module__.partition(".")[0],
)
def test_a_value_that_would_overflow_widens_the_type(old):
    shape = (1, 1) if getattr(old, "ndim", 1) == 2 else (1,)
    stacked = stack_rows(old, np.full(shape, 1e300))
    assert as_dense(stacked).ravel().tolist() == [1, 1, 1e300]
    infinite = stack_rows(np.ones(2, "f4"), np.array([np.inf]))
    assert infinite.dtype == np.float32  # what is infinite does not overflow


@pytest.mark.parametrize("known", [["a", "b"], ["b", "a"], ["b"]])
def test_categories_stay_categories(known):
    old = pd.Series(["a", "b"], dtype="category")
    new = pd.Series(["b", None], dtype=pd.CategoricalDtype(known))
    stacked = stack_rows(old, new)
    assert stacked.dtype == old.dtype
    assert stacked.tolist()[:3] == ["a", "b", "b"]
    assert stacked.isna().tolist() == [False, False, False, True]


def test_new_categories_come_after_those_so_far():
    old = pd.Series(["b", "d"], dtype="category")
    for new in (["a", "d"], pd.Series(["a", "d"]), pd.Series(["a", "d"], dtype=object)):
        stacked = stack_rows(old, new)
        assert stacked.cat.categories.tolist() == ["b", "d", "a"]
        assert stacked.tolist() == ["b", "d", "a", "d"]
    ordered = pd.Series([1, 3], dtype=pd.CategoricalDtype([1, 2, 3], ordered=True))
    assert stack_rows(ordered, [2.0]).dtype == ordered.dtype
    assert stack_rows(ordered, [4]).tolist() == [1, 3, 4]  # without a rank


@pytest.mark.parametrize("new", [[0, 0.5], (1, 0.5), np.array([0, 0.5]), [True, 0.5]])
def test_column_of_polars_takes_numbers_of_several_types(new):
    stacked = stack_rows(pl.Series("y", [0, 1]), new)
    assert stacked.to_list() == [0, 1, float(new[0]), 0.5]


def test_target_column_and_vector_go_together():
    assert stack_rows(np.arange(3), np.array([[7]])).tolist() == [0, 1, 2, 7]
    assert stack_rows(np.zeros((2, 1)), np.array([7])).shape == (3, 1)
    series = stack_rows(pd.Series([1, 2]), pd.DataFrame({"y": [3]}))
    assert series.tolist() == [1, 2, 3]


def test_tensor_loses_its_gradient_and_keeps_its_type():
    old = torch.ones(2, 3, dtype=torch.float32, requires_grad=True)
    stacked = stack_rows(old, np.zeros((1, 3)))
    assert stacked.dtype == torch.float32
    assert not stacked.requires_grad


def test_dict_needs_its_keys():
    rows = convert(X, "dict")
    with pytest.raises(ValueError, match="'left', 'right'"):
        stack_rows(rows, {"left": X[:, :2]})
    with pytest.raises(ValueError, match=r"X\['right'\] has rows of shape"):
        stack_rows(rows, {"left": X[:, :2], "right": X})


def test_images_are_stacked():
    images = np.arange(24.0).reshape(2, 3, 4)
    assert stack_rows(images, images[:1]).shape == (3, 3, 4)


def test_features_side_by_side_are_sparse_if_one_block_is():
    both = hstack_rows([sp.coo_array(X), torch.as_tensor(X)])
    assert sp.isspmatrix_csr(both)
    assert np.array_equal(both.toarray(), np.hstack([X, X]))
    assert np.array_equal(hstack_rows([pd.DataFrame(X), X]), np.hstack([X, X]))


def test_columns_of_other_packages_and_lists_of_strings():
    stacked = stack_rows(pd.Series([1, 2], name="y"), pl.Series("z", [3]))
    pd.testing.assert_series_equal(
        stacked, pd.Series([1, 2, 3], name="y", index=[0, 1, 0])
    )
    stacked = stack_rows(pl.Series("y", ["a"]), ["b", "c"])
    assert stacked.to_list() == ["a", "b", "c"]
    assert stack_rows(pl.Series("y", [1.5]), (2, 3)).to_list() == [1.5, 2.0, 3.0]


def test_columns_of_polars_hold_numbers_or_strings():
    old = pl.DataFrame({"a": [1, 2], "k": ["x", "y"]})
    missing = pl.DataFrame({"a": [3], "k": [None]}, schema={"a": int, "k": int})
    stacked = stack_rows(old, missing)
    assert stacked.schema == old.schema
    assert stacked.rows() == [(1, "x"), (2, "y"), (3, None)]
    for wrong in ({"a": ["3"], "k": ["z"]}, {"a": [3], "k": [1]}):
        with pytest.raises(ValueError, match="numbers and strings do not mix"):
            stack_rows(old, pl.DataFrame(wrong))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("known", [pd.DataFrame, pl.DataFrame])
def test_columns_that_are_missing_are_empty(known, kind):
    like = known({"b": [1.5, 2.5], "a": ["x", "y"], "c": [1, 2]})
    completed = with_columns_of(like, kind({"c": [7, 8, 9], "a": ["u", "v", "w"]}))
    assert isinstance(completed, pd.DataFrame if known is pd.DataFrame else kind)
    table = completed if isinstance(completed, pd.DataFrame) else completed.to_pandas()
    assert list(table) == ["b", "a", "c"]
    assert table["b"].isna().tolist() == [True] * 3
    assert table["a"].tolist() == ["u", "v", "w"]
    assert table["c"].tolist() == [7, 8, 9]
    if known is kind is pl.DataFrame:
        assert completed.schema["b"] == pl.Float64
    assert with_columns_of(like, completed) is completed


@pytest.mark.parametrize("kind", ["array", "chunked_array"])
def test_texts_of_pyarrow_are_single_labels(kind):
    # A text has a length, and was taken for a row of as many elements.
    pa = pytest.importorskip("pyarrow")

    def make(labels):
        return pa.array(labels) if kind == "array" else pa.chunked_array([labels])

    old, new = ["low", "mid"], ["top", "low"]
    for stacked in (
        stack_rows(make(old), np.array(new)),
        stack_rows(np.array(old), make(new)),
        stack_rows(pd.Series(old), make(new)),
        stack_rows(make(old), make(new)),
    ):
        found = stacked.to_pylist() if hasattr(stacked, "to_pylist") else list(stacked)
        assert found == [*old, *new]


@pytest.mark.skipif(
    not hasattr(np.dtypes, "StringDType"), reason="numpy 1 has no StringDType"
)
def test_strings_of_numpy_with_and_without_a_length():
    strings = np.array(["mid", "a long label"], dtype="T")
    stacked = stack_rows(np.array(["low"]), strings)
    assert stacked.dtype.kind == "U"
    assert stacked.tolist() == ["low", "mid", "a long label"]


def test_bytes_and_strings():
    assert stack_rows(np.array(["low"]), np.array([b"mid"])).tolist() == ["low", "mid"]
    for old in (["low"], pd.Series(["low"]), np.array(["low"], dtype=object)):
        with pytest.raises(ValueError, match="bytes and strings do not mix"):
            stack_rows(old, [b"mid"], "y")
