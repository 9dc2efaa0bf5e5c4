"""Options and fixtures of the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", default="cpu", help="device the nets of the suite live on"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let all nets live on the device asked for, unless a test names one."""
    device = config.getoption("--device")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda was asked for, but there is no GPU.")
    if device != "cpu":
        _set_device(device)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the nets of tests that run modules by hand live on the CPU."""
    device = item.config.getoption("--device")
    if device != "cpu":
        _set_device("cpu" if item.get_closest_marker("on_cpu") else device)


def _set_device(device: str) -> None:
    """Set the default device of nets."""
    from skorch import NeuralNet

    from skal.nets import NetClassifier, NetRegressor, ensembles
    from tests.models import make_net

    for function in (
        NeuralNet.__init__,
        NetClassifier.__init__,
        NetRegressor.__init__,
        ensembles.FoldEnsembleClassifier.__init__,
        ensembles.FoldEnsembleRegressor.__init__,
        make_net,
    ):
        _set_default(function, "device", device)


def _set_default(function: Any, name: str, value: Any) -> None:
    """Give a parameter of a function another default."""
    code, by_name = function.__code__, function.__kwdefaults__ or {}
    if name in by_name:
        by_name[name] = value
        return
    place = code.co_varnames[: code.co_argcount].index(name) - code.co_argcount
    defaults = list(function.__defaults__)
    defaults[place] = value
    function.__defaults__ = tuple(defaults)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Device asked for by ``--device``."""
    return request.config.getoption("--device")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Function that sets the elements of a block, in memory and in the cache."""

    def limit(n_elements: int) -> None:
        for name in ("MEMORY", "CACHE"):
            monkeypatch.setattr(f"skal._numerics.products.{name}", n_elements)

    return limit


@pytest.fixture(autouse=True, scope="session")
def _interrupts_are_raised() -> None:
    """Let SIGINT raise KeyboardInterrupt, which a background job ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _two_threads() -> None:
    """Keep workers from fighting over cores."""
    torch.set_num_threads(min(2, torch.get_num_threads()))
