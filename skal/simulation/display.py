"""Plots of campaigns: scores by labels, gains, and scores by costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from skal.display.axes import axes_or_new
from skal.simulation.result import ScoreLabel, StrategyComparison, score_label
from skal.simulation.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skal.simulation.campaign import ActiveLearningSimulation

__all__ = ["CostCurveDisplay", "GainDisplay", "LearningCurveDisplay"]


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
        ax = axes_or_new(ax)
        shown = {k: self.label.sign * np.asarray(v) for k, v in self.scores.items()}
        self.lines_, self.bands_ = _draw_means(
            ax, self.n_labeled, shown, band, line_kw, band_kw
        )
        ax.set_xlabel("labels used [rows]")
        ax.set_ylabel(_score_text(self.label, score_unit))
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


class GainDisplay:
    """Plot of the gains of strategies over a reference, by number of labels.

    Use `from_comparison` to create one.

    Parameters
    ----------
    n_labeled : ndarray of shape (n_steps,)
        Number of labels at each step.
    gains : dict of str to ndarray of shape (n_runs, n_steps)
        Score of each strategy minus that of the reference in the same run, as
        scikit-learn's scorers: above 0, the strategy is better.
    reference : str
        Name of the reference.
    label : ScoreLabel
        Name of the score.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to Line2D
        Mean gains.
    bands_ : dict of str to PolyCollection
        Confidence bands of the mean gain, at each number of labels by itself.
    zero_ : Line2D

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from skal.simulation import GainDisplay
    >>> from skal.simulation.result import ScoreLabel
    >>> gains = {"Margin": np.array([[0.0, 2.0], [0.0, 4.0]])}
    >>> display = GainDisplay(np.array([10, 20]), gains, "Random", ScoreLabel("R²"))
    >>> display.plot().ax_.get_ylabel()
    'gain of R² over Random (above 0 is better)'
    """

    def __init__(
        self,
        n_labeled: np.ndarray,
        gains: Mapping[str, np.ndarray],
        reference: str,
        label: ScoreLabel,
    ) -> None:
        self.n_labeled = n_labeled
        self.gains = gains
        self.reference = reference
        self.label = label

    @classmethod
    def from_comparison(
        cls, comparison: StrategyComparison, reference: str | None = None, **kwargs: Any
    ) -> GainDisplay:
        """Plot the gains of the strategies of a comparison.

        Parameters
        ----------
        comparison : StrategyComparison
            Result of `compare_strategies`.
        reference : str, optional
            That of the comparison by default: the first `Random`.
        **kwargs
            Passed to `plot`.
        """
        reference = comparison._reference(reference)
        curves = comparison._curves()
        baseline = curves.xs(reference, level="strategy")
        gains = {}
        for name in comparison.strategies:
            if name != reference:
                paired = curves.xs(name, level="strategy") - baseline  # by run
                gains[name] = paired.dropna(how="all").to_numpy()
        n_labeled = curves.columns.to_numpy()
        return cls(n_labeled, gains, reference, comparison.label).plot(**kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        band: float | None = 0.95,
        score_unit: str | None = None,
        line_kw: Mapping[str, Any] | None = None,
        band_kw: Mapping[str, Any] | None = None,
    ) -> GainDisplay:
        """Plot.

        Parameters
        ----------
        ax, band, score_unit, line_kw, band_kw
            As in `LearningCurveDisplay.plot`.

        Returns
        -------
        self : GainDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        self.zero_ = ax.axhline(0.0, color="0.5", linestyle=":")
        self.lines_, self.bands_ = _draw_means(
            ax, self.n_labeled, self.gains, band, line_kw, band_kw
        )
        unit = f" [{score_unit}]" if score_unit else ""
        ax.set_xlabel("labels used [rows]")
        ax.set_ylabel(
            f"gain of {self.label.name}{unit} over {self.reference} (above 0 is better)"
        )
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


class CostCurveDisplay:
    """Plot of scores against the cost of the labels.

    Use `from_comparison` or `from_simulation` to create one.

    Parameters
    ----------
    costs : dict of str to ndarray of shape (n_steps,)
        Cost of the labels up to each step, by strategy.
    scores : dict of str to ndarray of shape (n_runs, n_steps)
        As scikit-learn's scorers: higher is better.
    label : ScoreLabel
        Name of the score, and the sign it is shown with.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict of str to Line2D
        Mean scores.
    bands_ : dict of str to PolyCollection
        Confidence bands, of the strategies that have one.

    See Also
    --------
    skal.strategies.PerCost : Picks by score per cost.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> from skal.simulation import CostCurveDisplay
    >>> from skal.simulation.result import ScoreLabel
    >>> costs, scores = {"Margin": np.array([5, 9])}, {"Margin": np.array([[0.5, 0.7]])}
    >>> display = CostCurveDisplay(costs, scores, ScoreLabel("accuracy"))
    >>> display.plot(cost_unit="min").ax_.get_xlabel()
    'cost of labels [min]'
    """

    def __init__(
        self,
        costs: Mapping[str, np.ndarray],
        scores: Mapping[str, np.ndarray],
        label: ScoreLabel,
    ) -> None:
        self.costs = costs
        self.scores = scores
        self.label = label

    @classmethod
    def from_comparison(
        cls,
        comparison: StrategyComparison,
        *,
        cost_per_label: float = 1.0,
        cost_per_query: float = 0.0,
        **kwargs: Any,
    ) -> CostCurveDisplay:
        """Plot a comparison in which all labels cost the same.

        Parameters
        ----------
        comparison : StrategyComparison
            Result of `compare_strategies`.
        cost_per_label : float, default=1.0
            Of each label, those of the start included.
        cost_per_query : float, default=0.0
            Of each batch, the start aside, such as a visit or a set-up.
        **kwargs
            Passed to `plot`.

        Raises
        ------
        ValueError
            If a cost is negative or not finite.
        """
        _check_costs([cost_per_label, cost_per_query])
        n_labeled, scores = comparison.curves()
        spent = cost_per_label * n_labeled + cost_per_query * np.arange(len(n_labeled))
        costs = dict.fromkeys(scores, spent)
        return cls(costs, scores, comparison.label).plot(**kwargs)

    @classmethod
    def from_simulation(
        cls,
        simulation: ActiveLearningSimulation,
        X: Any,
        y: Any,
        costs: Any,
        *,
        name: str | None = None,
        **kwargs: Any,
    ) -> CostCurveDisplay:
        """Plot one campaign, in which each label has its own cost.

        Parameters
        ----------
        simulation : ActiveLearningSimulation
            A fitted simulation.
        X, y : array-likes
            Rows not used in the campaign, and their labels.
        costs : array-like of shape (n_rows,)
            Cost of the label of each row on which the simulation was fitted.
        name : str, optional
            Name of the curve; by default, that of the strategy's class.
        **kwargs
            Passed to `plot`.

        Raises
        ------
        ValueError
            If there is no cost for a row, or one is negative or not finite.
        """
        costs = _check_costs(costs)
        batches = [simulation.initial_indices_, *simulation.queried_indices_]
        last = max(int(rows.max()) for rows in batches)
        if costs.ndim != 1 or len(costs) <= last:
            raise ValueError(
                f"costs must hold one number for each row of the simulation, got shape "
                f"{costs.shape}, and row {last} was labeled."
            )
        spent = np.cumsum([costs[rows].sum() for rows in batches])
        name = name or type(simulation.query_strategy).__name__
        scores = simulation.learning_curve(X, y)[None]
        label = score_label(simulation.estimator, simulation.scoring)
        return cls({name: spent}, {name: scores}, label).plot(**kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        band: float | None = 0.95,
        score_unit: str | None = None,
        cost_unit: str | None = None,
        line_kw: Mapping[str, Any] | None = None,
        band_kw: Mapping[str, Any] | None = None,
    ) -> CostCurveDisplay:
        """Plot.

        Parameters
        ----------
        cost_unit : str, optional
            Unit of costs, shown in the axis label.
        ax, band, score_unit, line_kw, band_kw
            As in `LearningCurveDisplay.plot`.

        Returns
        -------
        self : CostCurveDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax)
        self.lines_: dict[str, Any] = {}
        self.bands_: dict[str, Any] = {}
        for name, scores in self.scores.items():
            shown = {name: self.label.sign * np.asarray(scores)}
            lines, bands = _draw_means(
                ax, self.costs[name], shown, band, line_kw, band_kw
            )
            self.lines_ |= lines
            self.bands_ |= bands
        ax.set_xlabel("cost of labels" + (f" [{cost_unit}]" if cost_unit else ""))
        ax.set_ylabel(_score_text(self.label, score_unit))
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _draw_means(
    ax: Axes,
    x: np.ndarray,
    values: Mapping[str, np.ndarray],
    band: float | None,
    line_kw: Mapping[str, Any] | None,
    band_kw: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw means over runs, ``(n_runs, n_steps)``, their bands, and the legend."""
    lines: dict[str, Any] = {}
    bands: dict[str, Any] = {}
    for name, shown in values.items():
        options = {"marker": "o", "markersize": 3, **(line_kw or {})}
        (line,) = ax.plot(x, shown.mean(axis=0), label=name, **options)
        lines[name] = line
        if band is not None and len(shown) > 1:
            _, low, high = mean_interval(shown, band)
            color = {"alpha": 0.2, "color": line.get_color(), "linewidth": 0}
            bands[name] = ax.fill_between(x, low, high, **{**color, **(band_kw or {})})
    if lines:
        title = f"mean and {100 * band:.4g}% interval" if band and bands else None
        ax.legend(title=title)
    return lines, bands


def _score_text(label: ScoreLabel, unit: str | None) -> str:
    return f"{label.name}{f' [{unit}]' if unit else ''} ({label.direction})"


def _check_costs(costs: Any) -> np.ndarray:
    found = np.asarray(costs, dtype=float)
    if not (np.isfinite(found) & (found >= 0)).all():
        raise ValueError("Costs must be finite and not negative.")
    return found
