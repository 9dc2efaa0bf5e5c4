"""Result of a comparison of strategies: tables, summary and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor

from skal.simulation.statistics import area, mean_interval, paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skal.simulation.campaign import ActiveLearningSimulation

__all__ = ["LearningCurveDisplay", "ScoreLabel", "StrategyComparison", "score_label"]

_RUN = ["fold", "repeat"]

_SCORE_NAMES = {
    "r2": "R²",
    "neg_root_mean_squared_error": "RMSE",
    "neg_mean_squared_error": "MSE",
    "neg_mean_absolute_error": "MAE",
    "neg_root_mean_squared_log_error": "RMSLE",
    "neg_mean_squared_log_error": "MSLE",
    "neg_mean_absolute_percentage_error": "MAPE",
    "neg_brier_score": "Brier score",
    "roc_auc": "ROC AUC",
    "f1": "F1",
    "f1_macro": "macro F1",
}


class ScoreLabel(NamedTuple):
    """Name of a score, and the sign it is shown with.

    Attributes
    ----------
    name : str
    sign : {1, -1}
        -1 for scikit-learn's negated errors, which are shown as positive values.
    """

    name: str
    sign: int = 1

    @property
    def direction(self) -> str:
        """Whether lower or higher values are better, in words."""
        return "lower is better" if self.sign < 0 else "higher is better"


def score_label(estimator: Any, scoring: Any) -> ScoreLabel:
    """Name the score that `scoring` computes.

    Parameters
    ----------
    estimator : estimator
        Determines the score if `scoring` is None.
    scoring : str, callable or None
        As in scikit-learn.

    Examples
    --------
    >>> from skal.simulation.result import score_label
    >>> score_label(None, "neg_root_mean_squared_error")
    ScoreLabel(name='RMSE', sign=-1)
    """
    if isinstance(scoring, str):
        error = scoring.startswith("neg_")
        plain = scoring.removeprefix("neg_").replace("_", " ")
        return ScoreLabel(_SCORE_NAMES.get(scoring, plain), -1 if error else 1)
    if scoring is not None:
        return ScoreLabel(getattr(scoring, "__name__", "score"))
    if is_classifier(estimator):
        return ScoreLabel("accuracy")
    return ScoreLabel("R²" if is_regressor(estimator) else "score")


@dataclass(repr=False)
class StrategyComparison:
    """Result of `compare_strategies`.

    Attributes
    ----------
    data : DataFrame
        One row per strategy, run (``fold`` and ``repeat``) and ``step``, with columns
        ``seed``, ``n_labeled``, ``score`` (as scikit-learn's scorers: higher is
        better), ``query_time`` and ``fit_time`` (in seconds).
    label : ScoreLabel
        Name of the score and the sign it is shown with.
    test_train_ratio : float
        Number of test rows divided by the number of training rows, averaged over
        folds.
    """

    data: pd.DataFrame
    label: ScoreLabel
    test_train_ratio: float

    def __repr__(self) -> str:
        names = ", ".join(self.strategies)
        runs = len(self.data.groupby(_RUN))
        return f"<StrategyComparison of {names}: {self.label.name}, {runs} runs>"

    @property
    def strategies(self) -> list[str]:
        """Names of the strategies, in the order given."""
        return list(self.data["strategy"].unique())

    def curves(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Get the learning curves of all runs.

        Returns
        -------
        n_labeled : ndarray of shape (n_steps,)
            Number of labels at each step.
        scores : dict of str to ndarray of shape (n_runs, n_steps)
            By strategy; higher is better.
        """
        curves = self._curves()
        return curves.columns.to_numpy(), {
            name: curves.xs(name, level="strategy").to_numpy()
            for name in self.strategies
        }

    def areas(self) -> pd.DataFrame:
        """Compute the mean of each learning curve over the budget.

        Returns
        -------
        areas : DataFrame
            One row per run, one column per strategy; higher is better.
        """
        curves = self._curves()
        n_labeled = curves.columns.to_numpy()
        values = curves.apply(lambda run: area(n_labeled, run.to_numpy()), axis=1)
        return values.unstack("strategy")[self.strategies]

    def table(self, n_labeled: Sequence[int] | None = None) -> pd.DataFrame:
        """Tabulate mean scores by strategy (rows) and number of labels (columns).

        Parameters
        ----------
        n_labeled : sequence of int, optional
            Columns to return; all by default.

        Returns
        -------
        table : DataFrame
            Errors (``neg_*`` scorers) are positive.

        Raises
        ------
        ValueError
            If the campaigns have no step with that number of labels.
        """
        means = self._curves().groupby("strategy").mean().loc[self.strategies]
        if n_labeled is not None:
            unknown = sorted(set(n_labeled) - set(means.columns))
            if unknown:
                raise ValueError(
                    f"There are no scores with {unknown} labels, only with "
                    f"{list(means.columns)}."
                )
            means = means[list(n_labeled)]
        return self.label.sign * means

    def summary(
        self,
        reference: str = "Random",
        *,
        confidence: float = 0.95,
        corrected: bool = False,
    ) -> pd.DataFrame:
        """Compare each strategy's area under the curve with that of a reference.

        Parameters
        ----------
        reference : str, default="Random"
            Strategy that the others are compared with.
        confidence : float, default=0.95
            Confidence level of the interval of the gain.
        corrected : bool, default=False
            Widen the interval for the rows that runs have in common. Without the
            correction, the interval applies to these data; with it, to other data
            from the same distribution.

        Returns
        -------
        summary : DataFrame, one row per strategy
            ``area`` (mean of the learning curve over the budget) and ``final`` (score
            with all labels), where errors are positive; ``gain``, ``gain_low``,
            ``gain_high`` and ``p_value`` of the area, where higher is always better;
            ``verdict``: ``"gain"``, ``"loss"``, or ``"no gain"`` if the interval
            includes 0; ``query_time``, in seconds per query.

        Raises
        ------
        ValueError
            If there is no such strategy.

        Notes
        -----
        Gains are paired by run and tested with Student's paired t-test
        (`skal.simulation.statistics.paired_difference`), without correction for
        multiple comparisons: of twenty strategies equal to the reference, one is
        expected to show a gain or a loss.
        """
        if reference not in self.strategies:
            raise ValueError(
                f"There is no strategy {reference!r} to compare with, only "
                f"{self.strategies}. Choose one of them as the reference."
            )
        areas = self.areas()
        final = self.table().iloc[:, -1]
        times = self.data.groupby("strategy")["query_time"].mean()
        ratio = self.test_train_ratio if corrected else None
        rows = {}
        for name in self.strategies:
            gain = paired_difference(
                areas[name].to_numpy(),
                areas[reference].to_numpy(),
                confidence=confidence,
                test_train_ratio=ratio,
            )
            rows[name] = {
                "area": self.label.sign * areas[name].mean(),
                "final": final[name],
                "gain": gain.mean,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "p_value": gain.p_value,
                "verdict": "reference" if name == reference else _verdict(*gain[1:3]),
                "query_time": times[name],
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy")

    def plot(self, **kwargs: Any) -> LearningCurveDisplay:
        """Plot mean learning curves with confidence bands.

        Parameters
        ----------
        **kwargs
            Passed to `LearningCurveDisplay.plot`.

        Returns
        -------
        display : LearningCurveDisplay
        """
        return LearningCurveDisplay.from_comparison(self, **kwargs)

    def _curves(self) -> pd.DataFrame:
        return self.data.pivot(
            index=["strategy", *_RUN], columns="n_labeled", values="score"
        )


def _verdict(low: float, high: float) -> str:
    if np.isnan(low):
        return "one run"
    if low > 0:
        return "gain"
    return "loss" if high < 0 else "no gain"


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
        title = f"mean and {band:.0%} interval" if self.bands_ else None
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
            "skal[plot]."
        ) from error
    return plt.subplots(figsize=(6.4, 4.4), layout="constrained")[1]
