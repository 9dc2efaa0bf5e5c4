"""A picture of whether a model is as often right as it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from skal.display.axes import axes_or_new
from skal.rows import as_dense
from skal.validation import check_int

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["CalibrationDisplay"]


class CalibrationDisplay:
    r"""How often a model is right, against how often it says that it is.

    Use `from_estimator`, `from_probabilities` or `from_std` to create one.

    Parameters
    ----------
    expected : ndarray of shape (k,)
        For classification, the mean probability of the predicted class in each bin; for
        regression, the levels of central intervals.
    observed : ndarray of shape (k,)
        The share of right predictions in each bin; the share of labels in each
        interval.
    counts : ndarray of shape (k,)
        Number of rows from which each share was computed.
    task : {"classification", "regression"}
    name : str, optional
        Of the model.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : Line2D
    diagonal_ : Line2D
        Where the points of a calibrated model are, but for chance.

    Notes
    -----
    For classification, rows are sorted by the probability of their predicted class and
    divided into bins of equal counts [1]_, which differ by one at most. For regression,
    labels are normal with the mean and the standard deviation that the model predicts,
    so that a central interval of level p is
    :math:`\mu \pm z_{(1 + p) / 2} \, \sigma` [2]_.

    The rows must be drawn at random, and not have been trained on.

    References
    ----------
    .. [1] Nguyen and O'Connor, "Posterior calibration and exploratory analysis for
       natural language processing models", EMNLP 2015.
       https://arxiv.org/abs/1508.05154
    .. [2] Kuleshov, Fenner and Ermon, "Accurate uncertainties for deep learning using
       calibrated regression", ICML 2018. https://arxiv.org/abs/1807.00263

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import BayesianRidge
    >>> from skal.display import CalibrationDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = BayesianRidge().fit(X[:200], y[:200])
    >>> display = CalibrationDisplay.from_estimator(model, X[200:], y[200:])
    >>> display.ax_.get_ylabel()
    'share of labels in the interval'
    """

    def __init__(
        self,
        expected: np.ndarray,
        observed: np.ndarray,
        counts: np.ndarray,
        task: str,
        name: str | None = None,
    ) -> None:
        self.expected = expected
        self.observed = observed
        self.counts = counts
        self.task = task
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_bins: int = 10,
        levels: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> CalibrationDisplay:
        """Predict some rows.

        Parameters
        ----------
        estimator : estimator or learner
            Fitted, with ``predict_proba`` and ``classes_``, or with
            ``predict(X, return_std=True)``.
        X : rows of shape (n, ...)
        y : array-like of shape (n,)
        n_bins : int, default=10
            As in `from_probabilities`.
        levels : array-like, optional
            As in `from_std`.
        name : str, optional
            By default that of the class of the estimator.
        **kwargs
            Passed to `plot`.

        Raises
        ------
        TypeError
            If the estimator has neither.
        """
        name = type(estimator).__name__ if name is None else name
        if hasattr(estimator, "predict_proba"):
            inner = getattr(estimator, "estimator", None)
            classes = getattr(estimator, "classes_", getattr(inner, "classes_", None))
            probs = estimator.predict_proba(X)
            return cls.from_probabilities(
                y, probs, classes, n_bins=n_bins, name=name, **kwargs
            )
        try:
            mean, std = estimator.predict(X, return_std=True)
        except TypeError as error:
            raise TypeError(
                f"{name} has neither predict_proba nor predict(X, return_std=True), so "
                "it does not say how sure it is: pass standard deviations from "
                "elsewhere to CalibrationDisplay.from_std."
            ) from error
        return cls.from_std(y, mean, std, levels=levels, name=name, **kwargs)

    @classmethod
    def from_probabilities(
        cls,
        y: Any,
        probs: Any,
        classes: Any = None,
        *,
        n_bins: int = 10,
        name: str | None = None,
        **kwargs: Any,
    ) -> CalibrationDisplay:
        """Compare probabilities of classes with labels.

        Parameters
        ----------
        y : array-like of shape (n,)
            Labels.
        probs : array-like of shape (n, n_classes)
        classes : array-like of shape (n_classes,), optional
            Classes of the columns; 0 to ``n_classes - 1`` by default.
        n_bins : int, default=10
            Up to n.
        name : str, optional
        **kwargs
            Passed to `plot`.

        Raises
        ------
        ValueError
            If the shapes do not match, or values are not probabilities.
        """
        check_int("n_bins", n_bins)
        y, probs = as_dense(y), as_dense(probs).astype(float)
        if probs.ndim != 2 or probs.shape[:1] != y.shape or not len(y):
            raise ValueError(
                f"There must be a label and a row of probabilities for each row, got "
                f"shapes {y.shape} and {probs.shape}."
            )
        if not ((probs >= 0) & (probs <= 1 + 1e-6)).all():
            raise ValueError("Probabilities must be from 0 to 1.")
        classes = np.arange(probs.shape[1]) if classes is None else np.asarray(classes)
        if len(classes) != probs.shape[1]:
            raise ValueError(
                f"There are {len(classes)} classes and {probs.shape[1]} columns."
            )
        right = classes[probs.argmax(axis=1)] == y
        confidence = probs.max(axis=1)
        order = np.argsort(confidence, kind="stable")
        bins = np.array_split(order, min(n_bins, len(y)))
        return cls(
            np.array([confidence[rows].mean() for rows in bins]),
            np.array([right[rows].mean() for rows in bins]),
            np.array([len(rows) for rows in bins]),
            "classification",
            name,
        ).plot(**kwargs)

    @classmethod
    def from_std(
        cls,
        y: Any,
        mean: Any,
        std: Any,
        *,
        levels: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> CalibrationDisplay:
        """Compare central intervals with labels.

        Parameters
        ----------
        y : array-like of shape (n,)
            Labels.
        mean, std : array-like of shape (n,)
            Predictions, and the standard deviations of the labels around them, which
            include noise.
        levels : array-like of shape (k,), optional
            Levels of the intervals; 0.05, 0.1, ..., 0.95 by default.
        name : str, optional
        **kwargs
            Passed to `plot`.

        Raises
        ------
        ValueError
            If the shapes do not match, a standard deviation is negative or not finite,
            or a level is not between 0 and 1.
        """
        levels = np.arange(1, 20) / 20 if levels is None else np.asarray(levels)
        if not ((levels > 0) & (levels < 1)).all():
            raise ValueError("levels must be between 0 and 1.")
        y, mean, std = (as_dense(v).astype(float) for v in (y, mean, std))
        if y.ndim != 1 or not len(y) or not y.shape == mean.shape == std.shape:
            raise ValueError(
                "There must be a label, a mean and a standard deviation for each row, "
                f"got shapes {y.shape}, {mean.shape} and {std.shape}."
            )
        if not (np.isfinite(std) & (std >= 0)).all():
            raise ValueError("Standard deviations must be finite and not negative.")
        widths = stats.norm.ppf((1 + levels) / 2)
        observed = np.array([(np.abs(y - mean) <= z * std).mean() for z in widths])
        counts = np.full(len(levels), len(y))
        return cls(levels, observed, counts, "regression", name).plot(**kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        ref_line: bool = True,
        line_kw: Mapping[str, Any] | None = None,
    ) -> CalibrationDisplay:
        """Plot.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to plot on; by default, those of a new figure.
        ref_line : bool, default=True
            Whether to draw the diagonal.
        line_kw : dict, optional
            Passed to `Axes.plot`.

        Returns
        -------
        self : CalibrationDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = axes_or_new(ax, 4.8, 4.8)
        self.diagonal_: Any = None
        if ref_line:
            options: dict[str, Any] = {"color": "0.5", "linestyle": ":"}
            (self.diagonal_,) = ax.plot([0, 1], [0, 1], label="calibrated", **options)
        options = {"marker": "o", "markersize": 3, "label": self.name or "model"}
        (self.line_,) = ax.plot(
            self.expected, self.observed, **{**options, **(line_kw or {})}
        )
        if self.task == "classification":
            ax.set_xlabel("mean probability of the predicted class")
            ax.set_ylabel("share of right predictions")
        else:
            ax.set_xlabel("level of the central interval")
            ax.set_ylabel("share of labels in the interval")
        ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
