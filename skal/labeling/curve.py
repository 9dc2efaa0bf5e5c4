"""The learning curve as a picture in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["draw_curve"]

_WIDTH, _HEIGHT = 480, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 12, 36


def draw_curve(rows: Sequence[dict[str, Any]]) -> str:
    """Draw scores over numbers of labels, with a bar of one std on each side.

    Parameters
    ----------
    rows : sequence of dict
        ``n_labels``, ``score`` and ``std``, by number of labels; at least one.

    Returns
    -------
    svg : str
    """
    counts = [int(row["n_labels"]) for row in rows]
    lows = [row["score"] - row["std"] for row in rows]
    highs = [row["score"] + row["std"] for row in rows]
    low, high = min(lows), max(highs)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - margin, high + margin
    across = max(counts) - min(counts) or 1

    def x(count: float) -> float:
        place = (count - min(counts)) / across if len(counts) > 1 else 0.5
        return _LEFT + place * (_WIDTH - _LEFT - _RIGHT)

    def y(score: float) -> float:
        return _TOP + (high - score) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    bottom = _HEIGHT - _BOTTOM
    points = " ".join(
        f"{x(c):.1f},{y(row['score']):.1f}" for c, row in zip(counts, rows, strict=True)
    )
    marks = "".join(
        f'<path d="M{x(c):.1f},{y(a):.1f}V{y(b):.1f}" stroke="#7aa"/>'
        f'<circle cx="{x(c):.1f}" cy="{y(row["score"]):.1f}" r="3" fill="#155"/>'
        for c, row, a, b in zip(counts, rows, lows, highs, strict=True)
    )
    ticks = "".join(
        f'<text x="{_LEFT - 6}" y="{y(score) + 4:.1f}" text-anchor="end">{score:.3g}'
        "</text>"
        for score in (min(lows), max(highs))
    )
    ticks += "".join(
        f'<text x="{x(count):.1f}" y="{bottom + 15}" text-anchor="middle">{count}'
        "</text>"
        for count in sorted({counts[0], counts[-1]})
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="#333"><rect width="{_WIDTH}" height="{_HEIGHT}" '
        f'fill="#fff"/><path d="M{_LEFT},{_TOP}V{bottom}H{_WIDTH - _RIGHT}" '
        f'fill="none" stroke="#888"/>{ticks}<text x="{(_LEFT + _WIDTH) / 2:.0f}" '
        f'y="{_HEIGHT - 5}" text-anchor="middle">labels</text><polyline '
        f'points="{points}" fill="none" stroke="#155" stroke-width="2"/>{marks}</svg>'
    )
