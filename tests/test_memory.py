"""What a query adds to the peak of memory, for every strategy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from skal.strategies import MaxDet, PredictiveVariance
from tests.models import cases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"),
        reason="forks, and reads the peak of memory as Linux counts it",
    ),
]

CASES = [pytest.param(*case, id=f"{case[0].__name__}-{case[1]}") for case in cases()]
#: Bytes per row that a strategy may add: 200 MiB for 50,000 rows.
LIMIT = 200 * 2**20 / 50_000
#: Bytes of a row of float64 in a sketch.
WIDE = 8 * 512


@contextmanager
def measuring() -> Iterator[subprocess.Popen[str]]:
    """Start a process that measures, free of what other tests have left behind."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.memory"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=Path(__file__).parents[1],
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    with measuring() as process:
        yield process


def added(server: Any, cls: Any, task: str, held: int = 0) -> float:
    """Measure the bytes per row that a query adds to the peak."""
    print(cls.__name__, task, held, file=server.stdin, flush=True)
    answer = server.stdout.readline()
    try:
        return float(answer)
    except ValueError:
        pytest.fail(f"no measurement: {answer}")


@pytest.mark.parametrize(("cls", "task"), CASES)
def test_added_memory(cls, task, server):
    # The peak includes what the allocator has not yet returned: that only adds.
    found = min(added(server, cls, task) for _ in range(2))
    if found >= LIMIT:  # or what strategies before have left in pieces
        with measuring() as process:
            found = added(process, cls, task)
    assert found < LIMIT


@pytest.mark.parametrize("cls", [MaxDet, PredictiveVariance])
def test_another_array_of_the_size_of_the_pool_would_be_seen(cls, server):
    """As the float64 transform of a sketch beside the sketch, which once was kept."""
    assert added(server, cls, "regression", held=WIDE) > LIMIT
