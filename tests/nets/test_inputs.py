"""Whatever X may be, the net is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from skal.nets import NetClassifier, NetRegressor
from tests.nets.data import Conv, TwoInputs, blobs, line

QUICK = {"max_epochs": 3, "random_state": 0, "module__hidden_sizes": (8,)}


class Opaque(Dataset):
    """A Dataset that shows neither X nor y."""

    def __init__(self, X: Any, y: Any) -> None:
        self.rows = list(zip(X, y, strict=True))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        return self.rows[i]


def whole(n_rows: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers, so that every dtype holds them."""
    X, y = blobs(n_rows)
    return np.rint(X).astype(np.float32), y


SPARSE = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
MAKERS: dict[str, Any] = {
    "float64": lambda X: X.astype(np.float64),
    "float16": lambda X: X.astype(np.float16),
    "int64": lambda X: X.astype(np.int64),
    "int8": lambda X: X.astype(np.int8),
    "object": lambda X: X.astype(object),
    "list": lambda X: X.tolist(),
    "list of rows": list,
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: X[::-1].copy()[::-1],
    "frame": lambda X: pd.DataFrame(X, columns=list("abcd")),
    "mixed frame": lambda X: pd.DataFrame(X).astype({0: "int32", 1: "float64"}),
    "object frame": lambda X: pd.DataFrame(X, columns=list("abcd")).astype(object),
    "tensor": torch.from_numpy,
    "tensor64": lambda X: torch.from_numpy(X).double(),
    "int tensor": lambda X: torch.from_numpy(X).long(),
    "bfloat16 tensor": lambda X: torch.from_numpy(X).bfloat16(),
    "tensor with grad": lambda X: torch.tensor(X, requires_grad=True),
    "sparse tensor": lambda X: torch.from_numpy(X).to_sparse(),
    **{f: lambda X, f=f: getattr(sparse, f"{f}_matrix")(X) for f in SPARSE},
    **{f"{f}_array": lambda X, f=f: getattr(sparse, f"{f}_array")(X) for f in SPARSE},
}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_kind_of_array_is_the_same_to_the_net(kind: str) -> None:
    X, y = whole()
    expected = NetClassifier(**QUICK).fit(X, y).predict_proba(X)
    given = MAKERS[kind](X)
    net = NetClassifier(**QUICK).fit(given, y)
    np.testing.assert_array_equal(net.predict_proba(given), expected)
    assert net.n_features_in_ == 4
    net.partial_fit(given, y)  # goes on with the same kind


@pytest.mark.parametrize("kind", ["csr", "coo_array", "csr_array", "dok"])
def test_sparse_rows_through_a_dataloader(kind: str) -> None:
    X, y = whole()
    workers = {"iterator_train__num_workers": 0, "iterator_valid__num_workers": 0}
    expected = NetClassifier(**QUICK).fit(X, y).predict_proba(X)
    net = NetClassifier(**QUICK, **workers).fit(MAKERS[kind](X), y)
    proba = net.predict_proba(MAKERS[kind](X))
    np.testing.assert_allclose(proba, expected, atol=1e-5)


def test_bool() -> None:
    X, y = blobs()
    net = NetClassifier(**QUICK)
    expected = net.fit((X > 0).astype(np.float32), y).predict_proba(X > 0)
    np.testing.assert_array_equal(net.fit(X > 0, y).predict_proba(X > 0), expected)


def test_memmap(tmp_path: Path) -> None:
    X, y = whole()
    file = tmp_path / "X.npy"
    np.save(file, X)
    expected = NetClassifier(**QUICK).fit(X, y).predict_proba(X)
    mapped = np.load(file, mmap_mode="r")
    net = NetClassifier(**QUICK).fit(mapped, y)
    np.testing.assert_array_equal(net.predict_proba(mapped), expected)


def test_big_sparse_rows_are_made_dense_by_the_batch() -> None:
    # Dense, these are 40 GB.
    X = sparse.eye(20_000, 500_000, format="csr")
    net = NetRegressor(module__hidden_sizes=(), max_epochs=1, batch_size=8)
    net.fit(X[:16], np.zeros(16))
    assert net.predict(X[:600]).shape == (600,)


def test_column_names_are_kept_and_compared() -> None:
    X, y = blobs()
    frame = pd.DataFrame(X, columns=list("abcd"))
    net = NetClassifier(**QUICK).fit(frame, y)
    assert net.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match="feature names"):
        net.predict(frame[["b", "a", "c", "d"]])
    net.fit(X, y)
    assert not hasattr(net, "feature_names_in_")


def test_a_dict_forgets_the_columns_of_an_array() -> None:
    X, y = blobs()
    net = NetClassifier(TwoInputs, max_epochs=1)
    net.n_features_in_ = 9
    net.fit({"numbers": X, "kind": y}, y)
    assert not hasattr(net, "n_features_in_")


@pytest.mark.parametrize("make", [np.asarray, torch.as_tensor])
def test_images(make: Any) -> None:
    X = np.random.default_rng(0).normal(size=(30, 2, 5, 5))
    y = np.arange(30) % 3
    net = NetClassifier(Conv, max_epochs=1).fit(make(X), y)
    assert net.predict_proba(make(X)).shape == (30, 3)
    # The default module flattens.
    assert NetClassifier(**QUICK).fit(make(X), y).predict(make(X)).shape == (30,)


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        (np.float64, np.int64),
        (torch.from_numpy, torch.as_tensor),
        (lambda X: pd.DataFrame(X).astype("float64"), pd.Series),
        (sparse.coo_matrix, list),
    ],
    ids=["arrays", "tensors", "frames", "sparse and list"],
)
def test_dicts_of_inputs(numbers: Any, kind: Any) -> None:
    X, y = blobs()
    X, kinds = {"numbers": numbers(X), "kind": kind(y)}, y
    net = NetClassifier(TwoInputs, max_epochs=60, lr=0.01, random_state=0)
    assert net.fit(X, kinds).score(X, kinds) > 0.9


def test_tuples_of_inputs() -> None:
    class Pair(torch.nn.Module):
        def __init__(self, n_outputs: int) -> None:
            super().__init__()
            self.head = torch.nn.Linear(8, n_outputs)

        def forward(self, pair: Any) -> torch.Tensor:
            return self.head(torch.cat(list(pair), 1))

    X, y = blobs()
    net = NetClassifier(Pair, max_epochs=2).fit((X, torch.from_numpy(X)), y)
    assert net.predict((X, X)).shape == (60,)


@pytest.mark.parametrize("labels", [[0, 1, 2], ["x", "y", "z"], [10, 20, 30]])
@pytest.mark.parametrize("y_given", [True, False])
def test_datasets(labels: list[Any], y_given: bool) -> None:
    X, codes = blobs()
    y = np.array(labels)[codes]
    dataset = Opaque(X, y)
    net = NetClassifier(**{**QUICK, "max_epochs": 40}, lr=0.01)
    net.fit(dataset, y if y_given else None)
    assert net.classes_.tolist() == labels
    assert net.score(dataset, y) > 0.9
    assert net.score(X, y) > 0.9


def test_tensor_datasets_and_subsets() -> None:
    X, y = blobs()
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    net = NetClassifier(**{**QUICK, "max_epochs": 40}, lr=0.01).fit(dataset)
    assert net.score(X, y) > 0.9
    assert (
        net.predict(Subset(dataset, [5, 3])).tolist() == net.predict(X)[[5, 3]].tolist()
    )
    X, y = line()
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    net = NetRegressor(max_epochs=60, random_state=0).fit(dataset)
    assert net.score(X, y) > 0.9
    assert net.predict(dataset).shape == (60,)


def test_iterable_datasets_are_refused_for_training() -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Any:
            yield torch.zeros(4), 0

    with pytest.raises(TypeError, match="IterableDataset"):
        NetClassifier().fit(Stream())


X, Y = blobs()


def spoil(value: float) -> np.ndarray:
    bad = X.copy()
    bad[7, 2] = value
    return bad


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (spoil(np.nan), "NaN"),
        (spoil(np.inf), "infinity"),
        (X.astype(float) * 1e300, "infinity"),
        (torch.from_numpy(spoil(np.nan)), "NaN"),
        (sparse.csr_matrix(spoil(np.nan)), "NaN"),
        (pd.DataFrame(spoil(np.nan)), "NaN"),
        ({"numbers": spoil(np.nan), "kind": Y}, "numbers contains NaN"),
        ({"numbers": torch.from_numpy(spoil(np.inf)), "kind": Y}, "numbers contains"),
        ({"numbers": X.astype(str), "kind": Y}, "needs numbers"),
        ({"numbers": X[:0], "kind": Y[:0]}, "0 sample"),
        ({"numbers": X, "kind": Y[:5]}, "inconsistent|consistent lengths"),
        (X[:0], "0 sample"),
        (X[:, :0], "0 feature"),
        (X[:, 0], "1D array"),
        (X[:-1], "different numbers of rows"),
        (X + 1j, "Complex"),
        (X.astype(str).astype(object).reshape(-1, 4) + "a", "could not convert"),
    ],
)
def test_bad_X_is_an_error_and_changes_nothing(bad: Any, message: str) -> None:
    for net, y in ((NetClassifier(**QUICK), Y), (NetRegressor(**QUICK), Y * 1.0)):
        net.fit(X, y)
        before = net.predict(X)
        with pytest.raises(ValueError, match=message):
            net.fit(bad, y)
        with pytest.raises(ValueError, match=message):
            net.partial_fit(bad, y)
        np.testing.assert_array_equal(net.predict(X), before)
        assert net.n_features_in_ == 4


def test_other_numbers_of_features() -> None:
    net = NetClassifier(**QUICK).fit(X, Y)
    with pytest.raises(ValueError, match="expecting 4 features"):
        net.predict(X[:, :3])
    with pytest.raises(ValueError, match="expecting 4 features"):
        net.partial_fit(X[:, :3], Y)
    with pytest.raises(ValueError, match="expecting 4 features"):
        net.set_params(warm_start=True).fit(X[:, :3], Y)
    net.set_params(warm_start=False).fit(X[:, :3], Y)
    assert net.n_features_in_ == 3


def test_a_default_module_cannot_be_sized_from_a_dict() -> None:
    with pytest.raises(ValueError, match="module__n_features"):
        NetClassifier().fit({"X": X}, Y)


def test_one_row_is_predicted_as_among_others() -> None:
    net = NetRegressor(**QUICK).fit(X, X[:, :2])
    together = net.predict(X)
    alone = np.concatenate([net.predict(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_array_equal(alone, together)
    for size in (1, 7, 33):
        net.set_params(iterator_valid__batch_size=size)
        np.testing.assert_array_equal(net.predict(X), together)
