"""
Searching over strategies
=========================

A simulation is an estimator, and a strategy is one of its parameters.  A grid search
therefore compares strategies, and parameters of strategies, by cross-validation.
"""

# %%
# The method `score` of a simulation returns the mean of its learning curve on held-out
# rows.  The data are 500 handwritten digits; four folds are drawn five times.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skal import ActiveLearningSimulation
from skal.strategies import LCMD, Margin, Random, Stochastic

X, y = load_digits(return_X_y=True)
X, y = X[:500], y[:500]
simulation = ActiveLearningSimulation(
    make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=500)),
    Random(),
    n_initial=20,
    n_instances=20,
    n_queries=4,
    initial="stratified",
    random_state=0,
)
search = GridSearchCV(
    simulation,
    [
        {"query_strategy": [Random(), Margin(), LCMD()]},
        {
            "query_strategy": [Stochastic(Margin())],
            "query_strategy__beta": [0.5, 1, 4, 16],
        },
    ],
    cv=RepeatedStratifiedKFold(n_splits=4, n_repeats=5, random_state=0),
)
search.fit(X, y)

# %%
# `Stochastic` draws rows with probabilities proportional to the scores to the power of
# `beta`: a small exponent is close to random sampling, a large one to `Margin` itself.
# The error bars are one standard deviation over the 20 test sets.  Since all strategies
# have the same ones, paired differences are more precise: see
# :func:`~skal.simulation.compare_strategies`.
#
# Here, the search prefers `LCMD` to `Margin`, which is recommended for classification
# (:doc:`/which_strategy`).  These are 20 to 100 labels of one small data set; the
# recommendation is based on many data sets, and a search on data like yours can come to
# another result.

table = pd.DataFrame(search.cv_results_).set_index("params")
names = [
    str(params["query_strategy"]).replace("strategy=", "")
    + (f", beta={params['query_strategy__beta']}" if len(params) > 1 else "")
    for params in search.cv_results_["params"]
]
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.errorbar(table["mean_test_score"], names, xerr=table["std_test_score"], fmt="o")
ax.set_xlabel("mean accuracy over the campaign")
print(search.best_params_)
