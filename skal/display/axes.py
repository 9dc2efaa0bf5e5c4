"""Axes of a new figure, or those of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skal._extras import how_to_install

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["axes_or_new"]


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 4.4) -> Axes:
    """Return the axes, or those of a new figure of a size in inches."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"Plots need matplotlib, which is not installed: {how_to_install('plot')}."
        ) from error
    return plt.subplots(figsize=(width, height), layout="constrained")[1]
