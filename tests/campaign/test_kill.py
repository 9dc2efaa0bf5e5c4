"""Processes that are killed at any moment lose no label and double none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_kills(n: int, *options: str) -> dict[str, int]:
    # A process of its own: pytest may have threads, which a fork would not survive.
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaign.kill", "--n", str(n), *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_killed_processes_lose_and_double_no_label() -> None:
    pytest.importorskip("sqlalchemy", reason="campaigns need the extra `campaign`")
    counts = run_kills(12)
    assert counts["kills"] == 12
    # Otherwise nothing was looked at.
    assert counts["labels"] >= counts["returned"] > 5
