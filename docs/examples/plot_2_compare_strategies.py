"""
Comparing strategies
====================

This example compares three strategies on handwritten digits, with the same splits,
starts and seeds.  Their differences are therefore paired, so that a few campaigns are
more informative than many unpaired ones.
"""

# %%
# There are eight splits of 1000 digits; a quarter of each is held out for testing.  The
# model is a perceptron with one hidden layer.  An epoch is a single training step with
# these few labels, so that a net needs many epochs.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.manifold import TSNE
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skal import ActiveLearner, NetClassifier, compare_strategies
from skal.nets import MLP
from skal.simulation import GainDisplay
from skal.strategies import LDMSeeding, Margin, Random

X, y = load_digits(return_X_y=True)
X, y = X[:1000], y[:1000]
net = NetClassifier(
    MLP,
    module__hidden_sizes=(64,),
    lr=3e-3,
    max_epochs=150,
    batch_size=128,
    classes=range(10),
)
model = make_pipeline(MinMaxScaler(), net)
comparison = compare_strategies(
    model,
    {"Random": Random(), "Margin": Margin(), "LDMSeeding": LDMSeeding()},
    X,
    y,
    cv=StratifiedShuffleSplit(8, test_size=0.25, random_state=0),
    n_initial=20,
    n_instances=20,
    n_queries=4,
    initial="stratified",
    random_state=0,
)

# %%
# `gain` is the mean difference in area under the learning curve from Random.  If its
# interval includes 0, the verdict is "no gain".  `labels saved` is how many fewer
# labels a strategy needs to reach the final score of Random.  Eight splits are enough
# to see a gain over Random, but not to tell the two strategies apart.

print(comparison)

# %%
# The bands are 95 % intervals of the mean.  They may overlap although the paired gain
# is clear, because part of their width comes from the splits, which all strategies
# share.

comparison.plot()

# %%
# What was picked, and the gain
# ------------------------------
# Left: the digits in two dimensions, by t-SNE, with a color for each class.
# :class:`~skal.strategies.Margin` picks digits at the edges of clusters and between
# them, where the net hesitates between two classes.  Right: the mean gain over Random
# with its 95 % interval, by the number of labels.  Since it is the mean of paired
# differences, it is more precise than the curves above.

# sphinx_gallery_thumbnail_number = 2

model.set_params(netclassifier__random_state=0)
learner = ActiveLearner(model, Margin(random_state=0), X[:60], y[:60])
positions, _ = learner.query(X[60:], n_instances=20)
places = TSNE(random_state=0).fit_transform(X)[60:]
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
axes[0].scatter(*places.T, c=y[60:], cmap="tab10", s=8, alpha=0.5)
axes[0].scatter(*places[positions].T, marker="x", color="k", label="picked")
axes[0].set(title="20 digits picked by Margin", xticks=[], yticks=[])
axes[0].legend()
GainDisplay.from_comparison(comparison, ax=axes[1])
axes[1].set_title("gain over random sampling")
axes[1].legend()
