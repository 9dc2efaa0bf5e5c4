"""Predictions as Gaussians, where a model knows its uncertainty but has no draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn import get_config
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.models import Member
from skal.reading.pool import Pool
from skal.rows import Rows, read_together, take_slice

__all__ = ["GaussianPredictions", "GaussianReader", "spread"]


class GaussianReader(ABC):
    """Reads the mean and the variance that one estimator predicts.

    Parameters
    ----------
    model : Member
        One of ``pool.members``.

    Attributes
    ----------
    is_joint : bool
        Whether `against` gives covariances of rows.
    of_labels : bool
        Whether the variance is that of labels, with noise that is not known apart from
        it; otherwise it is that of the predicted function.
    width : int
        Elements of the largest temporary of `read`, per row.
    largest_block : int or None
        Most rows to read at once, where a temporary grows with their square.
    """

    is_joint: bool = False
    of_labels: bool = False
    width: int = 1
    largest_block: int | None = None

    def __init__(self, model: Member) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """Name of the estimator, for errors."""
        return type(self.model.estimator).__name__

    @abstractmethod
    def read(self, block: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read means and variances, ``(b, T)`` each, for a block of rows."""

    def against(self, others: Any) -> Callable[[Any], np.ndarray]:
        """Return the function from a block to its covariances with other rows.

        Parameters
        ----------
        others : t rows

        Returns
        -------
        covariance : callable
            Maps b rows to ``(b, t, T)``, without the noise of labels.
        """
        raise NotImplementedError(f"{self.name} has no covariances.")


class GaussianPredictions:
    """Gaussian predictions of rows: means, variances and perhaps covariances.

    The result of `Posterior.read` where there are no models to draw, but the learner
    knows how uncertain its predictions are.

    Parameters
    ----------
    pool : Pool
        The rows that are read by default.
    readers : sequence of GaussianReader
        One for each of ``pool.members``.
    source : str
        Name of the posterior, for errors.

    Attributes
    ----------
    task : "regression"
    n_outputs : int
        T, the number of targets.
    is_joint : bool
        Whether covariances of rows are known.  If not, the predictions of two rows must
        not be taken as independent: measures that compare rows refuse them.
    of_labels : bool
        Whether variances are those of labels, noise included, rather than those of the
        predicted function.

    Raises
    ------
    UnsuitableLearnerError
        If the members predict different numbers of targets.

    Notes
    -----
    Several members are one Gaussian with the moments of their mixture: the covariance
    is the mean of theirs plus that of their means.  Members with target transformers of
    their own are read in the units of the learner (`spread`); correlations are kept.
    """

    task = "regression"

    def __init__(
        self, pool: Pool, readers: Sequence[GaussianReader], source: str
    ) -> None:
        self.pool = pool
        self.source = source
        self._readers = list(readers)
        self._rows = [member.rows for member in pool.members]
        self.is_joint = all(reader.is_joint for reader in readers)
        self.of_labels = any(reader.of_labels for reader in readers)
        first = [rows.read(slice(1)) for rows in self._rows]
        sizes = {r.read(b)[0].shape[1] for r, b in zip(readers, first, strict=True)}
        if len(sizes) > 1:
            raise UnsuitableLearnerError(
                f"The members of the committee predict different numbers of targets: "
                f"{sorted(sizes)}."
            )
        (self.n_outputs,) = sizes

    def rows_at(self, indices: Tensor) -> list[Rows]:
        """Take some rows of the pool, as each of the members sees them."""
        return [rows.take(indices.cpu().numpy()) for rows in self._rows]

    def blocks(
        self, rows: Sequence[Rows] | None = None
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield means and variances in blocks, in the order of the rows.

        Parameters
        ----------
        rows : sequence of Rows, optional
            Rows as each of ``pool.members`` sees them; by default those of the pool.

        Yields
        ------
        block : slice
            Positions of the rows.
        mean, variance : Tensor of shape (b, T), float64

        Raises
        ------
        ValueError
            If an estimator predicts a variance that is negative or not finite.
        """
        for where, blocks in self._pieces(rows, 0):
            mean, scale, variance = self._moments(blocks)
            total = (scale**2 * variance).mean(0) + mean.var(0)
            yield where, torch.from_numpy(mean.mean(0)), torch.from_numpy(total)

    def variance(self, rows: Sequence[Rows] | None = None) -> Tensor:
        """Read the variances of all rows, ``(m, T)``, float64."""
        return torch.cat([variance for *_, variance in self.blocks(rows)])

    def covariances(
        self, others: Sequence[Rows], rows: Sequence[Rows] | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield covariances with other rows in blocks, in the order of the rows.

        Parameters
        ----------
        others : sequence of Rows
            t rows, as each of ``pool.members`` sees them.
        rows : sequence of Rows, optional
            As in `blocks`.

        Yields
        ------
        block : slice
        covariance : Tensor of shape (b, t, T), float64
            Of the predicted function; there is no noise of labels in it, even where a
            row is compared with itself.
        """
        t = len(others[0])
        fixed = [view.read(slice(0, t)) for view in others]
        against = [r.against(b) for r, b in zip(self._readers, fixed, strict=True)]
        mean_o, scale_o, _ = self._moments(fixed)
        away_o = mean_o - mean_o.mean(0)
        for where, blocks in self._pieces(rows, t * self.n_outputs):
            total = np.zeros((where.stop - where.start, t, self.n_outputs))
            alone = len(blocks) == 1 and not self._readers[0].model.has_own_units
            if not alone:  # their means matter, or the slopes of the units
                mean, scale, _ = self._moments(blocks)
                away = mean - mean.mean(0)
            for k, block in enumerate(blocks):
                own = against[k](block)
                if not alone:
                    own = own * scale[k][:, None] * scale_o[k] + (
                        away[k][:, None] * away_o[k]
                    )
                total += own / len(blocks)
            yield where, torch.from_numpy(total)

    def covariance(self, rows: Tensor | None, columns: Tensor) -> Tensor:
        """Compute the covariances of some rows of the pool with others.

        Parameters
        ----------
        rows : Tensor of shape (r,) or None
            Positions; None stands for all rows.
        columns : Tensor of shape (c,)

        Returns
        -------
        covariance : Tensor of shape (r, c, T), float64
        """
        seen = None if rows is None else self.rows_at(rows)
        parts = self.covariances(self.rows_at(columns), seen)
        return torch.cat([part for _, part in parts])

    def _moments(self, blocks: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means in shared units, scales to these, own variances: ``(K, b, T)`` each."""
        parts = []
        for reader, block in zip(self._readers, blocks, strict=True):
            mean, variance = reader.read(block)
            _check(variance, reader.name)
            scale = np.ones_like(mean)
            if reader.model.has_own_units:
                undo = reader.model.to_shared_units
                mean, scale = spread(mean, np.sqrt(variance), undo)
            parts.append((mean, scale, variance))
        means, scales, variances = zip(*parts, strict=True)
        return np.stack(means), np.stack(scales), np.stack(variances)

    def _pieces(
        self, rows: Sequence[Rows] | None, width: int
    ) -> Iterator[tuple[slice, list[Any]]]:
        """Cut the rows so that no temporary is large."""
        memory = get_config()["working_memory"] * 2**20 / 16
        width += max(reader.width for reader in self._readers)
        sizes = [r.largest_block for r in self._readers if r.largest_block]
        step = min([max(1, int(memory // (8 * width))), *sizes])
        for where, views in read_together(self._rows if rows is None else list(rows)):
            for start in range(where.start, where.stop, step):
                stop = min(start + step, where.stop)
                piece = slice(start - where.start, stop - where.start)
                yield slice(start, stop), [take_slice(view, piece) for view in views]


def spread(
    mean: np.ndarray, std: np.ndarray, undo: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    r"""Transform means to other units, and find by what standard deviations scale.

    Parameters
    ----------
    mean, std : ndarray of shape (b, T)
    undo : callable
        Maps ``(b, T)`` to the other units.

    Returns
    -------
    mean : ndarray of shape (b, T)
        Transformed.
    scale : ndarray of shape (b, T)
        :math:`(g(\mu + \sigma) - g(\mu - \sigma)) / 2 \sigma`.

    Raises
    ------
    UnsuitableLearnerError
        If `undo` mixes targets, so that each cannot be scaled alone.

    Notes
    -----
    For a linear transformer the scale is its slope.  For any other monotone one, the
    new standard deviation is half the distance of the transformed points one standard
    deviation from the mean, between which 68 % of the distribution are.
    """
    step = np.maximum(std, 1e-6 * (1 + np.abs(mean)))
    scale = np.empty_like(mean)
    for t in range(mean.shape[1]):
        shift = np.zeros_like(mean)
        shift[:, t] = step[:, t]
        change = (undo(mean + shift) - undo(mean - shift)) / 2
        others = np.delete(change, t, axis=1)
        if (
            change.shape != mean.shape
            or (np.abs(others) > 1e-9 * np.abs(change[:, t : t + 1])).any()
        ):
            raise UnsuitableLearnerError(
                "The target transformer mixes the targets, so their standard "
                "deviations cannot be transformed one by one. Transform each target "
                "alone, or use posterior=Bagged()."
            )
        scale[:, t] = change[:, t] / step[:, t]
    return undo(mean), scale


def _check(variance: np.ndarray, name: str) -> None:
    wrong = ~(np.isfinite(variance) & (variance >= 0))
    if wrong.any():
        raise ValueError(
            f"{name} predicts a standard deviation that is NaN, infinite or negative "
            f"for {int(wrong.any(axis=1).sum())} of {len(variance)} rows. Is it fitted "
            "on finite rows, and enough of them?"
        )
