"""Modules, transformers and estimators that write into what they are given.

`torch.nn.ReLU(inplace=True)` as the first layer writes into its input, as does
``StandardScaler(copy=False)``; a module that limits the norm of its weights writes into
them, in eval mode, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch import NeuralNetRegressor
from torch import Tensor, nn

from skal import ActiveLearner, CommitteeRegressor, NetRegressor
from skal.nets.ensembles import (
    DeepEnsembleRegressor,
    DiversityEncouragingEnsembleRegressor,
    SnapshotEnsembleRegressor,
    SplitHeadEnsembleRegressor,
)
from skal.posteriors import MCDropout, Members, Snapshots
from skal.reading.access import NetAccess
from skal.reading.gradients import per_row_gradients
from skal.rows import Rows, copied_rows
from skal.simulation import ActiveLearningSimulation, compare_strategies
from skal.strategies import BAIT, BALD, LCMD, GreedySampling, MaxDist, Random
from tests.models import cases, make_data, make_net, make_strategy

# In the type of the net, so that nothing copies them but what should.
X, Y = (array.astype(np.float32) for array in make_data("regression", 60))
POOL = make_data("regression", 80, seed=1)[0].astype(np.float32)
ENSEMBLES = [
    *(DeepEnsembleRegressor, DiversityEncouragingEnsembleRegressor),
    *(SnapshotEnsembleRegressor, SplitHeadEnsembleRegressor),
]
CASES = cases()


class Doubling(nn.Module):
    """Doubles its inputs, in place or not."""

    def __init__(self, n_outputs: int = 1, in_place: bool = True) -> None:
        super().__init__()
        self.in_place = in_place
        self.hidden, self.drop = nn.Linear(5, 8), nn.Dropout(0.2)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mul_(2) if self.in_place else x * 2
        return self.head(self.drop(self.hidden(x).relu()))


class Limiting(nn.Module):
    """Limits its weights, by two ways of which autograd learns nothing."""

    def __init__(self, n_outputs: int = 1) -> None:
        super().__init__()
        self.hidden, self.drop = nn.Linear(5, 8), nn.Dropout(0.2)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        self.hidden.weight.data.clamp_(-0.05, 0.05)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.norm())
        return self.head(self.drop(self.hidden(x).relu()))


def n_outputs(task: str) -> int:
    return 3 if task == "classification" else 1


def doubling(in_place: bool, **options: Any) -> Any:
    torch.manual_seed(0)
    return make_net("regression", module=Doubling(in_place=in_place), **options)


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("options", [{}, {"train_split": None}])
def test_fit_and_predict_leave_the_rows_of_the_user(kind, shuffle, options):
    options = {"iterator_train__shuffle": shuffle, **options}
    rows = kind(X)
    found = [
        doubling(in_place, **options).fit(rows, Y).predict(rows)
        for in_place in (True, False)
    ]
    np.testing.assert_array_equal(np.asarray(rows), X)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_members_of_ensembles_see_the_same_rows(ensemble):
    rows, found = X.copy(), []
    for in_place in (True, False):
        torch.manual_seed(0)
        net = NetRegressor(
            Doubling, module__in_place=in_place, max_epochs=4, batch_size=32
        )
        model = ensemble(net, n_estimators=2, random_state=0).fit(rows, Y)
        found.append(model.predict(rows))
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("cls", "task"), CASES, ids=[f"{cls.__name__}-{task}" for cls, task in CASES]
)
def test_strategies_read_what_the_module_was_given(cls, task):
    data, pool, found = (X.copy(), make_data(task, 60)[1]), POOL.copy(), []
    for in_place in (True, False):
        torch.manual_seed(0)
        module = Doubling(n_outputs(task), in_place)
        learner = ActiveLearner(
            make_net(task, strategy=cls, module=module), None, *data
        )
        # ViaProxy trains a net, whose weights torch draws from its global generator.
        torch.manual_seed(0)
        found.append(make_strategy(cls).select(learner, pool, 5))
        np.testing.assert_array_equal(pool, POOL)
        np.testing.assert_array_equal(learner.X_training, X)
    np.testing.assert_array_equal(found[0].indices, found[1].indices)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


@pytest.mark.parametrize(
    ("cls", "task"), CASES, ids=[f"{cls.__name__}-{task}" for cls, task in CASES]
)
def test_queries_leave_weights_that_the_module_limits(cls, task):
    module = Limiting(n_outputs(task))
    net = make_net(task, strategy=cls, module=module)
    learner = ActiveLearner(net, None, X, make_data(task, 60)[1])
    module = learner.estimator.module_
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(30)
    before = {name: t.clone() for name, t in module.state_dict().items()}
    make_strategy(cls).select(learner, POOL, 3)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_weights_kept_in_training_are_left():
    net = make_net("regression", module=Limiting())
    learner = ActiveLearner(net, None, X, Y)
    snapshots = dict(learner.estimator.callbacks_)["WeightSnapshots"]
    kept = {id(t): t for weights in snapshots.weights_ for t in weights.values()}
    for tensor in kept.values():
        tensor.mul_(30)
    before = {key: tensor.clone() for key, tensor in kept.items()}
    BALD(Snapshots()).select(learner, POOL, 3)
    for key, tensor in kept.items():
        torch.testing.assert_close(tensor, before[key], rtol=0, atol=0)


@pytest.mark.on_cpu
@pytest.mark.parametrize("module", [Doubling(), Limiting()], ids=["inputs", "weights"])
def test_gradients_are_those_of_autograd(module):
    net = make_net("regression", module=module).fit(X, Y)
    factors = per_row_gradients(NetAccess(net), Rows(POOL))
    found = sum(
        (f.inputs @ f.inputs.T).double() * (f.outputs @ f.outputs.T).double()
        for f in factors
    )
    module = net.module_.eval()
    rows = []
    for x in torch.as_tensor(POOL.copy()):
        module.zero_grad()
        module(x[None].clone()).sum().backward()
        rows.append(torch.cat([p.grad.flatten() for p in module.parameters()]))
    own = torch.stack(rows).double()
    torch.testing.assert_close(found, own @ own.T, rtol=1e-4, atol=1e-4)


def test_a_net_of_skorch_in_a_pipeline_leaves_the_pool():
    net = NeuralNetRegressor(Doubling(), max_epochs=2, verbose=0, train_split=None)
    learner = ActiveLearner(
        make_pipeline(FunctionTransformer(), net), None, X, Y.reshape(-1, 1)
    )
    pool = POOL.copy()
    for strategy in (LCMD(), BAIT(), BALD(MCDropout())):
        strategy.select(learner, pool, 3)
    np.testing.assert_array_equal(pool, POOL)


def test_each_pass_of_an_optimizer_sees_the_batch():
    found = []
    for in_place in (True, False):
        torch.manual_seed(0)
        net = NetRegressor(
            Doubling(in_place=in_place),
            optimizer=torch.optim.LBFGS,
            optimizer__max_iter=5,
            lr=0.1,
            max_epochs=2,
            random_state=0,
        )
        found.append(net.fit(X, Y).predict(X))
    np.testing.assert_array_equal(*found)


# -- transformers and estimators ------------------------------------------------------


class Scaling(TransformerMixin, BaseEstimator):
    """Multiplies the rows by ten, in place or not."""

    def __init__(self, in_place: bool = True) -> None:
        self.in_place = in_place

    def fit(self, X: Any, y: Any = None) -> Any:
        return self

    def transform(self, X: Any) -> Any:
        if self.in_place:
            X *= 10
            return X
        return X * 10

    inverse_transform = transform


class Halving(RegressorMixin, BaseEstimator):
    """Halves the rows before it predicts, in place or not."""

    def __init__(self, in_place: bool = True) -> None:
        self.in_place = in_place

    def fit(self, X: Any, y: Any) -> Any:
        X = X.__imul__(0.5) if self.in_place else X * 0.5
        self.model_ = RandomForestRegressor(8, random_state=0).fit(X, y)
        self.estimators_ = self.model_.estimators_
        return self

    def predict(self, X: Any) -> Any:
        X = X.__imul__(0.5) if self.in_place else X * 0.5
        return self.model_.predict(X)


@pytest.mark.parametrize(
    ("cls", "task"), CASES, ids=[f"{cls.__name__}-{task}" for cls, task in CASES]
)
def test_strategies_read_rows_that_a_transformer_writes_into(cls, task):
    y, found = make_data(task, 60)[1], []
    for in_place in (True, False):
        rows, pool = X.copy(), POOL.copy()
        model = make_pipeline(Scaling(in_place), make_net(task, strategy=cls))
        learner = ActiveLearner(model, None, rows, y)
        torch.manual_seed(0)
        found.append(make_strategy(cls).select(learner, pool, 5))
        np.testing.assert_array_equal(rows, X)
        np.testing.assert_array_equal(pool, POOL)
    np.testing.assert_array_equal(found[0].indices, found[1].indices)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


MODELS = {
    "pipeline": lambda w: make_pipeline(Scaling(w), RandomForestRegressor(8)),
    "estimator": Halving,
    "target": lambda w: TransformedTargetRegressor(
        RandomForestRegressor(8), transformer=Scaling(w), check_inverse=False
    ),
    "columns": lambda w: make_pipeline(
        ColumnTransformer([("all", Scaling(w), [0, 1, 2, 3, 4])]),
        RandomForestRegressor(8),
    ),
}
CONTAINERS = {"array": np.array, "frame": pd.DataFrame}


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("model", MODELS)
def test_a_campaign_sees_what_it_was_given(model, kind):
    contain, histories = CONTAINERS[kind], []
    for in_place in (True, False):
        rows, y, pool = contain(X.copy()), Y.copy(), contain(POOL.copy())
        made = MODELS[model](in_place)
        if "random_state" not in made.get_params():
            made.set_params(
                **{
                    key: 0
                    for key in made.get_params()
                    if key.endswith("__random_state")
                }
            )
        learner = ActiveLearner(made, GreedySampling(), rows, y)
        history = []
        for _ in range(3):
            picked, given = learner.query(pool, 3)
            history += [picked.tolist(), learner.predict(contain(POOL)).tolist()]
            history.append(learner.query_strategy.explain(learner, pool, 3))
            np.testing.assert_array_equal(pool, POOL)
            learner.teach(given, POOL[picked, 0])
            np.testing.assert_array_equal(np.asarray(learner.X_training)[:60], X)
            np.testing.assert_array_equal(np.asarray(learner.y_training)[:60], Y)
        histories.append(history)
    for one, other in zip(*histories, strict=True):
        if isinstance(one, list):
            assert one == other
        else:
            pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize("strategy", [BALD(Members()), GreedySampling(), LCMD()])
def test_members_of_a_committee_see_the_same_rows(strategy):
    found = []
    for in_place in (True, False):
        pool = POOL.copy()
        members = [
            ActiveLearner(
                make_pipeline(Scaling(in_place), Ridge(alpha=alpha)),
                None,
                X.copy()[alpha:],
                Y[alpha:],
            )
            for alpha in (1, 20)
        ]
        committee = CommitteeRegressor(members, clone(strategy))
        found.append(committee.query(pool, 4)[0].tolist())
        found[-1] += [committee.predict(pool).tolist(), committee.vote(pool).tolist()]
        np.testing.assert_array_equal(pool, POOL)
    assert found[0] == found[1]


def test_scores_of_each_step_are_of_the_same_rows():
    results = []
    for in_place in (True, False):
        rows = X.copy()
        model = make_pipeline(Scaling(in_place), Ridge())
        options = {"n_instances": 2, "n_queries": 3, "random_state": 0}
        table = compare_strategies(
            model, {"Random": Random()}, rows, Y, cv=2, **options
        ).data
        curve = ActiveLearningSimulation(model, Random(), keep="all", **options)
        curve = curve.fit(rows, Y).learning_curve(rows, Y)
        np.testing.assert_array_equal(rows, X)
        results.append((table.drop(columns=["query_time", "fit_time"]), curve))
    pd.testing.assert_frame_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_before_the_first_label_the_pool_is_left():
    pool = POOL.astype(np.float64)
    learner = ActiveLearner(make_pipeline(StandardScaler(copy=False), Ridge()))
    picked = MaxDist(random_state=0).select(learner, pool, 4).indices
    np.testing.assert_array_equal(pool, POOL.astype(np.float64))
    other = ActiveLearner(make_pipeline(StandardScaler(), Ridge()))
    own = MaxDist(random_state=0).select(other, pool, 4).indices
    np.testing.assert_array_equal(picked, own)


@pytest.mark.parametrize(
    "rows",
    [
        POOL.copy(),
        torch.as_tensor(POOL.copy()),
        pd.DataFrame(POOL),
        sparse.csr_matrix(POOL),
        {"x": POOL.copy()},
        list(POOL.copy()),
        tuple(POOL.copy()),
    ],
    ids=lambda rows: type(rows).__name__,
)
def test_copied_rows_share_nothing(rows):
    copied = copied_rows(rows)
    assert type(copied) is type(rows)
    for part, own in zip(parts(rows), parts(copied), strict=True):
        assert not np.shares_memory(part, own)
        np.testing.assert_array_equal(part, own)


def test_tuples_with_names_are_not_copied():
    class Pair(NamedTuple):
        first: np.ndarray
        second: np.ndarray

    rows = Pair(X, Y)
    assert copied_rows(rows) is rows


def parts(rows: Any) -> list[np.ndarray]:
    if isinstance(rows, dict):
        return list(rows.values())
    if sparse.issparse(rows):
        return [rows.data]
    return (
        [*map(np.asarray, rows)]
        if isinstance(rows, list | tuple)
        else [np.asarray(rows)]
    )
