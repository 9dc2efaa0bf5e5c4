"""Rows of any container, in blocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skal.rows import ChainedRows, Rows, n_rows, take_slice

X = np.arange(20.0).reshape(10, 2)


def containers() -> dict[str, object]:
    dask_array = pytest.importorskip("dask.array")
    return {
        "array": X,
        "list": X.tolist(),
        "frame": pd.DataFrame(X, index=range(100, 110)),
        "csr": sparse.csr_matrix(X),
        "coo": sparse.coo_array(X),
        "dok": sparse.dok_matrix(X),
        "tensor": torch.as_tensor(X),
        "dask": dask_array.from_array(X, chunks=(3, 2)),
    }


def dense(block: object) -> np.ndarray:
    return block.toarray() if sparse.issparse(block) else np.asarray(block)


@pytest.mark.parametrize("name", list(containers()))
@pytest.mark.parametrize("memory", [0.0005, 0.0011, 1024])
def test_blocks_hold_all_rows_in_order(name, memory):
    with config_context(working_memory=memory):
        blocks = list(Rows(containers()[name]).blocks())
    np.testing.assert_array_equal(np.concatenate([dense(b) for _, b in blocks]), X)
    stops = [rows.stop for rows, _ in blocks]
    assert [rows.start for rows, _ in blocks] == [0, *stops[:-1]]
    assert stops[-1] == 10


def test_working_memory_bounds_the_block():
    with config_context(working_memory=16 * 3 * 16 / 2**20):  # 3 rows of 16 bytes
        assert Rows(X).block_size == 3
        assert [len(b) for _, b in Rows(X).blocks()] == [3, 3, 3, 1]
    with config_context(working_memory=0):
        assert Rows(X).block_size == 1


def test_only_a_block_of_a_memmap_is_read(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    _, block = next(Rows(mapped).blocks())
    assert isinstance(block, np.memmap)


def test_dict_and_dataset():
    pair = {"a": X, "b": torch.as_tensor(X)}
    assert n_rows(pair) == 10
    part = take_slice(pair, slice(2, 4))
    np.testing.assert_array_equal(part["a"], X[2:4])
    assert torch.equal(part["b"], torch.as_tensor(X[2:4]))
    data = TensorDataset(torch.as_tensor(X))
    subset = take_slice(data, slice(3, 5))
    assert len(subset) == 2
    assert torch.equal(subset[0][0], torch.as_tensor(X[3]))
    assert len(Rows(data)) == 10
    with pytest.raises(ValueError, match="differ in length"):
        n_rows({"a": X, "b": X[:5]})
    with pytest.raises(TypeError, match="single value"):
        n_rows(np.float64(3))


def test_transformers_see_arrays():
    scaler = StandardScaler().fit(X)
    for data in (X, torch.as_tensor(X).requires_grad_()):
        ((_, block),) = Rows(data, [scaler]).blocks()
        np.testing.assert_allclose(block, scaler.transform(X))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        pd.DataFrame,
        sparse.csr_matrix,
        sparse.coo_matrix,
        torch.as_tensor,
        lambda x: {"a": np.ones(10), "b": x},
        lambda x: x.tolist(),
        lambda x: x.astype(np.float32),
        lambda x: x.astype(object),
        lambda x: pd.DataFrame(x.astype(object)),
        lambda x: torch.as_tensor(x).bfloat16(),
    ],
)
@pytest.mark.parametrize("memory", [0.0005, 1024])
def test_bad_rows_are_counted(value, kind, memory):
    bad = X.copy()
    bad[4, 1] = bad[8, 0] = bad[8, 1] = value
    with (
        config_context(working_memory=memory),
        pytest.raises(ValueError, match=r"^2 of 10 rows of the pool .*first is row 4"),
    ):
        Rows(kind(bad)).check_finite()
    Rows(kind(bad), allow_nan=True).check_finite()
    Rows(kind(X)).check_finite()


def test_finite_values_of_an_overflowing_sum_pass():
    Rows(np.full((4, 2), 1e308)).check_finite()


def test_bad_rows_behind_a_transformer_are_named_so():
    bad = X.copy()
    bad[3] = np.nan
    with pytest.raises(ValueError, match="after the pipeline's transformers"):
        Rows(bad, [StandardScaler().fit(X)]).check_finite()


def test_text_and_integers_have_no_nan():
    Rows(["a", "b"]).check_finite()
    Rows(np.array([["a"], ["b"]], dtype=object)).check_finite()
    Rows(np.arange(6).reshape(3, 2)).check_finite()
    Rows(torch.arange(6).reshape(3, 2)).check_finite()
    Rows(pd.DataFrame({"a": ["x", "y"], "b": [1, 2]})).check_finite()


def test_chained_rows_come_one_after_the_other():
    chain = ChainedRows([Rows(X[:4]), Rows(X[4:])])
    with config_context(working_memory=0.0005):
        blocks = list(chain.blocks())
    np.testing.assert_array_equal(np.concatenate([b for _, b in blocks]), X)
    assert len(chain) == blocks[-1][0].stop == 10
