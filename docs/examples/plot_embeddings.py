"""
Embeddings of categories
========================

A net can represent each level of a categorical column by a vector, which is trained
together with its weights.  Levels with similar effects on the target then get similar
vectors.
"""

# %%
# The table is generated: hourly rentals at a bicycle station, which depend on the hour,
# the day of the week and the temperature.  Commuters ride at about 8 and 18 o'clock on
# working days; on weekends, most people ride in the afternoon.  Hours and days are
# strings, so the model is not told that 17h is close to 18h.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.metrics import root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from torch import nn

from skal import ActiveLearner, NetRegressor, recommended_strategy
from skal.nets import MLP
from skal.strategies import Random

HOURS = [f"{hour}h" for hour in range(24)]
DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
rng = np.random.default_rng(0)
hour, day = rng.integers(24, size=3000), rng.integers(7, size=3000)
temperature = rng.normal(15, 7, size=3000)


def peak(center, width):
    """Rentals around an hour, at most 1."""
    return np.exp(-(((hour - center) / width) ** 2) / 2)


commuters = 80 * peak(8, 1) + 90 * peak(18, 1.5)
leisure = 70 * peak(14, 3)
riders = np.where(day < 5, commuters + leisure / 3, leisure)
y = 10 + riders * (1 + (temperature - 15) / 30) + rng.normal(0, 5, size=3000)
X = pd.DataFrame(
    {
        "hour": np.array(HOURS)[hour],
        "day": np.array(DAYS)[day],
        "temperature": temperature,
    }
)
X_pool, y_pool, X_test, y_test = X[:2000], y[:2000], X[2000:], y[2000:]
X.head(3)

# %%
# The model
# ---------
# `OrdinalEncoder` replaces each level by its position in a list.  The module looks up
# the vectors of the levels, and concatenates them with the other columns.  Since the
# levels are declared, the size of each embedding is known before the first label.  A
# level without a labeled row keeps its initial vector.


class EmbeddingNet(nn.Module):
    """Perceptron with embeddings; the first columns are positions of levels."""

    def __init__(self, n_features, n_outputs, n_levels, n_dims=4, width=64):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(n, n_dims) for n in n_levels)
        for embedding in self.embeddings:
            nn.init.normal_(embedding.weight, std=0.1)
        n_inputs = n_features + len(n_levels) * (n_dims - 1)
        self.body = nn.Sequential(
            *(nn.Linear(n_inputs, width), nn.SiLU()),
            *(nn.Linear(width, width), nn.SiLU()),
        )
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X):
        n = len(self.embeddings)
        levels, numbers = X[:, :n].long(), X[:, n:]
        vectors = [e(levels[:, k]) for k, e in enumerate(self.embeddings)]
        return self.head(self.body(torch.cat([*vectors, numbers], dim=1)))


def make_model(encoder, module, **parameters):
    """Make a pipeline of an encoder and a net, which scales the target."""
    encoder = make_column_transformer(
        (encoder, ["hour", "day"]), (StandardScaler(), ["temperature"])
    )
    net = NetRegressor(module, lr=0.01, max_epochs=60, random_state=0, **parameters)
    return TransformedTargetRegressor(
        make_pipeline(encoder, net), transformer=StandardScaler()
    )


embedded = make_model(
    OrdinalEncoder(categories=[HOURS, DAYS]),
    EmbeddingNet,
    module__n_levels=(len(HOURS), len(DAYS)),
)

# %%
# For comparison, a net of the same size without embeddings, whose inputs are one-hot
# columns.

one_hot = make_model(
    OneHotEncoder(categories=[HOURS, DAYS], sparse_output=False),
    MLP,
    module__hidden_sizes=(64, 64),
    module__activation=nn.SiLU,
)

# %%
# The campaigns
# -------------
# All campaigns start from the same 60 labels.  The recommended strategy is
# :class:`~skal.strategies.LCMD`, which compares rows by the gradients of the net,
# including those of the embeddings.

recommended = recommended_strategy(embedded).set_params(random_state=0)
campaigns = {
    "embeddings, LCMD": (embedded, recommended),
    "embeddings, Random": (embedded, Random(random_state=0)),
    "one-hot, LCMD": (one_hot, recommended),
}
learners = {}
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, (model, strategy) in campaigns.items():
    learner = ActiveLearner(clone(model), clone(strategy), X_pool[:60], y_pool[:60])
    pool, labels = X_pool[60:], y_pool[60:]
    errors = [root_mean_squared_error(y_test, learner.predict(X_test))]
    for _ in range(6):
        positions, rows = learner.query(pool, n_instances=40)
        learner.teach(rows, labels[positions])
        pool, labels = pool.drop(rows.index), np.delete(labels, positions)
        errors.append(root_mean_squared_error(y_test, learner.predict(X_test)))
    ax.plot(range(60, 301, 40), errors, "o-", label=name)
    learners[name] = learner
ax.set(xlabel="labels used [rows]", ylabel="RMSE on test rows [rentals]")
ax.legend()

# %%
# Embeddings are not an improvement by themselves: with these few labels and levels, the
# errors with one-hot columns, which are the default of
# :func:`~skal.tabular.make_tabular_regressor`, are as low or lower.  And a single
# campaign proves nothing about a strategy (:doc:`plot_2_compare_strategies`).

# %%
# What the embeddings learned
# ---------------------------
# The first two principal components of the vectors of each column show that the net
# found what it was not told.  Weekends are far from working days.  The hours of the
# night, which have the same few rentals, share a place; those of the afternoon form a
# sequence; and 8h is near 18h and 19h, because commuters ride at both times.

net = learners["embeddings, LCMD"].estimator.regressor_[-1]
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, embedding, levels in zip(
    axes, net.module_.embeddings, (HOURS, DAYS), strict=True
):
    vectors = PCA(2).fit_transform(embedding.weight.detach().numpy())
    ax.scatter(*vectors.T, c=range(len(levels)), cmap="twilight_shifted")
    for level, place in zip(levels, vectors, strict=True):
        ax.annotate(level, place, textcoords="offset points", xytext=(4, 2))
    ax.set(xlabel="first component", ylabel="second component")
    ax.axis("equal")
