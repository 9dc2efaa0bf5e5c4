from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.class_weight import compute_class_weight
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from skal.nets import DeepEnsembleRegressor, NetClassifier, NetRegressor
from skal.nets.validation import (
    check_classes,
    check_device,
    check_groups,
    check_inputs,
    check_labels,
    check_targets,
    check_weights,
    class_weights,
    encode,
)
from tests.nets.helpers import blobs

X, CODES = blobs(50)
X = np.rint(X).astype(np.float32)  # so that every dtype holds them


def checked(X: Any, net: Any = None) -> Any:
    """Validate X as in the first fit of a net."""
    return check_inputs(NetClassifier() if net is None else net, X, reset=True)


class Opaque(Dataset):
    """A Dataset that shows neither X nor y."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> Any:
        return X[i], CODES[i]


class Stream(IterableDataset):
    """A Dataset without an index."""

    def __iter__(self) -> Any:
        yield torch.zeros(4), 0


# -- X --------------------------------------------------------------------------------

DENSE: dict[str, Any] = {
    "float64": lambda X: X.astype(np.float64),
    "float16": lambda X: X.astype(np.float16),
    "int8": lambda X: X.astype(np.int8),
    "object": lambda X: X.astype(object),
    "list": lambda X: X.tolist(),
    "list of rows": list,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "frame": lambda X: pd.DataFrame(X, columns=list("abcd")),
    "mixed frame": lambda X: pd.DataFrame(X).astype({0: "int32", 1: "float64"}),
    "object frame": lambda X: pd.DataFrame(X, columns=list("abcd")).astype(object),
    "tensor": torch.from_numpy,
    "int tensor": lambda X: torch.from_numpy(X).long(),
    "bfloat16 tensor": lambda X: torch.from_numpy(X).bfloat16(),
    "tensor with grad": lambda X: torch.tensor(X, requires_grad=True),
    "sparse tensor": lambda X: torch.from_numpy(X).to_sparse(),
}
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]


@pytest.mark.parametrize("kind", DENSE)
def test_arrays_become_float32(kind: str) -> None:
    net = NetClassifier()
    result = checked(DENSE[kind](X), net)
    assert type(result) is np.ndarray
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, X)
    assert net.n_features_in_ == 4


@pytest.mark.parametrize("kind", FORMATS)
def test_sparse_rows_become_csr_matrices(kind: str) -> None:
    for make in (getattr(sparse, f"{kind}_matrix"), getattr(sparse, f"{kind}_array")):
        result = checked(make(X))
        assert type(result) is sparse.csr_matrix
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result.toarray(), X)


@pytest.mark.parametrize(
    ("kind", "loader"),
    [
        ("frame", False),
        ("int tensor", False),
        ("csr_matrix", False),
        ("csr_matrix", True),
        ("dok_array", True),
    ],
)
def test_the_kind_of_an_array_makes_no_difference_to_a_net(
    kind: str, loader: bool
) -> None:
    names = ("iterator_train__num_workers", "iterator_valid__num_workers")
    net = NetClassifier(
        max_epochs=3,
        random_state=0,
        module__hidden_sizes=(8,),
        **dict.fromkeys(names, 0) if loader else {},
    )
    expected = net.fit(X, CODES).predict_proba(X)
    given = (DENSE[kind] if kind in DENSE else getattr(sparse, kind))(X)
    np.testing.assert_array_equal(net.fit(given, CODES).predict_proba(given), expected)
    net.partial_fit(given, CODES)


def test_rows_on_a_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.shares_memory(checked(mapped), mapped)  # read by the batch, not at once
    net = NetRegressor(max_epochs=1).fit(mapped, CODES)
    np.testing.assert_array_equal(net.predict(mapped), net.predict(X))


def test_big_sparse_rows_are_made_dense_by_the_batch() -> None:
    # Dense, these are 40 GB.
    big = sparse.eye(20_000, 500_000, format="csr")
    net = NetRegressor(module__hidden_sizes=(), max_epochs=1, batch_size=8)
    net.fit(big[:16], np.zeros(16))
    assert net.predict(big[:600]).shape == (600,)


def test_names_and_numbers_of_columns_are_kept_and_compared() -> None:
    frame, net = pd.DataFrame(X, columns=list("abcd")), NetClassifier()
    checked(frame, net)
    assert net.feature_names_in_.tolist() == list("abcd")
    for other in (frame.rename(columns={"a": "z"}), frame[["b", "a", "c", "d"]]):
        with pytest.raises(ValueError, match="feature names"):
            check_inputs(net, other, reset=False)
    checked(X, net)
    assert not hasattr(net, "feature_names_in_")
    with pytest.raises(ValueError, match="expecting 4 features"):
        check_inputs(net, X[:, :3], reset=False)
    checked({"X": X}, net)  # has no columns of an array
    assert not hasattr(net, "n_features_in_")


@pytest.mark.parametrize(
    "numbers",
    [
        lambda X: X.astype(np.float64),
        lambda X: torch.from_numpy(X).double().requires_grad_(),
        lambda X: pd.DataFrame(X).astype("float64"),
        sparse.coo_matrix,
    ],
    ids=["array", "tensor", "frame", "sparse"],
)
def test_in_dicts_and_tuples_integers_stay_integers(numbers: Any) -> None:
    result = checked({"numbers": numbers(X), "kind": CODES})
    floats = result["numbers"]
    assert floats.dtype in (np.float32, torch.float32)
    dense = floats.toarray() if sparse.issparse(floats) else floats
    np.testing.assert_array_equal(np.asarray(dense), X)
    assert np.issubdtype(np.asarray(result["kind"]).dtype, np.integer)
    first, second = checked((X.astype(float), torch.from_numpy(CODES)))
    assert first.dtype == np.float32
    assert second.dtype == torch.int64


def spoil(value: float) -> np.ndarray:
    """Put a value into one element of X."""
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
        ({"numbers": spoil(np.nan), "kind": CODES}, "numbers contains NaN"),
        ({"numbers": torch.from_numpy(spoil(np.inf))}, "numbers contains NaN or inf"),
        ({"numbers": X.astype(str), "kind": CODES}, "a net needs numbers"),
        ({"numbers": X[:0], "kind": CODES[:0]}, "0 sample"),
        ({"numbers": X, "kind": CODES[:5]}, "inconsistent|consistent lengths"),
        ((X, spoil(np.nan)), r"X\[1\] contains NaN"),
        (X[:0], "0 sample"),
        (X[:, :0], "0 feature"),
        (X[:, 0], "1D array"),
        (X + 1j, "Complex"),
        (X.astype(str).astype(object) + "a", "could not convert"),
    ],
)
def test_bad_inputs(bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked(bad)


SECONDS = 1.7e9 + np.linspace(0, 3600, 50)


@pytest.mark.parametrize(
    ("column", "warns"),
    [
        (SECONDS, True),
        (2**40 + np.arange(50), True),
        (1e-45 * np.arange(50), False),  # 0 but for rounding, beside other columns
        (0.3 + 1e-17 * np.arange(50), False),
        (np.full(50, 1.7e9), False),
        (1.7e9 + 1e6 * np.arange(50.0), False),
        (1e9 * np.arange(50.0), False),
    ],
)
@pytest.mark.parametrize("make", [np.asarray, np.ndarray.tolist, pd.DataFrame])
def test_columns_that_single_precision_does_not_tell_apart(
    make: Any, column: Any, warns: bool
) -> None:
    rows = make(np.c_[X[:, 0], column])
    if isinstance(rows, pd.DataFrame):
        rows.columns = ["size", "time"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = checked(rows)
        check_inputs(NetClassifier(), found, reset=True)  # of float32 already
    assert found.dtype == np.float32
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == warns
    name = "['time']" if isinstance(rows, pd.DataFrame) else "[1]"
    assert all(message.startswith(f"Columns {name} of X") for message in messages)


@pytest.mark.filterwarnings("ignore::skal.exceptions.TrainingWarning")
def test_targets_and_inputs_that_single_precision_does_not_tell_apart() -> None:
    net = NetRegressor(max_epochs=1)
    ensemble = DeepEnsembleRegressor(net, n_estimators=2)
    for y in (SECONDS, 1e-40 * np.arange(50), 2**40 + np.arange(50)):
        for model in (net, ensemble):
            with pytest.warns(UserWarning, match="^y: the values differ by too little"):
                model.fit(X, y)
    with pytest.warns(UserWarning, match=r"^X\['time'\]: the values"):
        checked({"time": torch.as_tensor(SECONDS), "code": np.arange(50)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NetRegressor(max_epochs=40).fit(X, (SECONDS - 1.7e9) / 3600)
        check_inputs(net, {"time": SECONDS}, reset=False)  # of a prediction


# -- y and sample_weight --------------------------------------------------------------


@pytest.mark.parametrize("check", [check_labels, check_targets])
def test_targets_are_required_and_may_come_from_a_dataset(check: Any) -> None:
    net = NetClassifier()
    for rows in (X, {"X": X}):
        with pytest.raises(ValueError, match="NetClassifier requires y to be passed"):
            check(net, rows, None)
    for dataset in (TensorDataset(*map(torch.from_numpy, (X, CODES))), Opaque()):
        np.testing.assert_array_equal(check(net, dataset, None), CODES)
        with pytest.raises(ValueError, match="X has 50, y has 49"):
            check(net, dataset, CODES[:-1])
    with pytest.raises(ValueError, match="X has 50, y has 49"):
        check(net, X, CODES[:-1])
    with pytest.raises(TypeError, match="IterableDataset cannot be indexed"):
        check(net, Stream(), None)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(CODES == 0, np.nan, CODES), "NaN"),
        (np.c_[CODES, CODES], r"1d array.*MultiOutputClassifier"),
        (CODES + 1j, "Complex"),
        (["a", float("nan"), "b"], "1 of 3 labels; the first is that of row 1"),
        (["a", None, "b"], "1 of 3 labels; the first is that of row 1"),
        (
            np.array(["a", "b", None], dtype=object),
            "labels; the first is that of row 2",
        ),
        (pd.Series(["a", None, "b"], dtype="string"), "1 of 3 labels"),
        (pd.Series(["a", None, "b"], dtype="category"), "1 of 3 labels"),
        (np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"), "1 of 2 labels"),
        (np.ma.array(CODES, mask=CODES == 0), "of 50 rows of y hold masked values"),
    ],
)
def test_bad_labels(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_labels(NetClassifier(), X[: len(y)], y)


def test_labels_without_an_order_are_refused() -> None:
    mixed = np.array(["a", 1, "b"], dtype=object)
    with pytest.raises(TypeError, match=r"types \['int', 'str'\], which have no order"):
        check_labels(NetClassifier(), X[:3], mixed)
    strings = np.array([np.str_("a"), "b", "a"], dtype=object)
    assert check_labels(NetClassifier(), X[:3], strings).tolist() == ["a", "b", "a"]


def test_a_column_of_labels_is_taken_with_a_warning() -> None:
    with pytest.warns(DataConversionWarning):
        y = check_labels(NetClassifier(), X, CODES[:, None])
    np.testing.assert_array_equal(y, CODES)


@pytest.mark.parametrize(
    "make",
    [
        list,
        pd.Series,
        torch.from_numpy,
        lambda y: torch.tensor(y, dtype=torch.float64, requires_grad=True),
        lambda y: torch.tensor(y, dtype=torch.bfloat16),
        lambda y: y.astype(object),
        lambda y: y.astype(np.int8),
    ],
)
def test_targets_become_float32(make: Any) -> None:
    y = check_targets(NetRegressor(), X, make(CODES))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, CODES)
    columns = pd.DataFrame({"a": CODES, "b": -CODES})
    np.testing.assert_array_equal(check_targets(NetRegressor(), X, columns), columns)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(CODES == 0, np.nan, CODES), "NaN"),
        (np.where(CODES == 0, np.inf, CODES), "infinity"),
        (CODES * 1e300, "infinity"),
        (CODES[:, None, None], "dim 3"),
        (["a"] * 50, "numeric|convert"),
        (np.datetime64("2020-01-01") + np.arange(50), "dates or durations"),
        (pd.Series(pd.to_timedelta(range(50), unit="D")), "dates or durations"),
        (CODES * 1e-300, "at most 2e-300, which are zero in float32"),
        (np.c_[CODES, CODES * 1e-300], "zero in float32"),
        (np.ma.array(CODES, mask=CODES == 0), "of 50 rows of y hold masked values"),
    ],
)
def test_bad_targets(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_targets(NetRegressor(), X, y)


def test_small_targets_are_taken() -> None:
    y = np.where(CODES == 0, 1e-300, CODES)  # one of them is as good as zero
    assert check_targets(NetRegressor(), X, y).max() == 2
    assert not check_targets(NetRegressor(), X, np.zeros(50)).any()
    assert check_targets(NetRegressor(), X, CODES * 1e-40).any()


def test_masked_rows_are_refused() -> None:
    rows = np.ma.array(X, mask=X > 1)
    with pytest.raises(ValueError, match=r"of 50 rows of X hold masked values"):
        checked(rows)
    np.testing.assert_array_equal(checked(np.ma.array(X, mask=False)), X)


def test_a_tuple_of_rows_is_a_table() -> None:
    rows = tuple(map(tuple, X.tolist()))
    for net, y in ((NetClassifier, CODES), (NetRegressor, X[:, 0])):
        fitted = [
            net(max_epochs=1, batch_size=1, random_state=0).fit(given, y)
            for given in (rows, X)
        ]
        np.testing.assert_array_equal(*(model.predict(X) for model in fitted))


def test_weights_become_float32() -> None:
    for given in (range(50), torch.arange(50), np.arange(50.0)):
        weight = check_weights(given, CODES)
        assert weight.dtype == np.float32
        np.testing.assert_array_equal(weight, np.arange(50))
    np.testing.assert_array_equal(check_weights(2, CODES), np.full(50, 2))


@pytest.mark.parametrize("largest", [1e-270, 1e-20, 1.0, 1e20, 1e300])
def test_weights_keep_their_ratios(largest: float) -> None:
    shares = np.resize([1.0, 0.3, 1e-20, 1e-29, 1e-32, 0.0], 50)
    weight = check_weights(largest * shares, CODES)
    expected = np.where(shares > 1e-30, shares, 0)
    np.testing.assert_allclose(weight / weight.max(), expected, rtol=1e-6)
    assert 1e-13 < weight.max() < 1e13
    assert (weight == 0).sum() == (expected == 0).sum()


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.where(CODES == 0, -1.0, 1.0), "negative"),
        (np.zeros(50), "zero for every row"),
        (np.ones(49), "inconsistent"),
        (np.ones((50, 2)), "1D"),
        (np.full(50, np.nan), "NaN"),
        (np.full(50, np.inf), "infinity"),
        (np.ma.array(np.ones(50), mask=CODES == 0), "sample_weight hold masked"),
    ],
)
def test_bad_weights(weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_weights(weight, CODES)


GROUPS = CODES + 10


@pytest.mark.parametrize(
    "groups",
    [
        GROUPS,
        GROUPS.astype(str),
        pd.Series(GROUPS, index=range(50, 0, -1)),
        pd.Categorical(GROUPS),
        pd.to_datetime(GROUPS, unit="D"),
        torch.tensor(GROUPS),
        [(int(g), "a") for g in GROUPS],
        np.array([int(g) if g > 10 else "ten" for g in GROUPS], dtype=object),
    ],
    ids=lambda groups: type(groups).__name__,
)
def test_groups_of_every_type(groups: Any) -> None:
    codes = check_groups(groups, 50)
    np.testing.assert_array_equal(codes, pd.factorize(GROUPS)[0])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.where(GROUPS == 10, np.nan, GROUPS), r"missing .* the first is row"),
        (np.where(GROUPS == 10, None, GROUPS), "missing"),
        (pd.array(np.where(GROUPS == 10, None, GROUPS), dtype="Int64"), "missing"),
        (pd.Series(pd.NaT, index=range(50)), "in 50 of 50 rows"),
        (GROUPS[:-1], "49 entries for 50 rows"),
        (GROUPS[:, None], r"groups must have shape \(50,\), got \(50, 1\)"),
        (1, r"got \(\)"),
    ],
)
def test_bad_groups(groups: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_groups(groups, 50)


# -- classes --------------------------------------------------------------------------


def test_labels_are_encoded_by_sorted_classes() -> None:
    classes = check_classes(["c", "a", "b", "a"])
    assert classes.tolist() == ["a", "b", "c"]
    codes = encode(np.array(["c", "a", "c"], dtype=object), classes)
    assert codes.tolist() == [2, 0, 2]
    assert codes.dtype == np.int64
    with pytest.raises(ValueError, match=r"\['d'\] that are not among the classes"):
        encode(np.array(["d", "a"]), classes)
    with pytest.raises(ValueError, match=r"two classes, got \['a'\]"):
        check_classes(["a", "a"])


def test_balanced_class_weights_are_scikit_learns() -> None:
    codes = np.array([0, 0, 0, 2, 2, 1])
    classes = np.array([10, 20, 30])
    ours = class_weights("balanced", classes, codes)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=codes)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    # A class without rows does not count.
    present = codes[codes != 1]
    ours = class_weights("balanced", classes, present)
    theirs = compute_class_weight("balanced", classes=np.array([0, 2]), y=present)
    np.testing.assert_allclose(ours[[0, 2]], theirs, rtol=1e-6)


def test_balanced_class_weights_count_a_row_as_often_as_its_weight() -> None:
    codes, weight = np.array([0, 0, 0, 2, 2, 1]), np.array([2, 0, 1, 3, 0, 0])
    classes = np.array([10, 20, 30])
    ours = class_weights("balanced", classes, codes, weight)
    repeated = class_weights("balanced", classes, np.repeat(codes, weight))
    np.testing.assert_allclose(ours[[0, 2]], repeated[[0, 2]], rtol=1e-6)


def test_class_weights_of_a_dict() -> None:
    classes, codes = np.array(["a", "b", "c"]), np.array([0, 1, 2])
    assert class_weights({"b": 5}, classes, codes).tolist() == [1, 5, 1]
    assert class_weights(None, classes, codes) is None
    for bad, message in [
        ({"d": 1.0}, r"\['d'\] that are not among the classes"),
        ({"a": -1.0}, "not negative"),
        ({"a": np.inf}, "finite"),
        ("equal", "'balanced' or None, got 'equal'"),
        (3, "'balanced' or None, got 3"),
    ]:
        with pytest.raises(ValueError, match=message):
            class_weights(bad, classes, codes)


# -- device ---------------------------------------------------------------------------


def test_devices() -> None:
    check_device("cpu")
    for bad in ("gpu", 1.5):
        with pytest.raises(ValueError, match="device must be one that torch knows"):
            check_device(bad)


@pytest.mark.parametrize("kind", ["meta", "vulkan", "hpu"])
def test_devices_that_this_machine_lacks(kind: str) -> None:
    net = NetClassifier(device=kind)
    with pytest.raises(ValueError, match=f"device='{kind}' is not available: .*'cpu'"):
        net.fit(X, CODES)
    assert not hasattr(net, "module_")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the error is for lack of a GPU")
def test_a_missing_gpu_is_an_error() -> None:
    with pytest.raises(ValueError, match="no GPU"):
        NetClassifier(device="cuda").fit(X, CODES)
