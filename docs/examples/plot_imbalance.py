"""
A rare class
============

One of ten handwritten digits is an eight.  Random sampling finds eights at this rate;
among rows near the decision boundary, they are more frequent.
"""

# %%
# Two of the initial rows are eights.  The score is the average precision on held-out
# rows, because a model that never predicts "eight" already has an accuracy of 90 %.
# With so few eights, scores differ much between splits.  There are therefore 20 splits;
# with the first five alone, the interval of the gain includes 0.

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
    cv=StratifiedShuffleSplit(20, test_size=0.3, random_state=0),
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
# A single campaign shows the share of eights among the 80 queried rows.

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
