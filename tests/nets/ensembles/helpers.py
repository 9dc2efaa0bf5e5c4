"""Every kind of ensemble of a given net, small and quick."""

from __future__ import annotations

from typing import Any

import numpy as np

from skal.nets import NetClassifier, NetRegressor, ensembles
from tests.nets.helpers import blobs, line

#: Fold ensembles make their own nets, see test_folds.py.
KINDS = [n for n in ensembles.__all__ if not n.startswith("Fold")]
CLASSIFIERS = [n for n in KINDS if n.endswith("Classifier")]
REGRESSORS = [n for n in KINDS if n.endswith("Regressor")]


def small_net(name: str, **options: Any) -> Any:
    """Make a quick net, fit to be a member of an ensemble of that name."""
    net = NetClassifier if name in CLASSIFIERS else NetRegressor
    given = {"module__hidden_sizes": (8,), "lr": 0.02, "max_epochs": 6, **options}
    if name.startswith("Diversity"):
        given.setdefault("module__dropout", 0.2)
    return net(**given)


def make(name: str, n_estimators: int = 3, seed: Any = 0, **options: Any) -> Any:
    """Make an ensemble of small nets."""
    kind = getattr(ensembles, name)
    return kind(small_net(name, **options), n_estimators, random_state=seed)


def data_for(name: str, n_rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Rows and targets that suit the ensemble of that name."""
    return blobs(n_rows) if name in CLASSIFIERS else line(n_rows)
