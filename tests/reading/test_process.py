"""Gaussian processes against closed forms with numpy."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.gaussian_process import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
)
from sklearn.gaussian_process.kernels import (
    RBF,
    ConstantKernel,
    DotProduct,
    GenericKernelMixin,
    Kernel,
    Matern,
    WhiteKernel,
)

from skal import ActiveLearner, CommitteeRegressor
from skal.reading.pool import Pool
from skal.reading.process import is_unrelated, read_process
from skal.spaces import OfProcess
from skal.strategies import (
    BAIT,
    EPIG,
    LCMD,
    BatchBALD,
    MaxDet,
    MaxDiag,
    PredictiveVariance,
)
from tests.models import make_data
from tests.selection.ties import first

X, Y = make_data("regression", 40)
POOL = make_data("regression", 70, seed=1)[0]
SIGNAL = ConstantKernel(3.0) * RBF([1.0, 2.0, 1.0, 3.0, 1.0])
NOISES = {
    "white": (SIGNAL + WhiteKernel(0.3), 1e-8),
    "alpha": (SIGNAL, 0.4),
    "alpha of each row": (SIGNAL, np.linspace(0.1, 2.0, 40)),
    "hardly any": (Matern(2.0, nu=1.5), 1e-6),
}


def fitted(kernel, alpha):
    process = GaussianProcessRegressor(
        kernel, alpha=alpha, optimizer=None, normalize_y=True
    )
    return process.fit(X, Y)


def posterior(process, rows=POOL):
    """Covariance of the function given the labels, without noise."""
    kernel = process.kernel_
    inverse = np.linalg.inv(kernel(X) + np.diag(np.broadcast_to(process.alpha, 40)))
    across = kernel(rows, X)
    return kernel(rows, rows.copy()) - across @ inverse @ across.T


def noise_of(process):
    white = process.kernel_.diag(X) - process.kernel_(X, X.copy()).diagonal()
    return float(np.mean(white + process.alpha))


def greedy(K, n, noise, value):
    picked, scores = [], []
    for _ in range(n):
        gains = np.array([-1.0 if i in picked else value(K, i) for i in range(len(K))])
        tied = np.flatnonzero(gains >= gains.max() * (1 - 1e-12))
        picked.append(first(tied.tolist()))
        scores.append(gains.max())
        step = K[:, picked[-1]]
        K = K - np.outer(step, step) / (noise + step[picked[-1]])
    return picked, scores


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize("is_in_learner", [False, True])
def test_batches_are_those_of_the_process(name, is_in_learner):
    process = fitted(*NOISES[name])
    learner = process
    if is_in_learner:
        learner = ActiveLearner(process)
        learner.X_training, learner.y_training = X, Y
    K, noise = posterior(process), noise_of(process)
    np.testing.assert_allclose(
        MaxDiag().select(learner, POOL, 70).scores,
        np.sort(K.diagonal())[::-1],
        rtol=1e-5,
    )
    picks = MaxDet().select(learner, POOL, 6)
    expected, variances = greedy(K, 6, noise, lambda K, i: K[i, i])
    assert picks.indices.tolist() == expected
    np.testing.assert_allclose(picks.scores, variances, rtol=1e-5)
    # The largest fall of the variance of pool and labeled rows together.
    both = posterior(process, np.concatenate([POOL, X]))

    def fall(K, i):
        return (K[i] ** 2).sum() / (noise + K[i, i]) if i < 70 else -1.0

    picks = BAIT().select(learner, POOL, 5)
    expected, falls = greedy(both, 5, noise, fall)
    assert picks.indices.tolist() == expected
    np.testing.assert_allclose(picks.scores, falls, rtol=1e-4)


def test_std_is_that_of_the_process():
    """Variance given the labels, by the public method of scikit-learn."""
    process = GaussianProcessRegressor(SIGNAL, alpha=0.4, optimizer=None).fit(X, Y)
    std = process.predict(POOL, return_std=True)[1]
    picks = MaxDiag().select(process, POOL, 70)
    np.testing.assert_allclose(picks.scores, std[picks.indices] ** 2, rtol=1e-6)


@pytest.mark.parametrize("memory", [0.002, 1024])
def test_inner_products_are_the_covariances(memory):
    process = fitted(*NOISES["white"])
    (member,) = Pool(process, POOL).members
    with config_context(working_memory=memory):
        pool, labeled = read_process(member, 512)
    assert isinstance(pool, OfProcess)
    np.testing.assert_allclose(
        pool.features @ labeled.features.T, process.kernel_(POOL, X), atol=1e-9
    )
    np.testing.assert_allclose(labeled.noise_variance, 0.3 + 1e-8)
    assert len(read_process(member, 512, own_rows=False)) == 1
    assert read_process(member, 9)[0].features.shape == (70, 9)


def test_own_noise_gives_way_to_noise_std():
    process = fitted(*NOISES["white"])
    scale = 3.0**-0.5  # mean variance of the labeled rows
    K, noise = process.kernel_(POOL, POOL.copy()) * scale**2, 0.2**2
    across, known = process.kernel_(POOL, X), process.kernel_(X, X.copy())
    across, known = across * scale**2, known * scale**2
    K = K - across @ np.linalg.solve(known + noise * np.eye(40), across.T)
    picks = MaxDet(noise_std=0.2).select(process, POOL, 5)
    assert picks.indices.tolist() == greedy(K, 5, noise, lambda K, i: K[i, i])[0]
    picks = MaxDet(condition_on_labels=False).select(process, POOL, 5)
    K = process.kernel_(POOL, POOL.copy())
    _, expected = greedy(K, 5, 0.3 + 1e-8, lambda K, i: K[i, i])
    np.testing.assert_allclose(picks.scores, expected, rtol=1e-6)


def test_classifiers_and_committees():
    y = make_data("classification", 40)[1]
    process = GaussianProcessClassifier(SIGNAL, optimizer=None).fit(X, y)
    (member,) = Pool(process, POOL).members
    (pool,) = read_process(member, 512)
    kernels = [one.kernel_ for one in process.base_estimator_.estimators_]
    assert len(kernels) == 3
    expected = sum(kernel(POOL, POOL) for kernel in kernels)
    np.testing.assert_allclose(pool.features @ pool.features.T, expected, atol=1e-9)
    binary = GaussianProcessClassifier(SIGNAL, optimizer=None).fit(X, Y > 0)
    (pool,) = read_process(Pool(binary, POOL).members[0], 512)
    np.testing.assert_allclose(pool.features @ pool.features.T, SIGNAL(POOL), atol=1e-9)
    members = [
        ActiveLearner(
            GaussianProcessRegressor(RBF(scale), alpha=0.1, optimizer=None), None, X, Y
        )
        for scale in (1.0, 3.0)
    ]
    strategy = LCMD()
    strategy.select(CommitteeRegressor(members), POOL, 4)
    assert strategy.space_ == "kernel"


@pytest.mark.parametrize(
    "strategy",
    [LCMD(), MaxDet(), BAIT(), PredictiveVariance(), BatchBALD(), EPIG(random_state=0)],
)
def test_a_kernel_to_which_no_rows_are_similar_is_named(strategy):
    """The default kernel on unscaled inputs: what it picks says nothing."""
    message = r"RBF\(length_scale=1\), sees no similarity .* Scale the inputs"
    process = GaussianProcessRegressor(alpha=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strategy.select(ActiveLearner(process, None, X, Y), POOL, 3)
    wide = ActiveLearner(process, None, 100 * X, Y)
    with pytest.warns(UserWarning, match=message):
        strategy.select(wide, 100 * POOL, 3)


@pytest.mark.parametrize("several", [False, True])
def test_unrelated_rows_of_classifiers(several):
    y = np.digitize(Y, [-0.5, 0.5] if several else [0.0])
    process = GaussianProcessClassifier(optimizer=None)
    with pytest.warns(UserWarning, match="sees no similarity"):
        LCMD().select(ActiveLearner(process, None, 100 * X, y), 100 * POOL, 3)


def test_few_similar_rows_do_not_hide_the_others():
    spread = 100.0 * np.arange(60)[:, None]
    assert is_unrelated(RBF(1.0), spread)
    assert is_unrelated(RBF(1.0), np.concatenate([spread, spread[:10]]))
    assert not is_unrelated(RBF(1.0), np.concatenate([spread, spread]))
    assert not is_unrelated(RBF(100.0), spread)
    assert not is_unrelated(RBF(1.0), spread[:2])  # two rows tell nothing
    assert not is_unrelated(WhiteKernel(1.0), spread)


class Letters(GenericKernelMixin, Kernel):
    """Compares texts by how often each letter is in them."""

    def __init__(self):
        pass  # scikit-learn requires one that names its parameters

    def __call__(self, X, Y=None, eval_gradient=False):
        return counts(X) @ counts(X if Y is None else Y).T

    def diag(self, X):
        return (counts(X) ** 2).sum(axis=1)

    def is_stationary(self):
        return False


def counts(texts):
    return np.array([["".join(text).count(c) for c in "abcd"] for text in texts], float)


@pytest.mark.parametrize(
    "convert",
    [
        np.array,
        lambda texts: np.array(texts, dtype=object),
        pd.Series,
        lambda texts: np.array([list(text) for text in texts]),
        lambda texts: pd.DataFrame([list(text) for text in texts]),
    ],
    ids=["texts", "objects", "series", "letters", "table"],
)
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_kernels_of_texts(convert, task):
    """The picks are those of the linear kernel of the counts."""
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("aabcd"), size=6)) for _ in range(50)]
    y = counts(texts[:30])[:, 0] + 0.1 * rng.normal(size=30)
    kind, strategies = GaussianProcessRegressor, [LCMD(), MaxDet(), BAIT()]
    if task == "classification":
        y, kind, strategies = y > y.mean(), GaussianProcessClassifier, [LCMD(), BAIT()]
    rows, pool = convert(texts[:30]), convert(texts[30:])
    learner = ActiveLearner(kind(Letters(), optimizer=None), None, rows, y)
    linear = kind(DotProduct(0.0, "fixed"), optimizer=None)
    expected = ActiveLearner(linear, None, counts(texts[:30]), y)
    for strategy in strategies:
        picked = strategy.select(learner, pool, 4)
        plain = strategy.select(expected, counts(texts[30:]), 4)
        assert strategy.space_ == "kernel"
        np.testing.assert_array_equal(picked.indices, plain.indices)
