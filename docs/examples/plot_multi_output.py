"""
Multi-output classification
===========================

Each handwritten digit has two labels: whether it is even, and whether it is greater
than four.  Strategies sum their scores over the outputs.
"""

# %%
# A forest predicts both labels.  An annotator provides both for each queried row.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from skal import ActiveLearner, recommended_strategy
from skal.strategies import Random

X, digits = load_digits(return_X_y=True)
y = np.column_stack([digits % 2 == 0, digits > 4]).astype(int)
X_test, y_test = X[1200:], y[1200:]

forest = RandomForestClassifier(50, random_state=0)
recommended = recommended_strategy(forest)
print(recommended.reason)

# %%
# The plot shows the share of test rows for which both predictions are correct.

figure, ax = plt.subplots(layout="constrained")
for strategy in (Random(random_state=0), recommended):
    learner = ActiveLearner(clone(forest), strategy, X[:30], y[:30])
    pool, labels = X[30:1200], y[30:1200]
    sizes, scores = [30], [(learner.predict(X_test) == y_test).all(axis=1).mean()]
    for _ in range(8):
        positions, rows = learner.query(pool, n_instances=20)
        learner.teach(rows, labels[positions])
        pool, labels = (np.delete(part, positions, axis=0) for part in (pool, labels))
        sizes.append(len(learner.X_training))
        scores.append((learner.predict(X_test) == y_test).all(axis=1).mean())
    ax.plot(sizes, scores, marker="o", label=type(strategy).__name__)
ax.set(xlabel="labels used [rows]", ylabel="both labels correct [share of rows]")
ax.legend()
