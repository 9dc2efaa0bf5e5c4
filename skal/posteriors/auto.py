"""``posterior="auto"``: what the learner offers."""

from __future__ import annotations

from skorch import NeuralNet

from skal.exceptions import UnsuitableLearnerError
from skal.nets.bayesian import bayesian_layers
from skal.posteriors.base import Posterior
from skal.posteriors.bayes_weights import BayesWeights
from skal.posteriors.mc_dropout import MCDropout, dropout_layers
from skal.posteriors.members import Members, has_members
from skal.posteriors.snapshots import Snapshots, find_snapshots
from skal.reading.pool import Pool

__all__ = ["resolve_posterior"]


def resolve_posterior(posterior: Posterior | str, pool: Pool) -> Posterior:
    """Give a posterior back, or choose what the learner offers.

    Parameters
    ----------
    posterior : Posterior or "auto"
        ``"auto"`` takes the first of these that the learner has:

        1. `Members`: it is a committee or an ensemble;
        2. `BayesWeights`: its module has Bayesian layers;
        3. `Snapshots`: its callbacks have a `WeightSnapshots`;
        4. `MCDropout`: its module has dropout layers.

        `WeightNoise` and `LastLayerLaplace` are never chosen unasked.
    pool : Pool
        With a fitted learner.

    Returns
    -------
    posterior : Posterior

    Raises
    ------
    ValueError
        If `posterior` is neither.
    UnsuitableLearnerError
        If it is ``"auto"`` and the learner has none of these.

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
    if isinstance(estimator, NeuralNet):
        if bayesian_layers(estimator.module_):
            return BayesWeights()
        if find_snapshots(estimator) is not None:
            return Snapshots()
        if dropout_layers(estimator.module_):
            return MCDropout()
        raise UnsuitableLearnerError(
            f"{type(estimator).__name__} is a single net with neither Bayesian layers, "
            "nor snapshots, nor dropout, so that there are no models to disagree. Add "
            "dropout (module__dropout=0.2 with skal's MLP), "
            "callbacks=[WeightSnapshots()], module=BayesianMLP, use an ensemble or a "
            "Committee, or pass posterior=WeightNoise()."
        )
    raise UnsuitableLearnerError(
        f"{type(estimator).__name__} is a single model: there are none to disagree. "
        "Use a Committee, a random forest, bagging, voting, or a net with dropout."
    )
