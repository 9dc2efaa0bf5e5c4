"""
A rare class
============

Of the handwritten digits, we look for eights, one row in ten.  Random picks are eights
as often as all rows are; rows near the boundary are eights more often.
"""

# %%
# The start has two eights.  Scores are the average precision of rows that are held out,
# because a model that never says "eight" already has an accuracy of 90 %.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from skal import compare_strategies
from skal.strategies import Margin, Random

X, y = load_digits(return_X_y=True)
X, y = X / 16, (y == 8).astype(int)
comparison = compare_strategies(
    LogisticRegression(class_weight="balanced", max_iter=500),
    {"Random": Random(), "Margin": Margin()},
    X,
    y,
    cv=StratifiedShuffleSplit(5, test_size=0.3, random_state=0),
    n_initial=20,
    n_instances=10,
    n_queries=8,
    initial="stratified",
    scoring="average_precision",
    random_state=0,
)
print(comparison)
comparison.plot()

# %%
# One campaign by hand shows the share of eights among the rows that were queried.

rng = np.random.default_rng(0)
order = rng.permutation(len(X))
start = np.concatenate([order[y[order] == 1][:2], order[y[order] == 0][:18]])
pool = np.setdiff1d(order, start)
shares = {}
for name, strategy in {"Random": Random(0), "Margin": Margin(0)}.items():
    labeled, unlabeled = start, pool
    model = LogisticRegression(class_weight="balanced", max_iter=500)
    for _ in range(8):
        model.fit(X[labeled], y[labeled])
        picked = strategy.select(model, X[unlabeled], 10).indices
        labeled = np.concatenate([labeled, unlabeled[picked]])
        unlabeled = np.delete(unlabeled, picked)
    shares[name] = y[labeled[20:]].mean()
figure, ax = plt.subplots(layout="constrained")
ax.bar(shares.keys(), shares.values())
ax.axhline(y.mean(), color="0.5", ls="--", label="all rows")
ax.set_ylabel("share of eights among queried rows")
ax.legend()
