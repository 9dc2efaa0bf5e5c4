"""
A first campaign
================

A net learns the progression of diabetes from few labels: it starts with 20 patients
and asks for ten more, five times.
"""

# %%
# The data, and a third of it to test on.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, NetRegressor
from skal.strategies import NoiseStability

X, y = load_diabetes(return_X_y=True)
X_pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.33, random_state=0)

# %%
# The model scales its inputs and, as nets need it, its target.  The learner fits it on
# the first rows at once.

model = TransformedTargetRegressor(
    make_pipeline(StandardScaler(), NetRegressor(max_epochs=50, random_state=0)),
    transformer=StandardScaler(),
)
learner = ActiveLearner(
    model,
    NoiseStability(random_state=0),
    X_training=X_pool[:20],
    y_training=y_pool[:20],
)

# %%
# Ask, label, teach.  The labels were known all along; in earnest, this is where someone
# is asked.

unlabeled = np.arange(20, len(X_pool))
n_labeled = [20]
errors = [root_mean_squared_error(y_test, learner.predict(X_test))]
for _ in range(5):
    picked, rows = learner.query(X_pool[unlabeled], n_instances=10)
    learner.teach(rows, y_pool[unlabeled[picked]])
    unlabeled = np.delete(unlabeled, picked)
    n_labeled.append(len(learner.X_training))
    errors.append(root_mean_squared_error(y_test, learner.predict(X_test)))

# %%
# One campaign is an anecdote: whether the strategy did better than random picks would
# have, :doc:`the next example <plot_2_compare_strategies>` finds out by several.

figure, ax = plt.subplots(layout="constrained")
ax.plot(n_labeled, errors, marker="o")
ax.set_xlabel("labels used [rows]")
ax.set_ylabel("RMSE on test rows [score of progression]")
