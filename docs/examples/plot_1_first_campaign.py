"""
A first campaign
================

A net learns to predict the progression of diabetes from few labels.  The campaign
starts with 20 patients, and queries ten more in each of five rounds.
"""

# %%
# A third of the data is held out for testing.

import matplotlib.pyplot as plt
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner, NetRegressor
from skal.strategies import LCMD

X, y = load_diabetes(return_X_y=True, as_frame=True)
X_pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.33, random_state=0)

# %%
# The model scales its inputs and, because nets need it, its target.  The learner
# immediately fits it on the first 20 rows.  For regression on a table, LCMD is the
# strategy to start with.

model = TransformedTargetRegressor(
    make_pipeline(StandardScaler(), NetRegressor(max_epochs=50, random_state=0)),
    transformer=StandardScaler(),
)
learner = ActiveLearner(
    model,
    LCMD(random_state=0),
    X_training=X_pool.iloc[:20],
    y_training=y_pool.iloc[:20],
)

# %%
# In each round, query rows, label them, and teach them to the learner.  `query` returns
# the positions of the rows in the pool, and the rows themselves.  Here their labels are
# known and are looked up by index; in a real campaign, an annotator provides them.

unlabeled = X_pool.iloc[20:]
n_labeled = [20]
errors = [root_mean_squared_error(y_test, learner.predict(X_test))]
for _ in range(5):
    positions, rows = learner.query(unlabeled, n_instances=10)
    learner.teach(rows, y_pool[rows.index])
    unlabeled = unlabeled.drop(rows.index)
    n_labeled.append(len(learner.X_training))
    errors.append(root_mean_squared_error(y_test, learner.predict(X_test)))

# %%
# A single campaign proves nothing.  :doc:`The next example <plot_2_compare_strategies>`
# runs several, to find out whether a strategy is better than random sampling.

figure, ax = plt.subplots(layout="constrained")
ax.plot(n_labeled, errors, marker="o")
ax.set_xlabel("labels used [rows]")
ax.set_ylabel("RMSE on test rows [score of progression]")
