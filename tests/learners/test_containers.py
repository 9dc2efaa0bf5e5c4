"""Rows that learners take besides tables: Datasets, several inputs, weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from torch import nn
from torch.utils.data import Subset, TensorDataset

from skal import ActiveLearner, Committee, NetClassifier, NetRegressor
from skal._stacking import stack_rows
from skal.strategies import BADGE, Margin, Random

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
DATASET = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


# -- Datasets -------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Random(random_state=0), BADGE(random_state=0)])
def test_rows_queried_from_a_dataset_are_taught(strategy):
    # Without dropout, whose masks go by the order of rows.
    net = NetClassifier(max_epochs=2, module__dropout=0.0, random_state=0)
    expected = ActiveLearner(clone(net), strategy)
    expected.fit(X[:20], Y[:20])
    picked, rows = expected.query(X[20:], 3)
    expected.teach(rows, Y[20:][picked])
    for start in (X[:20], Subset(DATASET, range(20))):
        learner = ActiveLearner(clone(net), strategy)
        learner.fit(start, Y[:20])
        indices, rows = learner.query(Subset(DATASET, range(20, 60)), 3)
        assert indices.tolist() == picked.tolist()
        learner.teach(rows, Y[20:][indices])
        learner.teach(Subset(DATASET, [50]), Y[[50]])
        assert len(learner.X_training) == len(learner.y_training) == 24
        if isinstance(start, np.ndarray):
            assert np.array_equal(learner.X_training[20:23], X[20:][picked])
    expected.teach(X[[50]], Y[[50]])
    proba = learner.predict_proba(X)
    np.testing.assert_allclose(proba, expected.predict_proba(X), atol=1e-4)


def test_datasets_and_arrays_do_not_mix_silently():
    with pytest.raises(ValueError, match="so far are a Dataset"):
        stack_rows(DATASET, X[:2])

    class Dicts(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return {"a": X[i], "b": torch.tensor(i)}, 0

    stacked = stack_rows({"a": X[:2], "b": np.array([5, 6])}, Dicts())
    assert np.array_equal(stacked["a"], X[[0, 1, 0, 1, 2]])
    assert stacked["b"].tolist() == [5, 6, 0, 1, 2]


# -- several inputs -------------------------------------------------------------------


class Two(nn.Module):
    def __init__(self, n_outputs=2):
        super().__init__()
        self.head = nn.Linear(4, n_outputs)

    def forward(self, left, right):
        return self.head(torch.cat([left, right], dim=1))


def test_several_inputs_are_a_dict():
    net = NetClassifier(Two, max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match="as a dict of arrays"):
        ActiveLearner(net, Margin(), (X[:, :2], X[:, 2:]), Y)
    learner = ActiveLearner(net, Margin(), {"left": X[:, :2], "right": X[:, 2:]}, Y)
    assert len(learner.query({"left": X[:, :2], "right": X[:, 2:]}, 3)[0]) == 3
    with pytest.raises(ValueError, match=r"2 rows, but y has 3 labels\.$"):
        ActiveLearner(LogisticRegression(), Margin(), ("ab", "c"), [0, 1, 0])


# -- weights by metadata routing ------------------------------------------------------


def test_weights_reach_the_estimator_by_routing():
    class Recording(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            self.weights_ = sample_weight
            return super().fit(X, y, sample_weight)

    weights = np.linspace(1, 2, 60)
    with config_context(enable_metadata_routing=True):
        learner = ActiveLearner(Recording(), Random())
        learner.set_fit_request(sample_weight=True)
        learner.set_score_request(sample_weight=False)
        done = cross_validate(
            learner,
            X,
            Y,
            cv=3,
            params={"sample_weight": weights},
            return_estimator=True,
            return_indices=True,
        )
        for fitted, rows in zip(
            done["estimator"], done["indices"]["train"], strict=True
        ):
            assert np.array_equal(fitted.estimator.weights_, weights[rows])
        net = NetRegressor(max_epochs=1)
        ActiveLearner(net, Random()).set_fit_request(sample_weight=True)


# -- modAL's own ----------------------------------------------------------------------


def test_rows_are_added_without_a_fit():
    learner = ActiveLearner(LogisticRegression(), Margin(), X[:20].tolist(), Y[:20])
    before = learner.predict_proba(X)
    learner._add_training_data(X[20:23], Y[20:23])
    assert len(learner.X_training) == len(learner.y_training) == 23
    assert isinstance(learner.X_training, list)
    assert np.array_equal(learner.predict_proba(X), before)
    committee = Committee([learner, ActiveLearner(LogisticRegression())])
    committee._add_training_data(X[23:25], Y[23:25])
    assert [len(m.y_training) for m in committee.learner_list] == [25, 2]
    with pytest.raises(ValueError, match="2 rows, but y has 3"):
        learner._add_training_data(X[:2], Y[:3])


@pytest.mark.filterwarnings("ignore:Sparse CS")  # torch calls them a beta
@pytest.mark.parametrize("kind", ["to_sparse", "to_sparse_csr", "to_sparse_csc"])
def test_sparse_tensors_are_queried_and_taught(kind):
    net = NetClassifier(max_epochs=20, random_state=0)
    labeled, pool = torch.from_numpy(X[:20]), torch.from_numpy(X[20:])
    picks = []
    for make in (torch.clone, getattr(torch.Tensor, kind)):
        strategy = BADGE(random_state=0)
        learner = ActiveLearner(clone(net), strategy, make(labeled), Y[:20])
        first, rows = learner.query(make(pool), 3)
        assert np.array_equal(rows.to_dense(), pool[first])
        learner.teach(rows, Y[20:][first])
        assert np.array_equal(learner.X_training.to_dense()[20:], pool[first])
        picks.append([*first, *learner.query(make(pool), 3)[0]])
    assert picks[0] == picks[1]
