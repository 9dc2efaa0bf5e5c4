"""Batches picked by bmdal_reg, end to end: gradients, sketch, kernel, selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from bmdal_reg.bmdal.algorithms import select_batch
from bmdal_reg.bmdal.feature_data import TensorFeatureData
from measure import Problem, measure
from torch import nn

NOISE = 1e-3
SKETCH = [("rp", [512])]
#: Its authors' experiments take float64 after the labels, as skal does.
AFTER_LABELS: dict[str, Any] = {
    "kernel_transforms": [*SKETCH, ("train", [NOISE, None])],
    "sel_with_train": False,
    "allow_float64": True,
}
CENTERS: dict[str, Any] = {"kernel_transforms": SKETCH, "sel_with_train": True}


def _net(weights: dict[str, torch.Tensor]) -> nn.Sequential:
    net = nn.Sequential(
        nn.Linear(32, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 1)
    )
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    values = [weights[name] for name in weights if name.endswith(("weight", "bias"))]
    for k, layer in enumerate(linear):
        layer.weight.data, layer.bias.data = values[2 * k : 2 * k + 2]
    return net


def _batch(
    method: str, options: dict[str, Any]
) -> Callable[[Problem], Callable[[Any], Any]]:
    def prepare(problem: Problem) -> Callable[[Any], Any]:
        net = _net(problem.weights[0])

        def run(X: Any) -> Any:
            torch.manual_seed(0)
            rows = {"train": problem.X_labeled, "pool": X}
            picks, results = select_batch(
                batch_size=problem.batch,
                models=[net],
                data={
                    k: TensorFeatureData(torch.from_numpy(v)) for k, v in rows.items()
                },
                y_train=None,
                base_kernel="grad",
                selection_method=method,
                verbosity=0,
                **options,
            )
            if results["selection_status"] is not None:
                raise RuntimeError(results["selection_status"])
            return picks

        return run

    return prepare


if __name__ == "__main__":
    measure(
        {
            "LCMD": _batch("lcmd", CENTERS),
            "KMeansPP": _batch("kmeanspp", CENTERS),
            "MaxDist": _batch("maxdist", CENTERS),
            "MaxDet": _batch("maxdet", {**AFTER_LABELS, "maxdet_sigma": NOISE}),
            "BAIT": _batch("bait", {**AFTER_LABELS, "bait_sigma": NOISE}),
            "FrankWolfe": _batch("fw", AFTER_LABELS),
        }
    )
