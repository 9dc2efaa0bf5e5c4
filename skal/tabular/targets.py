"""Targets of regressors: checked, and scaled to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skal.posteriors.gaussian import spread
from skal.reading.unwrapping import walk

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ScaledTargetRegressor", "TargetScaler"]

#: Magnitudes whose squares, summed over many rows, are neither infinite nor 0.
_LARGEST, _SMALLEST = 1e145, 1e-145
#: Places of an interval at which the inverse of a transformer should be monotone, and
#: the rounding allowed there.
_PLACES, _ROUNDING = np.linspace(0, 1, 9), 1e-12


def _offers_interval(model: TransformedTargetRegressor) -> bool:
    regressor = getattr(model, "regressor_", model.regressor)
    return regressor is not None and any(
        hasattr(part, "predict_interval") for part in _same_units(regressor)
    )


def _same_units(regressor: Any) -> Iterator[Any]:
    """Yield a regressor and those within it that predict in its units."""
    for part in walk(regressor):
        yield part
        if isinstance(part, TransformedTargetRegressor):
            return


class ScaledTargetRegressor(TransformedTargetRegressor):
    """A TransformedTargetRegressor that gives standard deviations and intervals.

    They are in the units of the target.  Masked targets are refused; scikit-learn drops
    the mask of an array, and takes what is under it for data.

    Parameters
    ----------
    regressor, transformer, func, inverse_func, check_inverse
        As in :class:`sklearn.compose.TransformedTargetRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from skal.tabular import make_tabular_regressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> process = GaussianProcessRegressor(alpha=0.5)
    >>> model = make_tabular_regressor(process).fit(X[:99], y[:99])
    >>> mean, std = model.predict(X[99:], return_std=True)
    >>> std.shape
    (343,)
    """

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Self:
        """Fit the regressor to the transformed targets.

        Parameters
        ----------
        X : rows that the regressor takes
        y : array-like of shape (n,) or (n, n_targets)
        **fit_params : dict
            Passed to `fit` of the regressor.

        Returns
        -------
        model : self

        Raises
        ------
        ValueError
            If targets are masked or missing.
        """
        if isinstance(y, np.ma.MaskedArray) and np.any(y.mask):
            mask = np.ma.getmaskarray(y)
            masked = np.any(mask.reshape(len(mask), -1), axis=1)
            raise ValueError(
                f"y is masked in {int(masked.sum())} of {len(masked)} rows; the first "
                f"is row {int(masked.argmax())}. Rows without a label belong to the "
                "pool: skal.datasets.split_labeled separates them, or keep "
                "~np.ma.getmaskarray(y)."
            )
        fitted: Self = super().fit(X, y, **fit_params)
        return fitted

    def predict(self, X: Any, return_std: bool = False, **predict_params: Any) -> Any:
        """Predict in the units of the target.

        Parameters
        ----------
        X : rows that the regressor takes
        return_std : bool, default=False
            Whether to return standard deviations as well, if `predict` of the regressor
            does.
        **predict_params : dict
            Passed to `predict` of the regressor.

        Returns
        -------
        y : ndarray of shape (m,) or (m, n_targets)
        std : float64 ndarray of the same shape
            Only if `return_std`.  Standard deviations of the regressor times the slope
            of the inverse of the transformer; if it is not linear, half the distance
            between the targets one standard deviation below and above the prediction.

        Raises
        ------
        TypeError
            If `return_std` is True, and `predict` of the regressor does not accept it.
        UnsuitableLearnerError
            If the transformer mixes several targets.
        """
        if not return_std:
            return super().predict(X, **predict_params)
        check_is_fitted(self)
        found = self.regressor_.predict(X, return_std=True, **predict_params)
        mean, std = (_columns(part) for part in found)
        undone, slope = spread(mean, std, self._undo)
        shape = np.shape(found[0])
        return undone.reshape(shape), (std * np.abs(slope)).reshape(shape)

    @available_if(_offers_interval)
    def predict_interval(
        self, X: Any, coverage: float = 0.9
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict intervals that contain the target with a given probability.

        Available if the regressor, or the last step of a pipeline, offers it, such as
        :class:`skal.nets.FoldEnsembleRegressor`.

        Parameters
        ----------
        X : rows that the regressor takes
        coverage : float, default=0.9
            Between 0 and 1.

        Returns
        -------
        lower, upper : float64 ndarray of the shape of the prediction
            The ends of the intervals of the regressor, in the units of the target.

        Raises
        ------
        ValueError
            If the regressor raises it, or the inverse of the transformer is not
            monotone between the ends.
        UnsuitableLearnerError
            If the transformer mixes several targets.

        See Also
        --------
        skal.nets.FoldEnsembleRegressor.predict_interval : What the intervals are.
        """
        check_is_fitted(self)
        for part in _same_units(self.regressor_):
            if hasattr(part, "predict_interval"):
                ends = part.predict_interval(X, coverage)
                break
            if isinstance(part, Pipeline):
                for _, step in part.steps[:-1]:
                    X = step.transform(X) if hasattr(step, "transform") else X
        lower, upper = (_columns(end) for end in ends)
        # Refuses transformers that mix targets.
        spread((lower + upper) / 2, (upper - lower) / 2, self._undo)
        path = np.stack([self._undo(lower + p * (upper - lower)) for p in _PLACES])
        steps = np.diff(path, axis=0)
        slack = _ROUNDING * np.abs(path).max(axis=0)
        rises, falls = ((sign * steps >= -slack).all(axis=(0, 1)) for sign in (1, -1))
        if not (rises | falls).all():
            raise ValueError(
                f"The inverse of {type(self.transformer_).__name__} is not monotone "
                "between the ends of an interval, or not defined there, so the ends "
                "cannot be transformed. Take one that is, such as log1p with expm1, or "
                "limit its argument, as in lambda z: np.square(np.maximum(z, 0))."
            )
        shape = np.shape(ends[0])
        ends = np.minimum(path[0], path[-1]), np.maximum(path[0], path[-1])
        return ends[0].reshape(shape), ends[1].reshape(shape)

    def _undo(self, scaled: np.ndarray) -> np.ndarray:
        # A copy, as transformers with copy=False write into what they are given.
        undone = self.transformer_.inverse_transform(scaled.copy())
        return np.asarray(undone, np.float64).reshape(scaled.shape)


def _columns(values: Any) -> np.ndarray:
    """Make an array of one column for each target."""
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)


class TargetScaler(StandardScaler):
    """A StandardScaler that says what is wrong with targets that it cannot scale.

    Decimals and fractions are numbers.

    Parameters
    ----------
    copy, with_mean, with_std : bool
        As in :class:`sklearn.preprocessing.StandardScaler`.

    Examples
    --------
    >>> from decimal import Decimal
    >>> from skal.tabular.targets import TargetScaler
    >>> y = [[Decimal("1.50")], [Decimal("2.50")]]
    >>> TargetScaler().fit_transform(y).tolist()
    [[-1.0], [1.0]]
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Compute the mean and the standard deviation of each target.

        Parameters
        ----------
        X : array-like of shape (n, n_targets)
        y : ignored
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        scaler : self

        Raises
        ------
        ValueError
            If the targets are not numbers, or their squares overflow or vanish.
        """
        scaler: Self = super().fit(_numbers(X), y, sample_weight)
        return scaler

    def transform(self, X: Any, copy: bool | None = None) -> np.ndarray:
        """Scale the targets, in at least single precision.

        Parameters
        ----------
        X : array-like of shape (n, n_targets)
        copy : bool, optional

        Returns
        -------
        scaled : ndarray of shape (n, n_targets)
        """
        targets = np.asarray(X)
        if targets.dtype == np.float16:
            targets = targets.astype(np.float64)
        return np.asarray(super().transform(targets, copy))


def _numbers(targets: Any) -> np.ndarray:
    targets = np.asarray(targets)
    if targets.dtype.kind in "mM":
        _raise_not_a_number(targets, 0)
    if targets.dtype.kind != "O":
        numbers = targets
    else:
        try:
            numbers = targets.astype(np.float64)
        except (TypeError, ValueError):
            _raise_not_a_number(targets, _first_other(targets))
    if numbers.dtype.kind in "fiu" and len(numbers):
        _check_magnitude(numbers.astype(np.float64, copy=False))
    return numbers


def _first_other(targets: np.ndarray) -> int:
    """Find the first row that cannot be converted to numbers."""
    for row, cells in enumerate(targets):
        try:
            cells.astype(np.float64)
        except (TypeError, ValueError):
            return row
    return 0


def _raise_not_a_number(targets: np.ndarray, row: int) -> None:
    raise ValueError(
        f"y must hold numbers, got {targets[row].tolist()!r} in row {row}. Convert "
        "dates and durations, for example to days: (y - first_date) / "
        "np.timedelta64(1, 'D')."
    )


def _check_magnitude(numbers: np.ndarray) -> None:
    """Raise where mean squares, which scale the targets, overflow or vanish."""
    largest = np.abs(numbers).max()
    if largest > _LARGEST:
        raise ValueError(
            f"y has values up to {largest:.3g}, whose squares overflow. Divide it by a "
            "constant, or learn its logarithm."
        )
    spread = np.ptp(numbers, axis=0)
    if ((spread > 0) & (spread < _SMALLEST)).any():
        raise ValueError(
            f"The values of y differ by {spread.max():.3g} at most, and the squares of "
            "such numbers vanish. Multiply it by a constant."
        )
