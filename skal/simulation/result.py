"""Result of a comparison of strategies: curves, tables and summary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor

from skal.simulation.rendering import Summary, as_html, as_markdown, as_text
from skal.simulation.statistics import area, labels_saved, paired_difference

if TYPE_CHECKING:
    from skal.simulation.display import LearningCurveDisplay

__all__ = [
    "ScoreLabel",
    "StrategyComparison",
    "named_scorings",
    "score_label",
    "score_labels",
]

_RUN = ["fold", "repeat"]
#: Columns of `StrategyComparison.data`, but for the scores.
_RUN_COLUMNS = {
    *("strategy", "fold", "repeat", "seed", "step", "n_labeled"),
    *("query_time", "fit_time"),
}
_SAVED = ["labels_saved", "labels_saved_low", "labels_saved_high"]

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
        # The repr of a scorer is the call of make_scorer that makes it.
        made = re.match(
            r"make_scorer\((\w+)(, greater_is_better=False)?", repr(scoring)
        )
        if made:
            return ScoreLabel(made[1].replace("_", " "), -1 if made[2] else 1)
        return ScoreLabel(getattr(scoring, "__name__", "score"))
    if is_classifier(estimator):
        return ScoreLabel("accuracy")
    return ScoreLabel("R²" if is_regressor(estimator) else "score")


def named_scorings(scoring: Any) -> dict[str, Any]:
    """Get the scorers of ``scoring=`` by name; a single one is called "score"."""
    if isinstance(scoring, Mapping):
        named = dict(scoring)
    elif isinstance(scoring, list | tuple | set):
        named = {name: name for name in scoring}
    else:
        return {"score": scoring}
    if not named:
        raise ValueError("scoring is empty; None uses the estimator's own score.")
    # The first one is the column "score".
    taken = sorted({*_RUN_COLUMNS} & {*named} | {"score"} & {*list(named)[1:]})
    if taken:
        raise ValueError(
            f"Scorers cannot be called {taken}, as columns of the result are. Rename "
            "them; the first one may be called 'score'."
        )
    return named


def score_labels(estimator: Any, scoring: Any) -> dict[str, ScoreLabel]:
    """Name each score that `scoring` computes; see `score_label`."""
    return {
        name: score_label(estimator, given)
        for name, given in named_scorings(scoring).items()
    }


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
    reference : str or None
        Strategy with which the others are compared by default; the first one if it is
        None.
    labels : dict of str to ScoreLabel
        All scores by the name of their scorer; see `of`.

    Notes
    -----
    `print` shows a table for the terminal, and a notebook an HTML table, both with the
    intervals of `summary`.
    """

    data: pd.DataFrame
    label: ScoreLabel
    test_train_ratio: float
    reference: str | None = None
    labels: dict[str, ScoreLabel] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = ", ".join(self.strategies)
        runs = len(self.data.groupby(_RUN))
        return f"<StrategyComparison of {names}: {self.label.name}, {runs} runs>"

    def __str__(self) -> str:
        return as_text(self.summary())

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Format the summary as an HTML table."""
        return as_html(self.summary())

    def to_markdown(self) -> str:
        """Format the summary as a Markdown table."""
        return as_markdown(self.summary())

    def of(self, name: str) -> StrategyComparison:
        """Get the comparison by another scorer.

        Parameters
        ----------
        name : str
            Name of the scorer, one of ``labels``.

        Returns
        -------
        comparison : StrategyComparison
            Of the same campaigns; its ``score`` is that of the scorer.
        """
        if name not in self.labels:
            raise ValueError(f"There is no score {name!r}, only {list(self.labels)}.")
        data = self.data.assign(score=self.data[name])
        return replace(self, data=data, label=self.labels[name])

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
        # Steps that a strategy lacks, as a callback ended it, count for none.
        shared = curves.groupby(_RUN).transform(lambda scores: scores.notna().all())
        values = [
            area(n_labeled[kept], scores[kept]) if kept.any() else np.nan
            for scores, kept in zip(
                curves.to_numpy(), shared.to_numpy(dtype=bool), strict=True
            )
        ]
        areas = pd.Series(values, index=curves.index)
        return areas.unstack("strategy")[self.strategies]

    def table(self, n_labeled: Sequence[int] | None = None) -> pd.DataFrame:
        """Tabulate mean scores by strategy (rows) and number of labels (columns).

        Parameters
        ----------
        n_labeled : sequence of int, optional
            Columns to return; all by default.

        Returns
        -------
        table : DataFrame
            Scores have the sign of their metric: errors (``neg_*`` scorers) are
            positive. The columns are named after the score, and say whether higher or
            lower is better.

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
        title = f"{self.label.name} ({self.label.direction}), by labels"
        return self.label.sign * means.rename_axis(columns=title)

    def summary(
        self,
        reference: str | None = None,
        *,
        confidence: float = 0.95,
        corrected: bool = False,
    ) -> pd.DataFrame:
        """Compare each strategy with a reference, by area and by labels saved.

        Parameters
        ----------
        reference : str, optional
            Strategy with which the others are compared; by default ``self.reference``,
            which is the first `Random` strategy, or the first strategy if there is
            none.
        confidence : float, default=0.95
            Confidence level of the intervals.
        corrected : bool, default=False
            Widen the interval of the gain for the rows that runs have in common.
            Without the correction, the interval applies to these data; with it, to
            other data from the same distribution.

        Returns
        -------
        summary : DataFrame, one row per strategy
            ``area`` (mean of the learning curve over the budget) and ``final`` (score
            with all labels), where errors are positive; ``gain``, ``gain_low``,
            ``gain_high`` and ``p_value`` of the area, where higher is always better;
            ``verdict``: ``"gain"``, ``"loss"``, or ``"no gain"`` if the interval
            includes 0, and ``"no score"`` if no run has scores of both;
            ``labels_saved``, ``labels_saved_low`` and
            ``labels_saved_high``: how many fewer labels the strategy needs to reach the
            final score of the reference, NaN if it does not reach it; ``query_time``,
            in seconds per query. Its repr shows all of them.

        Raises
        ------
        ValueError
            If there is no such strategy.

        Notes
        -----
        Gains are paired by run and tested with Student's paired t-test
        (`skal.simulation.statistics.paired_difference`), without correction for
        multiple comparisons: of twenty strategies equal to the reference, one is
        expected to show a gain or a loss. `skal.simulation.statistics.labels_saved`
        describes the labels saved. Only runs that both strategies have finished are
        used.
        """
        reference = self._reference(reference)
        areas = self.areas()
        final = self._final()
        times = self.data.groupby("strategy")["query_time"].mean()
        ratio = self.test_train_ratio if corrected else None
        saved = self.labels_saved(reference, confidence=confidence)
        rows = {}
        for name in self.strategies:
            both = areas[[name, reference]].notna().all(axis=1)
            gain = paired_difference(
                areas.loc[both, name].to_numpy(),
                areas.loc[both, reference].to_numpy(),
                confidence=confidence,
                test_train_ratio=ratio,
            )
            rows[name] = {
                "area": self.label.sign * areas[name].mean(),
                "final": self.label.sign * final[name],
                "gain": gain.mean,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "p_value": gain.p_value,
                "verdict": "reference" if name == reference else _verdict(*gain[:3]),
                **saved.loc[name].to_dict(),
                "query_time": times[name],
            }
        summary = Summary(pd.DataFrame.from_dict(rows, orient="index"))
        summary.index.name = "strategy"
        summary.attrs = {
            "score": f"{self.label.name} ({self.label.direction})",
            "confidence": confidence,
            "reference": reference,
        }
        return summary

    def labels_saved(
        self, reference: str | None = None, *, confidence: float = 0.95
    ) -> pd.DataFrame:
        """Estimate how many fewer labels are needed to reach a reference's final score.

        Parameters
        ----------
        reference : str, optional
            As in `summary`.
        confidence : float, default=0.95
            Confidence level of the interval.

        Returns
        -------
        saved : DataFrame, one row per strategy
            ``labels_saved``, ``labels_saved_low`` and ``labels_saved_high``, by
            `skal.simulation.statistics.labels_saved`.
        """
        reference = self._reference(reference)
        curves = self._curves().dropna(axis=1)
        by_name = {
            name: curves.xs(name, level="strategy").sort_index()
            for name in self.strategies
        }
        rows = {}
        for name, own in by_name.items():
            runs = own.index.intersection(by_name[reference].index)
            if curves.empty or runs.empty:
                rows[name] = dict.fromkeys(_SAVED, np.nan)
                continue
            saved = labels_saved(
                curves.columns.to_numpy(),
                own.loc[runs].to_numpy(),
                by_name[reference].loc[runs].to_numpy(),
                confidence=confidence,
            )
            rows[name] = dict(zip(_SAVED, saved, strict=True))
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("strategy")

    def _reference(self, reference: str | None) -> str:
        if reference is None:
            reference = self.reference
        if reference is None:
            return self.strategies[0]
        if reference not in self.strategies:
            raise ValueError(
                f"There is no strategy {reference!r} to compare with, only "
                f"{self.strategies}. Choose one of them as the reference."
            )
        return reference

    def _final(self) -> pd.Series:
        """Get the mean score of each strategy at the last step of its runs."""
        last = self._curves().ffill(axis=1).iloc[:, -1]
        return last.groupby("strategy").mean()

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
        # The display needs the result, which can import it only here.
        from skal.simulation.display import LearningCurveDisplay

        return LearningCurveDisplay.from_comparison(self, **kwargs)

    def _curves(self) -> pd.DataFrame:
        return self.data.pivot(
            index=["strategy", *_RUN], columns="n_labeled", values="score"
        )


def _verdict(mean: float, low: float, high: float) -> str:
    if np.isnan(mean):
        return "no score"
    if np.isnan(low):
        return "one run"
    if low > 0:
        return "gain"
    return "loss" if high < 0 else "no gain"
