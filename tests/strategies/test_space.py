"""Spaces against the net taken apart, and who reads in them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import cross_entropy

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import Bagged, MCDropout
from skal.reading.access import NetAccess
from skal.reading.pool import Pool
from skal.rng import resolve_rng
from skal.rows import Rows
from skal.strategies import (
    BAIT,
    LCMD,
    TESSAR,
    CoreSet,
    KMeansPP,
    KMedoids,
    MaxDet,
    TypiClust,
    all_strategies,
)
from skal.strategies.space import read_space, resolve_space, spaces_of
from tests.models import cases, make_data, make_net, make_strategy, with_labeled

X, Y = make_data("classification")
POOL = make_data("classification", 30, seed=1)[0]
FOREST = RandomForestClassifier(9, random_state=0).fit(X, Y)
NAMES = ["features", "last_layer", "gradients", "inputs"]


def vectors(learner, space, **options):
    return read_space(Pool(learner, POOL), space, **options).vectors()


def by_hand(net, rows: np.ndarray, space: str) -> torch.Tensor:
    """Vectors of a space, row by row by autograd."""
    module, access = net.module_.eval(), NetAccess(net)
    x = torch.as_tensor(rows, dtype=torch.float32)
    found = {
        "inputs": torch.as_tensor(rows),
        "features": access.features(Rows(rows)),
    }
    ones = torch.ones(len(x), 1)
    found["last_layer"] = torch.cat([found["features"], ones], dim=1)
    if space != "gradients":
        return found[space]
    result = []
    for row in x:
        outputs = module(row[None])
        loss = cross_entropy(outputs, outputs.argmax(dim=1))
        grads = torch.autograd.grad(loss, list(module.parameters()))
        result.append(torch.cat([g.flatten() for g in grads]))
    return torch.stack(result)


def distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.cdist(one.double(), other.double()).square()


@pytest.mark.on_cpu
@pytest.mark.parametrize("space", NAMES)
def test_distances_of_each_space(space):
    net = make_net("classification").fit(X, Y)
    pool = Pool(with_labeled(net, X, Y), POOL)
    found = read_space(pool, space, n_components=None)
    rows, labeled = by_hand(net, POOL, space), by_hand(net, X, space)
    for i in (0, 7):
        expected = distances(rows, rows[[i]])[:, 0].to(torch.float32)
        sq_dist = found.pool.sq_dist(i).to(torch.float32)
        torch.testing.assert_close(sq_dist, expected, rtol=1e-4, atol=1e-5)
    assert len(found.labeled) == len(labeled) == 60
    expected = distances(rows, labeled).amin(dim=1).to(torch.float32)
    nearest = found.pool.nearest(found.labeled)[0].to(torch.float32)
    torch.testing.assert_close(nearest, expected, rtol=1e-4, atol=1e-4)
    assert read_space(Pool(net, POOL), space, None).labeled is None


@pytest.mark.on_cpu
def test_projected_gradients():
    net = make_net("classification").fit(X, Y)
    pool = Pool(with_labeled(net, X, Y), POOL)
    rows, labeled = read_space(pool, "gradients", 20_000, rng=resolve_rng(0)).vectors()
    assert rows.shape == (30, 20_000)
    exact = by_hand(net, POOL, "gradients"), by_hand(net, X, "gradients")
    expected = distances(*exact)
    torch.testing.assert_close(
        distances(rows, labeled), expected, rtol=0.1, atol=0.02 * float(expected.max())
    )
    short = [
        vectors(net, "gradients", n_components=3, rng=resolve_rng(s))[0]
        for s in (0, 0, 1)
    ]
    assert torch.equal(short[0], short[1])
    assert not torch.equal(short[0], short[2])
    with pytest.raises(TypeError, match="generator"):
        vectors(net, "gradients")
    with pytest.raises(ValueError, match="gradients as vectors"):
        vectors(net, "gradients", n_components=None)


@pytest.mark.on_cpu
def test_auto_is_features_where_there_are_nets():
    net = make_net("classification").fit(X, Y)
    rows, labeled = vectors(with_labeled(net, X, Y), "auto")
    torch.testing.assert_close(rows, by_hand(net, POOL, "features"))
    torch.testing.assert_close(labeled, by_hand(net, X, "features"))
    rows, labeled = vectors(net, "auto")
    assert labeled.shape == (0, 12)
    assert vectors(net, "auto", head="body.0")[0].shape == (30, 5)


def test_inputs_as_the_model_sees_them():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    learner = ActiveLearner(model, X_training=X, y_training=Y)
    seen = StandardScaler().fit(X)
    for space in ("auto", "inputs"):
        rows, labeled = vectors(learner, space)
        np.testing.assert_allclose(rows, seen.transform(POOL))
        np.testing.assert_allclose(labeled, seen.transform(X))


@pytest.mark.on_cpu
def test_members_stand_side_by_side():
    nets = [make_net("classification", random_state=s).fit(X, Y) for s in range(2)]
    committee = Committee([with_labeled(net, X, Y) for net in nets])
    for space in ("auto", "last_layer"):
        name = "features" if space == "auto" else space
        both = torch.cat([by_hand(net, POOL, name) for net in nets], dim=1)
        torch.testing.assert_close(vectors(committee, space)[0], both)
    gradients = read_space(Pool(committee, POOL), "gradients", None).pool
    expected = torch.cat([by_hand(net, POOL, "gradients") for net in nets], dim=1)
    torch.testing.assert_close(
        gradients.sq_norm().float(), expected.square().sum(1), rtol=1e-4, atol=1e-6
    )
    # One that is not a net: the inputs of both, as two models are few.
    mixed = Committee([with_labeled(nets[0], X, Y), with_labeled(FOREST, X, Y)])
    np.testing.assert_allclose(vectors(mixed, "auto")[0], np.hstack([POOL, POOL]))
    with pytest.raises(UnsuitableLearnerError, match="RandomForestClassifier is not"):
        vectors(mixed, "features")


@pytest.mark.on_cpu
def test_callable_space():
    net = make_net("classification").fit(X, Y)

    def twice(access, rows):
        return 2 * access.features(rows).requires_grad_()

    rows, labeled = vectors(with_labeled(net, X, Y), twice)
    torch.testing.assert_close(rows, 2 * by_hand(net, POOL, "features"))
    torch.testing.assert_close(labeled, 2 * by_hand(net, X, "features"))
    assert not rows.requires_grad


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        ("rbf", ValueError, r"space must be one of .*'auto'.*got 'rbf'"),
        (None, ValueError, "space must be one of"),
        (lambda X: X, ValueError, r"called with \(access, rows\)"),
        (torch.add, TypeError, "add"),  # has no signature to look at
        (
            lambda access, rows: torch.ones(len(rows)),
            *(ValueError, r"shape \(rows, d\), got Tensor of shape \(30,\)"),
        ),
        (lambda access, rows: torch.ones(2, 3), ValueError, "returned 2 rows for 30"),
        (
            lambda access, rows: torch.ones(len(rows), 2, dtype=torch.complex64),
            *(ValueError, "must return real numbers"),
        ),
        (
            lambda access, rows: torch.full((len(rows), 2), torch.nan),
            *(ValueError, "not finite"),
        ),
    ],
)
def test_bad_spaces(space, error, message):
    net = make_net("classification").fit(X, Y)
    with pytest.raises(error, match=message):
        vectors(net, space)


def test_bad_options():
    net = make_net("classification").fit(X, Y)
    with pytest.raises(ValueError, match="n_components must be an int of at least 1"):
        vectors(net, "features", n_components=0)
    with pytest.raises(ValueError, match="no module named 'no_such'"):
        vectors(net, "features", head="no_such")
    vectors(net, "inputs", head="no_such")
    with pytest.raises(UnsuitableLearnerError, match="space='gradients' is read from"):
        vectors(FOREST, "gradients")
    with pytest.raises(
        UnsuitableLearnerError, match=r'"predictions", "leaves" or "inp'
    ):
        vectors(FOREST, "last_layer")
    texts = np.array([["a"] * 5] * 3, dtype=object)
    with pytest.raises(ValueError, match="no distances"):
        read_space(Pool(net, texts), "inputs")


# -- learners that are not nets -----------------------------------------------------

R_X, R_Y = make_data("regression")
R_POOL = make_data("regression", 30, seed=1)[0]
PROCESS = GaussianProcessRegressor(RBF() + WhiteKernel(0.1), optimizer=None)
LEARNERS: dict[str, Any] = {
    "forest": (RandomForestRegressor(9, random_state=0), "predictions"),
    "small forest": (ExtraTreesRegressor(3, random_state=0), "leaves"),
    "bagging": (BaggingRegressor(n_estimators=6, random_state=0), "predictions"),
    "boosting": (GradientBoostingRegressor(n_estimators=7, random_state=0), "leaves"),
    "stump": (GradientBoostingRegressor(n_estimators=1, random_state=0), "inputs"),
    "histogram": (HistGradientBoostingRegressor(max_iter=3), "inputs"),
    "process": (PROCESS, "kernel"),
    "ridge": (Ridge(), "inputs"),
    "pipeline": (make_pipeline(StandardScaler(), PROCESS), "kernel"),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_auto_takes_what_the_learner_has(name):
    estimator, expected = LEARNERS[name]
    learner = with_labeled(clone(estimator).fit(R_X, R_Y), R_X, R_Y)
    pool = Pool(learner, R_POOL)
    assert resolve_space(pool, "auto") == expected
    assert expected in spaces_of(pool)
    for space in {"predictions", "leaves", "kernel"} - set(spaces_of(pool)):
        offered = '", "'.join(spaces_of(pool)).replace('", "inputs', '" or "inputs')
        with pytest.raises(UnsuitableLearnerError, match=f'space="{offered}"'):
            read_space(pool, space, rng=resolve_rng(0))
    for cls in (LCMD, KMeansPP, KMedoids, MaxDet, BAIT, CoreSet, TypiClust, TESSAR):
        strategy = make_strategy(cls)
        assert not hasattr(strategy, "space_")
        picked = strategy.select(learner, R_POOL, 4).indices
        assert len(set(picked.tolist())) == 4
        assert strategy.space_ == expected
        strategy.set_params(space="inputs").select(learner, R_POOL, 4)
        assert strategy.space_ == "inputs"


def test_auto_of_nets_is_what_each_strategy_is_known_for():
    net = make_net("regression").fit(R_X, R_Y)
    for cls, space in ((LCMD, "gradients"), (BAIT, "gradients"), (CoreSet, "features")):
        auto, named = make_strategy(cls), make_strategy(cls, space=space)
        expected = named.select(net, R_POOL, 5).indices
        np.testing.assert_array_equal(auto.select(net, R_POOL, 5).indices, expected)
        assert auto.space_ == space


@pytest.mark.on_cpu
def test_predictions_of_a_forest():
    forest = RandomForestRegressor(9, random_state=0).fit(R_X, R_Y)
    learner = with_labeled(forest, R_X, R_Y)
    rows, labeled = read_space(
        Pool(learner, R_POOL), "predictions", rng=resolve_rng(0)
    ).vectors()
    for found, X in ((rows, R_POOL), (labeled, R_X)):
        trees = np.stack([tree.predict(X) for tree in forest.estimators_])
        expected = np.cov(trees.T, bias=True)
        found = found.double()
        np.testing.assert_allclose(found @ found.T, expected, atol=1e-6)
    # Probabilities of all classes, and whatever a posterior gives.
    net = make_net("classification").fit(X, Y)
    posterior = MCDropout(6)
    rows, _ = read_space(Pool(net, POOL), posterior, rng=resolve_rng(3)).vectors()
    drawn = posterior.draw(Pool(net, POOL), resolve_rng(3)).collect().numpy()
    assert rows.shape == (30, 6 * 3)
    expected = sum(np.cov(drawn[:, :, c].T, bias=True) for c in range(3))
    np.testing.assert_allclose(rows @ rows.T, expected, atol=1e-6)
    strategy = LCMD(space=posterior, random_state=0)
    assert len(strategy.select(net, POOL, 3).indices) == 3
    assert strategy.space_ is posterior


@pytest.mark.parametrize("seed", [0, 1])
def test_predictions_of_a_process_are_functions_drawn_given_its_labels(seed):
    learner = with_labeled(clone(PROCESS).fit(R_X, R_Y), R_X, R_Y)
    pool = Pool(learner, R_POOL)
    rows, labeled = read_space(pool, "predictions", rng=resolve_rng(seed)).vectors()
    assert rows.shape == (30, 100)
    torch.testing.assert_close(rows.sum(dim=1), torch.zeros_like(rows[:, 0]))
    both = np.concatenate([R_POOL, R_X])
    # scikit-learn adds the noise on the diagonal; the functions have none.
    noisy = learner.estimator.predict(both, return_cov=True)[1]
    covariance = noisy - 0.1 * np.eye(len(both))
    drawn = torch.cat([rows, labeled]).double().numpy()
    # Of Wishart's distribution with 99 degrees of freedom.
    scale = np.sqrt((covariance**2 + np.outer(*[np.diag(covariance)] * 2)) / 99)
    z = (drawn @ drawn.T - 0.99 * covariance)[scale > 1e-8] / scale[scale > 1e-8]
    assert np.abs(z).max() < 6
    assert 0.7 < np.sqrt(np.mean(z**2)) < 1.4
    strategy = LCMD(space="predictions", random_state=seed)
    picked = strategy.select(learner, R_POOL, 4).indices
    assert strategy.space_ == "predictions"
    again = LCMD(space="predictions", random_state=seed).select(learner, R_POOL, 4)
    np.testing.assert_array_equal(picked, again.indices)
    with pytest.raises(TypeError, match="rng"):
        read_space(pool, "predictions")


def test_rows_on_which_all_models_agree_are_at_zero():
    # Trees grown on all rows to single rows know these; a mean of 7 is rounded.
    trees = ExtraTreesRegressor(7, random_state=0)
    learner = ActiveLearner(trees, None, R_X, R_Y)
    space = read_space(Pool(learner, R_POOL), "predictions", rng=resolve_rng(0))
    rows, labeled = space.vectors()
    assert not labeled.any()
    assert rows.any()
    assert not space.pool.nearest(space.labeled)[1].any()


def test_a_single_model_has_no_predictions():
    forest = RandomForestRegressor(1, random_state=0).fit(R_X, R_Y)
    for model in (forest, Ridge().fit(R_X, R_Y)):
        with pytest.raises(UnsuitableLearnerError, match=r'single m.*space="inputs"'):
            LCMD(space="predictions").select(model, R_POOL, 2)


@pytest.mark.parametrize("kind", ["missing", "category"])
@pytest.mark.parametrize("cls", [LCMD, BAIT, CoreSet, KMedoids, MaxDet, TypiClust])
def test_rows_without_distances_are_compared_by_copies_as_the_error_says(kind, cls):
    frame, pool = (pd.DataFrame(A).add_prefix("x") for A in (R_X, R_POOL))
    for table in (frame, pool):
        if kind == "missing":
            table.iloc[::3, 1] = np.nan
        else:
            table["x1"] = pd.Categorical(np.where(table["x1"] > 0, "b", "a"))
    boosting = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=4)
    learner = ActiveLearner(boosting, X_training=frame, y_training=R_Y)
    with pytest.raises(ValueError, match=r"space=Bagged\(\) of skal.posteriors"):
        cls().select(learner, pool, 3)
    picked = cls(space=Bagged(n_estimators=3), random_state=0).select(learner, pool, 3)
    assert len(set(picked.indices.tolist())) == 3


def test_callable_space_of_other_learners():
    seen = []

    def squares(estimator, rows):
        seen.append((type(estimator).__name__, rows.shape))
        return rows**2

    model = make_pipeline(StandardScaler(), Ridge()).fit(R_X, R_Y)
    learner = with_labeled(model, R_X, R_Y)
    rows, labeled = read_space(Pool(learner, R_POOL), squares).vectors()
    np.testing.assert_allclose(rows, model[0].transform(R_POOL) ** 2)
    np.testing.assert_allclose(labeled, model[0].transform(R_X) ** 2)
    assert seen == [("Ridge", (30, 5)), ("Ridge", (60, 5))]
    for bad, message in [
        (lambda estimator, rows: rows[:, 0], r"ndarray of shape \(30,\)"),
        (lambda estimator, rows: (rows, 1), r"shape \(rows, d\), got tuple"),
        (lambda estimator, rows: rows[:2], "returned 2 rows for 30"),
        (lambda estimator, rows: rows[:, :0], r"shape \(30, 0\)"),
        (lambda estimator, rows: np.full((len(rows), 2), np.nan), "not finite"),
        (lambda estimator, rows: [["a"]] * len(rows), "list of shape"),
        (lambda estimator, rows: np.ma.masked_less(rows, 0), "not finite"),
        (lambda estimator, rows: rows[:, : len(rows) // 15], r"2 elements .* row 4"),
        (lambda estimator: 1, r"\(estimator, X\)"),
        (Bagged, r"the class Bagged: pass an object, Bagged\(\)"),
    ]:
        for strategy in (LCMD(space=bad), BAIT(space=bad), CoreSet(space=bad)):
            with pytest.raises(ValueError, match=message):
                strategy.select(learner, R_POOL, 2)


@pytest.mark.parametrize(
    "convert",
    [
        pd.DataFrame,
        sparse.coo_array,
        lambda rows: torch.tensor(rows, requires_grad=True),
        lambda rows: torch.tensor(rows).to_sparse(),
        np.ma.masked_array,
    ],
    ids=["table", "sparse", "tensor", "sparse tensor", "nothing masked"],
)
def test_what_a_callable_space_returns_is_converted(convert):
    learner = with_labeled(Ridge().fit(R_X, R_Y), R_X, R_Y)
    strategy = LCMD(space=lambda estimator, rows: convert(rows))
    np.testing.assert_array_equal(
        strategy.select(learner, R_POOL, 4).indices,
        LCMD(space="inputs").select(learner, R_POOL, 4).indices,
    )


def test_bait_of_probabilities_against_definition():
    """The information of a linear layer, as dense matrices."""
    model = LogisticRegression().fit(X, Y)
    learner = with_labeled(model, X, Y)
    z = np.concatenate([POOL, X])
    z = z / np.sqrt((X**2).sum(axis=1).mean())
    p = model.predict_proba(np.concatenate([POOL, X]))
    full = [
        np.kron(np.diag(own) - np.outer(own, own), np.outer(row, row))
        for own, row in zip(p, z, strict=True)
    ]
    total = sum(full)
    M = np.eye(15) + sum(full[30:])
    picked, falls = [], []
    for _ in range(3):
        left = [i for i in range(30) if i not in picked]
        traces = [np.trace(np.linalg.solve(M + full[i], total)) for i in left]
        falls.append(np.trace(np.linalg.solve(M, total)) - min(traces))
        picked.append(left[int(np.argmin(traces))])
        M = M + full[picked[-1]]
    strategy = BAIT(space="inputs")
    picks = strategy.select(learner, POOL, 3)
    assert picks.indices.tolist() == picked
    np.testing.assert_allclose(picks.scores, falls, rtol=1e-6)
    with pytest.raises(UnsuitableLearnerError, match="predict_proba"):
        strategy.select(RidgeClassifier().fit(X, Y), POOL, 1)


# -- strategies that read in a space -----------------------------------------------

USERS = [
    cls for cls in all_strategies() if "space" in inspect.signature(cls).parameters
]


@pytest.mark.parametrize("cls", USERS, ids=lambda cls: cls.__name__)
def test_space_is_a_parameter(cls):
    task = next(task for other, task in cases() if other is cls)
    net = make_net(task).fit(*make_data(task))
    learner = with_labeled(net, *make_data(task))
    pool = make_data(task, 30, seed=1)[0]
    for space in ("x", None, 3):
        with pytest.raises(ValueError, match=r"space must be one of"):
            make_strategy(cls, space=space).select(learner, pool, 3)
    strategy = make_strategy(cls, space="last_layer", head="no_such")
    with pytest.raises(ValueError, match="no module named 'no_such'"):
        strategy.select(learner, pool, 3)
    for space in ("last_layer", "gradients"):
        picked = make_strategy(cls, space=space).select(learner, pool, 3).indices
        assert len(set(picked.tolist())) == 3
