"""Rows drawn at random for testing: which they are, and how many are asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skal.campaign.ledger import Ledger

__all__ = ["HeldOut"]


class HeldOut:
    """The rows of a campaign that measure its model and are never trained on.

    Parameters
    ----------
    meta : dict of str to object
        Settings, as stored: ``test_share``, the ``seed``, and the ids of rows
        ``labeled_before`` that are not held out.
    texts : sequence of str
        Ids of all rows.

    Attributes
    ----------
    share : float
    positions : ndarray of shape (t,)
        In random order.

    Notes
    -----
    A row is held out if a number from 0 to 1, a hash of its id and the seed, is below
    the share. They are chosen before any strategy picks, whatever is asked or added
    later, and asked in the order of the number, so that those asked so far are a
    uniform sample of the rows without a label at the start.
    """

    def __init__(self, meta: Mapping[str, Any], texts: Sequence[str]) -> None:
        self.share = float(meta.get("test_share", 0.0))
        before = set(meta.get("labeled_before", ()))
        self._n_before = len(before)
        drawn = (
            [] if self.share == 0 else [_uniform(meta["seed"], text) for text in texts]
        )
        below = [
            (number, k)
            for k, number in enumerate(drawn)
            if number < self.share and texts[k] not in before
        ]
        self.positions = np.array([k for _, k in sorted(below)], dtype=np.int64)

    def next(
        self, ledger: Ledger, free: Sequence[int], n: int, *, all: bool = False
    ) -> list[int]:
        """Find those of the next `n` rows that are for testing.

        Of all rows asked or labeled since the start, they are about the share; or with
        `all`, as many as are left.
        """
        waiting = set(free)
        rows = [k for k in self.positions.tolist() if k in waiting]
        if all:
            return rows[:n]
        touched = {*ledger.asked, *ledger.said}
        n_test = len(touched & set(self.positions.tolist()))
        wanted = round(self.share * (len(touched) - self._n_before + n)) - n_test
        return rows[: min(max(wanted, 0), n)]


def _uniform(seed: int, text: str) -> float:
    """Draw a number from 0 to 1 for a row."""
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big") / 2**64)
