"""A picture of how many picks several strategies share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from skal.display.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["OverlapDisplay"]


class OverlapDisplay:
    r"""Matrix of the shares of picks that strategies have in common.

    Use `from_strategies` to create one.

    Parameters
    ----------
    picked : dict of str to array-like of int
        Positions of the picks of each strategy.

    Attributes
    ----------
    overlap : ndarray of shape (k, k)
        Jaccard index :math:`|A \cap B| / |A \cup B|` of each two sets of picks: 1 for
        the same picks, 0 for none in common.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    im_ : AxesImage
    text_ : ndarray of shape (k, k), of Text

    Notes
    -----
    Two sets of n rows that are drawn from m at random share about n / (2 m) of their
    union if n is small.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.display import OverlapDisplay
    >>> from skal.strategies import Entropy, Margin
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500).fit(X[::5], y[::5])
    >>> strategies = {"Margin": Margin(), "Entropy": Entropy()}
    >>> display = OverlapDisplay.from_strategies(strategies, model, X, 10)
    >>> display.overlap.shape
    (2, 2)
    """

    def __init__(self, picked: Mapping[str, Any]) -> None:
        self.picked = picked
        sets = [set(np.asarray(rows).tolist()) for rows in picked.values()]
        self.overlap = np.array(
            [[len(a & b) / max(len(a | b), 1) for b in sets] for a in sets]
        )

    @classmethod
    def from_strategies(
        cls,
        strategies: Mapping[str, Any],
        learner: Any,
        X_pool: Any,
        n_instances: int = 1,
        **kwargs: Any,
    ) -> OverlapDisplay:
        """Let strategies pick from the same pool.

        Parameters
        ----------
        strategies : dict of str to query strategy
        learner, X_pool, n_instances
            As in `skal.strategies.QueryStrategy.select`.
        **kwargs
            Passed to `plot`.

        Raises
        ------
        ValueError
            If there is no strategy.
        """
        if not strategies:
            raise ValueError("There is no strategy.")
        picked = {
            name: strategy.select(learner, X_pool, n_instances).indices
            for name, strategy in strategies.items()
        }
        return cls(picked).plot(**kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: Any = "Blues",
        values_format: str = ".2f",
        im_kw: Mapping[str, Any] | None = None,
        text_kw: Mapping[str, Any] | None = None,
    ) -> OverlapDisplay:
        """Plot.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to plot on; by default, those of a new figure.
        cmap : str or Colormap, default="Blues"
        values_format : str, default=".2f"
            Of the numbers in the cells.
        im_kw, text_kw : dict, optional
            Passed to `Axes.imshow` and each `Axes.text`.

        Returns
        -------
        self : OverlapDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        k = len(self.overlap)
        side = max(4.4, 0.7 * k)
        ax = axes_or_new(ax, side + 0.8, side)
        options = {"cmap": cmap, "vmin": 0.0, "vmax": 1.0, **(im_kw or {})}
        self.im_ = ax.imshow(self.overlap, **options)
        self.text_ = np.empty((k, k), dtype=object)
        for i, j in np.ndindex(k, k):
            share = self.overlap[i, j]
            options = {"ha": "center", "va": "center", **(text_kw or {})}
            options.setdefault("color", self.im_.cmap(1.0 if share < 0.5 else 0.0))
            self.text_[i, j] = ax.text(j, i, format(share, values_format), **options)
        names = list(self.picked)
        ax.set_xticks(range(k), names, rotation=90)
        ax.set_yticks(range(k), names)
        ax.set_title("share of picks in common")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
