"""
CatBoost, a forest and a Gaussian process
=========================================

Strategies work with any learner.  LCMD and BAIT compare rows by the predictions of the
trees of a forest, by the kernel of a Gaussian process, and by the leaves of boosted
trees.
"""

# %%
# The target is a smooth function of three columns; a fourth one is irrelevant.
# CatBoost is included if it is installed.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import ShuffleSplit

from skal import compare_strategies
from skal.strategies import BAIT, LCMD, PredictiveVariance, Random

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 4))
y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=400)
kernel = RBF([1.0] * 4, (0.1, 100)) + WhiteKernel(0.1)
learners = {
    "extra trees": ExtraTreesRegressor(30, random_state=0),
    "Gaussian process": GaussianProcessRegressor(kernel, normalize_y=True),
}
try:
    from catboost import CatBoostRegressor
except ImportError:
    print("CatBoost is not installed.")
else:
    learners["CatBoost"] = CatBoostRegressor(
        iterations=100, verbose=0, thread_count=1, allow_writing_files=False
    )

# %%
# The rows with the largest predictive variance are similar to each other, which is a
# disadvantage in batches.  LCMD and BAIT avoid that.  One generated function and three
# splits prove little: by the results on real tables in :doc:`/which_strategy`, BAIT is
# recommended for forests, and LCMD for the other two.

size = (4.5 * len(learners), 4)
figure, axes = plt.subplots(1, len(learners), figsize=size, layout="constrained")
for ax, (name, model) in zip(axes, learners.items(), strict=True):
    comparison = compare_strategies(
        model,
        {
            "Random": Random(),
            "LCMD": LCMD(),
            "BAIT": BAIT(),
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
