"""A loaded learner is the saved one, bit for bit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import BisectingKMeans, FeatureAgglomeration
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import Bunch
from skorch import NeuralNetRegressor
from skorch.callbacks import EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn

import skal
from skal.learners import (
    ActiveLearner,
    BayesianOptimizer,
    Committee,
    CommitteeRegressor,
)
from skal.nets import (
    DeepEnsembleClassifier,
    DeepEnsembleRegressor,
    LossPredictionRegressor,
    NetClassifier,
    NetRegressor,
    SplitHeadEnsembleRegressor,
)
from skal.strategies import BADGE, BALD, LCMD, LossPrediction, Mixture
from skal.tabular import make_tabular_classifier, make_tabular_regressor
from tests.models import make_data, make_net

pytest.importorskip("safetensors", reason="needs the extra `save`")

RoundTrip = Callable[[Any], Any]
OPTIONS: dict[str, Any] = {
    "max_epochs": 3,
    "random_state": 0,
    "module__hidden_sizes": (8,),
}
CHECKED = {
    "train_split": ValidSplit(5),
    "callbacks": [EarlyStopping(patience=2), LRScheduler(), EpochScoring("r2")],
}
NET, CLASS_NET = NetRegressor(**OPTIONS), NetClassifier(**OPTIONS)
KERNEL = RBF() + WhiteKernel()
SPARSE = "csc", "bsr", "coo", "dia"

REGRESSORS = {
    "net": (NetRegressor(**OPTIONS), LCMD(random_state=1)),
    "dropout": (make_net("regression"), BALD(random_state=1)),
    "callbacks": (NetRegressor(**OPTIONS, **CHECKED), None),
    "deep": (
        DeepEnsembleRegressor(NetRegressor(**OPTIONS), 2, random_state=0),
        LCMD(random_state=1),
    ),
    "split": (
        SplitHeadEnsembleRegressor(NetRegressor(**OPTIONS), 2, random_state=0),
        None,
    ),
    "loss": (LossPredictionRegressor(**OPTIONS), LossPrediction()),
    "pipeline": (make_pipeline(StandardScaler(), NetRegressor(**OPTIONS)), None),
    "target": (
        TransformedTargetRegressor(Ridge(), func=np.arcsinh, inverse_func=np.sinh),
        Mixture(random_state=1),
    ),
    "forest": (RandomForestRegressor(3, random_state=0), None),
    "boosting": (GradientBoostingRegressor(n_estimators=3, random_state=0), None),
    "process": (GaussianProcessRegressor(KERNEL, optimizer=None), None),
    "search": (GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2), None),
    "splines": (make_pipeline(SplineTransformer(), Ridge()), None),
    "linear splines": (
        make_pipeline(
            SplineTransformer(3, extrapolation="linear", knots="quantile"), Ridge()
        ),
        None,
    ),
    "merged": (make_pipeline(FeatureAgglomeration(2), Ridge()), None),
    "merged by max": (
        make_pipeline(FeatureAgglomeration(2, pooling_func=np.max), Ridge()),
        None,
    ),
    "lloyd": (make_pipeline(BisectingKMeans(3, random_state=0), Ridge()), None),
    "elkan": (
        make_pipeline(BisectingKMeans(3, algorithm="elkan", random_state=0), Ridge()),
        None,
    ),
}
CLASSIFIERS = {
    "net": (NetClassifier(**OPTIONS, class_weight="balanced"), BADGE(random_state=1)),
    "deep": (
        DeepEnsembleClassifier(NetClassifier(**OPTIONS), 2, random_state=0),
        BALD(),
    ),
    "forest": (RandomForestClassifier(3, random_state=0), None),
    "boosting": (HistGradientBoostingClassifier(max_iter=3), None),
    "svc": (SVC(), None),
    "calibrated": (CalibratedClassifierCV(LinearSVC(), cv=2), None),
    "selected": (
        make_pipeline(SelectKBest(f_classif, k=2), LogisticRegression()),
        None,
    ),
}


@pytest.fixture
def round_trip(tmp_path: Path) -> RoundTrip:
    """Save and load; the loaded learner is saved as the same bytes."""

    def through(learner: Any, **options: Any) -> Any:
        paths = tmp_path / "first.skal", tmp_path / "again.skal"
        skal.save(learner, paths[0])
        loaded = skal.load(paths[0], **options)
        skal.save(loaded, paths[1])
        assert paths[0].read_bytes() == paths[1].read_bytes()
        return loaded

    return through


@pytest.mark.parametrize("name", [*REGRESSORS, *(f"{n} class" for n in CLASSIFIERS)])
def test_predictions_picks_and_the_next_fit(round_trip: RoundTrip, name: str) -> None:
    classifies = name.endswith("class")
    cases: dict[str, Any] = CLASSIFIERS if classifies else REGRESSORS
    estimator, strategy = cases[name.removesuffix(" class")]
    X, y = make_data("classification" if classifies else "regression")
    learner = ActiveLearner(clone(estimator), strategy, X[:30], y[:30], random_state=0)
    loaded = round_trip(learner)
    assert type(loaded) is ActiveLearner
    np.testing.assert_array_equal(loaded.X_training, X[:30])
    np.testing.assert_array_equal(loaded.predict(X), learner.predict(X))
    picks = [part.query(X, n_instances=5)[0] for part in (learner, loaded)]
    np.testing.assert_array_equal(*picks)
    for part in (learner, loaded):
        part.teach(X[30:34], y[30:34])
    if classifies:
        np.testing.assert_array_equal(loaded.predict(X), learner.predict(X))
    else:  # a fit rounds otherwise where memory is aligned otherwise
        np.testing.assert_allclose(
            loaded.predict(X), learner.predict(X), rtol=1e-3, atol=1e-5
        )


def test_training_continues_from_the_state_of_the_optimizer(
    round_trip: RoundTrip,
) -> None:
    X, y = make_data("regression")
    net = NetRegressor(**OPTIONS, warm_start=True, optimizer=torch.optim.Adam).fit(X, y)
    loaded = round_trip(net)
    assert loaded.optimizer_.state_dict()["state"][0]["step"] > 0
    np.testing.assert_array_equal(loaded.fit(X, y).predict(X), net.fit(X, y).predict(X))
    assert len(loaded.history_) == len(net.history_) == 6


def test_a_net_of_skorch_itself(round_trip: RoundTrip) -> None:
    X, y = (part.astype(np.float32) for part in make_data("regression"))
    net = NeuralNetRegressor(
        nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 1)),
        max_epochs=2,
        train_split=None,
        verbose=0,
    )
    net.fit(X, y[:, None])
    np.testing.assert_array_equal(round_trip(net).predict(X), net.predict(X))


def test_a_learner_that_is_not_fitted(round_trip: RoundTrip) -> None:
    loaded = round_trip(ActiveLearner(NetRegressor(lr="auto", **OPTIONS), LCMD()))
    assert loaded.X_training is None
    assert loaded.estimator.module__hidden_sizes == (8,)


def test_members_of_a_committee_share_their_rows(round_trip: RoundTrip) -> None:
    X, y = make_data("classification")
    estimators = LogisticRegression(), NetClassifier(**OPTIONS)
    committee = Committee([ActiveLearner(e) for e in estimators]).fit(X[:30], y[:30])
    loaded = round_trip(committee)
    first, second = loaded.learner_list
    assert first.X_training is second.X_training is loaded.X_training
    np.testing.assert_array_equal(loaded.vote_proba(X), committee.vote_proba(X))
    assert loaded.query_strategy is committee.query_strategy

    X, y = make_data("regression")
    regressors = CommitteeRegressor([ActiveLearner(Ridge()), ActiveLearner(Ridge(9))])
    loaded = round_trip(regressors.fit(X, y))
    np.testing.assert_array_equal(loaded.query(X)[0], regressors.query(X)[0])


def test_bayesian_optimizer_keeps_its_best(round_trip: RoundTrip) -> None:
    X, y = make_data("regression")
    process = GaussianProcessRegressor(KERNEL, optimizer=None)
    optimizer = BayesianOptimizer(process, X_training=X, y_training=y)
    loaded = round_trip(optimizer)
    assert loaded.get_max()[1] == optimizer.get_max()[1]


def _frame() -> pd.DataFrame:
    X, _ = make_data("regression")
    frame = pd.DataFrame(X[:, :2], columns=["a", "größe"])
    frame["kind"] = pd.Categorical(
        np.where(X[:, 0] > 0, "u", "v"), categories=["v", "u", "w"], ordered=True
    )
    frame["text"] = np.where(X[:, 1] > 0, "x", None)
    frame["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(range(60), unit="D")
    frame.loc[frame.index[3], "a"] = np.nan
    frame.index = pd.Index([f"r{k}" for k in range(60)], name="sample")
    return frame


def test_dataframe_with_categories(round_trip: RoundTrip) -> None:
    _, y = make_data("regression")
    frame = _frame().drop(columns=["day", "text"]).fillna({"a": 0.0})
    encoder = make_column_transformer(
        (OneHotEncoder(), ["kind"]), remainder=StandardScaler()
    )
    learner = ActiveLearner(
        make_pipeline(encoder, NetRegressor(**OPTIONS)),
        LCMD(random_state=0),
        frame[:30],
        pd.Series(y[:30], index=frame.index[:30], name="target"),
    )
    loaded = round_trip(learner)
    pd.testing.assert_frame_equal(loaded.X_training, frame[:30])
    pd.testing.assert_series_equal(loaded.y_training, learner.y_training)
    np.testing.assert_array_equal(loaded.predict(frame), learner.predict(frame))
    np.testing.assert_array_equal(loaded.query(frame)[0], learner.query(frame)[0])


def test_ready_made_regressor_for_tables(round_trip: RoundTrip) -> None:
    _, y = make_data("regression")
    frame = _frame()
    net = NetRegressor(**OPTIONS)
    learner = ActiveLearner(
        make_tabular_regressor(net), X_training=frame[:30], y_training=y[:30]
    )
    loaded = round_trip(learner)
    np.testing.assert_array_equal(loaded.predict(frame), learner.predict(frame))


def _polars_frame() -> pl.DataFrame:
    frame = pl.DataFrame(
        {"a": [1, 2], "k": ["x", None], "e": ["u", "v"]},
        schema_overrides={"a": pl.UInt8, "e": pl.Enum(["v", "u"])},
    )
    # Old versions of polars read an Enum as Categorical: saving refuses it.
    keeps = pl.DataFrame(frame.to_arrow()).schema == frame.schema
    return frame if keeps else frame.drop("e")


def _objects(*values: Any, dtype: Any = object) -> pd.Series:
    return pd.Series([*values], dtype=dtype)


def _categories(values: Any, labels: Any, dtype: Any = object) -> pd.Series:
    kind = pd.CategoricalDtype(pd.Index(labels, dtype=dtype), ordered=True)
    return pd.Series(pd.Categorical(values, dtype=kind))


def _labels(*values: Any, dtype: Any = object, name: Any = "id") -> pd.Index:
    return pd.Index([*values], dtype=dtype, name=name)


def _typed() -> dict[str, Any]:
    """Tables and columns of texts and objects, which Parquet reads as other types."""
    nan, n_rows = float("nan"), {"n": [1.0, 2.0, 3.0]}
    texts = _labels("b", "a", "c")
    with_none = _labels("b", None, "c")
    return {
        "texts": _objects("a", "b", "nan", ""),
        "a text is None": _objects("a", None, "c"),
        "a text is NaN": _objects("a", nan, "c"),
        "texts of every kind of missing": _objects("a", nan, None, pd.NA, pd.NaT, nan),
        "all None": _objects(None, None),
        "all NaN": _objects(nan, nan),
        "all missing": _objects(None, nan, pd.NA),
        "no rows": _objects(),
        "int": _objects(1, 2**62 + 1),
        "float": _objects(-0.0, None, nan),
        "bool": _objects(True, None, nan),
        "bytes": _objects(b"a", None),
        "string": _objects("a", None, dtype="string"),
        "string[python]": _objects("a", None, dtype="string[python]"),
        "string[pyarrow]": _objects("a", None, dtype="string[pyarrow]"),
        "str": _objects("a", "b", dtype="str"),
        "of arrow": _objects("a", None, dtype=pd.ArrowDtype(pa.string())),
        "large, of arrow": _objects("a", None, dtype=pd.ArrowDtype(pa.large_string())),
        "categories": _categories(["a", "b", None], ["b", "a", "z"]),
        "string categories": _categories(["a", None], ["b", "a"], "string[python]"),
        "int categories": _categories([1, 2, None], [2, 1]),
        "missing categories": _categories([None, None], ["a"]),
        "no categories": _categories([None, None], []),
        "index": pd.DataFrame(n_rows, index=texts),
        "index with None": pd.DataFrame(n_rows, index=with_none),
        "int index": pd.DataFrame(n_rows, index=_labels(1, 2, 3)),
        "string index": pd.DataFrame(
            n_rows, index=_labels(*"abc", dtype="string[python]")
        ),
        "category index": pd.DataFrame(
            n_rows,
            index=pd.CategoricalIndex(_categories([*"aba"], ["b", "a"]), name="id"),
        ),
        "levels of an index": pd.DataFrame(
            n_rows,
            # Older versions of pyarrow cannot read two levels of one name.
            index=pd.MultiIndex.from_arrays(
                [texts, [1, 2, 3], with_none], names=["id", "number", "gaps"]
            ),
        ),
        "columns": pd.DataFrame(np.zeros((2, 3)), columns=texts),
        "mixed columns": pd.DataFrame(np.zeros((2, 2)), columns=_labels("a", 1)),
        "int32 columns": pd.DataFrame(
            np.zeros((2, 2)), columns=_labels(2, 1, dtype="int32")
        ),
        "string columns": pd.DataFrame(
            np.zeros((2, 2)), columns=_labels("a", "b", dtype="string[python]")
        ),
        "category columns": pd.DataFrame(
            np.zeros((2, 2)), columns=pd.CategoricalIndex(["a", "b"])
        ),
        "index alone": with_none,
        "category index alone": pd.CategoricalIndex(_categories(["a"], ["b", "a"])),
        "index of a series": pd.Series([1, 2, 3], index=texts, name="y"),
    }


class Pair(NamedTuple):
    """Two fields."""

    a: int
    b: str


def _rows() -> dict[str, Any]:
    X, _ = make_data("regression")
    frame = _frame()
    ids = pd.Index([3, 1, 2], name="id")
    return {
        "float32": X.astype(np.float32),
        "fortran": np.asfortranarray(X),
        "texts": np.array(["a", "größe"]),
        "dates": np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
        "objects": np.array([["a", 1], [None, 2.5]], dtype=object),
        "frame": frame,
        "numbered columns": pd.DataFrame(X),
        "series": frame["kind"],
        "nullable": pd.DataFrame({"n": pd.array([1, None, 3], "Int64")}, index=ids),
        "zones": pd.DataFrame({"t": pd.date_range("2020", periods=3, tz="Asia/Tokyo")}),
        "times": [pd.Timestamp("2020-01-01", tz="Asia/Tokyo"), pd.NaT, pd.Timedelta(3)],
        "polars": _polars_frame(),
        "arrow": pa.table({"a": [1, 2], "k": ["x", None]}),
        "series of polars": pl.Series("a", [1, None], dtype=pl.Int16),
        "index": pd.Index(["b", "a"], name="id"),
        "index without a name": pd.Index(["b", "a"]),
        "days": pd.DatetimeIndex(["2020-01-01", "NaT"], name="day"),
        "masked": np.ma.MaskedArray(X[:2], X[:2] > 0, fill_value=-7.0),
        "fields": np.array([(1, 2.5)], dtype=[("a", "i1"), ("b", "f8")]),
        "csr": sparse.csr_array(X),
        "lil": sparse.lil_matrix(X),
        **{kind: sparse.csr_array(X).asformat(kind) for kind in SPARSE},
        "tensor": torch.arange(6.0, dtype=torch.bfloat16).reshape(2, 3),
        "gradient": torch.arange(3.0, requires_grad=True),
        "parameter": nn.Parameter(torch.arange(3.0), requires_grad=False),
        # Two tensors at the same place, if places are joined by points.
        "places": {"a": {"b": torch.zeros(1)}, "a.b": torch.ones(1)},
        "dict": {"wide": X, "deep": torch.arange(60)},
        "list": [1, 2.5, float("inf"), None, "x", True, 10**30],
        "tuple": (np.float32(0.1), np.int64(3), np.True_, slice(1, None), {3, 1}),
        "scalars": [np.datetime64("2020-01-01T12", "h"), np.timedelta64(3), pd.NA],
        "types": [np.dtype(">i2"), torch.float16, torch.device("cpu"), torch.Size([2])],
        "keys": {1: "a", (2, None): OrderedDict(b=[3]), "c": Bunch(d=4)},
        "others": [range(1, 9, 2), slice(None, 3, -1), b"\x00\xff", Pair(1, "b")],
        "frozen": [frozenset({"b"}), 1e300, -0.0, 1 + 2j, float("nan")],
    }


def _assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            _assert_same(one[name], other[name])
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=False)
    elif isinstance(one, pd.Index):
        pd.testing.assert_index_equal(one, other, exact=True)
    elif isinstance(one, np.ma.MaskedArray):
        assert one.fill_value == other.fill_value
        for part, its in ((one.data, other.data), (one.mask, other.mask)):
            _assert_same(part, its)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=True)
    elif sparse.issparse(one):
        assert one.format == other.format
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one.toarray(), other.toarray())
    elif isinstance(one, torch.Tensor):
        assert (one.dtype, one.requires_grad) == (other.dtype, other.requires_grad)
        assert torch.equal(one, other)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.strides) == (other.dtype, other.strides)
        assert one.tolist() == other.tolist()
    elif isinstance(one, pl.DataFrame | pl.Series | pa.Table):
        assert one.equals(other)
    elif isinstance(one, list | tuple):
        assert [*map(repr, one)] == [*map(repr, other)]
    else:
        assert one == other


@pytest.mark.parametrize("name", _rows())
def test_rows_of_every_kind(round_trip: RoundTrip, name: str) -> None:
    learner = ActiveLearner(Ridge())
    learner.X_training = _rows()[name]
    loaded = round_trip(learner, module=Pair)
    _assert_same(loaded.X_training, learner.X_training)


@pytest.mark.parametrize("name", _typed())
def test_types_that_parquet_reads_as_others(round_trip: RoundTrip, name: str) -> None:
    learner = ActiveLearner(Ridge())
    learner.X_training, learner.y_training = _typed()[name], _objects("u", None)
    loaded = round_trip(learner)
    _assert_same(loaded.X_training, learner.X_training)
    _assert_same(loaded.y_training, learner.y_training)
    for one, other in zip(
        *map(_cells, (loaded.X_training, learner.X_training)), strict=True
    ):
        assert _kind(one.dtype) == _kind(other.dtype)
        assert [*map(type, one)] == [*map(type, other)]


def _cells(table: Any) -> list[Any]:
    """List columns, index levels and names of columns."""
    if isinstance(table, pd.Index):
        return [table]
    frame = table.to_frame(0) if isinstance(table, pd.Series) else table
    columns = [frame.iloc[:, k] for k in range(frame.shape[1])]
    levels = [frame.index.get_level_values(k) for k in range(frame.index.nlevels)]
    return [*columns, *levels, frame.columns]


def _kind(dtype: Any) -> Any:
    if isinstance(dtype, pd.CategoricalDtype):
        return _kind(dtype.categories.dtype), [*dtype.categories], dtype.ordered
    if isinstance(dtype, pd.StringDtype):
        return dtype.storage, repr(dtype.na_value)
    return dtype


def test_a_table_of_objects(round_trip: RoundTrip) -> None:
    frame = _frame().astype({"text": object})
    y = pd.Series(["dear", "cheap"] * 30, index=frame.index, dtype=object)
    learner = ActiveLearner(
        make_tabular_classifier(LogisticRegression()), None, frame[:30], y[:30]
    )
    loaded = round_trip(learner)
    pd.testing.assert_frame_equal(loaded.X_training, frame[:30])
    pd.testing.assert_series_equal(loaded.y_training, y[:30])
    np.testing.assert_array_equal(loaded.predict(frame), learner.predict(frame))
    loaded.teach(frame[30:], y[30:])
    pd.testing.assert_frame_equal(loaded.X_training, frame)


def test_an_object_that_contains_itself(round_trip: RoundTrip) -> None:
    part: list[Any] = [1]
    part.append({"whole": part})
    loaded = round_trip(ActiveLearner(Ridge(), query_strategy=part)).query_strategy
    assert loaded[0] == 1
    assert loaded[1]["whole"] is loaded


class Slotted:
    """Its attributes are in a slot and in a dict."""

    __slots__ = ("__dict__", "one")


def test_attributes_in_slots(round_trip: RoundTrip) -> None:
    part = Slotted()
    part.one, part.other = 3, 4
    learner = ActiveLearner(Ridge(), query_strategy=part)
    loaded = round_trip(learner, module=[Pair, Slotted]).query_strategy
    assert (loaded.one, loaded.other) == (3, 4)


@pytest.mark.parametrize(
    "generator",
    [
        np.random.RandomState(3),
        *(
            np.random.Generator(bits(3))
            for bits in (
                *(np.random.PCG64, np.random.MT19937, np.random.PCG64DXSM),
                *(np.random.Philox, np.random.SFC64),
            )
        ),
        torch.Generator().manual_seed(3),
    ],
)
def test_random_generators_go_on(round_trip: RoundTrip, generator: Any) -> None:
    loaded = round_trip(ActiveLearner(Ridge(), random_state=generator)).random_state
    if isinstance(generator, torch.Generator):
        assert torch.rand(3, generator=loaded).equal(torch.rand(3, generator=generator))
    else:
        assert loaded.normal() == generator.normal()
