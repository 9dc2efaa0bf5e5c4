"""Options and fixtures of the whole suite."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device", default="cpu", help="device the nets of the suite live on"
    )


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> str:
    """Device asked for by ``--device``."""
    name = request.config.getoption("--device")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda was asked for, but there is no GPU.")
    return name


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
