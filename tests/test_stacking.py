"""Rows appended to rows of any kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from skal._stacking import hstack_rows, stack_rows
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
    ],
)
def test_numbers_and_strings_do_not_mix(old, new):
    with pytest.raises(ValueError, match="do not mix"):
        stack_rows(old, new, "y")


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
