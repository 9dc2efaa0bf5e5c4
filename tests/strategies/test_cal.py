"""CAL against neighbors that scikit-learn finds and divergences of scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from torch import nn

from skal import ActiveLearner, Committee
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import CAL
from tests.models import N_FEATURES, make_data, make_net, module_on_cpu, with_labeled

X, Y = make_data("classification")
POOL = make_data("classification", 43, seed=1)[0]


def read(net, rows: np.ndarray, body: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Features and probabilities of a sequence of layers."""
    with torch.no_grad():
        module = module_on_cpu(net)
        z = module[:body](torch.as_tensor(rows, dtype=torch.float32))
        outputs = module[body:](z).double()
    if outputs.shape[1] == 1:
        p = outputs.sigmoid().numpy()
        return z.numpy(), np.hstack([1 - p, p])
    return z.numpy(), outputs.softmax(1).numpy()


def by_hand(net, rows, labeled, k: int) -> list[float]:
    features, proba = read(net, rows)
    known, known_proba = read(net, labeled)
    finder = NearestNeighbors(n_neighbors=k).fit(normalize(known))
    neighbors = finder.kneighbors(normalize(features), return_distance=False)
    return [
        np.mean([entropy(known_proba[j], p) for j in js])
        for p, js in zip(proba, neighbors, strict=True)
    ]


def sequence(n_outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(N_FEATURES, 8), nn.Tanh(), nn.Linear(8, n_outputs))


@pytest.mark.parametrize("k", [1, 10, 60])
@pytest.mark.parametrize("batch_size", [7, 64])
def test_equals_neighbors_and_divergences_by_hand(k, batch_size):
    net = make_net("classification", module=sequence()).fit(X, Y)
    net.set_params(batch_size=batch_size)
    expected = by_hand(net, POOL, X, k)
    scores = CAL(n_neighbors=k).score_samples(with_labeled(net, X, Y), POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-9)


def test_nets_with_one_logit():
    settings = {"module": sequence(1), "criterion": nn.BCEWithLogitsLoss}
    net = make_net("classification", **settings).fit(X, Y == "low")
    expected = by_hand(net, POOL, X, 10)
    scores = CAL().score_samples(with_labeled(net, X, Y == "low"), POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-9)


def test_true_labels_are_not_used():
    net = make_net("classification").fit(X, Y)
    expected = CAL().select(with_labeled(net, X, Y), POOL, 9)
    other = CAL().select(with_labeled(net, X, Y[::-1]), POOL, 9)
    np.testing.assert_array_equal(other.indices, expected.indices)
    np.testing.assert_array_equal(other.scores, expected.scores)


def test_fewer_labeled_rows_than_neighbors_are_all_taken():
    net = make_net("classification", module=sequence()).fit(X, Y)
    few = with_labeled(net, X[:4], Y[:4])
    expected = by_hand(net, POOL, X[:4], 4)
    for k in (4, 10, 1000):
        scores = CAL(n_neighbors=k).score_samples(few, POOL)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-9)


def test_labeled_rows_have_no_contrast_with_themselves():
    net = make_net("classification").fit(X, Y)
    scores = CAL(n_neighbors=1).score_samples(with_labeled(net, X, Y), X)
    np.testing.assert_allclose(scores, 0, atol=1e-12)


@pytest.mark.on_cpu
def test_features_of_length_one_are_compared():
    # Of a linear net the inputs are the features: the far row in the same direction
    # is the neighbor, not the near one in another.
    net = make_net("classification", module=nn.Linear(N_FEATURES, 3)).fit(X, Y)
    labeled = np.eye(N_FEATURES)[:2] * [[100.0], [1.0]]
    row = np.array([[1.0, 0.5, 0, 0, 0]])
    with torch.no_grad():
        z = [torch.as_tensor(x, dtype=torch.float32) for x in (labeled, row)]
        known, own = (net.module_(x).double().softmax(1).numpy() for x in z)
    score = CAL(n_neighbors=1).score_samples(with_labeled(net, labeled, Y[:2]), row)
    np.testing.assert_allclose(score, [entropy(known[0], own[0])], rtol=1e-4)


def test_rows_without_features_have_neighbors():
    net = make_net("classification", module=nn.Linear(N_FEATURES, 3)).fit(X, Y)
    labeled = np.vstack([X[:3], np.zeros((1, N_FEATURES))])
    learner = with_labeled(net, labeled, Y[:4])
    score = CAL(n_neighbors=1).score_samples(learner, np.zeros((2, N_FEATURES)))
    np.testing.assert_allclose(score, 0, atol=1e-12)  # the row of zeros is nearest
    assert np.isfinite(CAL().score_samples(learner, POOL)).all()


def test_nets_of_a_committee_are_averaged():
    members = [
        ActiveLearner(
            make_net("classification", random_state=seed), X_training=X, y_training=Y
        )
        for seed in range(3)
    ]
    scores = [CAL().score_samples(member, POOL) for member in members]
    found = CAL().score_samples(Committee(members), POOL)
    np.testing.assert_allclose(found, np.mean(scores, axis=0), rtol=1e-9)


def test_members_taught_on_rows_of_their_own_know_all_of_them():
    halves = [slice(0, 30), slice(30, 60)]
    members = [
        ActiveLearner(make_net("classification"), X_training=X[h], y_training=Y[h])
        for h in halves
    ]
    expected = np.mean(
        [
            CAL().score_samples(with_labeled(member.estimator, X, Y), POOL)
            for member in members
        ],
        axis=0,
    )
    found = CAL().score_samples(Committee(members), POOL)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_sure_nets_have_finite_scores():
    net = make_net("classification").fit(X, Y)
    with torch.no_grad():
        net.module_.head.weight.mul_(1e5)
    selection = CAL().select(with_labeled(net, X, Y), POOL, 43)
    assert sorted(selection.indices.tolist()) == list(range(43))
    assert np.isfinite(selection.scores).all()


def test_bad_input():
    net = make_net("classification").fit(X, Y)
    learner = with_labeled(net, X, Y)
    for k in (0, -1, 2.5, True, "10"):
        with pytest.raises(
            ValueError, match="n_neighbors must be an int of at least 1"
        ):
            CAL(n_neighbors=k).select(learner, POOL, 1)
    with pytest.raises(UnsuitableLearnerError, match="CAL needs labeled rows"):
        CAL().select(net, POOL, 1)
    with pytest.raises(UnsuitableLearnerError, match="no module named 'neck'"):
        CAL(head="neck").select(learner, POOL, 1)
    with torch.no_grad():
        net.module_.head.weight.fill_(torch.inf)
    with pytest.raises(ValueError, match="not finite"):
        CAL().select(learner, POOL, 1)
