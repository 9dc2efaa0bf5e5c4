"""Checks of parameters."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

__all__ = [
    "check_bool",
    "check_int",
    "check_not_negative",
    "check_option",
    "check_positive",
    "check_share",
    "check_sizes",
    "spelled_in_two_ways",
]


def check_option(name: str, value: Any, options: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {list(options)}, got {value!r}.")


def check_bool(name: str, value: Any, auto: bool = False) -> None:
    """Raise ValueError unless `value` is True or False, or ``"auto"`` if allowed."""
    if isinstance(value, (bool, np.bool_)):
        return
    if not auto:
        raise ValueError(f"{name} must be True or False, got {value!r}.")
    if not isinstance(value, str) or value != "auto":
        raise ValueError(f'{name} must be True, False or "auto", got {value!r}.')


def check_int(name: str, value: Any, minimum: int = 1) -> None:
    """Raise ValueError unless `value` is an int of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ValueError(f"{name} must be an int of at least {minimum}, got {value!r}.")


def check_sizes(name: str, value: Any) -> None:
    """Raise ValueError unless `value` holds ints of at least 1."""
    sizes = list(value) if isinstance(value, Iterable) else [None]
    if not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise ValueError(
            f"{name} must be a sequence of ints of at least 1, such as (128, 128), got "
            f"{value!r}."
        )


def check_positive(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a finite number above 0."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a number above 0, got {value!r}.")


def check_not_negative(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a finite number of at least 0."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}.")


def check_share(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a number from 0 to 1."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1, got {value!r}.")


def spelled_in_two_ways(texts: Iterable[str]) -> tuple[str, str] | None:
    """Find two texts that differ by spaces, capitals or the kind of accents alone.

    Single letters that differ by capitals count as different.

    Returns
    -------
    pair : tuple of str, or None
        Quoted, such that one sees the difference.

    Examples
    --------
    >>> from skal.validation import spelled_in_two_ways
    >>> spelled_in_two_ways(["low", "high", "low "])
    ("'low'", "'low '")
    """
    seen: dict[str, str] = {}
    for text in texts:
        other = seen.setdefault(_plain(text), text)
        if other != text:
            forms = {unicodedata.normalize("NFC", both) for both in (text, other)}
            show = ascii if len(forms) == 1 else repr  # which look the same
            return show(other), show(text)
    return None


def _plain(text: str) -> str:
    words = " ".join(unicodedata.normalize("NFKC", text).split())
    return words.casefold() if len(words) > 1 else words
