"""Rows and a net for the tests of callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np

from skal.nets import NetClassifier

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = np.array(["a", "b", "c"])[np.digitize(X[:, 0] + RNG.normal(size=60), [-0.5, 0.5])]


def make_net(*callbacks: Any, **parameters: Any) -> NetClassifier:
    """Make a quick net with the callbacks."""
    settings = {
        "module__hidden_sizes": (8,),
        "max_epochs": 6,
        "lr": 0.03,
        "batch_size": 16,
        "random_state": 0,
        "callbacks": list(callbacks),
    }
    return NetClassifier(**{**settings, **parameters})
