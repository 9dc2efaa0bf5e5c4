"""
What strategies pick
====================

Rows of two columns, three of four corners of which are one class.  Each picture shows
the ten rows that one strategy picks at once, for the same model and the same 12 labels.
"""

# %%
# The model is a logistic regression of polynomials, fitted on the large dots.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skal import ActiveLearner
from skal.posteriors import Bagged
from skal.strategies import (
    BALD,
    LCMD,
    BatchBALD,
    ClusterMargin,
    CoreSet,
    Entropy,
    Margin,
    MaxHerding,
    Random,
    Stochastic,
    TypiClust,
    UHerding,
)

rng = np.random.default_rng(0)
pool = rng.uniform(-1, 1, size=(400, 2))
pool = np.concatenate([pool, rng.normal([0.5, 0.4], 0.08, size=(200, 2))])
X = rng.uniform(-1, 1, size=(12, 2))


def label(X):
    """Tell the class of each row."""
    return (X.min(axis=1) > 0.1).astype(int)


model = make_pipeline(PolynomialFeatures(2), LogisticRegression(C=10))
learner = ActiveLearner(model, None, X, label(X))

# %%
# :class:`~skal.strategies.Margin` and :class:`~skal.strategies.Entropy` pick rows at
# the boundary, which are similar to each other.  :class:`~skal.strategies.CoreSet` and
# :class:`~skal.strategies.LCMD` spread over the pool, and
# :class:`~skal.strategies.TypiClust` and :class:`~skal.strategies.MaxHerding` prefer
# its dense parts.  :class:`~skal.strategies.ClusterMargin`,
# :class:`~skal.strategies.UHerding` and ``Stochastic(Margin())`` combine uncertainty
# and diversity.  :class:`~skal.strategies.BALD` picks where models that are fitted to
# samples of the labels disagree.

strategies = {
    "Random": Random(),
    "Margin": Margin(),
    "Entropy": Entropy(),
    "BALD, bagged": BALD(Bagged(n_estimators=10)),
    "BatchBALD, bagged": BatchBALD(Bagged(n_estimators=10)),
    "Stochastic(Margin())": Stochastic(Margin()),
    "ClusterMargin": ClusterMargin(),
    "UHerding": UHerding(),
    "CoreSet": CoreSet(),
    "LCMD": LCMD(),
    "TypiClust": TypiClust(),
    "MaxHerding": MaxHerding(),
}
grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 60)] * 2), axis=-1)
probability = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(60, 60)
figure, axes = plt.subplots(3, 4, figsize=(9, 7), layout="constrained")
for ax, (name, strategy) in zip(axes.flat, strategies.items(), strict=True):
    picked = strategy.set_params(random_state=0).select(learner, pool, 10).indices
    ax.contourf(grid[..., 0], grid[..., 1], probability, cmap="RdBu", alpha=0.5)
    ax.scatter(*pool.T, s=2, color="0.5")
    ax.scatter(*X.T, c=label(X), cmap="RdBu", vmin=0, vmax=1, s=40, edgecolor="k")
    ax.scatter(*pool[picked].T, marker="x", s=50, color="k")
    ax.set(title=name, xticks=[], yticks=[])
