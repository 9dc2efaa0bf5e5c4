from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    BaseEnsemble,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVR

from skal.learners import ActiveLearner
from skal.nets import NetClassifier, NetRegressor
from skal.reading.pool import Pool
from skal.reading.unwrapping import (
    accepts_nan,
    as_input,
    innermost,
    is_sklearn_own,
    rewrap,
    transform_inputs,
    unwrap,
)
from skal.strategies import (
    BADGE,
    Margin,
    Random,
    recommended_strategy,
    suitable_strategies,
)
from tests.learners.conftest import SPARSE, convert

INNER = SVR()
ROWS = np.random.default_rng(0).normal(size=(60, 3))
BINARY = (ROWS[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    "outer", [Ridge(), LogisticRegression(), ActiveLearner(Ridge())]
)
def test_without_wrappers_there_is_the_inner_one(outer):
    assert rewrap(outer, INNER) is INNER


def test_steps_and_their_names_are_kept():
    pipeline = Pipeline(
        [("a", StandardScaler(with_mean=False)), ("b", "passthrough"), ("c", Ridge())],
        memory="somewhere",
    )
    made = rewrap(ActiveLearner(pipeline), INNER)
    assert [name for name, _ in made.steps] == ["a", "b", "c"]
    assert made[0] is not pipeline[0]
    assert made[0].with_mean is False
    assert made["c"] is INNER
    assert made.memory == "somewhere"
    assert isinstance(pipeline["c"], Ridge)


class OtherPipeline(Pipeline):
    """A pipeline from elsewhere, as that of imbalanced-learn is."""


def test_a_pipeline_keeps_its_class_and_parameters():
    steps = [("scale", StandardScaler()), ("last", Ridge())]
    pipeline = OtherPipeline(steps, verbose=True, transform_input=["X_val"])
    made = rewrap(pipeline, INNER)
    assert type(made) is OtherPipeline
    assert made.get_params(deep=False) == {
        **pipeline.get_params(deep=False),
        "steps": [("scale", made[0]), ("last", INNER)],
    }


def test_target_transformers_are_kept():
    inner = make_pipeline(StandardScaler(), Ridge())
    target = TransformedTargetRegressor(inner, transformer=MinMaxScaler())
    made = rewrap(target, INNER)
    assert isinstance(made.transformer, MinMaxScaler)
    assert made.transformer is not target.transformer
    assert innermost(made.regressor) is INNER
    assert isinstance(made.regressor[0], StandardScaler)
    log = TransformedTargetRegressor(func=np.log1p, inverse_func=np.expm1)
    for default in (log, log.fit(np.arange(6.0)[:, None], np.arange(6.0))):
        made = rewrap(default, INNER)
        assert (made.func, made.regressor) == (np.log1p, INNER)


def test_copies_are_not_fitted():
    X = np.arange(6.0)[:, None]
    target = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge()), transformer=StandardScaler()
    ).fit(X, X[:, 0])
    made = rewrap(target, INNER)
    assert not hasattr(made, "regressor_")
    assert not hasattr(made.regressor[0], "scale_")


def test_a_search_is_replaced_by_its_best_estimator():
    X = np.arange(12.0)[:, None]
    pipeline = make_pipeline(StandardScaler(), Ridge())
    search = GridSearchCV(pipeline, {"standardscaler__with_std": [False]}, cv=2)
    assert rewrap(search, INNER)[0].with_std is True  # nothing found yet
    made = rewrap(search.fit(X, X[:, 0]), INNER)
    assert made[0].with_std is False
    assert made[-1] is INNER


# -- transformed inputs ---------------------------------------------------------------

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(60, 4)), np.arange(60) % 3


def scaled(estimator, **kwargs):
    return make_pipeline(StandardScaler(**kwargs), estimator)


@pytest.mark.parametrize(
    "estimator",
    [
        scaled(LogisticRegression()),
        GridSearchCV(scaled(LogisticRegression()), {}, cv=2),
        TransformedTargetRegressor(scaled(Ridge())),
        VotingClassifier(
            [("a", scaled(LogisticRegression())), ("b", LogisticRegression())]
        ),
    ],
)
def test_all_steps_but_the_last_transform(estimator):
    got = transform_inputs(estimator.fit(X, Y), torch.as_tensor(X))
    assert np.allclose(got, (X - X.mean(0)) / X.std(0))


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(LogisticRegression()),
        RandomForestClassifier(3),
    ],
)
def test_nothing_to_transform(estimator):
    assert transform_inputs(estimator.fit(X, Y), X) is X


def test_transformed_rows_of_members_stand_side_by_side():
    members = [
        ("a", scaled(LogisticRegression())),
        ("b", scaled(LogisticRegression(), with_std=False)),
    ]
    got = transform_inputs(VotingClassifier(members).fit(X, Y), X)
    centered = X - X.mean(0)
    assert np.allclose(got, np.hstack((centered / X.std(0), centered)))


def test_transformed_frames_become_arrays_and_sparse_rows_csr():
    scaler = StandardScaler().set_output(transform="pandas")
    frame = convert(X, "frame")
    pipeline = make_pipeline(scaler, LogisticRegression()).fit(frame, Y)
    assert isinstance(transform_inputs(pipeline, frame), np.ndarray)
    pipeline = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(Y[:, None], Y)
    assert sp.isspmatrix_csr(transform_inputs(pipeline, Y[:, None]))


def test_steps_that_act_in_fit_alone_are_skipped():
    class Sampler(BaseEstimator):
        def fit_resample(self, X, y):
            return X, y

    pipeline = Pipeline(
        [("a", StandardScaler().fit(X)), ("b", Sampler()), ("c", INNER)]
    )
    inner, transformers, _ = unwrap(pipeline)
    assert (inner, transformers) == (INNER, [pipeline[0]])


# -- how an estimator treats its rows -------------------------------------------------


class Recorder(BaseEstimator):
    """Has nothing of scikit-learn but its base class."""

    def fit(self, X, y):
        return self


class OwnBagging(BaggingRegressor):
    """A user's subclass of one of scikit-learn's ensembles."""


class OwnEnsemble(BaseEnsemble):
    """A user's ensemble, of scikit-learn's base class."""

    def __init__(self):
        super().__init__()


@pytest.mark.parametrize(
    ("estimator", "own"),
    [
        *((Ridge(), True), (OwnBagging(), True), (scaled(Recorder()), True)),
        *((Recorder(), False), (OwnEnsemble(), False), (NetRegressor(), False)),
    ],
)
def test_subclasses_of_sklearn_are_its_own(estimator, own):
    assert is_sklearn_own(estimator) is own
    rows = torch.ones(3, 2, requires_grad=True)
    got = as_input(rows, estimator)
    assert isinstance(got, np.ndarray if own else torch.Tensor)
    assert own or not got.requires_grad


@pytest.mark.parametrize(
    "kind", [f"{f}_{c}" for f in SPARSE for c in ("matrix", "array")]
)
def test_sparse_input_can_be_indexed(kind):
    got = as_input(convert(X, kind), Recorder())
    assert sp.isspmatrix(got)
    assert got.format in ("csr", "csc")
    assert np.array_equal(got.toarray(), X)


def test_input_is_copied_only_where_necessary():
    for rows in (X, X.tolist(), convert(X, "frame"), sp.csr_matrix(X)):
        assert as_input(rows, Ridge()) is rows
    got = as_input({"a": sp.coo_matrix(X), "b": X}, Recorder())
    assert got["a"].format == "csr"
    assert got["b"] is X
    assert as_input(torch.ones(2, device="meta"), Recorder()).is_meta


def _by_column(transformer):
    parts = ColumnTransformer([("some", transformer, [0])], remainder="passthrough")
    return make_pipeline(parts, Ridge())


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        (Ridge(), False),
        (HistGradientBoostingRegressor(), True),
        (BaggingRegressor(HistGradientBoostingRegressor()), True),
        (make_pipeline(SimpleImputer(), Ridge()), True),
        (make_pipeline(StandardScaler(), SimpleImputer(), Ridge()), True),
        (make_pipeline(StandardScaler(), Ridge()), False),
        (make_pipeline("passthrough", HistGradientBoostingRegressor()), True),
        (TransformedTargetRegressor(make_pipeline(SimpleImputer(), Ridge())), True),
        (TransformedTargetRegressor(Ridge()), False),
        (TransformedTargetRegressor(), False),
        (GridSearchCV(HistGradientBoostingRegressor(), {}), True),
        (NetRegressor(), False),
        (DummyRegressor(), True),
        (make_pipeline(FunctionTransformer(), DummyRegressor()), True),
        (make_pipeline(FunctionTransformer(), Ridge()), False),
        (_by_column(SimpleImputer()), True),
        (_by_column(make_pipeline(SimpleImputer(), StandardScaler())), True),
        (_by_column(FeatureUnion([("a", SimpleImputer())])), True),
        (_by_column(FeatureUnion([("a", SimpleImputer()), ("b", PCA())])), False),
        (_by_column(StandardScaler()), False),
    ],
)
def test_estimators_that_accept_missing_values(estimator, expected):
    assert accepts_nan(estimator) is expected
    assert accepts_nan(ActiveLearner(estimator)) is expected


def test_an_estimator_that_does_not_tell_whether_it_accepts_nan():
    assert not accepts_nan(object())
    assert accepts_nan(object(), unknown=True)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: FixedThresholdClassifier(model, threshold=0.3),
        lambda model: TunedThresholdClassifierCV(model, cv=3),
        lambda model: TunedThresholdClassifierCV(model, cv=3, refit=True),
        lambda model: FrozenEstimator(model.fit(ROWS, BINARY)),
        lambda model: FrozenEstimator(
            FixedThresholdClassifier(model).fit(ROWS, BINARY)
        ),
        SelfTrainingClassifier,
    ],
)
@pytest.mark.filterwarnings("ignore:y contains no unlabeled samples")
def test_wrappers_of_a_classifier_are_taken_off(wrap):
    pool = np.random.default_rng(3).normal(size=(50, 3))
    model = make_pipeline(StandardScaler(), LogisticRegression())
    learner = ActiveLearner(wrap(clone(model)), Margin(), ROWS, BINARY)
    (member,) = Pool(learner, pool).members
    assert isinstance(member.estimator, LogisticRegression)
    assert len(member.rows.transformers) == 1
    expected = Margin().score_samples(model.fit(ROWS, BINARY), pool)
    np.testing.assert_allclose(Margin().score_samples(learner, pool), expected)
    assert isinstance(innermost(wrap(clone(model))), LogisticRegression)


def test_a_net_behind_a_threshold_is_read():
    net = NetClassifier(max_epochs=2, random_state=0)
    tuned = TunedThresholdClassifierCV(net, cv=2).fit(ROWS, BINARY)
    found = BADGE(random_state=0).select(tuned, ROWS, 3).indices
    expected = BADGE(random_state=0).select(tuned.estimator_, ROWS, 3).indices
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "ask",
    [
        recommended_strategy,
        lambda learner: Random().select(learner, np.zeros((4, 2)), 2),
        lambda learner: Margin().select(learner, np.zeros((4, 2)), 2),
        lambda learner: suitable_strategies(learner, np.zeros((4, 2))),
    ],
)
def test_none_is_no_learner(ask):
    with pytest.raises(TypeError, match="There is no learner"):
        ask(None)
