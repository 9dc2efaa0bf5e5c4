"""Behavior that every public query strategy shares.

The strategies are found by `all_strategies`.  What the base class does alike for all of
them is tested once, in tests/strategies/test_base.py.
"""

from __future__ import annotations

import copy
import inspect
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from torch import nn

import skal
from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import all_strategies
from skal.strategies.space import ReadsSpace
from tests.models import (
    N_FEATURES,
    READERS,
    cases,
    make_data,
    make_net,
    make_strategy,
    net_class,
    with_labeled,
)

CASES = [pytest.param(*case, id=f"{case[0].__name__}-{case[1]}") for case in cases()]
every_case = pytest.mark.parametrize(("cls", "task"), CASES)
every_strategy = pytest.mark.parametrize(
    "cls", all_strategies(), ids=lambda cls: cls.__name__
)
#: Strategies that do not look at the net that the learner has.
BLIND = {"Random", "VAAL", "ViaProxy"}


def cases_where(kind: Callable[[str, str], bool]) -> Any:
    """Parametrize over the cases of a kind, by name of the strategy and task."""
    kept = [c for c in CASES if kind(c.values[0].__name__, c.values[1])]
    return pytest.mark.parametrize(("cls", "task"), kept)


@pytest.fixture(scope="module")
def nets(device: str) -> dict[Any, Any]:
    """Fitted nets by their class."""
    kinds = {net_class(task, cls): (cls, task) for cls, task in cases()}
    return {
        kind: make_net(task, device, cls).fit(*make_data(task))
        for kind, (cls, task) in kinds.items()
    }


@pytest.fixture
def net(cls: Any, task: str, nets: dict[Any, Any]) -> Any:
    """A fitted net of the kind that the strategy is for."""
    return nets[net_class(task, cls)]


@pytest.fixture
def learner(task: str, net: Any) -> ActiveLearner:
    """A learner with labeled rows around a copy of the fitted net."""
    return with_labeled(copy.deepcopy(net), *make_data(task))


def asked(cls: Any, estimator: Any, X: Any, y: Any) -> Any:
    """The estimator itself, or in a learner where a strategy needs labeled rows."""
    return with_labeled(estimator, X, y) if cls._requires_labeled else estimator


def make_pool(kind: str, m: int = 50) -> np.ndarray:
    X = make_data("regression", m, seed=1)[0]
    if kind == "tied":
        return np.round(X)
    if kind == "duplicated":
        return X[np.arange(m) % 5]
    if kind == "constant":
        return np.ones_like(X)
    return X


# -- picks --------------------------------------------------------------------------


@every_case
def test_picks_are_distinct_whatever_the_rows(cls, task, learner):
    strategy = make_strategy(cls, task)
    for kind, n in [
        ("continuous", 50),
        ("duplicated", 50),
        ("tied", 3),
        ("constant", 2),
    ]:
        selection = strategy.select(learner, make_pool(kind), n)
        assert len(set(selection.indices.tolist())) == n, kind
        assert not np.isnan(selection.scores).any(), kind


#: Parameters by which a strategy looks at the same rows, and by the same measure,
#: whatever the size of the batch: by default this depends on it, as in their papers.
SAME_VIEW: dict[str, dict[str, Any]] = {
    "ClusterMargin": {"factor": 50, "n_clusters": 5},
    "Prefilter": {"factor": 50},
    "SuggestiveAnnotation": {"factor": 50},
    "TESSAR": {"rank": 5},
    "TypiClust": {"n_clusters": 5},
}


# DiverseMiniBatch makes as many clusters as rows are picked.
@cases_where(lambda name, _: name != "DiverseMiniBatch")
def test_first_pick_does_not_depend_on_how_many(cls, task, learner):
    strategy = make_strategy(cls, task, **SAME_VIEW.get(cls.__name__, {}))
    X = make_pool("continuous")
    first = [strategy.select(learner, X, n).indices[0] for n in (1, 2, 5)]
    assert len(set(first)) == 1


@cases_where(lambda name, _: True)
def test_the_place_in_the_pool_does_not_matter(cls, task, learner):
    """Equal scores do not go in pool order: picks are in the middle, on average."""
    X = make_pool("continuous", 60)
    quick = {"max_epochs": 1} if cls.__name__ in ("VAAL", "MAL") else {}
    rng = np.random.default_rng(0)
    places = []
    for seed in range(20):
        strategy = make_strategy(cls, task, **quick)
        if "random_state" in strategy.get_params(deep=False):
            strategy.set_params(random_state=seed)
        picked = strategy.select(learner, X[rng.permutation(60)], 6).indices
        places.extend(picked / 59)
    # Four standard deviations of the mean of 120 uniform places.
    assert abs(np.mean(places) - 0.5) < 4 * 0.29 / 120**0.5


# -- scikit-learn object ------------------------------------------------------------


@every_strategy
def test_is_a_scikit_learn_object(cls):
    strategy = make_strategy(cls)
    assert isinstance(strategy, BaseEstimator)
    for name, parameter in inspect.signature(cls).parameters.items():
        assert parameter.default is not inspect.Parameter.empty, name
        marker = object()
        assert getattr(cls(**{name: marker}), name) is marker  # stored, not touched
    copied = clone(strategy)
    assert copied is not strategy
    assert copied.get_params().keys() == strategy.get_params().keys()
    assert cls.__name__ in repr(strategy)
    strategy.set_params(**strategy.get_params())
    with pytest.raises(ValueError, match="Invalid parameter"):
        strategy.set_params(no_such_parameter=1)
    assert vars(strategy).keys() == strategy.get_params(deep=False).keys()


@every_case
def test_pickle_and_clone_pick_the_same(cls, task, learner):
    strategy, X = make_strategy(cls, task), make_pool("continuous")
    expected = strategy.select(learner, X, 4).indices
    for other in (pickle.loads(pickle.dumps(strategy)), clone(strategy), strategy):
        np.testing.assert_array_equal(other.select(learner, X, 4).indices, expected)


@every_strategy
def test_docstring_has_the_parts_of_a_reference_page(cls):
    doc = inspect.getdoc(cls)
    assert ">>> " in doc, "an example that runs"
    assert "Notes\n-----" in doc, "formula and cost"
    for name in inspect.signature(cls).parameters:
        assert name in doc


# -- nothing is changed -------------------------------------------------------------


def snapshot(net: Any) -> dict[str, Any]:
    module = net.module_
    return {
        "state": {k: v.clone() for k, v in module.state_dict().items()},
        "modes": [m.training for m in module.modules()],
        "grads": [p.grad is None for p in module.parameters()],
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "hooks": [len(m._forward_pre_hooks) for m in module.modules()],
        "optimizer": repr(net.optimizer_.state_dict()),
        "history": len(net.history),
        "params": repr(net.get_params(deep=False)),
    }


def numpy_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002


@every_case
def test_query_changes_neither_net_nor_learner_nor_generators(cls, task, device):
    module = nn.Sequential(
        nn.Linear(N_FEATURES, 8),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(8, 3 if task == "classification" else 1),
    )
    X, y = make_data(task)
    net = make_net(task, device, cls, module=module)
    learner = ActiveLearner(net, X_training=X, y_training=y)
    net = learner.estimator
    net.module_.train()
    net.module_[3].eval()  # a mixture of modes
    for p in net.module_.parameters():
        p.grad = None
    before = snapshot(net)
    states = torch.get_rng_state(), numpy_state(), random.getstate()
    X_pool = make_pool("continuous")
    kept = X_pool.copy(), X.copy(), y.copy()

    make_strategy(cls, task).select(learner, X_pool, 3)
    make_strategy(cls, task)(learner, X_pool, 3)

    after = snapshot(net)
    for name, tensor in before.pop("state").items():
        assert torch.equal(tensor, after["state"][name]), name
    after.pop("state")
    assert after == before
    assert torch.equal(torch.get_rng_state(), states[0])
    assert numpy_state() == states[1]
    assert random.getstate() == states[2]
    for now, then in zip((X_pool, X, y), kept, strict=True):
        np.testing.assert_array_equal(now, then)
    assert learner.X_training is X


# -- the same picks, however it is computed -----------------------------------------


SCRIPT = """
import json
from tests.models import cases, make_data, make_net, make_strategy, with_labeled
picks = {}
for cls, task in cases():
    X, y = make_data(task)
    net = make_net(task, strategy=cls).fit(X, y)
    pool = make_data(task, 50, seed=1)[0]
    learner = with_labeled(net, X, y) if cls._requires_labeled else net
    picked = make_strategy(cls, task).select(learner, pool, 5).indices
    picks[cls.__name__ + task] = picked.tolist()
print(json.dumps(picks, sort_keys=True))
"""


def test_same_seed_same_picks_in_two_processes():
    run = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    first, second = (
        subprocess.run(run, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert first == second
    assert len(first) > 20 * len(CASES)


#: Strategies that draw ties only, in the same order at each query without a seed.
DRAW_TIES = [
    *("CAL", "EGL", "Entropy", "GreedySampling", "LeastConfident", "LossPrediction"),
    *("Margin", "WiGS"),
]


@cases_where(lambda name, task: name in DRAW_TIES)
def test_ties_are_in_the_same_order_without_a_seed(cls, task, learner):
    X = np.repeat(make_pool("continuous", 4), 20, axis=0)  # 20 rows of each score
    strategy = make_strategy(cls, task, random_state=None)
    expected = strategy.select(learner, X, 6).indices
    for _ in range(3):
        picked = strategy.select(learner, X, 6).indices
        np.testing.assert_array_equal(picked, expected)


@every_case
def test_batch_block_and_threads_change_nothing(cls, task, learner):
    strategy, X = make_strategy(cls, task), make_pool("continuous", 203)
    if cls.__name__ == "TypiClust":
        # The batch size changes the last bits of features, and k-means magnifies them.
        strategy.set_params(space="inputs")
    expected = strategy.select(learner, X, 6).indices
    net, threads = learner.estimator, torch.get_num_threads()
    for batch_size in (7, 64, -1):
        net.set_params(batch_size=batch_size)
        np.testing.assert_array_equal(strategy.select(learner, X, 6).indices, expected)
    for memory in (0.002, 0.05):
        with config_context(working_memory=memory):
            picked = strategy.select(learner, X, 6).indices
        np.testing.assert_array_equal(picked, expected)
    try:
        torch.set_num_threads(1)
        np.testing.assert_array_equal(strategy.select(learner, X, 6).indices, expected)
    finally:
        torch.set_num_threads(threads)


@cases_where(lambda name, task: READERS.get(name) == task)
def test_containers_agree(cls, task, learner, tmp_path):
    strategy, X = make_strategy(cls, task), make_pool("continuous")
    expected = strategy.select(learner, X, 5).indices
    np.save(tmp_path / "pool.npy", X)
    dask_array = pytest.importorskip("dask.array")
    pools = {
        "frame": pd.DataFrame(X),
        "csr": sparse.csr_matrix(X),
        "csc array": sparse.csc_array(X),
        "coo": sparse.coo_matrix(X),
        "dok": sparse.dok_matrix(X),
        "memmap": np.load(tmp_path / "pool.npy", mmap_mode="r"),
        "tensor": torch.as_tensor(X),
        "tensor with grad": torch.as_tensor(X).requires_grad_(),
        "list": X.tolist(),
        "fortran": np.asfortranarray(X),
        "dask": dask_array.from_array(X, chunks=(20, N_FEATURES)),
    }
    for name, pool in pools.items():
        picked = strategy.select(learner, pool, 5).indices
        np.testing.assert_array_equal(picked, expected, err_msg=name)


@every_case
def test_sees_through_wrappers(cls, task):
    strategy, X_pool = make_strategy(cls), make_pool("continuous")
    X, y = make_data(task)
    scaler, net = StandardScaler().fit(X), make_net(task, strategy=cls)
    seen = scaler.transform(X)
    expected = strategy.select(
        asked(cls, net.fit(seen, y), seen, y), scaler.transform(X_pool), 4
    ).indices
    pipeline = make_pipeline(StandardScaler(), make_net(task, strategy=cls))
    wrapped = [
        clone(pipeline),
        Pipeline([("outer", "passthrough"), ("inner", clone(pipeline))]),
        GridSearchCV(clone(pipeline), {pipeline.steps[-1][0] + "__lr": [0.01]}, cv=3),
    ]
    if task == "regression":
        identity = StandardScaler(with_mean=False, with_std=False)
        wrapped.append(
            TransformedTargetRegressor(clone(pipeline), transformer=identity)
        )
        wrapped.append(GridSearchCV(clone(wrapped[-1]), {}, cv=3))
    for estimator in wrapped:
        estimator.fit(X, y)
        bare = estimator, ActiveLearner(estimator)
        labeled = (with_labeled(estimator, X, y),)
        for learner in labeled if cls._requires_labeled else bare:
            picked = strategy.select(learner, X_pool, 4).indices
            np.testing.assert_array_equal(picked, expected, err_msg=repr(estimator))


@every_case
def test_committee_of_nets(cls, task):
    owner = skal.Committee if task == "classification" else skal.CommitteeRegressor
    X, y = make_data(task)
    members = [
        ActiveLearner(
            make_net(task, strategy=cls, random_state=seed), X_training=X, y_training=y
        )
        for seed in range(2)
    ]
    committee = owner(members, query_strategy=make_strategy(cls, task))
    indices, rows = committee.query(make_pool("continuous"), n_instances=4)
    assert len(set(indices.tolist())) == 4
    assert rows.shape == (4, N_FEATURES)


# -- learners and rows that do not fit ----------------------------------------------


@every_case
def test_rows_that_are_not_finite_are_counted_and_the_first_named(cls, task, learner):
    X = make_pool("continuous")
    X[[7, 9, 30], [0, 2, 1]] = np.nan, np.inf, -np.inf
    with (
        config_context(working_memory=0.01),
        pytest.raises(ValueError, match=r"3 of 50 rows .*first is row 7"),
    ):
        make_strategy(cls, task).select(learner, X, 1)


@every_case
def test_unfitted_learner(cls, task):
    X, strategy = make_pool("continuous"), make_strategy(cls, task)
    learner = ActiveLearner(make_pipeline(StandardScaler(), make_net(task, "cpu", cls)))
    if cls._requires_labeled:
        with pytest.raises(UnsuitableLearnerError, match="labeled rows"):
            strategy.select(learner, X, 2)
        learner.X_training, learner.y_training = make_data(task)
    known = inspect.signature(cls).parameters
    by_rows = issubclass(cls, ReadsSpace) and not {"strategy", "posterior"} & set(known)
    if cls.__name__ == "BAIT" and task == "classification":
        by_rows = False  # it needs probabilities, too
    if cls.__name__ in {"Random", "ViaProxy"} or by_rows:
        assert len(strategy.select(learner, X, 2).indices) == 2
    else:
        with pytest.raises(NotFittedError, match=r"Before the first label.*TypiClust"):
            strategy.select(learner, X, 2)


#: Strategies whose models are the epochs of a net.
OF_EPOCHS = {"LabelDispersion", "VariationOfPrediction"}


@every_case
def test_committee_without_nets(cls, task):
    X, y = make_data(task)
    of_classifiers = task == "classification"
    pair = [GaussianNB(), LogisticRegression()] if of_classifiers else [Ridge(), SVR()]
    owner = skal.Committee if of_classifiers else skal.CommitteeRegressor
    committee = owner([ActiveLearner(e, X_training=X, y_training=y) for e in pair])
    strategy, pool = make_strategy(cls, task), make_pool("continuous")
    if cls._requires == "net" or cls.__name__ in OF_EPOCHS:
        with pytest.raises(
            UnsuitableLearnerError, match=r"nets? of (a )?skorch estimator"
        ):
            strategy.select(committee, pool, 2)
    else:
        assert len(set(strategy.select(committee, pool, 2).indices.tolist())) == 2


@cases_where(lambda name, task: name not in BLIND and READERS.get(name) == task)
@pytest.mark.filterwarnings("ignore:You set iterator_valid__shuffle")
def test_shuffling_validation_iterator_is_refused(cls, task):
    X, y = make_data(task)
    net = make_net(task, strategy=cls, iterator_valid__shuffle=True).fit(X, y)
    with pytest.raises(ValueError, match="iterator_valid__shuffle"):
        make_strategy(cls, task).select(
            asked(cls, net, X, y), make_pool("continuous"), 1
        )


@cases_where(lambda name, _: name not in BLIND)
def test_a_net_that_diverged_is_reported(cls, task):
    X, y = make_data(task)
    net = make_net(task, strategy=cls).fit(X, y)
    with torch.no_grad():
        next(net.module_.parameters()).fill_(torch.nan)
        for weights in dict(net.callbacks_)["WeightSnapshots"].weights_:
            next(iter(weights.values())).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"finite|diverge"):
        make_strategy(cls, task).select(
            asked(cls, net, X, y), make_pool("continuous"), 2
        )
