"""Draws from Bayesian layers against the Gaussians that they hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import config_context

from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier, NetRegressor
from skal.nets.bayesian import BayesianMLP
from skal.posteriors import BayesWeights
from tests.posteriors.helpers import TARGET, X, Y, collect, fit, unchanged


def linear():
    """A net that is one Bayesian layer: its outputs are Gaussian in closed form."""
    net = NetRegressor(BayesianMLP, module__hidden_sizes=(), max_epochs=3)
    return net.fit(X, TARGET)


@pytest.mark.on_cpu
def test_moments_of_a_linear_model():
    net = linear()
    outputs = collect(BayesWeights(n_draws=4000), net)[:, :, 0]
    head = net.module_.head
    scale = torch.nn.functional.softplus
    x = torch.from_numpy(X).double()
    with torch.no_grad():
        variance = x**2 @ scale(head.weight_rho)[0].double() ** 2
        variance += scale(head.bias_rho).double() ** 2
    np.testing.assert_allclose(outputs.var(0) / variance, np.ones(60), atol=0.15)
    error = (outputs.mean(0) - torch.from_numpy(net.predict(X))[:, 0]).abs()
    assert bool((error < 5 * (variance / 4000).sqrt()).all())


@pytest.mark.on_cpu
def test_all_rows_see_the_same_weights():
    # A linear model's outputs are linear in x, draw by draw.
    outputs = collect(BayesWeights(n_draws=3), linear())[:, :, 0]
    design = np.column_stack([X, np.ones(60)])
    for output in outputs.numpy():
        fitted = design @ np.linalg.lstsq(design, output, rcond=None)[0]
        np.testing.assert_allclose(fitted, output, atol=1e-5)
    with config_context(working_memory=0.005):
        blocked = collect(BayesWeights(n_draws=3), linear())
    assert blocked.shape == (3, 60, 1)


@pytest.mark.on_cpu
def test_classification_by_seed_and_without_a_trace():
    net = NetClassifier(BayesianMLP, max_epochs=2, random_state=0).fit(X, Y)
    with unchanged(net):
        one = collect(BayesWeights(n_draws=4), net)
    assert torch.allclose(one.sum(2), torch.ones(4, 60).double())
    assert torch.equal(collect(BayesWeights(n_draws=4), net), one)
    assert not torch.equal(collect(BayesWeights(n_draws=4), net, seed=1), one)


def test_a_net_without_bayesian_layers_is_told():
    with pytest.raises(
        UnsuitableLearnerError, match=r"no Bayesian layers.*BayesianMLP"
    ):
        collect(BayesWeights(), fit())
