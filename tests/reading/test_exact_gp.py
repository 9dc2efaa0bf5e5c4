"""Gaussian processes of GPyTorch against those of scikit-learn, and closed forms."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.compose import TransformedTargetRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, CommitteeRegressor
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import PredictiveDistribution
from skal.reading.exact_gp import ExactProcess
from skal.reading.pool import Pool
from skal.reading.process import read_process
from skal.strategies import (
    BAIT,
    BALD,
    EPIG,
    LCMD,
    BatchBALD,
    CoreSet,
    KMeansPP,
    MaxDet,
    MaxDiag,
    PredictiveVariance,
)
from tests.models import make_data

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecated functions of torch, used by GPyTorch
    gpytorch = pytest.importorskip("gpytorch", reason="run make test-learners")
    probabilistic = pytest.importorskip("skorch.probabilistic")

LENGTHS = [1.0, 2.0, 1.0, 3.0, 1.0]
VARIANCE, NOISE = 3.0, 0.25
Normal = gpytorch.distributions.MultivariateNormal
X, Y = (part.astype("float32") for part in make_data("regression", 40))
POOL = make_data("regression", 70, seed=1)[0].astype("float32")


class Scaled(gpytorch.models.ExactGP):
    """A scaled kernel with one length scale for each column."""

    def __init__(self, likelihood, X=None, y=None):
        super().__init__(X, y, likelihood)
        self.mean = gpytorch.means.ConstantMean()
        rbf = gpytorch.kernels.RBFKernel(ard_num_dims=5)
        self.kernel = gpytorch.kernels.ScaleKernel(rbf)
        rbf.lengthscale = torch.tensor(LENGTHS)
        self.kernel.outputscale = VARIANCE
        likelihood.noise = NOISE

    def forward(self, X):
        return Normal(self.mean(X), self.kernel(X))


class Deep(Scaled):
    """A kernel of the features of a net."""

    def __init__(self, likelihood, X=None, y=None):
        super().__init__(likelihood, X, y)
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.Tanh())

    def forward(self, X):
        return super().forward(self.net(X))


class Noisy(Scaled):
    """Adds a noise of its own, as a WhiteKernel does."""

    def forward(self, X):
        return super().forward(X).add_jitter(0.5)


class Dense(Scaled):
    def forward(self, X):
        return Normal(self.mean(X), self.kernel(X).to_dense())


class Multitask(Scaled):
    def forward(self, X):
        prior = super().forward(X)
        return gpytorch.distributions.MultitaskMultivariateNormal.from_repeated_mvn(
            prior, num_tasks=2
        )


class Batch(Scaled):
    def forward(self, X):
        return super().forward(X).expand(torch.Size([2]))


class ScaledByRange(Scaled):
    def forward(self, X):
        low, high = X.min(dim=0).values, X.max(dim=0).values
        return super().forward((X - low) / (high - low))


class Variational(gpytorch.models.ApproximateGP):
    def __init__(self):
        points = torch.zeros(3, 5)
        strategy = gpytorch.variational.VariationalStrategy(
            self, points, gpytorch.variational.CholeskyVariationalDistribution(3)
        )
        super().__init__(strategy)
        self.mean = gpytorch.means.ConstantMean()
        self.kernel = gpytorch.kernels.RBFKernel()

    def forward(self, X):
        return Normal(self.mean(X), self.kernel(X))


class Inducing(Scaled):
    def __init__(self, likelihood, X=None, y=None):
        super().__init__(likelihood, X, y)
        self.kernel = gpytorch.kernels.InducingPointKernel(
            self.kernel, torch.zeros(3, 5), likelihood
        )


def unfitted(module=Scaled, **parameters):
    """Keeps the hyperparameters that the module sets."""
    parameters = {"lr": 0.0, "max_epochs": 1, "verbose": 0, **parameters}
    return probabilistic.ExactGPRegressor(module, **parameters)


def fitted(module=Scaled):
    return unfitted(module).fit(X, Y)


def given(module):
    """A process with a module of which only the prior is asked for."""
    process = fitted()
    process.module_ = module(process.likelihood_, process.module_.train_inputs[0], Y)
    process.module_.train_targets = torch.from_numpy(Y)
    return process


def twin():
    """The same process in scikit-learn."""
    kernel = ConstantKernel(VARIANCE) * RBF(LENGTHS)
    twin = GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None)
    return twin.fit(X.astype(float), Y.astype(float))


def variances(learner):
    """Variance of each row of the pool, given the labels."""
    picks = MaxDiag().select(learner, POOL, len(POOL))
    return picks.scores[np.argsort(picks.indices)]


def in_learner(process):
    learner = ActiveLearner(process)
    learner.X_training, learner.y_training = X, Y
    return learner


STRATEGIES = {
    "LCMD": LCMD(random_state=0),
    "KMeansPP": KMeansPP(random_state=0),
    "MaxDet": MaxDet(),
    "MaxDiag": MaxDiag(),
    "BAIT": BAIT(),
    "CoreSet": CoreSet(random_state=0),
    "PredictiveVariance": PredictiveVariance(),
    "BALD": BALD(noise_variance=NOISE),
    "BatchBALD": BatchBALD(noise_variance=NOISE, random_state=0),
    "EPIG": EPIG(noise_variance=NOISE, random_state=0),
}


@pytest.mark.parametrize("is_in_learner", [False, True])
@pytest.mark.parametrize("name", STRATEGIES)
def test_picks_and_scores_are_those_of_the_twin(name, is_in_learner):
    """The hyperparameters are float32, which rounds them."""
    strategy, processes = STRATEGIES[name], [fitted(), twin()]
    if is_in_learner:
        processes = [in_learner(process) for process in processes]
    if name == "CoreSet":
        strategy = strategy.set_params(space="kernel")
    found, expected = (strategy.select(p, POOL, 6) for p in processes)
    assert found.indices.tolist() == expected.indices.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)


# A warning of torch for a sparse tensor of linear_operator, which adds the jitter.
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("memory", [0.002, 1024])
@pytest.mark.parametrize("module", [Scaled, Deep, Noisy])
def test_inner_products_are_the_covariances(module, memory):
    process = fitted(module)
    (member,) = Pool(process, POOL).members
    with config_context(working_memory=memory):
        pool, labeled = read_process(member, 512)
    with torch.no_grad():
        rows = torch.from_numpy(np.concatenate([POOL, X]))
        K = process.module_.forward(rows).covariance_matrix.numpy()
    np.testing.assert_allclose(
        pool.features @ labeled.features.T, K[:70, 70:], atol=2e-5
    )
    added = 0.5 if module is Noisy else 0.0
    np.testing.assert_allclose(labeled.noise_variance, NOISE + added, rtol=1e-6)
    np.testing.assert_allclose(
        pool.features.square().sum(1), np.diag(K)[:70] - added, rtol=1e-5
    )


KERNELS = gpytorch.kernels
OTHERS = [
    KERNELS.MaternKernel(nu=1.5),
    KERNELS.LinearKernel() + KERNELS.RBFKernel(active_dims=[0, 1]),
    KERNELS.PeriodicKernel() * KERNELS.RQKernel(),
    KERNELS.SpectralMixtureKernel(num_mixtures=2, ard_num_dims=5),
    KERNELS.RFFKernel(num_samples=20, num_dims=5),
    KERNELS.PolynomialKernel(power=2),
]


@pytest.mark.parametrize("kernel", OTHERS, ids=lambda kernel: type(kernel).__name__)
def test_other_kernels(kernel):
    process = fitted()
    process.module_.kernel = kernel
    with torch.no_grad():
        rows = torch.from_numpy(np.concatenate([POOL, X]))
        K = process.module_.forward(rows).covariance_matrix.numpy()
    found = ExactProcess(process).kernel_
    np.testing.assert_allclose(found(POOL, X), K[:70, 70:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.diag(POOL), K.diagonal()[:70], rtol=1e-5)


def test_covariances_in_small_blocks(monkeypatch):
    kernel = ExactProcess(fitted()).kernel_
    expected = twin().kernel_(POOL, X)
    np.testing.assert_allclose(kernel(POOL, X[:3]), expected[:, :3], rtol=1e-6)
    diagonal = kernel.diag(POOL)
    monkeypatch.setattr("skal.reading.exact_gp._ROWS", 4)
    np.testing.assert_allclose(kernel(POOL, X[:3]), expected[:, :3], rtol=1e-6)
    np.testing.assert_array_equal(kernel.diag(POOL), diagonal)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("module", [Deep, Noisy])
def test_variances_and_covariances_given_the_labels(module):
    process = fitted(module)
    kernel = ExactProcess(process).kernel_
    noise = NOISE + (0.5 if module is Noisy else 0.0)
    inverse = np.linalg.inv(kernel(X) + noise * np.eye(40))
    across = kernel(POOL, X)
    expected = kernel(POOL) - across @ inverse @ across.T
    np.testing.assert_allclose(variances(process), expected.diagonal(), rtol=1e-6)
    read = PredictiveDistribution().read(Pool(process, POOL), torch.Generator())
    assert read.is_joint
    assert not read.of_labels
    found = read.covariance(None, torch.arange(70))[:, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    _, std = process.predict(POOL, return_std=True)
    added = noise if module is Noisy else NOISE
    np.testing.assert_allclose(read.variance()[:, 0] + added, std**2, rtol=1e-3)


def test_wrappers_and_committees_of_processes():
    scaled = make_pipeline(StandardScaler(), unfitted())
    model = TransformedTargetRegressor(scaled, transformer=StandardScaler())
    learner = ActiveLearner(model, LCMD(), X, Y)
    learner.query(POOL, n_instances=3)
    assert learner.query_strategy.space_ == "kernel"
    committee = CommitteeRegressor([in_learner(fitted()), in_learner(fitted())])
    np.testing.assert_allclose(
        variances(committee),
        variances(in_learner(twin())),
        rtol=1e-6,
    )


def test_the_process_stays_as_it_is():
    process = fitted()
    process.predict(POOL[:3])
    module, cache = process.module_, process.module_.prediction_strategy
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for strategy in (LCMD(), EPIG(noise_variance=1.0, random_state=0)):
        strategy.select(process, POOL, 3)
    assert process.module_ is module
    assert module.prediction_strategy is cache
    assert module.train_inputs[0].dtype == torch.float32
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert value.dtype == before[name].dtype


REFUSED = {
    "dense": (Dense, "is not a dense matrix"),
    "tasks": (Multitask, "several tasks"),
    "batch": (Batch, "a batch of processes"),
    "inducing": (Inducing, "has inducing points"),
    "range": (ScaledByRange, "depends on which other rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_modules_are_refused_by_name(name):
    module, problem = REFUSED[name]
    process = given(module)
    with pytest.raises(UnsuitableLearnerError, match=problem) as raised:
        MaxDet(space="kernel").select(process, POOL, 3)
    assert 'Use space="inputs"' in str(raised.value)
    strategy = LCMD()
    assert len(strategy.select(process, POOL, 3).indices) == 3
    assert strategy.space_ == "inputs"


def test_an_approximate_process_is_read_by_predict():
    process = probabilistic.GPRegressor(
        Variational, criterion__num_data=40, max_epochs=1, verbose=0
    ).fit(X, Y)
    with pytest.raises(UnsuitableLearnerError, match="it is approximate"):
        MaxDet(space="kernel").select(process, POOL, 3)
    _, std = process.predict(POOL, return_std=True)
    scores = PredictiveVariance().score_samples(process, POOL)
    np.testing.assert_allclose(scores, np.square(std, dtype=float), rtol=1e-6)
    strategy = LCMD()
    strategy.select(process, POOL, 3)
    assert strategy.space_ == "inputs"


def test_other_likelihoods_and_targets_are_refused_by_name():
    process = fitted()
    process.module_.train_targets = torch.full((40,), torch.nan)
    with pytest.raises(UnsuitableLearnerError, match="targets are not finite"):
        LCMD(space="kernel").select(process, POOL, 3)
    process = fitted()
    process.module_.likelihood = gpytorch.likelihoods.FixedNoiseGaussianLikelihood(
        torch.ones(40)
    )
    with pytest.raises(UnsuitableLearnerError, match="FixedNoiseGaussianLikelihood"):
        LCMD(space="kernel").select(process, POOL, 3)


def test_predictions_that_are_not_those_of_the_kernel_are_read_themselves():
    class Doubled(probabilistic.ExactGPRegressor):
        def predict(self, X, return_std=False):
            mean, std = super().predict(X, return_std=True)
            return (mean, 2 * std) if return_std else mean

    process = Doubled(Scaled, lr=0.0, max_epochs=1, verbose=0).fit(X, Y)
    _, std = process.predict(POOL, return_std=True)
    scores = PredictiveVariance().score_samples(process, POOL)
    np.testing.assert_allclose(scores, np.square(std, dtype=float), rtol=1e-6)
    with pytest.raises(UnsuitableLearnerError, match="vary together"):
        EPIG().select(process, POOL)
    with gpytorch.settings.max_cholesky_size(10):
        process.module_.train()  # forget what is cached
        _, std = process.predict(POOL, return_std=True)
        scores = PredictiveVariance().score_samples(process, POOL)
    np.testing.assert_allclose(scores, np.square(std, dtype=float), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of GPyTorch, which approximates
def test_many_labels_are_read_exactly_though_predictions_approximate():
    rows = make_data("regression", 900)[0].astype("float32")
    targets = rows.sum(axis=1)
    process, exact = fitted(), twin().fit(rows.astype(float), targets)
    process.module_.set_train_data(
        torch.from_numpy(rows), torch.from_numpy(targets), strict=False
    )
    assert ExactProcess(process).is_approximated
    for strategy in (PredictiveVariance(), EPIG(noise_variance=NOISE, random_state=0)):
        np.testing.assert_allclose(
            strategy.score_samples(process, POOL),
            strategy.score_samples(exact, POOL),
            rtol=1e-6,
        )


def test_other_learners_do_not_import_gpytorch():
    code = (
        "import sys, numpy as np, skal\n"
        "from sklearn.gaussian_process import GaussianProcessRegressor as Process\n"
        "X = np.arange(12.0).reshape(6, 2) / 10\n"
        "skal.strategies.LCMD().select(Process().fit(X, X[:, 0]), X + 0.01, 2)\n"
        "assert 'gpytorch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
