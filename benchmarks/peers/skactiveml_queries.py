"""Queries of scikit-activeml: a committee of nets wrapped by its SkorchClassifier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from measure import Problem, measure, plain_net
from skactiveml.classifier import SkorchClassifier
from skactiveml.pool import BatchBALD, GreedyBALD


def _net(problem: Problem, weights: dict[str, torch.Tensor]) -> SkorchClassifier:
    module = plain_net(weights)
    net = SkorchClassifier(
        module,
        neural_net_param_dict={
            "max_epochs": 1,
            "lr": 0.0,
            "train_split": None,
            "verbose": False,
            "batch_size": 4096,
        },
        classes=np.unique(problem.y_labeled),
        random_state=0,
    )
    return net.fit(problem.X_labeled, problem.y_labeled)  # a step of length 0


def _committee(kind: Any) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        nets = [_net(problem, weights) for weights in problem.weights]
        strategy = kind(random_state=0)

        def run(X: Any) -> Any:
            return strategy.query(
                np.concatenate([problem.X_labeled, X]),
                np.concatenate([problem.y_labeled, np.full(len(X), np.nan)]),
                ensemble=nets,
                fit_ensemble=False,
                batch_size=problem.batch,
            )

        return run

    return prepare


if __name__ == "__main__":
    measure(
        {
            "BALD-nets": _committee(GreedyBALD),
            "BatchBALD-nets": _committee(BatchBALD),
            # As many values of the batch's labels as skal holds.
            "BatchBALD2000-nets": _committee(partial(BatchBALD, n_MC_samples=2000)),
        }
    )
