"""
Rows that are never forgotten
=============================

During training, a net also forgets: a row that was classified correctly is
misclassified after a later step.  Some rows are never forgotten once they are learned.
They contribute little to the training and can be left out (`Toneva et al., 2019
<https://arxiv.org/abs/1812.05159>`_).  This example prunes the handwritten digits in
this way.
"""

# %%
# The callback `ForgettingEvents` counts the events during training, from the
# predictions of the training steps, at no additional cost.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skal.nets import ForgettingEvents, NetClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=600, stratify=y, random_state=0
)
events = ForgettingEvents()
net = NetClassifier(
    max_epochs=15, lr=3e-3, batch_size=64, callbacks=[events], random_state=0
)
net.fit(X_train, y_train)
print(len(events.unforgettable_), "rows are never forgotten,")
print(len(events.forgettable_), "are forgotten at least once, or never learned.")

# %%
# The rows that are forgotten most often, and some that are never forgotten.  The former
# may be difficult for humans, too.

forgotten = np.argsort(-events.n_forgotten_, kind="stable")[:8]
figure, axes = plt.subplots(2, 8, figsize=(8, 2.6))
for rows, line in zip([forgotten, events.unforgettable_[:8]], axes, strict=True):
    for row, axis in zip(rows, line, strict=True):
        axis.imshow(X_train[row].reshape(8, 8), cmap="gray_r")
        axis.set_title(f"{y_train[row]}, {events.n_forgotten_[row]} times", fontsize=8)
        axis.set_axis_off()

# %%
# Now leave out a fraction of the rows: the least forgotten ones, random ones, or the
# most forgotten ones.  Smaller sets are trained for more epochs, so that all nets take
# about the same number of steps.  The events are counted anew on each of five splits.


def accuracy(kept, X_train, y_train, X_test, y_test, seed):
    epochs = round(15 * len(X_train) / len(kept))
    net = NetClassifier(max_epochs=epochs, lr=3e-3, batch_size=64, random_state=seed)
    return net.fit(X_train[kept], y_train[kept]).score(X_test, y_test)


results = []
for seed in range(5):
    split = train_test_split(X / 16, y, test_size=600, stratify=y, random_state=seed)
    X_train, X_test, y_train, y_test = split
    data = X_train, y_train, X_test, y_test, seed
    net = NetClassifier(
        max_epochs=15, lr=3e-3, batch_size=64, callbacks=[events], random_state=seed
    ).fit(X_train, y_train)
    n = len(X_train)
    results.append(("none", 0.0, net.score(X_test, y_test)))
    # Least forgotten first; rows with equal counts are in random order.
    count = np.where(events.n_learned_ > 0, events.n_forgotten_, np.inf)
    shuffled = np.random.default_rng(seed).permutation(n)
    by_count = shuffled[np.argsort(count[shuffled], kind="stable")]
    for share in (0.3, 0.6):
        pruned = round(share * n)
        for name, kept in [
            ("unforgettable", by_count[pruned:]),
            ("any", shuffled[pruned:]),
            ("most forgotten", by_count[: n - pruned]),
        ]:
            results.append((name, share, accuracy(kept, *data)))

table = pd.DataFrame(results, columns=["pruned rows", "share", "accuracy"])
grouped = table.groupby(["share", "pruned rows"])["accuracy"]
print(grouped.agg(["mean", "sem"]).round(4))

# %%
# If 30 % or even 60 % of the rows are left out, starting with the least forgotten ones,
# the net is as good as with all rows, within the standard errors.  It is worse if
# random rows are left out, and worst if the most forgotten ones are.
