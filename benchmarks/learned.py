"""Strategies that learn to query: loss prediction, VAAL and MAL.

Run as ``python -m benchmarks.learned --seeds 5 --n-jobs 2``: letter, pendigits and
MNIST, and five small regressions from the folder that SKAL_DATA names.  Finished
campaigns are kept in the work folder, and a second run continues from there.  Every
strategy picks for the same net, which contains the module that predicts its losses,
whether it is used or not.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

from benchmarks.campaigns import Entry, Split, Study, main
from benchmarks.sets import draw, load_small
from skal.nets import MLP, LossPredictionClassifier, LossPredictionRegressor
from skal.posteriors import MCDropout
from skal.strategies import (
    MAL,
    VAAL,
    CoreSet,
    Entropy,
    LossPrediction,
    PredictiveVariance,
    Random,
)

CLASSIFICATION = ("letter", "pendigits", "mnist")
REGRESSION = ("concrete", "energy", "power_plant", "kin8nm", "cpu_act")
POOL, TEST = 2000, 1000
NET: dict[str, Any] = {
    "module": MLP,
    "optimizer": torch.optim.Adam,
    "module__hidden_sizes": (128, 64),
    "module__dropout": 0.1,
    "lr": 3e-3,
    "max_epochs": 50,
    "batch_size": 32,
}
EPOCH_SIZE = 1000


def split(name: str, seed: int) -> Split:
    """Draw a pool and a test, at most 2000 and 1000 rows, two to one in a small set."""
    if name in CLASSIFICATION:
        return draw(name, seed, pool=POOL, test=TEST)
    X, y = load_small(name)
    X = pd.get_dummies(X, dtype=float).to_numpy(np.float32)
    rows = np.random.default_rng(seed).permutation(len(X))
    n = min(POOL, 2 * len(X) // 3)
    pool, test = rows[:n], rows[n : n + n // 2]
    scaler = StandardScaler().fit(X[pool])
    return Split(scaler.transform(X[pool]), scaler.transform(X[test]), y[pool], y[test])


def entries(name: str) -> dict[str, Entry]:
    """Return all strategies for a set, and the net that they pick for."""
    vaal = VAAL(epoch_size=EPOCH_SIZE)
    model: Any
    if name in CLASSIFICATION:
        model = LossPredictionClassifier(**NET)
        strategies = {
            "Random": Random(),
            "Entropy": Entropy(),
            "CoreSet": CoreSet(),
            "LossPrediction": LossPrediction(),
            "VAAL": vaal,
            "MAL": MAL(epoch_size=EPOCH_SIZE),
        }
    else:
        model = TransformedTargetRegressor(
            LossPredictionRegressor(**NET),
            transformer=StandardScaler(),
            check_inverse=False,
        )
        strategies = {
            "Random": Random(),
            "PredictiveVariance": PredictiveVariance(MCDropout(20)),
            "CoreSet": CoreSet(),
            "LossPrediction": LossPrediction(),
            "VAAL": vaal,
        }
    return {name: Entry(model, strategy) for name, strategy in strategies.items()}


STUDY = Study(
    stem="learned",
    heading="Strategies that learn to query",
    text=f"A pool of at most {POOL} rows, the score on half as many others: accuracy, "
    "for regressions the RMSE of the target at unit variance. The scored net is "
    "always the same, an MLP with 128 and 64 hidden units and dropout 0.1, 50 epochs, "
    "that contains the module which predicts its losses. Entropy, PredictiveVariance "
    "(20 masks) and CoreSet are included for comparison; VAAL and MAL see "
    f"{EPOCH_SIZE} rows of the pool per epoch, 50 epochs at most.",
    sets=(*CLASSIFICATION, *REGRESSION),
    split=split,
    entries=entries,
    test_train_ratio=TEST / POOL,
    scoring={
        **dict.fromkeys(CLASSIFICATION, "accuracy"),
        **dict.fromkeys(REGRESSION, "neg_root_mean_squared_error"),
    },
    n_initial=50,
    n_instances=50,
    n_queries=5,
)


if __name__ == "__main__":
    sys.exit(main(STUDY, "benchmarks.learned", __doc__, None))
