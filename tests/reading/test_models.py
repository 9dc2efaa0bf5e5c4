"""The models that a learner consists of, and what each of them sees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skal import ActiveLearner, CommitteeRegressor
from skal.nets.ensembles import DeepEnsembleRegressor
from skal.posteriors import LastLayerLaplace, MCDropout, Members
from skal.reading.access import NetAccess
from skal.reading.gradients import per_row_gradients
from skal.reading.models import Member
from skal.reading.pool import Pool
from skal.reading.space import loss_directions
from skal.rows import Rows
from skal.selection import lcmd
from skal.spaces import GradientEmbedding
from skal.strategies import BADGE, EMCM, LCMD
from tests.models import make_data, make_net, with_labeled

X, TARGET = make_data("regression")
CLASSES = make_data("classification")[1]
POOL = make_data("regression", 25, seed=1)[0]


class OwnBagging(BaggingRegressor):
    """A user's subclass of one of scikit-learn's ensembles."""


def read(rows: Rows) -> np.ndarray:
    return np.concatenate([np.asarray(block) for _, block in rows.blocks()])


def bagging(cls=BaggingRegressor, task="regression", **parameters):
    settings = {"n_estimators": 3, "max_features": 0.6, "random_state": 0}
    ensemble = cls(make_net(task), **{**settings, **parameters})
    return ensemble.fit(X, TARGET if task == "regression" else CLASSES)


def explicit_lcmd(nets, pools, labeled, n=6):
    """Picks of LCMD by the gradients of nets, each with its own rows."""

    def embed(rows):
        layers = []
        for net, own in zip(nets, rows, strict=True):
            access = NetAccess(net)
            directions = loss_directions(access)
            layers += per_row_gradients(access, Rows(own), directions=directions)
        return GradientEmbedding(layers)

    return lcmd(embed(pools), n, embed(labeled)).indices.cpu().numpy()


# -- ensembles of nets ----------------------------------------------------------------


@pytest.mark.parametrize(
    "ensemble",
    [
        bagging(),
        bagging(OwnBagging, bootstrap_features=True, max_features=1.0),
        bagging(BaggingClassifier, "classification"),
    ],
    ids=["bagging", "subclass", "classifier"],
)
def test_each_net_of_a_bagging_sees_its_own_columns(ensemble):
    columns = ensemble.estimators_features_
    assert any(own.tolist() != list(range(5)) for own in columns)
    learner = with_labeled(ensemble, X, TARGET)
    (member,) = Pool(learner, POOL).members
    nets = member.nets()
    assert [net.estimator for net in nets] == ensemble.estimators_
    for net, own in zip(nets, columns, strict=True):
        np.testing.assert_array_equal(read(net.rows), POOL[:, own])
        np.testing.assert_array_equal(read(net.labeled), X[:, own])
    picked = LCMD(n_components=None).select(learner, POOL, 6).indices
    expected = explicit_lcmd(
        ensemble.estimators_, [POOL[:, f] for f in columns], [X[:, f] for f in columns]
    )
    np.testing.assert_array_equal(picked, expected)
    others = [np.arange(len(own)) for own in columns]
    wrong = explicit_lcmd(
        ensemble.estimators_, [POOL[:, f] for f in others], [X[:, f] for f in others]
    )
    assert picked.tolist() != wrong.tolist()


def test_a_subclass_of_bagging_is_read_on_the_columns_of_its_parts():
    ensemble = bagging(OwnBagging, bootstrap_features=True, max_features=1.0)
    for posterior in (Members(), MCDropout(n_draws=2)):
        draws = posterior.draw(Pool(ensemble, POOL), torch.Generator())
        assert draws.n_draws == 3 * (1 if isinstance(posterior, Members) else 2)
    outputs = Members().draw(Pool(ensemble, POOL), torch.Generator()).collect().cpu()
    np.testing.assert_allclose(
        outputs.mean(0)[:, 0], ensemble.predict(POOL), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", ["frame", "csr", "tensor"])
def test_bagging_of_nets_reads_any_kind_of_rows(kind):
    names = list("vwxyz")
    kinds = {
        "frame": lambda x: pd.DataFrame(x, columns=names)[names[::-1]],
        "csr": sparse.csr_matrix,
        "tensor": torch.as_tensor,
    }
    ensemble = bagging()
    expected = LCMD(n_components=None).select(ensemble, POOL, 4).indices
    if kind == "frame":
        frame = pd.DataFrame(X, columns=names)
        ensemble = bagging().fit(frame, TARGET)
    picked = LCMD(n_components=None).select(ensemble, kinds[kind](POOL), 4).indices
    np.testing.assert_array_equal(picked, expected)


def test_voting_by_pipelines_of_nets_with_codes_for_labels():
    scalers = [StandardScaler(), MinMaxScaler()]
    parts = [
        (str(k), make_pipeline(scaler, make_net("classification", random_state=k)))
        for k, scaler in enumerate(scalers)
    ]
    voting = VotingClassifier(parts, voting="soft").fit(X, CLASSES)
    model = make_pipeline(MinMaxScaler(), voting).fit(X, CLASSES)
    learner = with_labeled(model, X, CLASSES)
    pipelines = model[-1].estimators_
    first = model[0]
    (member,) = Pool(learner, POOL).members
    for net, pipeline in zip(member.nets(), pipelines, strict=True):
        assert net.estimator is pipeline[-1]
        assert net.estimator.classes_.tolist() == [0, 1, 2]
        assert net.decode([2, 0]).tolist() == ["top", "low"]
        seen = pipeline[0].transform(first.transform(POOL))
        np.testing.assert_allclose(read(net.rows), seen)
        assert net.through_steps(first.transform(POOL)).transformers == (pipeline[0],)
    expected = explicit_lcmd(
        [pipeline[-1] for pipeline in pipelines],
        *(
            [pipeline[0].transform(first.transform(rows)) for pipeline in pipelines]
            for rows in (POOL, X)
        ),
    )
    picked = LCMD(n_components=None).select(learner, POOL, 6).indices
    np.testing.assert_array_equal(picked, expected)
    draws = Members().draw(Pool(learner, POOL), torch.Generator())
    assert draws.classes.tolist() == ["low", "mid", "top"]
    np.testing.assert_allclose(
        draws.collect().mean(0).cpu(), model.predict_proba(POOL), atol=1e-6
    )
    assert len(BADGE(random_state=0).select(learner, POOL, 3).indices) == 3


def test_ensembles_within_ensembles():
    bags = [(str(k), bagging(random_state=k)) for k in range(2)]
    deep = DeepEnsembleRegressor(make_net("regression"), 2, random_state=0)
    voting = VotingRegressor([*bags, ("deep", deep)]).fit(X, TARGET)
    (member,) = Pool(voting, POOL).members
    nets = member.nets()
    one, other, last = voting.estimators_
    assert [net.estimator for net in nets] == [
        *(*one.estimators_, *other.estimators_, *last.estimators_)
    ]
    seen = np.array([read(net.rows).shape[1] for net in nets])
    assert seen.tolist() == [3] * 6 + [5] * 2


class Quantiles(RegressorMixin, BaseEstimator):
    """An ensemble from outside scikit-learn that draws columns."""

    def fit(self, X, y):
        self.estimators_features_ = [np.array([0, 2]), np.array([3, 1])]
        self.estimators_ = [
            make_net("regression").fit(X[:, own], y)
            for own in self.estimators_features_
        ]
        return self


def test_columns_of_an_ensemble_from_outside_scikit_learn():
    ensemble = Quantiles().fit(X, TARGET)
    (member,) = Pool(ensemble, POOL).members
    for net, own in zip(member.nets(), ensemble.estimators_features_, strict=True):
        np.testing.assert_array_equal(read(net.rows), POOL[:, own])


class OwnClassifier(ClassifierMixin, BaseEstimator):
    """Looks like an ensemble, of no parts."""

    def __init__(self):
        self.estimators_ = []


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression().fit(X, CLASSES),
        AdaBoostClassifier(n_estimators=2).fit(X, CLASSES),
        StackingRegressor([("net", make_net("regression"))], cv=2).fit(X, TARGET),
        OwnClassifier(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_single_models_have_no_parts(estimator):
    member = Member.of(estimator, Rows(POOL), None, None)
    assert not member.is_ensemble
    assert [*member.parts(), *member.nets()] == []


@pytest.mark.parametrize(
    "estimator",
    [
        RandomForestClassifier(2).fit(X, CLASSES),
        RandomForestClassifier(2).fit(X, np.stack([CLASSES, CLASSES], 1)),
        VotingRegressor(
            [("net", make_net("regression")), ("line", LinearRegression())]
        ).fit(X, TARGET),
    ],
    ids=["trees", "several outputs", "mixed"],
)
def test_an_ensemble_of_others_than_nets_alone_has_no_nets(estimator):
    member = Member.of(estimator, Rows(POOL), None, None)
    assert len(list(member.parts())) == 2
    assert member.nets() == []


# -- units of the target --------------------------------------------------------------


def scaled(estimator, transformer):
    return TransformedTargetRegressor(estimator, transformer=transformer)


def test_units_of_a_single_learner_are_those_of_its_outer_estimator():
    inner = scaled(make_net("regression"), MinMaxScaler())
    model = scaled(BaggingRegressor(inner, 2, random_state=0), StandardScaler())
    learner = ActiveLearner(model, X_training=X, y_training=50 + 9 * TARGET)
    (member,) = Pool(learner, POOL).members
    assert not member.has_own_units
    own = (TARGET - TARGET.mean()) / TARGET.std()
    np.testing.assert_allclose(member.own_targets()[:, 0], own)
    for net in member.nets():
        assert net.has_own_units
        units = net.target_transformers[1]
        values = own[:, None]
        np.testing.assert_allclose(net.to_own_units(values), units.transform(values))
        expected = units.transform(values)
        np.testing.assert_allclose(net.own_targets(), expected, atol=1e-9)
        np.testing.assert_allclose(
            net.to_shared_units(net.to_own_units(values)), values
        )


def test_by_itself_a_model_has_the_units_of_its_estimator():
    plain = Member.of(LinearRegression().fit(X, TARGET), Rows(POOL), None, TARGET)
    assert not plain.has_own_units
    inner = scaled(LinearRegression(), MinMaxScaler())
    model = scaled(inner, StandardScaler()).fit(X, TARGET)
    member = Member.of(model, Rows(POOL), None, TARGET)
    assert member.has_own_units
    standard = (TARGET - TARGET.mean()) / TARGET.std()
    own = (standard - standard.min()) / np.ptp(standard)
    np.testing.assert_allclose(member.to_own_units(TARGET)[:, 0], own, atol=1e-9)
    np.testing.assert_allclose(member.to_shared_units(own[:, None])[:, 0], TARGET)
    np.testing.assert_array_equal(member.from_shared_units(own[:, None])[:, 0], own)


def test_members_of_a_committee_share_the_units_of_the_learner():
    learners = [
        ActiveLearner(
            scaled(make_net("regression"), s), X_training=X, y_training=TARGET
        )
        for s in (StandardScaler(), MinMaxScaler())
    ]
    for member in Pool(CommitteeRegressor(learners), POOL).members:
        assert member.has_own_units
        np.testing.assert_allclose(
            member.to_shared_units(member.own_targets())[:, 0], TARGET
        )


def test_residuals_of_emcm_are_in_the_units_of_each_net():
    # Scaling the targets of the parts changes neither predictions nor gradients.
    nets = [make_net("regression", random_state=k) for k in range(2)]
    plain = VotingRegressor([(str(k), net) for k, net in enumerate(nets)])
    shifted = VotingRegressor(
        [
            (str(k), scaled(net, StandardScaler(with_std=False)))
            for k, net in enumerate(nets)
        ]
    )
    centered = TARGET - TARGET.mean()
    picks = [
        EMCM(Members(), random_state=0).score_samples(model.fit(X, y), POOL)
        for model, y in ((plain, centered), (shifted, centered + 1e3))
    ]
    np.testing.assert_allclose(*picks, rtol=1e-3)


def test_labeled_rows_of_several_members_pass_the_transformers_of_parts():
    def learner(rows):
        pipeline = make_pipeline(StandardScaler(), make_net("regression"))
        voting = VotingRegressor([("a", pipeline), ("b", pipeline)])
        return ActiveLearner(voting, X_training=X[rows], y_training=TARGET[rows])

    committee = CommitteeRegressor([learner(slice(30)), learner(slice(30, 60))])
    pool = Pool(committee, POOL)
    for member, own in zip(pool.members, committee.learner_list, strict=True):
        for net, pipeline in zip(member.nets(), own.estimator.estimators_, strict=True):
            np.testing.assert_allclose(read(net.labeled), pipeline[0].transform(X))
    draws = LastLayerLaplace(n_draws=2).draw(pool, torch.Generator())
    assert draws.collect().shape == (8, 25, 1)
