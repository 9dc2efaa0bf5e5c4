"""The outputs of K plausible models for any rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import BaseEstimator
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import require_probabilities
from skal.reading.pool import Pool
from skal.rows import Rows, read_together, take_slice

if TYPE_CHECKING:
    from skal.posteriors.gaussian import GaussianPredictions

__all__ = ["Draws", "GaussianPosterior", "Posterior", "Reader"]


class Posterior(BaseEstimator, ABC):
    """Base class of the sources of plausible models.

    A posterior stores parameters only: it can be cloned, printed and searched over, for
    example as ``posterior__n_draws`` of a strategy.

    Notes
    -----
    A new posterior implements `draw`, or derives from
    `skal.posteriors.nets.NetPosterior` and implements how the draws of one net differ.
    """

    @abstractmethod
    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Draw K models.

        Parameters
        ----------
        pool : Pool
            A fitted learner and its pool.
        rng : torch.Generator
            On the CPU.  It determines the models; nothing is drawn when they are read.

        Returns
        -------
        draws : Draws

        Raises
        ------
        ValueError
            If a parameter is wrong, or there would be fewer than two models.
        UnsuitableLearnerError
            If the learner offers no such models; the message says what to add.
        """

    def read(self, pool: Pool, rng: torch.Generator) -> Draws | GaussianPredictions:
        """Draw K models or, where there are none, read Gaussian predictions.

        Parameters
        ----------
        pool, rng
            As in `draw`.

        Returns
        -------
        found : Draws or GaussianPredictions
        """
        return self.draw(pool, rng)


class GaussianPosterior(Posterior):
    """Base class of the posteriors that know predictions as Gaussians, not as draws."""

    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Raise: there are no models to draw."""
        raise UnsuitableLearnerError(
            f"{type(self).__name__} gives a distribution for each prediction, and no "
            "models whose predictions could be compared. Strategies that read it: "
            "PredictiveVariance, BALD and PowerBALD; with covariances, also BatchBALD, "
            "EPIG and BatchEPIG. For models, use posterior=Bagged(), or a Committee."
        )


class Reader(ABC):
    """Reads the outputs of the models of one estimator.

    Attributes
    ----------
    member : int
        Position in ``pool.members`` of the member whose blocks are read.
    n_draws : int
        Number of models.
    n_outputs : int
        Number of columns of the outputs of a model.
    labels : ndarray of shape (n_outputs,) or None
        Classes of the columns; None for regression.
    """

    member: int
    n_draws: int
    n_outputs: int
    labels: np.ndarray | None

    @abstractmethod
    def read(self, block: Any) -> Tensor:
        """Read ``(n_draws, b, n_outputs)`` for a block of the member's rows."""


class Draws:
    """K plausible models, the same for all rows that are read.

    Parameters
    ----------
    pool : Pool
        The rows that are read by default.
    readers : sequence of Reader
        Together they read the K models.
    source : str
        Name of the posterior, for errors.

    Attributes
    ----------
    pool : Pool
        The pool given; its members may be others than those of the learner.
    n_draws : int
        K.
    task : {"classification", "regression"}
        Whether outputs are probabilities or predictions.
    classes : ndarray of shape (C,) or None
        Classes of the columns, those of all models together; None for regression.
    n_outputs : int
        C, the number of classes or targets.

    Raises
    ------
    UnsuitableLearnerError
        If there are fewer than two models, or their outputs do not go together.

    Notes
    -----
    The weights or the seeds of dropout masks are drawn at construction.  The outputs
    for a row therefore depend neither on its block or batch nor on the order of
    reading: joint measures can compare rows, and EPIG can evaluate other rows with the
    same models.
    """

    def __init__(self, pool: Pool, readers: Sequence[Reader], source: str) -> None:
        self.pool = pool
        self._readers = list(readers)
        self._rows = [member.rows for member in pool.members]
        self.n_draws = sum(reader.n_draws for reader in self._readers)
        if self.n_draws < 2:
            raise UnsuitableLearnerError(
                f"{source} gives {self.n_draws} model, and disagreement needs at least "
                "two."
            )
        labels = [r.labels for r in self._readers if r.labels is not None]
        if labels and len(labels) < len(self._readers):
            raise UnsuitableLearnerError(
                f"{source} mixes classifiers and regressors; disagreement needs models "
                "of one kind."
            )
        self.classes: np.ndarray | None = None
        self._alike = True
        if labels:
            self._alike = all(np.array_equal(labels[0], other) for other in labels)
            merged = np.unique(np.concatenate(labels))
            self.classes = labels[0] if self._alike else merged
            self.task, self.n_outputs = "classification", len(self.classes)
            pool.warn_if_overridden()
        else:
            sizes = sorted({reader.n_outputs for reader in self._readers})
            if len(sizes) > 1:
                raise UnsuitableLearnerError(
                    f"The models of {source} predict different numbers of targets: "
                    f"{sizes}."
                )
            self.task, self.n_outputs = "regression", sizes[0]

    def blocks(
        self, rows: Sequence[Rows] | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yield the outputs of all models in blocks, in the order of the rows.

        Parameters
        ----------
        rows : sequence of Rows, optional
            Rows as each of ``pool.members`` sees them, for example the ``labeled`` of
            each; by default those of the pool.

        Yields
        ------
        block : slice
            Positions of the rows.
        outputs : Tensor of shape (K, b, C), float64
            Probabilities of a classifier; predictions of a regressor, in its own units,
            or in those of the learner if its models have different target transformers.

        Raises
        ------
        UnsuitableLearnerError
            If the outputs of a classifier are not probabilities.

        Notes
        -----
        The outputs of a block take at most a sixteenth of scikit-learn's
        ``working_memory`` (64 MiB by default).
        """
        rows = self._rows if rows is None else list(rows)
        if len(rows) != len(self._rows):
            raise ValueError(
                f"Rows for {len(rows)} members were given, the learner has "
                f"{len(self._rows)}."
            )
        memory = get_config()["working_memory"] * 2**20 / 16
        step = max(1, int(memory // (8 * self.n_draws * self.n_outputs)))
        for where, views in read_together(rows):
            first, n = where.start, where.stop - where.start
            for start in range(0, n, step):
                piece = slice(start, min(start + step, n))
                outputs = self._read([take_slice(view, piece) for view in views])
                yield slice(first + piece.start, first + piece.stop), outputs

    def collect(self, rows: Sequence[Rows] | None = None) -> Tensor:
        """Read the outputs of all models for all rows at once.

        Parameters
        ----------
        rows : sequence of Rows, optional
            As in `blocks`.

        Returns
        -------
        outputs : Tensor of shape (K, m, C), float64
            8·K·m·C bytes.
        """
        m = len(self._rows[0] if rows is None else rows[0])
        result: Tensor | None = None
        for block, outputs in self.blocks(rows):
            if result is None:
                result = outputs.new_empty((self.n_draws, m, self.n_outputs))
            result[:, block] = outputs
        if result is None:
            raise ValueError("There is no row to read.")
        return result

    def _read(self, blocks: list[Any]) -> Tensor:
        parts = [reader.read(blocks[reader.member]) for reader in self._readers]
        if self.classes is not None:
            for part in parts:
                require_probabilities(part, "a model")
        if len(parts) == 1:
            return parts[0]
        shape = (self.n_draws, parts[0].shape[1], self.n_outputs)
        result = parts[0].new_zeros(shape)  # a class not seen has probability 0
        start = 0
        for reader, part in zip(self._readers, parts, strict=True):
            stop = start + reader.n_draws
            result[start:stop, :, self._columns(reader)] = part.to(result.device)
            start = stop
        return result

    def _columns(self, reader: Reader) -> Any:
        if self.classes is None or reader.labels is None or self._alike:
            return slice(None)
        return torch.from_numpy(np.searchsorted(self.classes, reader.labels))
