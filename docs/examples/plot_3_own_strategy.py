"""
Write your own strategy
=======================

A strategy defines three things: what it needs from the model, how valuable a row is,
and how a batch is chosen.  It is a class that stores parameters and combines a few
functions.  Its base class does the rest: it checks the input, handles random states,
looks inside pipelines, and returns what modAL expects.  :doc:`/write_a_strategy` is the
reference of what a strategy may define and read.
"""

# %%
# A score for each row
# --------------------
# If the rows with the highest scores are to be picked, a strategy only needs to define
# a score.  This one is the entropy of probabilities raised to a power, which sharpens
# or flattens them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression

from skal import NetClassifier
from skal.measures import entropy
from skal.selection import Picks, k_center
from skal.spaces import Dense
from skal.strategies import QueryStrategy, ScoreStrategy


class TemperedEntropy(ScoreStrategy):
    """Entropy of probabilities raised to a power.

    Parameters
    ----------
    power : float, default=2.0
        Above 0.
    """

    _task = "classification"
    _requires = "proba"

    def __init__(self, power=2.0):
        self.power = power

    def _score(self, pool, rng):
        (proba,) = pool.proba()
        tempered = proba**self.power
        return entropy(tempered / tempered.sum(dim=1, keepdim=True))


X, y = make_moons(300, noise=0.2, random_state=0)
model = LogisticRegression().fit(X[:20], y[:20])
print(TemperedEntropy(power=3.0).select(model, X[20:], 3))

# %%
# The strategy is already a scikit-learn object.

clone(TemperedEntropy(power=3.0))

# %%
# A batch
# -------
# If the picks depend on each other, a strategy implements `_select`, which returns them
# with their scores.  This strategy uses the features of a net, keeps the least certain
# tenth of the pool, and spreads the batch over it.


class SpreadOverUncertain(QueryStrategy):
    """k-center over the features of the least certain tenth of the pool."""

    _task = "classification"
    _requires = "net"

    def __init__(self, share=0.1):
        self.share = share

    def _select(self, pool, n, rng):
        ((member, access),) = pool.nets()
        kept = max(n, int(self.share * len(pool)))
        uncertain = entropy(pool.proba()[0]).topk(kept).indices
        picks = k_center(Dense(access.features(member.rows)[uncertain]), n)
        return Picks(uncertain[picks.indices], picks.scores)


net = NetClassifier(max_epochs=50, lr=0.01, random_state=0).fit(X[:40], y[:40])
indices, _ = SpreadOverUncertain().select(net, X[40:], 8)

# %%
# The picks lie along the decision boundary, away from each other.

figure, ax = plt.subplots(layout="constrained")
ax.scatter(*X[40:].T, c=y[40:], s=12, alpha=0.4, cmap="coolwarm")
ax.scatter(*X[40:][indices].T, marker="o", s=70, facecolor="none", edgecolor="black")
ax.set_xlabel("first feature")
ax.set_ylabel("second feature")
ax.set_title(f"{len(np.unique(indices))} picks")
