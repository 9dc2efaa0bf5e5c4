"""Distributions that regressors give, against `predict` and dense closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct
from sklearn.gaussian_process.kernels import WhiteKernel as White
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    LinearRegression,
    LogisticRegression,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skal import ActiveLearner, Committee, CommitteeRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import (
    Members,
    PredictiveDistribution,
    predictive_std,
    resolve_posterior,
)
from skal.reading.pool import Pool
from skal.strategies import (
    BALD,
    EPIG,
    BatchBALD,
    PowerBALD,
    PredictiveVariance,
)
from tests.posteriors.helpers import draw

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3))
Y = np.sin(X[:, 0]) + 0.1 * RNG.normal(size=30)
TWO = np.column_stack([Y, 50 * X[:, 1] + Y])
POOL = RNG.normal(size=(40, 3)) * 1.5
NOISE = 0.3


def process(kernel=None, y=Y, **parameters):
    kernel = ConstantKernel(2.0) * RBF(1.5) if kernel is None else kernel
    settings = {"optimizer": None, "alpha": 1e-2, **parameters}
    return GaussianProcessRegressor(kernel, **settings).fit(X, y)


class JointOnly(RegressorMixin, BaseEstimator):
    """A regressor of the user's own, of which only `return_cov` is known."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> JointOnly:
        self.inner_ = process()
        return self

    def predict(self, X: np.ndarray, return_cov: bool = False):
        return self.inner_.predict(X, return_cov=return_cov)


class Subclass(GaussianProcessRegressor):
    """A process that doubles what it does not know."""

    def predict(self, X, return_std=False, return_cov=False):
        found = super().predict(X, return_std=return_std, return_cov=return_cov)
        factor = 2 if return_std else 4
        return (found[0], factor * found[1]) if return_std or return_cov else found


class Marginal(RegressorMixin, BaseEstimator):
    """A regressor that knows the standard deviation of each row alone."""

    def __init__(self, std=None):
        self.std = std

    def fit(self, X: np.ndarray, y: np.ndarray) -> Marginal:
        self.mean_ = np.mean(y)
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: np.ndarray, return_std: bool = False):
        mean = np.full(len(X), self.mean_)
        std = 0.1 + np.abs(X[:, 0]) if self.std is None else np.full(len(X), self.std)
        return (mean, std) if return_std else mean


#: Each with the covariance of its function at the pool, without noise, in own units.
JOINT = {
    "process": (lambda: process(), lambda m: m.predict(POOL, return_cov=True)[1]),
    "normalized": (
        lambda: process(y=40 * Y + 7, normalize_y=True),
        lambda m: m.predict(POOL, return_cov=True)[1],
    ),
    "two targets": (
        lambda: process(y=TWO, normalize_y=True),
        lambda m: m.predict(POOL, return_cov=True)[1],
    ),
    "white": (
        lambda: process(RBF(1.5) + White(0.4)),
        lambda m: m.predict(POOL, return_cov=True)[1] - 0.4 * np.eye(40),
    ),
    "dot product": (
        lambda: process(DotProduct() + White(0.1)),
        lambda m: m.predict(POOL, return_cov=True)[1] - 0.1 * np.eye(40),
    ),
    "subclass": (
        lambda: Subclass(RBF(1.5), optimizer=None, alpha=1e-2).fit(X, Y),
        lambda m: m.predict(POOL, return_cov=True)[1],
    ),
    "return_cov": (
        lambda: JointOnly().fit(X, Y),
        lambda m: m.predict(POOL, return_cov=True)[1],
    ),
    "ridge": (
        lambda: BayesianRidge().fit(2 * X + 5, Y),
        lambda m: (POOL - m.X_offset_) @ m.sigma_ @ (POOL - m.X_offset_).T,
    ),
    "ridge without intercept": (
        lambda: BayesianRidge(fit_intercept=False).fit(X, Y),
        lambda m: POOL @ m.sigma_ @ POOL.T,
    ),
    "ard": (
        lambda: ARDRegression(threshold_lambda=100).fit(X, X[:, 0] + 0.1 * Y),
        lambda m: dropped(m) @ m.sigma_ @ dropped(m).T,
    ),
}
joint = pytest.mark.parametrize("kind", JOINT)


def dropped(model):
    kept = model.lambda_ < model.threshold_lambda
    assert 0 < kept.sum() < 3
    return (POOL - model.X_offset_)[:, kept]


def made(kind):
    make, covariance = JOINT[kind]
    model = make()
    return model, covariance(model).reshape(40, 40, -1)


def read(learner, pool=POOL, posterior=None):
    posterior = posterior or PredictiveDistribution()
    return posterior.read(Pool(learner, pool), torch.Generator())


@pytest.fixture(params=[None, 0.01], ids=["one block", "blocks"])
def memory(request):
    if request.param is None:
        yield
    else:
        with config_context(working_memory=request.param):
            yield


@joint
def test_moments_are_those_of_the_dense_matrix(kind, memory):
    model, dense = made(kind)
    found = read(model)
    assert found.is_joint
    assert not found.of_labels
    variance = np.diagonal(dense).T
    np.testing.assert_allclose(found.variance(), variance, rtol=1e-6, atol=1e-9)
    mean = torch.cat([mean for _, mean, _ in found.blocks()])
    np.testing.assert_allclose(mean, model.predict(POOL).reshape(40, -1))
    columns = torch.tensor([3, 0, 17, 3])
    np.testing.assert_allclose(
        found.covariance(None, columns), dense[:, [3, 0, 17, 3]], rtol=1e-6, atol=1e-9
    )
    rows = torch.tensor([5, 3])
    np.testing.assert_allclose(
        found.covariance(rows, columns),
        dense[[5, 3]][:, [3, 0, 17, 3]],
        rtol=1e-6,
        atol=1e-9,
    )


def test_working_memory_bounds_the_blocks_of_covariances():
    found = read(process(y=TWO))
    others = found.rows_at(torch.arange(40).repeat(10))
    with config_context(working_memory=1):  # a sixteenth of it for each temporary
        sizes = [8 * part.numel() for _, part in found.covariances(others)]
    assert len(sizes) > 1
    assert max(sizes) <= 2**16


@pytest.mark.parametrize("estimator", [BayesianRidge(), ARDRegression()])
def test_linear_models_add_their_noise_in_predict(estimator):
    # Centered, as scikit-learn took the offset off in `predict` only later.
    center = X.mean(axis=0)
    model = estimator.fit(X - center, Y)
    _, std = model.predict(POOL - center, return_std=True)
    found = read(model, POOL - center).variance()[:, 0]
    np.testing.assert_allclose(found + 1 / model.alpha_, std**2, rtol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
@pytest.mark.parametrize("base", [BayesianRidge, ARDRegression])
def test_what_a_subclass_predicts_is_read(base, scale):
    class Own(base):
        def predict(self, X, return_std=False):
            mean = super().predict(X)
            return (mean, scale * np.abs(X[:, 0])) if return_std else mean

    model = Own().fit(X, scale * Y)
    scores = PredictiveVariance().score_samples(model, POOL)
    np.testing.assert_allclose(scores, np.square(scale * POOL[:, 0]), rtol=1e-9)
    with pytest.raises(UnsuitableLearnerError, match="how two of them vary together"):
        BatchBALD().select(model, POOL, 2)

    class Failing(base):
        def predict(self, X, return_std=False):
            mean = super().predict(X)
            return (mean, np.full(len(X), np.nan)) if return_std else mean

    with pytest.raises(ValueError, match="NaN, infinite or negative"):
        PredictiveVariance().select(Failing().fit(X, Y), POOL, 2)


@joint
def test_predictive_variance(kind):
    model, dense = made(kind)
    expected = np.diagonal(dense).T
    for reduction in ("sum", "max"):
        scores = PredictiveVariance(reduction=reduction).score_samples(model, POOL)
        reduced = getattr(np, reduction)(expected, axis=1)
        np.testing.assert_allclose(scores, reduced, rtol=1e-6, atol=1e-9)


@joint
@pytest.mark.parametrize("noise", [NOISE, None])
def test_bald(kind, noise):
    model, dense = made(kind)
    variance = np.diagonal(dense).T
    sigma2 = variance.mean() / 10 if noise is None else noise
    expected = 0.5 * np.log1p(variance / sigma2).sum(axis=1)
    scores = BALD(noise_variance=noise).score_samples(model, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-8)
    picks = PowerBALD(noise_variance=noise, random_state=0).select(model, POOL, 4)
    np.testing.assert_allclose(
        picks.scores, expected[picks.indices], rtol=1e-6, atol=1e-8
    )


@joint
@pytest.mark.parametrize("noise", [NOISE, None])
def test_batch_bald_is_greedy_by_the_determinant(kind, noise, memory):
    model, dense = made(kind)
    sigma2 = np.diagonal(dense).mean() / 10 if noise is None else noise

    def information(batch):
        part = dense[np.ix_(batch, batch)] / sigma2
        return sum(
            np.linalg.slogdet(np.eye(len(batch)) + part[:, :, t])[1] / 2
            for t in range(dense.shape[2])
        )

    picks = BatchBALD(noise_variance=noise).select(model, POOL, 12)
    batch: list[int] = []
    for index, score in zip(picks.indices.tolist(), picks.scores, strict=True):
        rest = [i for i in range(40) if i not in batch]
        before = information(batch) if batch else 0
        gains = [information([*batch, i]) - before for i in rest]
        # Rounding may turn equal gains.
        assert gains[rest.index(index)] == pytest.approx(max(gains), rel=1e-6, abs=1e-9)
        assert score == pytest.approx(max(gains), rel=1e-5, abs=1e-8)
        batch.append(index)
    assert len(set(batch)) == 12


@joint
@pytest.mark.parametrize("noise", [NOISE, None])
def test_epig(kind, noise, memory):
    model, dense = made(kind)
    variance = np.diagonal(dense).T  # (40, T)
    targets = [2, 7, 11, 30]
    sigma2 = variance[targets].mean() / 10 if noise is None else noise
    expected = np.zeros(40)
    for t in range(dense.shape[2]):
        total = variance[:, t] + sigma2
        rho2 = dense[:, targets, t] ** 2 / np.outer(total, total[targets])
        expected += (-0.5 * np.log(1 - rho2)).mean(axis=1)
    strategy = EPIG(X_target=POOL[targets], noise_variance=noise)
    scores = strategy.score_samples(model, POOL)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-8)


def test_epig_draws_its_targets_from_the_pool():
    model = process()
    drawn = torch.randperm(40, generator=torch.Generator().manual_seed(3))[:5]
    pool = Pool(model, POOL)
    by_hand = EPIG(X_target=POOL[drawn.numpy()]).score_samples(model, POOL)
    strategy = EPIG(n_targets=5)
    scores = strategy._score(pool, torch.Generator().manual_seed(3))
    np.testing.assert_allclose(scores, by_hand)


# -- marginals ------------------------------------------------------------------------


def test_a_standard_deviation_alone():
    model = Marginal().fit(X, Y)
    variance = (0.1 + np.abs(POOL[:, 0])) ** 2
    np.testing.assert_allclose(
        PredictiveVariance().score_samples(model, POOL), variance
    )
    expected = np.log1p(variance / NOISE) / 2
    scores = BALD(noise_variance=NOISE).score_samples(model, POOL)
    np.testing.assert_allclose(scores, expected)
    for strategy in (BatchBALD(), EPIG()):
        for n in (1, 2):
            with pytest.raises(UnsuitableLearnerError, match=r"vary together.*Bagged"):
                strategy.select(model, POOL, n)
    with pytest.raises(UnsuitableLearnerError, match="no models whose predictions"):
        draw(PredictiveDistribution(), model, POOL)


@pytest.mark.parametrize("std", [np.nan, -1.0, np.inf])
def test_a_standard_deviation_that_is_none(std):
    model = Marginal(std).fit(X, Y)
    for strategy in (PredictiveVariance(), BALD()):
        with pytest.raises(ValueError, match=r"Marginal predicts a standard deviation"):
            strategy.select(model, POOL)


def test_a_standard_deviation_of_zero_is_no_variance():
    scores = PredictiveVariance().score_samples(Marginal(0.0).fit(X, Y), POOL)
    np.testing.assert_array_equal(scores, np.zeros(len(POOL)))


def test_shapes_that_differ():
    class Wrong(Marginal):
        def predict(self, X, return_std=False):
            mean = super().predict(X)
            return (mean, np.ones((len(X), 2))) if return_std else mean

    with pytest.raises(ValueError, match=r"means .* \(1,\) and .* shape \(1, 2\)"):
        PredictiveVariance().select(Wrong().fit(X, Y), POOL)


class NormalTrees(RegressorMixin, BaseEstimator):
    """The public methods of NGBoost: mean and std by `pred_dist`."""

    has_std = True

    def fit(self, X: np.ndarray, y: np.ndarray) -> NormalTrees:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X[:, 1]

    def pred_dist(self, X: np.ndarray):
        class Dist:
            mean = staticmethod(norm(X[:, 1], np.exp(X[:, 2])).mean)
            std = staticmethod(norm(X[:, 1], np.exp(X[:, 2])).std)

        if not self.has_std:
            Dist.std = None
        return Dist()


class WithUncertainty(RegressorMixin, BaseEstimator):
    """What CatBoost predicts with the loss RMSEWithUncertainty."""

    def __init__(self, loss_function="RMSEWithUncertainty"):
        self.loss_function = loss_function

    def fit(self, X: np.ndarray, y: np.ndarray) -> WithUncertainty:
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([X[:, 1], np.exp(2 * X[:, 2])])


@pytest.mark.parametrize("cls", [NormalTrees, WithUncertainty])
def test_variances_of_labels(cls):
    model = cls().fit(X, Y)
    variance = np.exp(2 * POOL[:, 2])
    np.testing.assert_allclose(
        PredictiveVariance().score_samples(model, POOL), variance
    )
    for strategy in (BALD(), PowerBALD()):
        with pytest.raises(UnsuitableLearnerError, match="Set noise_variance"):
            strategy.select(model, POOL)
    with pytest.raises(UnsuitableLearnerError, match="vary together"):
        BatchBALD(noise_variance=NOISE).select(model, POOL)
    # H(y) - H(y | f), which is not negative.
    expected = np.log(np.maximum(variance, NOISE) / NOISE) / 2
    scores = BALD(noise_variance=NOISE).score_samples(model, POOL)
    np.testing.assert_allclose(scores, expected, atol=1e-12)


def test_a_distribution_without_moments():
    model = NormalTrees()
    model.has_std = False
    with pytest.raises(UnsuitableLearnerError, match="Dist of NormalTrees has no m"):
        PredictiveVariance().select(model.fit(X, Y), POOL)


# -- what holds an estimator ----------------------------------------------------------


def test_auto_prefers_members():
    def auto(model):
        return type(resolve_posterior("auto", Pool(model, POOL)))

    assert auto(process()) is PredictiveDistribution
    assert auto(BayesianRidge().fit(X, Y)) is PredictiveDistribution
    assert auto(RandomForestRegressor(3).fit(X, Y)) is Members
    assert auto(BaggingRegressor(process(), 2).fit(X, Y)) is Members
    pair = CommitteeRegressor([ActiveLearner(process()) for _ in range(2)])
    assert auto(pair.fit(X, Y)) is Members
    with pytest.raises(UnsuitableLearnerError, match="LinearRegression is a single"):
        auto(LinearRegression().fit(X, Y))
    with pytest.raises(UnsuitableLearnerError, match="gives no predictive distrib"):
        read(LinearRegression().fit(X, Y))


def test_pipelines_and_searches():
    scaled = make_pipeline(StandardScaler(), process()).fit(X, Y)
    _, std = scaled.predict(POOL, return_std=True)
    search = GridSearchCV(scaled, {"gaussianprocessregressor__alpha": [1e-2]}, cv=2)
    for model in (scaled, search.fit(X, Y), ActiveLearner(scaled, None, X, Y)):
        scores = PredictiveVariance().score_samples(model, POOL)
        np.testing.assert_allclose(scores, std**2, rtol=1e-6)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler((-3, 8))])
def test_standard_deviations_in_units_of_the_learner(scaler):
    target = 40 * Y + 7
    outer = TransformedTargetRegressor(process(), transformer=scaler).fit(X, target)
    slope = np.ptp(scaler.fit(target[:, None]).inverse_transform([[1.0], [0.0]]))
    _, own = outer.regressor_.predict(POOL, return_std=True)
    np.testing.assert_allclose(
        predictive_std(outer, POOL)[:, 0], slope * own, rtol=1e-6
    )
    # Strategies read the units of the model, as they do for members.
    scores = PredictiveVariance().score_samples(outer, POOL)
    np.testing.assert_allclose(scores, own**2, rtol=1e-6)


def test_draws_in_units_of_the_learner():
    target = np.exp(Y)
    forest = RandomForestRegressor(4, random_state=0)
    outer = TransformedTargetRegressor(forest, func=np.log, inverse_func=np.exp)
    outer.fit(X, target)
    trees = [np.exp(tree.predict(POOL)) for tree in outer.regressor_.estimators_]
    np.testing.assert_allclose(predictive_std(outer, POOL)[:, 0], np.std(trees, axis=0))


def test_other_transformers_take_points_one_deviation_off():
    outer = TransformedTargetRegressor(process(), func=np.log, inverse_func=np.exp)
    outer.fit(X, np.exp(Y))
    mean, std = outer.regressor_.predict(POOL, return_std=True)
    expected = (np.exp(mean + std) - np.exp(mean - std)) / 2
    np.testing.assert_allclose(predictive_std(outer, POOL)[:, 0], expected, rtol=1e-6)


def test_a_transformer_that_mixes_targets():
    turn = np.array([[0.6, 0.8], [-0.8, 0.6]])
    outer = TransformedTargetRegressor(
        process(y=TWO), func=lambda y: y @ turn, inverse_func=lambda y: y @ turn.T
    ).fit(X, TWO)
    with pytest.raises(UnsuitableLearnerError, match="mixes the targets"):
        predictive_std(outer, POOL)


def test_a_committee_is_the_moments_of_its_mixture():
    kernels = [RBF(1.0), 2 * RBF(3.0)]
    scalers = [StandardScaler(), MinMaxScaler()]
    members = [
        ActiveLearner(
            TransformedTargetRegressor(
                GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-2),
                transformer=scaler,
            ),
            X_training=X[rows],
            y_training=40 * Y[rows],
        )
        for kernel, scaler, rows in zip(
            kernels, scalers, (slice(20), slice(10, 30)), strict=True
        )
    ]
    committee = CommitteeRegressor(members)
    means, covariances = [], []
    for member in members:
        outer = member.estimator
        _, own = outer.regressor_.predict(POOL, return_cov=True)
        slope = np.ptp(outer.transformer_.inverse_transform([[1.0], [0.0]]))
        means.append(outer.predict(POOL))
        covariances.append(slope**2 * own)
    dense = np.mean(covariances, axis=0) + np.cov(np.array(means).T, bias=True)
    found = read(committee)
    np.testing.assert_allclose(
        found.variance()[:, 0], np.diag(dense), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_allclose(
        found.covariance(None, torch.arange(40))[:, :, 0], dense, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        predictive_std(committee, POOL, PredictiveDistribution())[:, 0] ** 2,
        np.diag(dense),
        rtol=1e-6,
    )
    picks = BatchBALD(PredictiveDistribution()).select(committee, POOL, 5)
    assert len(set(picks.indices.tolist())) == 5


def test_the_learner_is_not_changed():
    model = process()
    before = {k: np.copy(v) for k, v in vars(model).items() if k.endswith("_")}
    for strategy in (BatchBALD(), EPIG(random_state=0), PredictiveVariance()):
        first = strategy.select(model, POOL, 3)
        again = strategy.select(model, POOL, 3)
        np.testing.assert_array_equal(first.indices, again.indices)
    for key, value in before.items():
        if value.dtype != object:
            np.testing.assert_array_equal(getattr(model, key), value)


def test_classifiers_are_refused():
    model = LogisticRegression().fit(X, Y > 0)
    with pytest.raises(UnsuitableLearnerError, match="gives no predictive distrib"):
        BALD(PredictiveDistribution()).select(model, POOL)
    committee = Committee([ActiveLearner(LogisticRegression())]).fit(X, Y > 0)
    with pytest.raises(UnsuitableLearnerError, match="single member"):
        BALD().select(committee, POOL)


def test_ngboost_itself():
    ngboost = pytest.importorskip("ngboost")
    model = ngboost.NGBRegressor(n_estimators=20, verbose=False, random_state=0)
    model.fit(X, Y)
    expected = model.pred_dist(POOL).params["scale"] ** 2
    scores = PredictiveVariance().score_samples(model, POOL)
    np.testing.assert_allclose(scores, expected)
    asked = ActiveLearner(model, PredictiveVariance(), X_training=X, y_training=Y)
    np.testing.assert_array_equal(asked.query(POOL, 1)[0], [expected.argmax()])


def test_a_process_without_noise_knows_its_own_rows():
    model = process(alpha=1e-10)
    pool = np.concatenate([X[:20], POOL])
    variance = read(model, pool).variance()[:, 0].numpy()
    np.testing.assert_allclose(variance[:20], 0, atol=1e-6)
    assert PredictiveVariance().select(model, pool, 3).indices.min() >= 20
    picks = BatchBALD().select(model, pool, 25)
    assert len(set(picks.indices.tolist())) == 25
