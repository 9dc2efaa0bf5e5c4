"""The end of a batch once no row is worth more than another."""

from __future__ import annotations

from skal.selection import Picks


def assert_begins(picks: Picks, expected: list[int], n: int) -> None:
    """Compare `n` picks with those expected; beyond these, any rows in no order."""
    found = picks.indices.tolist()
    expected = expected[:n]
    assert found[: len(expected)] == expected
    assert len(set(found)) == len(found) == n
    rest = found[len(expected) :]
    assert len(rest) < 5 or rest != sorted(rest)
