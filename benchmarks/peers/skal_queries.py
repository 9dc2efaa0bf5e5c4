"""Queries of skal, and their floor: K passes of the net over the pool."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from measure import Problem, measure, plain_net

from skal.nets import DeepEnsembleClassifier, NetClassifier
from skal.posteriors import MCDropout, Members
from skal.strategies import BALD, BatchBALD, PredictiveEntropy


def _net(problem: Problem) -> NetClassifier:
    net = NetClassifier(
        module__hidden_sizes=(128,), module__dropout=0.2, max_epochs=1, random_state=0
    ).fit(problem.X_labeled, problem.y_labeled)
    net.module_.load_state_dict(problem.weights[0])
    return net


def _ensemble(problem: Problem) -> DeepEnsembleClassifier:
    net = NetClassifier(module__hidden_sizes=(128,), module__dropout=0.2, max_epochs=1)
    ensemble = DeepEnsembleClassifier(net, len(problem.weights), random_state=0)
    ensemble.fit(problem.X_labeled, problem.y_labeled)
    for member, weights in zip(ensemble.estimators_, problem.weights, strict=True):
        member.module_.load_state_dict(weights)
    return ensemble


def _dropout(kind: Any) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        net = _net(problem)
        strategy = kind(MCDropout(problem.n_draws), random_state=0)
        return lambda X: strategy.select(net, X, problem.batch).indices

    return prepare


def _members(kind: Any) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        ensemble = _ensemble(problem)
        strategy = kind(Members(), random_state=0)
        return lambda X: strategy.select(ensemble, X, problem.batch).indices

    return prepare


def _passes(n: int | None) -> Callable[[Problem], Callable[[Any], Any]]:
    """Read the pool n times (n_draws times by default), in blocks of 4096 rows."""

    def prepare(problem: Problem) -> Callable[[Any], Any]:
        net = plain_net(problem.weights[0])

        def run(X: Any) -> None:
            rows = torch.from_numpy(X)
            with torch.no_grad():
                for _ in range(n or problem.n_draws):
                    torch.cat([net(block).softmax(1) for block in rows.split(4096)])

        return run

    return prepare


if __name__ == "__main__":
    measure(
        {
            "floor-draws": _passes(None),
            "floor-nets": _passes(5),
            "entropy-draws": _dropout(PredictiveEntropy),
            "BALD-draws": _dropout(BALD),
            "BatchBALD-draws": _dropout(partial(BatchBALD, n_configurations=2000)),
            "BALD-nets": _members(BALD),
            "BatchBALD-nets": _members(partial(BatchBALD, n_configurations=2000)),
        }
    )
