"""
Which learner
=============

A better model may save more labels than a better strategy.  This example compares
models with few labels, which are drawn at random or queried for each model.
"""

# %%
# Models
# ------
# The data are tumors, malignant or benign, described by 30 numbers.
# :class:`~skal.nets.FoldEnsembleClassifier` is the default estimator of
# :func:`~skal.tabular.make_tabular_classifier`; its training is shorter here to build
# this page quickly.  CatBoost is included if it is installed.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner
from skal.nets import FoldEnsembleClassifier
from skal.strategies import Margin
from skal.tabular import make_tabular_classifier

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
kernel = ConstantKernel() * RBF(5.0)
models = {
    "fold ensemble": make_tabular_classifier(
        FoldEnsembleClassifier(n_estimators=4, max_steps=100, random_state=0)
    ),
    "Gaussian process": make_pipeline(
        StandardScaler(), GaussianProcessClassifier(kernel, random_state=0)
    ),
    "random forest": RandomForestClassifier(100, random_state=0),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
}
try:
    from catboost import CatBoostClassifier
except ImportError:
    print("CatBoost is not installed.")
else:
    models["CatBoost"] = CatBoostClassifier(
        iterations=300, verbose=0, random_seed=0, allow_writing_files=False
    )

# %%
# Random labels, and queried ones
# -------------------------------
# Each model is fitted on 20 random labels, and then on 60: the other 40 are also
# random, or are queried by :class:`~skal.strategies.Margin` for this model, 20 at a
# time.  The log loss measures the quality of the probabilities, which strategies use.
# Scores are means over three splits.

splits = StratifiedShuffleSplit(3, test_size=0.3, random_state=0).split(X, y)
found = []


def score(labels, name, model, test):
    """Keep the errors of a fitted model on the test rows."""
    proba = model.predict_proba(X.iloc[test])
    error = 100 * np.mean(proba.argmax(axis=1) != y.iloc[test])
    found.append((name, labels, error, log_loss(y.iloc[test], proba)))


for train, test in splits:
    start = X.index[train[:20]]
    for name, model in models.items():
        learner = ActiveLearner(
            clone(model), Margin(random_state=0), X.loc[start], y[start]
        )
        score("20 random", name, learner.estimator, test)
        pool = X.loc[X.index[train[20:]]]
        for _ in range(2):
            _, rows = learner.query(pool, n_instances=20)
            learner.teach(rows, y[rows.index])
            pool = pool.drop(rows.index)
        score("60, of which 40 queried", name, learner.estimator, test)
        more = X.index[train[:60]]
        score("60 random", name, clone(model).fit(X.loc[more], y[more]), test)

columns = ["model", "labels", "error in %", "log loss"]
scores = pd.DataFrame(found, columns=columns)
scores = scores.groupby(["model", "labels"], sort=False).mean().unstack()
scores.round(3)

# %%
# The comparison
# --------------
# Three splits of a small data set are too few for small differences, and the order is
# different on other data: :doc:`/results/learners` compares these and other learners on
# 30 tables, and :ref:`which-learner` summarizes the results.

order = ["20 random", "60 random", "60, of which 40 queried"]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained", sharey=True)
for ax, measure in zip(axes, ["error in %", "log loss"], strict=True):
    scores[measure][order].plot.barh(ax=ax, legend=False, width=0.7)
    ax.set(xlabel=measure, ylabel="")
axes[0].invert_yaxis()
axes[1].legend(title="labels", loc="lower right")
