"""
Wrong labels
============

Annotators make mistakes.  Strategies that pick rows near a decision boundary also pick
rows next to wrong labels, so that their gain over random sampling depends on the share
of wrong labels.
"""

# %%
# The data are handwritten digits.  A share of the training labels is replaced by other
# classes.  The test rows, whose labels are not changed, are the same for all shares.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skal import compare_strategies
from skal.strategies import LCMD, Margin, Random

X, y = load_digits(return_X_y=True)
X, y = X[:900], y[:900]
rng = np.random.default_rng(0)
folds = [np.split(rng.permutation(900), [600]) for _ in range(3)]
model = make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=500))


def with_noise(y, share, rows):
    """Replace the labels of a share of some rows by another class."""
    y = y.copy()
    wrong = rng.choice(rows, int(share * len(rows)), replace=False)
    y[wrong] = (y[wrong] + rng.integers(1, 10, len(wrong))) % 10
    return y


# %%
# Each fold needs its own comparison, since the rows with wrong labels differ.  The plot
# shows the mean accuracy over the campaign.  Here, both strategies are better than
# random sampling for all shares.  Three campaigns are too few to interpret small
# differences.

names = {"Random": Random(), "Margin": Margin(), "LCMD": LCMD()}
shares = (0.0, 0.1, 0.3)
means = {name: [] for name in names}
for share in shares:
    scores = {name: [] for name in names}
    for fold in folds:
        comparison = compare_strategies(
            model,
            names,
            X,
            with_noise(y, share, fold[0]),
            cv=[fold],
            n_initial=20,
            n_instances=20,
            n_queries=5,
            random_state=0,
        )
        for name, mean in comparison.data.groupby("strategy")["score"].mean().items():
            scores[name].append(mean)
    for name in names:
        means[name].append(np.mean(scores[name]))

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, values in means.items():
    ax.plot(shares, values, "o-", label=name)
ax.set(xlabel="share of wrong labels", ylabel="mean accuracy", xticks=shares)
ax.legend()
