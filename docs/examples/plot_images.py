"""
Images and a convolutional net
==============================

A module of your own works like the default one.  Here it is a small convolutional net
for the handwritten digits of scikit-learn, which are images of 8 x 8 pixels.
"""

# %%
# The images are an array of shape (n, 1, 8, 8): a net reads arrays of any shape.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from skal import ActiveLearner, NetClassifier
from skal.strategies import BADGE

data = load_digits()
images = (data.images[:, None] / 16).astype("float32")
order = np.random.default_rng(0).permutation(len(images))
labeled, pool, test = order[:30], order[30:1000], order[1000:]


class ConvNet(nn.Module):
    """Two convolutions, and a linear layer on the mean of each channel."""

    def __init__(self, n_channels: int = 32, n_classes: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, n_channels, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(n_channels, n_channels, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Linear(16 * n_channels, n_classes)

    def forward(self, x):
        return self.head(self.body(x))


net = NetClassifier(
    ConvNet,
    classes=range(10),  # some may be missing among the first labels
    lr=3e-3,
    max_epochs=40,
    batch_size=32,
    random_state=0,
)
learner = ActiveLearner(
    net, BADGE(random_state=0), images[labeled], data.target[labeled]
)

# %%
# :class:`~skal.strategies.Margin` is the strategy to start with
# (:doc:`/which_strategy`).  This example shows a strategy that reads the net itself:
# :class:`~skal.strategies.BADGE` uses the gradients of the last layer, whatever comes
# before it.  These are its first 20 picks, with the prediction of the net for each.

positions, picked = learner.query(images[pool], n_instances=20)
figure, axes = plt.subplots(2, 10, figsize=(9, 2.4), layout="constrained")
for ax, image, guess in zip(axes.flat, picked, learner.predict(picked), strict=True):
    ax.imshow(image[0], cmap="gray_r")
    ax.set(title=str(guess), xticks=[], yticks=[])

# %%
# Five more queries, and the accuracy on rows that are not in the pool.

for _ in range(5):
    learner.teach(picked, data.target[pool[positions]])
    pool = np.delete(pool, positions)
    accuracy = learner.score(images[test], data.target[test])
    print(f"{len(learner.X_training)} labels: accuracy {accuracy:.3f}")
    positions, picked = learner.query(images[pool], n_instances=20)
