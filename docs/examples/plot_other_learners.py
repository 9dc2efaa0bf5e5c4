"""
A forest and a Gaussian process
===============================

Strategies read any learner.  LCMD compares rows by the predictions of the trees of a
forest, and by the kernel of a Gaussian process.
"""

# %%
# A smooth function of four columns, of which one does nothing.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import ShuffleSplit

from skal import compare_strategies
from skal.strategies import LCMD, PredictiveVariance, Random

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 4))
y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=400)
kernel = RBF([1.0] * 4, (0.1, 100)) + WhiteKernel(0.1)
learners = {
    "extra trees": ExtraTreesRegressor(30, random_state=0),
    "Gaussian process": GaussianProcessRegressor(kernel, normalize_y=True),
}

# %%
# The variance of the predictions is a good guide for a model that knows what it does
# not know, as a Gaussian process does, and less so in batches.

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, (name, model) in zip(axes, learners.items(), strict=True):
    comparison = compare_strategies(
        model,
        {
            "Random": Random(),
            "LCMD": LCMD(),
            "PredictiveVariance": PredictiveVariance(),
        },
        X,
        y,
        cv=ShuffleSplit(3, test_size=0.4, random_state=0),
        n_initial=15,
        n_instances=15,
        n_queries=4,
        scoring="neg_root_mean_squared_error",
        random_state=0,
    )
    print(name)
    print(comparison)
    comparison.plot(ax=ax)
    ax.set_title(name)
