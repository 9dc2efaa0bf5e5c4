"""Plot of learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from skal.simulation.result import ScoreLabel, StrategyComparison, score_label
from skal.simulation.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skal.simulation.campaign import ActiveLearningSimulation

__all__ = ["LearningCurveDisplay"]


class LearningCurveDisplay:
    """Plot of learning curves: the mean over runs, and its confidence band.

    Use `from_comparison` or `from_simulation` to create one.

    Parameters
    ----------
    n_labeled : ndarray of shape (n_steps,)
        Number of labels at each step.
    scores : dict of str to ndarray of shape (n_runs, n_steps)
        Scores by strategy, as scikit-learn's scorers: higher is better.
    label : ScoreLabel
        Name of the score, and the sign it is shown with.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to Line2D
        Mean curves.
    bands_ : dict of str to PolyCollection
        Confidence bands, of the strategies that have one.

    See Also
    --------
    skal.simulation.compare_strategies : Compute what is plotted.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from skal.simulation import LearningCurveDisplay
    >>> from skal.simulation.result import ScoreLabel
    >>> scores = {"Random": np.array([[-3.0, -2.0], [-5.0, -2.0]])}
    >>> display = LearningCurveDisplay(
    ...     np.array([10, 20]), scores, ScoreLabel("MAE", -1)
    ... )
    >>> display.plot(band=None, score_unit="years").ax_.get_ylabel()
    'MAE [years] (lower is better)'
    """

    def __init__(
        self,
        n_labeled: np.ndarray,
        scores: Mapping[str, np.ndarray],
        label: ScoreLabel,
    ) -> None:
        self.n_labeled = n_labeled
        self.scores = scores
        self.label = label

    @classmethod
    def from_comparison(
        cls, comparison: StrategyComparison, **kwargs: Any
    ) -> LearningCurveDisplay:
        """Plot the strategies of a comparison.

        Parameters
        ----------
        comparison : StrategyComparison
            Result of `compare_strategies`.
        **kwargs
            Passed to `plot`.
        """
        n_labeled, scores = comparison.curves()
        return cls(n_labeled, scores, comparison.label).plot(**kwargs)

    @classmethod
    def from_simulation(
        cls,
        simulation: ActiveLearningSimulation,
        X: Any,
        y: Any,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> LearningCurveDisplay:
        """Plot the learning curve of one campaign on the rows given.

        Parameters
        ----------
        simulation : ActiveLearningSimulation
            A fitted simulation.
        X, y : array-likes
            Rows not used in the campaign, and their labels.
        name : str, optional
            Name of the curve; by default, that of the strategy's class.
        **kwargs
            Passed to `plot`.
        """
        scores = simulation.learning_curve(X, y)[None]
        name = name or type(simulation.query_strategy).__name__
        label = score_label(simulation.estimator, simulation.scoring)
        return cls(simulation.n_labeled_, {name: scores}, label).plot(**kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        band: float | None = 0.95,
        score_unit: str | None = None,
        line_kw: Mapping[str, Any] | None = None,
        band_kw: Mapping[str, Any] | None = None,
    ) -> LearningCurveDisplay:
        """Plot.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to plot on; by default, those of a new figure.
        band : float or None, default=0.95
            Confidence level of the band around the mean (Student's t distribution);
            None for no band. A single run has no band.
        score_unit : str, optional
            Unit of the score, shown in the axis label.
        line_kw, band_kw : dict, optional
            Passed to each `Axes.plot` and `Axes.fill_between`.

        Returns
        -------
        self : LearningCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        if ax is None:
            ax = _new_axes()
        self.lines_: dict[str, Any] = {}
        self.bands_: dict[str, Any] = {}
        for name, scores in self.scores.items():
            shown = self.label.sign * np.asarray(scores)
            options = {"marker": "o", "markersize": 3, **(line_kw or {})}
            (line,) = ax.plot(self.n_labeled, shown.mean(axis=0), label=name, **options)
            self.lines_[name] = line
            if band is not None and len(shown) > 1:
                _, low, high = mean_interval(shown, band)
                options = {
                    "alpha": 0.2,
                    "color": line.get_color(),
                    "linewidth": 0,
                    **(band_kw or {}),
                }
                self.bands_[name] = ax.fill_between(
                    self.n_labeled, low, high, **options
                )
        unit = f" [{score_unit}]" if score_unit else ""
        ax.set_xlabel("labels used [rows]")
        ax.set_ylabel(f"{self.label.name}{unit} ({self.label.direction})")
        title = f"mean and {100 * band:.4g}% interval" if self.bands_ else None
        ax.legend(title=title)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _new_axes() -> Axes:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib. Install it, or install skal with its extra: "
            "skal-learn[plot]."
        ) from error
    return plt.subplots(figsize=(6.4, 4.4), layout="constrained")[1]
