"""Members of committees and ensembles against their own predictions."""

from __future__ import annotations

import modAL.models
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    BaseEnsemble,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier, NetRegressor, ensembles
from skal.posteriors import Members, resolve_posterior
from skal.reading.pool import Pool
from tests.nets.ensembles.helpers import CLASSIFIERS, REGRESSORS
from tests.posteriors.helpers import TARGET, X, Y, collect, draw, fit, unchanged

NAMES = np.array(["a", "b", "c", "d"])
LABELS = NAMES[Y]
VALUES = X[:, 0] + X[:, 1] ** 2


def committee(*estimators):
    return modAL.models.Committee(
        [modAL.models.ActiveLearner(estimator) for estimator in estimators]
    )


def test_forest_trees_are_mapped_to_the_classes_of_the_forest():
    forest = RandomForestClassifier(6, max_depth=3, random_state=0).fit(X, LABELS)
    draws = draw(Members(), forest)
    assert draws.classes.tolist() == ["a", "b", "c"]
    assert draws.n_draws == 6
    outputs = draws.collect()
    np.testing.assert_allclose(outputs.mean(0), forest.predict_proba(X))
    tree = forest.estimators_[2].predict_proba(X)
    np.testing.assert_allclose(outputs[2], tree)


@pytest.mark.parametrize("kind", ["frame", "shuffled", "csr", "list", "tensor"])
def test_a_forest_reads_any_kind_of_rows(kind):
    columns = list("vwxyz")
    frame = pd.DataFrame(X, columns=columns)
    named = kind in ("frame", "shuffled")
    forest = RandomForestClassifier(4, random_state=0)
    forest.fit(frame if named else X, LABELS)
    pools = {
        "frame": frame,
        "shuffled": frame[columns[::-1]],
        "csr": sparse.csr_matrix(X),
        "list": X.tolist(),
        "tensor": torch.from_numpy(X),
    }
    expected = forest.predict_proba(frame if named else X)
    outputs = collect(Members(), forest, pools[kind])
    np.testing.assert_allclose(outputs.mean(0), expected)


def test_blocks_do_not_matter():
    forest = RandomForestClassifier(4, random_state=0).fit(X, Y)
    whole = collect(Members(), forest)
    with config_context(working_memory=0.005):
        draws = draw(Members(), forest)
        assert len(list(draws.blocks())) > 5
        assert torch.equal(draws.collect(), whole)


def test_bagging_gives_each_its_columns_and_classes_it_missed_are_zero():
    # Bags of three rows see two classes of three or fewer.
    bagging = BaggingClassifier(
        DecisionTreeClassifier(max_depth=2),
        n_estimators=8,
        max_samples=4,
        max_features=2,
        random_state=0,
    ).fit(X, LABELS)
    bagging.estimators_[3].fit(
        X[Y > 0][:, bagging.estimators_features_[3]], Y[Y > 0]
    )  # a member that has surely not seen "a"
    outputs = collect(Members(), bagging)
    assert outputs.shape == (8, 60, 3)
    np.testing.assert_allclose(outputs.mean(0), bagging.predict_proba(X))
    assert not outputs[3, :, 0].any()
    assert outputs[3, :, 1:].sum(1).eq(1).all()


def test_voting_of_pipelines_on_a_frame():
    frame = pd.DataFrame(X, columns=list("vwxyz"))
    voting = VotingClassifier(
        [
            ("one", make_pipeline(StandardScaler(), LogisticRegression())),
            ("out", "drop"),
            ("two", GaussianNB()),
        ],
        voting="soft",
    ).fit(frame, LABELS)
    draws = draw(Members(), voting, frame)
    assert draws.classes.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(draws.collect().mean(0), voting.predict_proba(frame))


def test_columns_of_a_committee_are_aligned_by_class():
    few, other = Y < 2, Y > 0
    one = LogisticRegression().fit(X[few], NAMES[Y[few]])  # a, b
    two = GaussianNB().fit(X[other], NAMES[Y[other] + 1])  # c, d
    draws = draw(Members(), committee(one, two))
    assert draws.classes.tolist() == ["a", "b", "c", "d"]
    outputs = draws.collect()
    np.testing.assert_allclose(outputs[0][:, [0, 1]], one.predict_proba(X))
    np.testing.assert_allclose(outputs[1][:, [2, 3]], two.predict_proba(X))
    assert not outputs[0][:, [2, 3]].any()
    assert not outputs[1][:, [0, 1]].any()


def test_a_member_without_probabilities_votes():
    svc = LinearSVC(random_state=0).fit(X, LABELS)
    outputs = collect(Members(), committee(svc, GaussianNB().fit(X, LABELS)))
    assert set(outputs[0].flatten().tolist()) == {0.0, 1.0}
    assert (NAMES[outputs[0].argmax(1)] == svc.predict(X)).all()


def test_a_committee_of_forests_has_a_model_a_forest():
    forests = [RandomForestClassifier(3, random_state=i).fit(X, Y) for i in range(2)]
    outputs = collect(Members(), committee(*forests))
    np.testing.assert_allclose(outputs[1], forests[1].predict_proba(X))
    assert len(outputs) == 2


@pytest.mark.on_cpu
def test_nets_keep_their_precision_and_are_not_changed():
    nets = [fit(lr=0.5), fit(lr=0.1)]
    with unchanged(nets[0]), unchanged(nets[1]):
        outputs = collect(Members(), committee(*nets))
    for output, net in zip(outputs, nets, strict=True):
        np.testing.assert_allclose(output, net.predict_proba(X), atol=1e-6)
    assert outputs.sum(2).sub(1).abs().max() < 1e-14  # float32 has 1e-7


@pytest.mark.on_cpu
def test_a_plain_skorch_net_that_missed_a_class_has_columns_by_position():
    seen = Y != 1
    nets = [fit(X=X[seen], y=Y[seen]), fit()]
    assert len(nets[0].classes_) == 2
    draws = draw(Members(), committee(*nets))
    assert draws.classes.tolist() == [0, 1, 2]
    np.testing.assert_allclose(draws.collect()[0], nets[0].predict_proba(X), atol=1e-6)


@pytest.mark.on_cpu
def test_a_committee_of_regressors_speaks_in_one_unit():
    scaled = TransformedTargetRegressor(
        NetRegressor(max_epochs=20, lr=0.01, random_state=0),
        transformer=StandardScaler(),
    ).fit(X, 100 * VALUES + 50)
    cubed = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), LinearRegression()),
        func=np.cbrt,
        inverse_func=lambda y: y**3,
        check_inverse=False,
    ).fit(X, 100 * VALUES + 50)
    plain = LinearRegression().fit(X, 100 * VALUES + 50)
    models = [scaled, cubed, plain]
    learner = modAL.models.CommitteeRegressor(
        [modAL.models.ActiveLearner(model) for model in models]
    )
    outputs = collect(Members(), learner)
    assert outputs.shape == (3, 60, 1)
    for output, model in zip(outputs, models, strict=True):
        np.testing.assert_allclose(output[:, 0], model.predict(X), rtol=1e-4)


def test_one_learner_of_regressors_speaks_in_the_units_of_its_estimator():
    model = TransformedTargetRegressor(
        RandomForestRegressor(4, random_state=0), transformer=StandardScaler()
    ).fit(X, 100 * VALUES + 50)
    outputs = collect(Members(), model)
    np.testing.assert_allclose(outputs.mean(0)[:, 0], model.regressor_.predict(X))


@pytest.mark.parametrize(
    "ensemble",
    [
        ExtraTreesRegressor(4, random_state=0),
        BaggingRegressor(LinearRegression(), 4, max_features=3, random_state=0),
        VotingRegressor([("a", LinearRegression()), ("b", LinearRegression())]),
        GridSearchCV(RandomForestRegressor(3), {"max_depth": [1, 2]}, cv=2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_regression_ensembles(ensemble):
    ensemble.fit(X, VALUES)
    draws = draw(Members(), ensemble)
    assert draws.task == "regression"
    np.testing.assert_allclose(
        draws.collect().mean(0)[:, 0], ensemble.predict(X), rtol=1e-4
    )


def test_several_targets():
    forest = RandomForestRegressor(3, random_state=0).fit(X, X[:, :2])
    outputs = collect(Members(), forest)
    assert outputs.shape == (3, 60, 2)
    np.testing.assert_allclose(outputs.mean(0), forest.predict(X))


class Ensemble(BaseEnsemble):
    """An ensemble from outside scikit-learn, its members trained on labels."""

    def __init__(self, estimator=None):
        super().__init__(estimator)

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.estimators_ = [
            NetClassifier(max_epochs=1, random_state=i).fit(X, y) for i in range(3)
        ]
        return self


@pytest.mark.on_cpu
def test_ensembles_from_outside_scikit_learn_offer_their_estimators():
    ensemble = Ensemble().fit(X, LABELS)
    draws = draw(Members(), ensemble)
    assert draws.classes.tolist() == ["a", "b", "c"]
    assert draws.n_draws == 3
    own = ensemble.estimators_[1].predict_proba(X)
    np.testing.assert_allclose(draws.collect()[1], own, atol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        AdaBoostClassifier(n_estimators=3),
        GradientBoostingClassifier(n_estimators=3),
        StackingClassifier([("a", GaussianNB()), ("b", GaussianNB())], cv=2),
        OneVsRestClassifier(LogisticRegression()),
    ],
    ids=lambda e: type(e).__name__,
)
def test_what_has_no_members_is_refused(estimator):
    with pytest.raises(UnsuitableLearnerError, match="has no members to disagree"):
        collect(Members(), estimator.fit(X, Y))


def test_one_member_is_refused():
    forest = RandomForestClassifier(1).fit(X, Y)
    with pytest.raises(ValueError, match="gives 1 model, and"):
        collect(Members(), forest)


def test_several_outputs_of_a_classifier_are_refused():
    forest = RandomForestClassifier(3).fit(X, np.stack([Y, Y], axis=1))
    with pytest.raises(UnsuitableLearnerError, match="several outputs"):
        collect(Members(), forest)


@pytest.mark.parametrize(
    "estimator",
    [
        OneVsRestClassifier(LogisticRegression()),
        ClassifierChain(LogisticRegression()),
        MLPClassifier((4,), max_iter=5, random_state=0),
        RidgeClassifier(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_labels_of_a_multi_label_model_are_not_classes(estimator):
    labels = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)
    members = committee(clone(estimator).fit(X, labels), clone(estimator))
    members.learner_list[1].estimator.fit(X[::2], labels[::2])
    with pytest.raises(UnsuitableLearnerError, match="several outputs or labels"):
        collect(Members(), members)


def test_mixed_committees_are_refused():
    mixed = committee(LinearRegression().fit(X, Y), GaussianNB().fit(X, Y))
    with pytest.raises(UnsuitableLearnerError, match="mixes classifiers"):
        collect(Members(), mixed)


def test_members_with_different_numbers_of_targets_are_refused():
    one = LinearRegression().fit(X, VALUES)
    two = LinearRegression().fit(X, X[:, :2])
    with pytest.raises(UnsuitableLearnerError, match=r"targets: \[1, 2\]"):
        collect(Members(), committee(one, two))


# -- skal's ensembles of nets --------------------------------------------------------

QUICK = {"max_epochs": 4, "module__hidden_sizes": (8,), "random_state": 0}


def quick(name, net):
    """Make an ensemble of two; a fold ensemble makes its nets itself."""
    kind = getattr(ensembles, name)
    if name.startswith("Fold"):
        return kind(2, hidden_sizes=(8,), max_steps=20, others=None, random_state=0)
    return kind(net, n_estimators=2, random_state=0)


@pytest.mark.on_cpu
@pytest.mark.parametrize("name", [*CLASSIFIERS, "FoldEnsembleClassifier"])
def test_members_of_classifiers_average_to_what_the_ensemble_says(name):
    net = NetClassifier(**QUICK, module__dropout=0.2)
    ensemble = quick(name, net).fit(X, LABELS)
    assert isinstance(resolve_posterior("auto", Pool(ensemble, X)), Members)
    draws = draw(Members(), ensemble)
    assert draws.classes.tolist() == ["a", "b", "c"]
    mean = draws.collect().mean(0)
    np.testing.assert_allclose(mean, ensemble.predict_proba(X), atol=1e-5)


@pytest.mark.on_cpu
@pytest.mark.parametrize("name", [*REGRESSORS, "FoldEnsembleRegressor"])
def test_members_of_regressors_average_to_what_the_ensemble_says(name):
    net = NetRegressor(**QUICK, module__dropout=0.2)
    ensemble = quick(name, net)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), ensemble), transformer=StandardScaler()
    ).fit(X, 100 * TARGET[:, 0])
    outputs = collect(Members(), model)
    assert outputs.shape == (2, 60, 1)
    own = model.regressor_.predict(X)
    np.testing.assert_allclose(outputs.mean(0)[:, 0], own, atol=1e-5)


def test_transformers_before_an_ensemble_run_once():
    calls = []

    def count(X):
        calls.append(len(X))
        return X

    rows = np.random.default_rng(0).normal(size=(40, 3))
    forest = RandomForestRegressor(20, random_state=0)
    model = make_pipeline(FunctionTransformer(count), forest).fit(rows, rows[:, 0])
    calls.clear()
    Members().draw(Pool(model, rows), torch.Generator()).collect()
    assert sorted(calls) == [1, 40]
