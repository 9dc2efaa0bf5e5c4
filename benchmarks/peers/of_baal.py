"""Queries of baal: MC dropout with a new mask for every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from baal import ModelWrapper
from baal.active.heuristics import BALD, BatchBALD, Entropy
from baal.bayesian.dropout import patch_module
from baal.modelwrapper import TrainingArgs
from measure import Problem, measure, plain_net
from torch.utils.data import TensorDataset

BATCH_SIZE = 1024

#: BatchBALD holds an array of rows × (draws × this) × classes; its default of 500
#: would be 8 TB at 10 000 rows, 20 draws and 10 classes.
NUM_DRAW = 10


def _heuristic(
    make: Callable[[int], Any],
) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        torch.manual_seed(0)
        net = patch_module(plain_net(problem.weights[0]))
        wrapper = ModelWrapper(
            net, TrainingArgs(batch_size=BATCH_SIZE, workers=0, use_cuda=False)
        )
        heuristic = make(problem.batch)

        def run(X: Any) -> Any:
            rows = torch.from_numpy(X)
            data = TensorDataset(rows, torch.zeros(len(rows)))
            draws = wrapper.predict_on_dataset(data, problem.n_draws, verbose=False)
            return heuristic(draws)[: problem.batch]

        return run

    return prepare


if __name__ == "__main__":
    measure(
        {
            "entropy-draws": _heuristic(lambda n: Entropy()),
            "BALD-draws": _heuristic(lambda n: BALD()),
            "BatchBALD-draws": _heuristic(lambda n: BatchBALD(n, num_draw=NUM_DRAW)),
        }
    )
