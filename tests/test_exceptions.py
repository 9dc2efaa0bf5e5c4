"""Memory that ran out is told from other errors, and passed on as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import nn

from skal.exceptions import UnsuitableLearnerError, is_out_of_memory
from skal.learners import ActiveLearner
from skal.reading.layer_gradients import _as_unsuitable
from skal.strategies import CoreSet, ViaProxy
from skal.strategies.vaal import _check_shape
from tests.models import make_data

FULL = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError(FULL), True),
        (RuntimeError("MPS backend Out of Memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (OSError("can't allocate memory"), False),
    ],
)
def test_which_errors_are_of_memory(error: Exception, full: bool) -> None:
    assert is_out_of_memory(error) is full


class _Full(nn.Module):
    def forward(self, X: torch.Tensor) -> Any:
        raise RuntimeError(FULL)


class _FullProxy(LinearRegression):
    def __init__(self, error: Any = None) -> None:
        super().__init__()
        self.error = error

    def fit(self, X: Any, y: Any) -> Any:
        raise self.error(FULL)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyError])
def test_a_proxy_that_needs_too_much_memory(error: type[Exception]) -> None:
    X, y = make_data("regression")
    learner = LinearRegression().fit(X, y)
    learner = ActiveLearner(learner, X_training=X[:20], y_training=y[:20])
    is_full = error is not KeyError
    with pytest.raises(error if is_full else ValueError) as raised:
        ViaProxy(_FullProxy(error), CoreSet("input")).select(learner, X, 2)
    assert ("could not be fitted" in str(raised.value)) != is_full


def test_modules_that_need_too_much_memory() -> None:
    for module, error in ((_Full(), RuntimeError), (nn.Linear(2, 4), ValueError)):
        with pytest.raises(error, match=r"^\[enforce|must take rows of shape \(b, 3"):
            _check_shape("encoder", module, 3, 4, "cpu")
    for text, kind in ((FULL, RuntimeError), ("no", UnsuitableLearnerError)):
        with pytest.raises(kind), _as_unsuitable(nn.Linear(2, 1), ["weight"]):
            raise RuntimeError(text)
