"""Measures and posteriors of disagreement on letter, pendigits and MNIST.

Run as ``python -m benchmarks.worth_classification --sets letter pendigits mnist --seeds
5 --n-jobs 2``.  Finished campaigns are kept in the work folder, and a second run
continues from there.  Every strategy picks for the same net, an MLP with dropout, and
only this net is scored; an ensemble is trained on the labels at each query to pick
rows.
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from benchmarks.campaigns import ByEnsemble, Entry, Study, main
from benchmarks.sets import POOL, TEST, draw
from skal.nets import MLP, DeepEnsembleClassifier, NetClassifier, WeightSnapshots
from skal.posteriors import MCDropout, Members
from skal.strategies import (
    BALD,
    BatchBALD,
    Entropy,
    LabelDispersion,
    Margin,
    Random,
    VoteEntropy,
)

NET: dict[str, Any] = {
    "module": MLP,
    "optimizer": torch.optim.Adam,
    "module__hidden_sizes": (128,),
    "module__dropout": 0.2,
    "lr": 3e-3,
    "max_epochs": 40,
    "batch_size": 64,
}


def net() -> NetClassifier:
    """Make the net that all strategies pick for; every second epoch is kept."""
    return NetClassifier(**NET, callbacks=[WeightSnapshots(every=2, last=None)])


def _by_ensemble(strategy: Any) -> ByEnsemble:
    return ByEnsemble(strategy, DeepEnsembleClassifier(NetClassifier(**NET), 5))


def entries(name: str) -> dict[str, Entry]:
    """Return all strategies, with 20 draws of dropout, 20 epochs, 5 nets."""
    dropout = MCDropout(20)
    samples = {"n_configurations": 2000}  # the default, without its warning
    strategies = {
        "Random": Random(),
        "Entropy": Entropy(),
        "Margin": Margin(),
        "LabelDispersion": LabelDispersion(),
        "VoteEntropy, dropout": VoteEntropy(dropout),
        "BALD, dropout": BALD(dropout),
        "BatchBALD, dropout": BatchBALD(dropout, **samples),
        "VoteEntropy, ensemble": _by_ensemble(VoteEntropy(Members())),
        "BALD, ensemble": _by_ensemble(BALD(Members())),
        "BatchBALD, ensemble": _by_ensemble(BatchBALD(Members(), **samples)),
    }
    return {name: Entry(net(), strategy) for name, strategy in strategies.items()}


STUDY = Study(
    stem="posteriors_worth",
    heading="Strategies of disagreement on letter, pendigits and MNIST",
    text=f"A pool of {POOL} rows, accuracy on {TEST} others (exact duplicates are "
    "dropped first). The scored net is always the same, an MLP with 128 hidden units "
    "and dropout 0.2, 40 epochs. 'dropout' reads it through 20 masks, LabelDispersion "
    "through every second epoch; 'ensemble' trains 5 such nets on the same labels at "
    "each query, only to pick.",
    sets=("letter", "pendigits", "mnist"),
    split=draw,
    entries=entries,
    test_train_ratio=TEST / POOL,
    scoring=dict.fromkeys(("letter", "pendigits", "mnist"), "accuracy"),
    n_initial=100,
    n_instances=100,
    n_queries=6,
    initial="stratified",
)


if __name__ == "__main__":
    sys.exit(main(STUDY, "benchmarks.worth_classification", __doc__, None))
