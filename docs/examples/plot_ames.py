"""
A table end to end
==================

A campaign on a table: the data, the model, three rounds of queries, and the comparison
with random sampling.
"""

# %%
# The data
# --------
# If the environment variable ``SKAL_DATA`` names a folder that contains the house sales
# of Ames (see :func:`~skal.datasets.load_ames`), these are the table: its columns are
# numbers and categories, with missing values.  Otherwise, the table is that of the
# diabetes data of scikit-learn, whose ten columns are numbers.  The output below says
# which one is used.  Most labels are hidden from the learner.

import os

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skal import ActiveLearner, recommended_strategy
from skal.datasets import load_ames
from skal.nets import FoldEnsembleRegressor
from skal.strategies import Random
from skal.tabular import make_tabular_regressor

try:
    X, y = load_ames(os.environ["SKAL_DATA"])
    source, shown = "house sales of Ames", ["Gr Liv Area", "Year Built"]
    unit = "price [$]"
except (KeyError, FileNotFoundError):
    X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    source, shown = "diabetes data", ["bmi", "bp"]
    unit = "progression [score]"
X_pool, X_test, y_pool, y_test = train_test_split(X, y, test_size=0.4, random_state=0)
print(f"{source}: {len(X)} rows; columns by type:")
print(X.dtypes.value_counts().to_string())
X.iloc[:3, :6]

# %%
# The model
# ---------
# :func:`~skal.tabular.make_tabular_regressor` fills in missing values, encodes
# categories and scales numbers, and is fitted on the labeled rows only.  The target,
# which is positive and has a long tail, is learned on a logarithmic scale.  To build
# this page quickly, the ensemble has fewer nets than by default, fewer training steps,
# and no other models.

model = make_tabular_regressor(
    FoldEnsembleRegressor(n_estimators=4, max_steps=100, others=None, random_state=0)
)
model.set_params(
    transformer=make_pipeline(FunctionTransformer(np.log, np.exp), StandardScaler())
)
strategy = recommended_strategy(model).set_params(random_state=0)
print(strategy.reason)

# %%
# The campaign
# ------------
# Two campaigns start with the same 40 labels and query 20 rows three times, one with
# the recommended strategy, the other at random.  In a real campaign, an annotator
# labels these rows (:doc:`/campaign`); here their labels are known.

start = X_pool.index[:40]
sizes, errors, learners = [40, 60, 80, 100], {}, {}
for name, chosen in {"LCMD": strategy, "Random": Random(random_state=0)}.items():
    learner = ActiveLearner(clone(model), chosen, X_pool.loc[start], y_pool[start])
    unlabeled = X_pool.drop(start)
    errors[name] = [mean_absolute_error(y_test, learner.predict(X_test))]
    for _ in sizes[1:]:
        positions, rows = learner.query(unlabeled, n_instances=20)
        learner.teach(rows, y_pool[rows.index])
        unlabeled = unlabeled.drop(rows.index)
        errors[name].append(mean_absolute_error(y_test, learner.predict(X_test)))
    learners[name] = learner

# %%
# What was queried, and the gain
# ------------------------------
# :class:`~skal.strategies.LCMD` picks rows in regions of the pool that the labeled rows
# do not represent, and no two similar ones.  The last line below says whether this was
# an advantage in this campaign.  Rows of Ames differ much, and errors fall quickly; the
# diabetes data are so noisy that the choice of rows matters less.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="constrained")
for ax, (name, learner) in zip(axes, learners.items(), strict=False):
    queried = learner.X_training[shown].iloc[40:]
    ax.scatter(*X_pool[shown].to_numpy().T, s=5, color="0.8", label="pool")
    ax.scatter(*X_pool.loc[start, shown].to_numpy().T, s=18, color="k", label="start")
    ax.scatter(*queried.to_numpy().T, s=24, color="C3", label="queried")
    ax.set(xlabel=shown[0], ylabel=shown[1], title=name)
axes[0].legend()
for name, values in errors.items():
    axes[2].plot(sizes, values, "o-", label=name)
axes[2].set(xlabel="labels used [rows]", ylabel=f"mean absolute error of {unit}")
axes[2].legend()
best = min(errors, key=lambda name: errors[name][-1])
print(
    f"{source}, {sizes[-1]} labels: mean absolute error "
    + ", ".join(f"{values[-1]:,.1f} by {name}" for name, values in errors.items())
    + f"; {best} has the lower one in this campaign"
)

# %%
# A single campaign proves nothing.  To find out what a strategy is worth, repeat
# campaigns on several splits, and test the difference
# (:doc:`plot_2_compare_strategies`).
#
# Why these rows?
# ---------------
# ``explain`` lists picks with their predictions and the nearest labeled row.

learner = learners["LCMD"]
strategy.explain(learner, X_pool.drop(learner.X_training.index), 3).transpose()

# %%
# How good is the model?
# ----------------------
# The test rows were drawn at random, so that their mean error is an unbiased estimate
# of that on new rows.  Queried rows are not representative and cannot be used for this.

predicted = learner.predict(X_test)
figure, ax = plt.subplots(figsize=(4.5, 4), layout="constrained")
ax.scatter(predicted, y_test, s=8, alpha=0.5)
ax.axline((y_test.mean(), y_test.mean()), slope=1, color="k", ls="--")
ax.set(xlabel=f"predicted {unit}", ylabel=f"true {unit}")
error = np.median(np.abs(predicted - y_test) / y_test)
print(
    f"With {len(learner.X_training)} labels, half of the errors are below {error:.0%}"
)
