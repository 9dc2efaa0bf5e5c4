"""What a comparison of strategies found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from skal.simulation.labels import ScoreLabel
from skal.simulation.statistics import area, paired_difference

if TYPE_CHECKING:
    import pandas as pd

    from skal.plotting import LearningCurveDisplay

__all__ = ["StrategyComparison"]

_RUN = ["fold", "repeat"]


@dataclass(repr=False)
class StrategyComparison:
    """Result of `compare_strategies`.

    Attributes
    ----------
    data : DataFrame
        A row for each strategy, run (``fold`` and ``repeat``) and ``step``: ``seed``,
        ``n_labeled``, ``score`` (scikit-learn's, higher is better), ``query_time``
        and ``fit_time`` in seconds.
    label : ScoreLabel
        Name of the score and the sign it is shown with.
    test_train_ratio : float
        Rows tested over rows campaigns were played on, mean over folds.
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
        """Names, in the order they were given."""
        return list(self.data["strategy"].unique())

    def areas(self) -> pd.DataFrame:
        """Mean of the learning curve over the budget: a row a run, a column a strategy.

        As scikit-learn scores, higher is better.
        """
        curves = self._curves()
        n_labeled = curves.columns.to_numpy()
        values = curves.apply(lambda run: area(n_labeled, run.to_numpy()), axis=1)
        return values.unstack("strategy")[self.strategies]

    def table(self, n_labeled: Sequence[int] | None = None) -> pd.DataFrame:
        """Mean score by strategy (rows) and labels used (columns).

        Parameters
        ----------
        n_labeled : sequence of int, optional
            Columns wanted; all by default.

        Returns
        -------
        table : DataFrame
            Errors (scorers ``neg_*``) as positive numbers.

        Raises
        ------
        ValueError
            If a column is no step of the campaigns.
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
        """Area under the curve of each strategy, and its gain over a reference.

        Parameters
        ----------
        reference : str, default="Random"
            The strategy that the others are compared with.
        confidence : float, default=0.95
            Of the gain's interval.
        corrected : bool, default=False
            Whether the interval is widened for the rows that runs share.  Without,
            it speaks of these data; with, of other data of this kind.

        Returns
        -------
        summary : DataFrame, a row a strategy
            ``area`` (mean of the learning curve over the budget) and ``final`` (score
            with all labels), both as shown: errors positive; ``gain``, ``gain_low``,
            ``gain_high`` and ``p_value`` of the area, higher is better whatever the
            score; ``verdict``: ``"gain"``, ``"loss"``, or ``"no gain"`` where the
            interval includes 0; ``query_time``, seconds a query.

        Raises
        ------
        ValueError
            If there is no such strategy.

        Notes
        -----
        Gains are paired by run and tested by Student's paired t-test
        (`skal.simulation.statistics.paired_difference`), each by itself: among twenty
        strategies that do nothing, one is expected to show a gain or a loss.
        """
        import pandas as pd

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
        """Draw mean learning curves with bands.

        Parameters
        ----------
        **kwargs
            Of `skal.plotting.LearningCurveDisplay.plot`.

        Returns
        -------
        display : LearningCurveDisplay
        """
        from skal.plotting import LearningCurveDisplay

        return LearningCurveDisplay.from_comparison(self, **kwargs)

    def curves(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Labels used ``(n_steps,)``, and scores ``(n_runs, n_steps)`` by strategy."""
        curves = self._curves()
        return curves.columns.to_numpy(), {
            name: curves.xs(name, level="strategy").to_numpy()
            for name in self.strategies
        }

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
