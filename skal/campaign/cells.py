"""Cells as programs for tables write them: escaped, and compared when they return."""

from __future__ import annotations

import math
import re
from datetime import datetime

__all__ = ["LONGEST", "MISSING", "escaped", "plain_number", "same_cell", "unescaped"]

#: Characters that a cell of Excel can hold; longer texts are cut there.
LONGEST = 32767
#: Words, in lower case, that programs read as a missing value, as pandas does.
MISSING = {
    *("", "na", "n/a", "nan", "-nan", "nat", "none", "null", "<na>"),
    *("#n/a", "#na", "#n/a n/a", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
}
#: Significant digits of a number that programs show, and write to CSV files, at least.
_SHOWN = 6
#: Whole numbers up to this one are shown with all their digits.
_WHOLE = 1e11

_COMPUTED = re.compile(r"[=@+\-\t\r]")
_DAY = re.compile(r"(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})(?:[ T]+(.+))?")
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*([ap]\.?m\.?)?")


def escaped(text: str) -> str:
    """Put an apostrophe before a text that programs for tables would compute."""
    computed = _COMPUTED.match(text) and plain_number(text) is None
    return f"'{text}" if computed else text


def unescaped(text: str) -> str:
    """Take the apostrophe of `escaped` away."""
    is_escaped = text.startswith("'") and escaped(text[1:]) == text
    return text[1:] if is_escaped else text


def plain_number(text: str) -> float | None:
    """Read a number as programs write it; None for anything else."""
    # float() takes "1_000", too.
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def same_cell(text: str, before: str) -> bool:
    """Whether a cell that came back is the one written, as a program would write it.

    Parameters
    ----------
    text : str
        As it came back.
    before : str
        As it was written.

    Notes
    -----
    Programs write numbers with fewer digits and without leading zeros, dates in their
    own order and without seconds, and words such as ``NA`` as nothing; they trim
    spaces, and cut texts at 32767 characters.
    """
    if len(text) >= LONGEST:
        before = before[: len(text)]
    text, before = (" ".join(t.split()) for t in (text, before))
    text, before = text.casefold(), before.casefold()
    if text == before or escaped(text) == before or text == escaped(before):
        return True
    if text in MISSING or before in MISSING:
        return text in MISSING and before in MISSING
    one, other = plain_number(text), plain_number(before)
    if one is not None and other is not None:
        return _same_number(one, other)
    try:
        if datetime.fromisoformat(text) == datetime.fromisoformat(before):
            return True
    except (TypeError, ValueError):
        pass
    moments, others = _moments(text), _moments(before)
    return any(_same_moment(a, b) for a in moments for b in others)


def _same_number(text: float, before: float) -> bool:
    # Programs keep 15 digits.
    if math.isclose(text, before, rel_tol=1e-12):
        return True
    if not math.isfinite(before) or (before.is_integer() and abs(before) < _WHOLE):
        return False
    shown = (float(f"{before:.{digits}g}") for digits in range(_SHOWN, 16))
    return any(text == number for number in shown)


#: Year, month, day, hour, minute and second, which is None if it is not written.
_Moment = tuple[int, int, int, int, int, float | None]


def _moments(text: str) -> list[_Moment]:
    """List what a text may mean as a date or a time, without an offset to UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        pass
    else:
        seconds = None if text.count(":") == 1 else float(found.second)
        moment = (found.year, found.month, found.day, found.hour, found.minute, seconds)
        return [] if found.tzinfo else [moment]
    clock = _clock(text)
    if clock is not None:
        return [(0, 0, 0, *clock)]
    parts = _DAY.fullmatch(text)
    if parts is None:
        return []
    a, _, b, c, rest = parts.groups()
    clock = (0, 0, 0.0) if rest is None else _clock(rest)
    if clock is None:
        return []
    orders = [(a, b, c)] if len(a) == 4 else [(c, b, a), (c, a, b)]
    return [(_year(year), int(month), int(day), *clock) for year, month, day in orders]


def _year(text: str) -> int:
    return int(text) + (2000 if len(text) <= 2 else 0)


def _clock(text: str) -> tuple[int, int, float | None] | None:
    parts = _TIME.fullmatch(text)
    if parts is None:
        return None
    hour, minute, second, half = parts.groups()
    h = int(hour)
    if half:
        h = h % 12 + (12 if half[0] == "p" else 0)
    return h, int(minute), None if second is None else math.floor(float(second))


def _same_moment(one: _Moment, other: _Moment) -> bool:
    if None in (one[5], other[5]):  # a program that shows no seconds loses them
        return one[:5] == other[:5]
    return one == other
