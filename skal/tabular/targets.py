"""Targets of regressors: checked, and scaled to mean 0 and variance 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ScaledTargetRegressor", "TargetScaler"]

#: Magnitudes whose squares, summed over many rows, are neither infinite nor 0.
_LARGEST, _SMALLEST = 1e145, 1e-145


class ScaledTargetRegressor(TransformedTargetRegressor):
    """A TransformedTargetRegressor that does not learn masked targets.

    Scikit-learn drops the mask of an array, and takes what is under it for data.

    Parameters
    ----------
    regressor, transformer, func, inverse_func, check_inverse
        As in :class:`sklearn.compose.TransformedTargetRegressor`.
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
