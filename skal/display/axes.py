"""Axes of a new figure, or those of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
            "Plots need matplotlib. Install it, or install skal with its extra: "
            "skal-learn[plot]."
        ) from error
    return plt.subplots(figsize=(width, height), layout="constrained")[1]
