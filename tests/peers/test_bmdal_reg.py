from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skal.selection import Picks, bait, frank_wolfe, k_center, lcmd, max_det
from skal.spaces import Dense, posterior_features

SEEDS = range(24)
NOISE = 0.1


def problem(seed: int) -> tuple[Tensor, Tensor, int]:
    """Pool, labeled rows and batch size; pools of clusters, scales and widths."""
    rng = torch.Generator().manual_seed(seed)
    m, d, n_labeled = 150 + 17 * seed, 3 + 2 * (seed % 12), 1 + 3 * (seed % 8)
    rows = torch.randn(m + n_labeled, d, generator=rng, dtype=torch.float64)
    if seed % 3 == 1:
        middles = 4 * torch.randn(7, d, generator=rng, dtype=torch.float64)
        rows += middles[torch.arange(len(rows)) % 7]
    if seed % 3 == 2:
        rows *= torch.logspace(0, -2, d, dtype=torch.float64)
    rows = rows[torch.randperm(len(rows), generator=rng)]
    return rows[:m], rows[m:], 10 + seed


def after_labels(rows: Tensor, labeled: Tensor) -> Tensor:
    return posterior_features(rows, labeled, NOISE)


def max_dist(pool: Tensor, labeled: Tensor | None, n: int) -> Picks:
    known = None if labeled is None else Dense(pool).nearest(Dense(labeled))[0]
    return k_center(Dense(pool), n, min_sq_dist=known)


def lcmd_of(pool: Tensor, labeled: Tensor | None, n: int) -> Picks:
    return lcmd(Dense(pool), n, None if labeled is None else Dense(labeled))


def bait_of(pool: Tensor, labeled: Tensor, n: int, backward: bool) -> Picks:
    known = after_labels(labeled, labeled)
    return bait(after_labels(pool, labeled), n, NOISE, known, backward=backward)


POSTERIOR = {"kernel_transforms": [["train", [NOISE, None]]]}
SCALED = {"kernel_transforms": [["scale", [None]]]}
MAX_DET = {"selection_method": "maxdet", "maxdet_sigma": NOISE}
BAIT = {"selection_method": "bait", "bait_sigma": NOISE, **POSTERIOR}

#: What it is told, and skal's picks for the pool, the labeled rows and their number.
MODES: dict[str, tuple[dict[str, Any], Callable[[Tensor, Tensor, int], Picks]]] = {
    "MaxDist-P": (
        {"selection_method": "maxdist", "sel_with_train": False},
        lambda pool, labeled, n: max_dist(pool, None, n),
    ),
    "MaxDist-TP": ({"selection_method": "maxdist", "sel_with_train": True}, max_dist),
    "LCMD-P": (
        {"selection_method": "lcmd", "sel_with_train": False},
        lambda pool, labeled, n: lcmd_of(pool, None, n),
    ),
    "LCMD-TP": ({"selection_method": "lcmd", "sel_with_train": True}, lcmd_of),
    "LCMD-TP, posterior": (
        {"selection_method": "lcmd", "sel_with_train": True, **POSTERIOR},
        lambda pool, labeled, n: lcmd_of(
            after_labels(pool, labeled), after_labels(labeled, labeled), n
        ),
    ),
    "MaxDet-P": (MAX_DET, lambda pool, labeled, n: max_det(pool, n, NOISE)),
    "MaxDet-P, posterior": (
        {**MAX_DET, **POSTERIOR},
        lambda pool, labeled, n: max_det(after_labels(pool, labeled), n, NOISE),
    ),
    # Conditioned on the labeled rows one by one there, and by the kernel here.
    "MaxDet-TP": (
        {**MAX_DET, **SCALED, "sel_with_train": True},
        lambda pool, labeled, n: max_det(after_labels(pool, labeled), n, NOISE),
    ),
    "BAIT-F": (BAIT, partial(bait_of, backward=False)),
    "BAIT-FB": ({**BAIT, "overselection_factor": 2}, partial(bait_of, backward=True)),
    "Frank-Wolfe": (
        {"selection_method": "fw", **POSTERIOR},
        lambda pool, labeled, n: frank_wolfe(after_labels(pool, labeled), n),
    ),
}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> dict[str, np.ndarray]:
    """Picks of bmdal_reg for every mode and seed, all by one process of its own."""
    work = tmp_path_factory.mktemp("bmdal")
    arrays: dict[str, Any] = {}
    options = {}
    for seed in SEEDS:
        pool, labeled, n = problem(seed)
        for mode, (given, _) in MODES.items():
            name = f"{mode} {seed}"
            arrays[f"{name}_pool"] = pool.numpy()
            arrays[f"{name}_train"] = labeled.numpy()
            options[name] = {"kernel_transforms": [], "batch_size": n, **given}
    np.savez(work / "problems.npz", options=json.dumps(options), **arrays)
    script = Path(__file__).with_name("bmdal_picks.py")
    command = [os.environ["BMDAL_PYTHON"], str(script)]
    command += [str(work / "problems.npz"), str(work / "picks.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(np.load(work / "picks.npz"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", SEEDS)
def test_picks_are_those_of_bmdal_reg(theirs, mode, seed):
    pool, labeled, n = problem(seed)
    picks = MODES[mode][1](pool, labeled, n)
    # Frank-Wolfe reaches its target with few features: what is left is rounding.
    n_told = int((picks.scores > 1e-12 * picks.scores[0]).sum())
    assert n_told == n or (mode == "Frank-Wolfe" and n_told >= 10)
    expected = theirs[f"{mode} {seed}"][:n_told]
    assert picks.indices[:n_told].tolist() == expected.tolist()
