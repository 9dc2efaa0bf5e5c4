"""Leaves of rows that resemble each other, and one comparison at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def draw_codes(
    m: int, n_trees: int = 8, n_leaves: int = 6, seed: int = 0, gap: int = 0
) -> NDArray[np.int32]:
    """Draw leaves: a few kinds of rows, in some trees changed, and some rows twice.

    `gap` codes between those of two trees are of no row.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.integers(n_leaves, size=(max(1, m // 6), n_trees))
    codes = kinds[rng.integers(len(kinds), size=m)]
    is_other = rng.random((m, n_trees)) < rng.random((m, 1)) * 0.8
    codes = np.where(is_other, rng.integers(n_leaves, size=codes.shape), codes)
    codes[m // 2 : m // 2 + m // 10] = codes[: m // 10]
    return (codes + (n_leaves + gap) * np.arange(n_trees)).astype(np.int32)


def count_shared(
    codes: NDArray[np.int32], others: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Compare rows one by one, ``(rows, others)``."""
    counts = [[sum(map(int, a == b)) for b in others] for a in codes]
    return np.array(counts, dtype=np.int64).reshape(len(codes), len(others))


def one_hot(codes: NDArray[np.int32], n_codes: int) -> torch.Tensor:
    """Vectors whose squared distance is the share of trees; exact for 8 trees."""
    vectors = torch.zeros(len(codes), n_codes, dtype=torch.float64)
    size = (2 * codes.shape[1]) ** -0.5
    return vectors.scatter_(1, torch.from_numpy(codes).long(), size)
