"""The loss module, against its formula."""

from __future__ import annotations

import numpy as np
import torch

from skal.nets.loss_prediction.blocks import Block
from skal.nets.loss_prediction.ranking import LossModule


def test_is_its_formula() -> None:
    module = LossModule([Block("a", 0, 1, 4), Block("b", 0, -1, 3)], width=5)
    outputs = [torch.randn(6, 4), torch.randn(6, 3)]
    w = {name: p.detach().numpy() for name, p in module.named_parameters()}
    hidden = [
        np.maximum(x.numpy() @ w[f"layers.{k}.weight"].T + w[f"layers.{k}.bias"], 0)
        for k, x in enumerate(outputs)
    ]
    expected = np.hstack(hidden) @ w["head.weight"][0] + w["head.bias"]
    np.testing.assert_allclose(module(outputs).detach(), expected, atol=1e-5)
    assert w["layers.0.weight"].shape == (5, 4)
    assert w["head.weight"].shape == (1, 10)


def test_one_row_keeps_its_axis() -> None:
    assert LossModule([Block("a", 0, 1, 4)])([torch.zeros(1, 4)]).shape == (1,)
