"""Queries of skal, and what they are compared with.

The floor of disagreement is K passes of the net over the pool; the floor of a batch
is made of the rates that this machine's products and copies reach.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from measure import Problem, measure, plain_net
from sklearn.linear_model import LinearRegression

import skal.strategies
from skal import ActiveLearner, NetClassifier, NetRegressor
from skal._numerics.products import linear
from skal.nets import MLP, DeepEnsembleClassifier
from skal.posteriors import MCDropout, Members
from skal.strategies import BALD, BatchBALD, PredictiveEntropy

#: Strategies of each problem, and how they are made.
CLASSIFICATION: dict[str, dict[str, Any]] = {
    "BADGE": {},
    "CoreSet": {},
    "CAL": {},
    "TypiClust": {},
    "ProbCover": {},
    "EGL": {},
    "InformationDensity": {},
    "DiverseMiniBatch": {},
    "SuggestiveAnnotation": {},
}
REGRESSION: dict[str, dict[str, Any]] = {
    "LCMD": {},
    "KMeansPP": {},
    "MaxDist": {},
    "MaxDet": {},
    "BAIT": {},
    "FrankWolfe": {},
    "EMCM": {},
    "TESSAR": {},
}
INPUTS: dict[str, dict[str, Any]] = {"GreedySampling": {"criterion": "inputs"}}


def _classifier(problem: Problem) -> Any:
    return NetClassifier(
        MLP,
        module__hidden_sizes=(128,),
        module__dropout=0.2,
        max_epochs=1,
        random_state=0,
    )


def _regressor(problem: Problem) -> Any:
    return NetRegressor(
        MLP,
        module__hidden_sizes=(512, 512),
        module__dropout=0.1,
        max_epochs=1,
        random_state=0,
    )


def _batch(
    make_learner: Callable[[Problem], Any], name: str, options: dict[str, Any]
) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        kind = getattr(skal.strategies, name)
        if "random_state" in kind().get_params():
            options["random_state"] = 0
        estimator = make_learner(problem)
        learner = ActiveLearner(
            estimator, X_training=problem.X_labeled, y_training=problem.y_labeled
        )
        if hasattr(estimator, "module"):
            learner.estimator.module_.load_state_dict(problem.weights[0])
        strategy = kind(**options)
        return lambda X: strategy.select(learner, X, problem.batch).indices

    return prepare


def _net(problem: Problem) -> NetClassifier:
    net = NetClassifier(
        MLP,
        module__hidden_sizes=(128,),
        module__dropout=0.2,
        max_epochs=1,
        random_state=0,
    ).fit(problem.X_labeled, problem.y_labeled)
    net.module_.load_state_dict(problem.weights[0])
    return net


def _ensemble(problem: Problem) -> DeepEnsembleClassifier:
    net = NetClassifier(
        MLP, module__hidden_sizes=(128,), module__dropout=0.2, max_epochs=1
    )
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


def _rates(problem: Problem) -> Callable[[Any], Any]:
    """Print the multiply-adds of products and the bytes of copies per second."""

    def best(function: Callable[[], Any], work: float) -> float:
        function()
        times = []
        for _ in range(15):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return work / sorted(times)[len(times) // 2]

    def run(X: Any) -> None:
        rates = {}
        a, b = (torch.randn(n, 512) for n in (4096, 512))
        rates["net"] = best(partial(F.linear, a, b), 4096 * 512 * 512)
        own = best(partial(linear, a, b), 4096 * 512 * 512)
        rates["float32"] = max(rates["net"], own)
        a, b = a.double(), b.double()
        rates["float64"] = best(partial(torch.mm, a, b), 4096 * 512 * 512)
        long = torch.randn(2**25)
        rates["bytes"] = best(long.clone, 2 * 4 * 2**25)
        if len(X) > 1000:  # not the run that warms up
            print(json.dumps(rates))

    return run


if __name__ == "__main__":
    named = [
        (_classifier, CLASSIFICATION),
        (_regressor, REGRESSION),
        (lambda problem: LinearRegression(), INPUTS),
    ]
    measure(
        {
            "rates": _rates,
            "floor-draws": _passes(None),
            "floor-nets": _passes(5),
            "entropy-draws": _dropout(PredictiveEntropy),
            "BALD-draws": _dropout(BALD),
            "BatchBALD-draws": _dropout(partial(BatchBALD, n_configurations=2000)),
            "BALD-nets": _members(BALD),
            "BatchBALD-nets": _members(partial(BatchBALD, n_configurations=2000)),
            **{
                name: _batch(make, name, options)
                for make, queries in named
                for name, options in queries.items()
            },
        }
    )
