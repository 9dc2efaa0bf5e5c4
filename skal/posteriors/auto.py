"""Choosing a posterior that the learner offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skal.contexts import own_modes
from skal.exceptions import UnsuitableLearnerError
from skal.nets.bayesian import bayesian_layers
from skal.posteriors.base import Posterior
from skal.posteriors.bayes_weights import BayesWeights
from skal.posteriors.distribution import PredictiveDistribution, has_distribution
from skal.posteriors.gaussian import GaussianPredictions, spread
from skal.posteriors.mc_dropout import MCDropout, dropout_layers
from skal.posteriors.members import Members, check_several, has_members
from skal.posteriors.snapshots import Snapshots, find_snapshots
from skal.posteriors.virtual import VirtualEnsemble, has_virtual_ensemble
from skal.reading.pool import Pool
from skal.reading.unwrapping import is_net
from skal.rng import preserve_global_rng, resolve_rng, seed_from

__all__ = ["predictive_std", "resolve_posterior"]


def resolve_posterior(posterior: Posterior | str, pool: Pool) -> Posterior:
    """Choose a posterior that the learner offers, unless one is given.

    Parameters
    ----------
    posterior : Posterior or "auto"
        ``"auto"`` chooses the first of these that applies:

        1. `Members`: the learner is a committee or an ensemble;
        2. `BayesWeights`: the module of its net has Bayesian layers;
        3. `Snapshots`: its callbacks include `WeightSnapshots`;
        4. `MCDropout`: its module has dropout layers;
        5. `VirtualEnsemble`: it is of CatBoost;
        6. `PredictiveDistribution`: it is a regressor that is not a net, and gives a
           distribution itself, as a Gaussian process does.

        So members are preferred to a distribution: they are models that can be
        compared.  `WeightNoise`, `LastLayerLaplace` and `Bagged` are never chosen.
    pool : Pool
        Its learner is fitted.

    Returns
    -------
    posterior : Posterior

    Raises
    ------
    ValueError
        If `posterior` is neither a posterior nor ``"auto"``.
    UnsuitableLearnerError
        If it is ``"auto"`` and none of these applies.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from skal.reading.pool import Pool
    >>> from skal.posteriors import resolve_posterior
    >>> X, y = load_iris(return_X_y=True)
    >>> resolve_posterior("auto", Pool(RandomForestClassifier().fit(X, y), X))
    Members()
    """
    if isinstance(posterior, Posterior):
        return posterior
    if not isinstance(posterior, str) or posterior != "auto":
        raise ValueError(
            "posterior must be 'auto' or an object such as MCDropout() or Members() "
            f"from skal.posteriors, got {posterior!r}."
        )
    if has_members(pool):
        return Members()
    estimator = pool.members[0].estimator
    if is_net(estimator):
        if bayesian_layers(estimator.module_):
            return BayesWeights()
        if find_snapshots(estimator) is not None:
            return Snapshots()
        if dropout_layers(estimator.module_):
            return MCDropout()
        check_several(pool)
        raise UnsuitableLearnerError(
            f"{type(estimator).__name__} is a single net without Bayesian layers, "
            "snapshots or dropout, so there are no models to disagree. Add dropout "
            "(module__dropout=0.2 with skal's MLP), callbacks=[WeightSnapshots()] or "
            "module=BayesianMLP, use an ensemble or a Committee, or pass "
            "posterior=WeightNoise()."
        )
    check_several(pool)
    if has_virtual_ensemble(estimator):
        return VirtualEnsemble()
    if has_distribution(estimator):
        return PredictiveDistribution()
    raise UnsuitableLearnerError(
        f"{type(estimator).__name__} is a single model, so there are no models to "
        "disagree. Use a Committee, a random forest, bagging, voting, or a net with "
        "dropout; or pass posterior=Bagged(), which fits copies of it on samples of "
        "the labeled rows."
    )


def predictive_std(
    learner: Any, X: Any, posterior: Posterior | str = "auto", random_state: Any = None
) -> Tensor:
    """Compute how uncertain the predictions of a learner are.

    Parameters
    ----------
    learner : ActiveLearner, Committee or estimator
        Fitted.
    X : container of m rows
    posterior : Posterior or "auto", default="auto"
        Source of the models; see `resolve_posterior`.
    random_state : int, RandomState, Generator or None
        Used to draw the models.

    Returns
    -------
    std : Tensor of shape (m, C), float64
        Standard deviation over the models, or of the distribution that the learner
        gives, in the units of its predictions; for a classifier, that of the
        probability of each class.  Label noise is not in it, except in the distribution
        of labels that NGBoost, CatBoost's `RMSEWithUncertainty` or quantiles give.

    Raises
    ------
    UnsuitableLearnerError
        If the learner offers no such models.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from skal.posteriors import predictive_std
    >>> X = np.arange(6.0)[:, None]
    >>> predictive_std(RandomForestRegressor(5).fit(X, X[:, 0]), X).shape
    torch.Size([6, 1])
    """
    rng = resolve_rng(random_state)
    with own_modes(), preserve_global_rng(seed_from(rng), if_alone=True):
        pool = Pool(learner, X)
        found = resolve_posterior(posterior, pool).read(pool, rng)
        member = found.pool.members[0]
        undo = member.from_shared_units
        if isinstance(found, GaussianPredictions):
            return torch.cat([_std(mean, var, undo) for _, mean, var in found.blocks()])
        parts = []
        for _, outputs in found.blocks():
            if found.task == "regression" and member.n_shared:
                flat = undo(outputs.flatten(0, 1).cpu().numpy())
                outputs = torch.as_tensor(flat).double().reshape(outputs.shape)
            parts.append(outputs.std(dim=0, correction=0))
        return torch.cat(parts)


def _std(
    mean: Tensor, variance: Tensor, undo: Callable[[np.ndarray], np.ndarray]
) -> Tensor:
    """Compute standard deviations of Gaussians in the units of the learner."""
    std = variance.sqrt()
    _, scale = spread(mean.numpy(), std.numpy(), undo)
    return std * torch.from_numpy(scale).abs()
