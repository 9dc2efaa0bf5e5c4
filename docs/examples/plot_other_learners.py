"""
Boosted trees, a forest and a Gaussian process
==============================================

Strategies work with any learner, such as CatBoost.  LCMD and BAIT compare rows by the
predictions of the trees of a forest, by the kernel of a Gaussian process, and by the
leaves of boosted trees.
"""

# %%
# The target is a smooth function of three columns.  The boosted trees are those of
# CatBoost if it is installed, and otherwise those of scikit-learn; the titles below say
# which.  The kernel of the Gaussian process is given, because it cannot be learned
# reliably from the first 20 labels.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import ShuffleSplit

from skal import compare_strategies
from skal.posteriors import Bagged
from skal.strategies import BAIT, LCMD, PredictiveVariance, Random

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 3))
y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.1 * rng.normal(size=400)
kernel = RBF(1.0) + WhiteKernel(0.01)
learners = {
    "extra trees": ExtraTreesRegressor(30, random_state=0),
    "Gaussian process": GaussianProcessRegressor(
        kernel, optimizer=None, normalize_y=True
    ),
}
try:
    from catboost import CatBoostRegressor
except ImportError:
    learners["gradient boosting"] = GradientBoostingRegressor(
        n_estimators=50, random_state=0
    )
else:
    learners["CatBoost"] = CatBoostRegressor(
        iterations=50, verbose=0, thread_count=1, allow_writing_files=False
    )

# %%
# There are ten splits.  `PredictiveVariance` needs several plausible models: those of
# boosting are fitted on bootstrap samples (:class:`~skal.posteriors.Bagged`).
#
# With the Gaussian process, all three strategies are better than random sampling.  With
# trees, the gains are less certain, and several of the intervals include 0.  One
# generated function proves little in any case: by the results on real tables in
# :doc:`/which_strategy`, BAIT is recommended for forests, and LCMD for the other two.

size = (4.5 * len(learners), 4)
figure, axes = plt.subplots(1, len(learners), figsize=size, layout="constrained")
for ax, (name, model) in zip(axes, learners.items(), strict=True):
    is_boosting = name in ("CatBoost", "gradient boosting")
    variance = PredictiveVariance(Bagged() if is_boosting else "auto")
    comparison = compare_strategies(
        model,
        {
            "Random": Random(),
            "LCMD": LCMD(),
            "BAIT": BAIT(),
            "PredictiveVariance": variance,
        },
        X,
        y,
        cv=ShuffleSplit(10, test_size=0.4, random_state=0),
        n_initial=20,
        n_instances=20,
        n_queries=4,
        scoring="neg_root_mean_squared_error",
        random_state=0,
    )
    print(name)
    print(comparison)
    comparison.plot(ax=ax)
    ax.set_title(name)
