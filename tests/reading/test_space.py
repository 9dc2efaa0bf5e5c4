"""Spaces against the net taken apart, and who reads in them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import cross_entropy

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess
from skal.reading.pool import Pool
from skal.reading.space import Space, covariance_features, read_space
from skal.rng import resolve_rng
from skal.rows import Rows
from skal.spaces import Dense
from skal.strategies import all_strategies
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
    # One that is not a net: the inputs of both.
    mixed = Committee([with_labeled(nets[0], X, Y), with_labeled(FOREST, X, Y)])
    np.testing.assert_allclose(vectors(mixed, "auto")[0], np.hstack([POOL, POOL]))
    with pytest.raises(UnsuitableLearnerError, match="RandomForestClassifier is not"):
        vectors(mixed, "features")


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
    with pytest.raises(UnsuitableLearnerError, match=r"space='gradients' is read from"):
        vectors(FOREST, "gradients")
    with pytest.raises(UnsuitableLearnerError, match="callable space is read from"):
        vectors(FOREST, lambda access, rows: access.features(rows))
    texts = np.array([["a"] * 5] * 3, dtype=object)
    with pytest.raises(ValueError, match="no distances"):
        read_space(Pool(net, texts), "inputs")


def test_covariance_features():
    rows, labeled = torch.randn(7, 3), torch.randn(4, 3)
    space = read_space(Pool(FOREST, POOL), "inputs")
    space = space._replace(pool=Dense(rows), labeled=Dense(labeled))
    scale = float(labeled.double().square().sum(dim=1).mean().rsqrt())
    for dtype in (torch.float32, torch.float64):
        both = [x.to(dtype) for x in (rows, labeled)]
        typed = Space(*map(Dense, both))
        for found, x in zip(covariance_features(typed, 0.1, False), both, strict=True):
            torch.testing.assert_close(found, x * scale)
    # Of full rank and next to no noise, labels leave variances that float32 lacks.
    found, _ = covariance_features(space, 1e-17, True)
    assert found.dtype == torch.float64
    # The posterior covariance of a Gaussian process with this prior.
    z, z_l = rows.double() * scale, labeled.double() * scale
    gain = z @ z_l.T @ torch.linalg.inv(z_l @ z_l.T + 0.01 * torch.eye(4).double())
    for condition in (True, "auto"):
        found, _ = covariance_features(space, 0.1, condition)
        expected = (z @ z.T - gain @ z_l @ z.T).float()
        torch.testing.assert_close(found @ found.T, expected)
    alone = space._replace(labeled=None)
    found, known = covariance_features(alone, 0.1, "auto")
    assert float(found.square().sum(dim=1).mean()) == pytest.approx(1)
    assert known.shape == (0, 3)
    for bad, message in [
        ((alone, 0.1, True), "condition_on_labels=True needs labeled rows"),
        ((space, 0.1, "yes"), 'must be True, False or "auto"'),
        ((space, 0.0, True), "noise_std must be a number above 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            covariance_features(*bad)


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
