"""Freed memory is taken again, counted in pages that are new."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
import torch
from skal.memory import keep_freed_memory

def n_new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [torch.ones(2**22) for _ in range(3)]  # 48 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
for _ in range(3):
    n_new_pages()
print(min(n_new_pages() for _ in range(5)))
"""


def n_new_pages(call: str) -> int:
    program = COUNT.format(call=call)
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return int(found.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for the GNU C library")
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_memory_that_was_freed_is_taken_again(device):
    call = f"with torch.device('{device}'): keep_freed_memory()"
    assert n_new_pages(call) < 100


def test_a_query_sees_to_it():
    call = """
import numpy as np
from skal import ActiveLearner
from skal.strategies import Random
from sklearn.linear_model import Ridge
X = np.arange(4.0)[:, None]
Random().select(ActiveLearner(Ridge(), X_training=X, y_training=X), X)
assert keep_freed_memory.cache_info().currsize == 1
"""
    n_new_pages(call)
