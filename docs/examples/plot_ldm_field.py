"""
The least disagree metric, entropy and margin
=============================================

The least disagree metric (LDM) of a row is the smallest change of the model that
changes the prediction of the row, measured by the share of rows whose predictions
change.  The smaller it is, the closer is the row to a decision boundary.
"""

# %%
# There are three classes, one of which is far from the others.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from skal import ActiveLearner, NetClassifier
from skal.strategies import LDM, Entropy, Margin

X, y = make_blobs(
    [30, 30, 30], centers=[[-1, 0], [1, 0], [0, 4]], cluster_std=0.6, random_state=0
)
net = NetClassifier(max_epochs=60, random_state=0)
learner = ActiveLearner(net, LDM(random_state=0), X, y)
axis = np.linspace(-3.5, 3.5, 50)
grid = np.stack(np.meshgrid(axis, axis + 1.5), axis=-1)
pool = grid.reshape(-1, 2)

# %%
# Entropy and margin are functions of the probabilities.  LDM perturbs the weights of
# the last layer at random, and looks for the smallest perturbation that changes a
# prediction.  The rows that a strategy would pick first are bright.  For all three,
# these are near the decision boundaries.  LDM is estimated by random draws, so that its
# plot is not smooth.

strategies = {
    "Entropy": Entropy(),
    "Margin": Margin(),
    "LDM": LDM(random_state=0),
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for ax, (name, strategy) in zip(axes, strategies.items(), strict=True):
    picks = strategy.select(learner, pool, len(pool))
    rank = np.empty(len(pool))
    rank[picks.indices] = np.arange(len(pool))[::-1]
    ax.contourf(grid[..., 0], grid[..., 1], rank.reshape(50, 50), 20, cmap="viridis")
    ax.scatter(*X.T, c=y, cmap="Set1", s=14, edgecolor="w", linewidth=0.5)
    ax.set(title=f"rank by {name}", xticks=[], yticks=[])
