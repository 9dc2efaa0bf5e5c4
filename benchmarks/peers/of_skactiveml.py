"""Queries of scikit-activeml, by nets that its SkorchClassifier wraps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from measure import Problem, measure, plain_net
from skactiveml.classifier import SkorchClassifier
from skactiveml.pool import (
    Badge,
    BatchBALD,
    ContrastiveAL,
    CoreSet,
    GreedyBALD,
    GreedySamplingX,
    ProbCover,
    TypiClust,
)
from torch import nn


class _Net(nn.Module):
    """MLP 64-128-10 that gives its features, too."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(128, 10)
        self.load_state_dict(weights)

    def forward(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.body(X)
        return self.head(features), features


def _wrapped(problem: Problem, module: nn.Module, **kwargs: Any) -> SkorchClassifier:
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
        **kwargs,
    )
    return net.fit(problem.X_labeled, problem.y_labeled)  # a step of length 0


def _classifier(problem: Problem) -> SkorchClassifier:
    return _wrapped(
        problem,
        _Net(problem.weights[0]),
        forward_outputs={"proba": (0, nn.Softmax(dim=-1)), "emb": (1, None)},
        criterion_output_keys="proba",
    )


def _pool(problem: Problem, X: Any) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.concatenate([problem.X_labeled, X]),
        np.concatenate([problem.y_labeled, np.full(len(X), np.nan)]),
    )


def _with_net(kind: Any) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        net = _classifier(problem)
        strategy = kind(
            clf_embedding_flag_name={"extra_outputs": "emb"}, random_state=0
        )
        return lambda X: strategy.query(
            *_pool(problem, X), clf=net, fit_clf=False, batch_size=problem.batch
        )

    return prepare


def _on_features(kind: Any) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        net = _classifier(problem)

        def run(X: Any) -> Any:
            rows, y = _pool(problem, X)
            _, features = net.predict_proba(rows, extra_outputs="emb")
            # A new one each time: ProbCover keeps what it found of another pool.
            return kind(random_state=0).query(features, y, batch_size=problem.batch)

        return run

    return prepare


def _on_inputs(kind: Any) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        strategy = kind(random_state=0)
        return lambda X: strategy.query(*_pool(problem, X), batch_size=problem.batch)

    return prepare


def _committee(kind: Any) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        nets = [_wrapped(problem, plain_net(weights)) for weights in problem.weights]
        strategy = kind(random_state=0)
        return lambda X: strategy.query(
            *_pool(problem, X),
            ensemble=nets,
            fit_ensemble=False,
            batch_size=problem.batch,
        )

    return prepare


if __name__ == "__main__":
    measure(
        {
            "BADGE": _with_net(Badge),
            "CAL": _with_net(ContrastiveAL),
            "CoreSet": _on_features(CoreSet),
            "TypiClust": _on_features(TypiClust),
            "ProbCover": _on_features(ProbCover),
            "BALD-nets": _committee(GreedyBALD),
            "BatchBALD-nets": _committee(BatchBALD),
            # As many values of the batch's labels as skal holds.
            "BatchBALD2000-nets": _committee(partial(BatchBALD, n_MC_samples=2000)),
            "GreedySampling": _on_inputs(GreedySamplingX),
        }
    )
