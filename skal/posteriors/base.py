"""What every posterior gives: the outputs of K plausible models for any rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import BaseEstimator
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.rows import Rows, take_slice

__all__ = ["Draws", "Posterior", "Reader"]


class Posterior(BaseEstimator, ABC):
    """Where the K plausible models of a disagreement measure come from.

    A posterior only stores parameters: it can be cloned, printed and searched over,
    as ``posterior__n_draws`` of a strategy.

    Notes
    -----
    A new posterior writes `draw`, or inherits from
    `skal.posteriors.nets.NetPosterior` and says how the draws of one net differ.
    """

    @abstractmethod
    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Draw K models.

        Parameters
        ----------
        pool : Pool
            A fitted learner and its pool.
        rng : torch.Generator
            On the CPU. It decides the models; their outputs draw nothing more.

        Returns
        -------
        draws : Draws

        Raises
        ------
        ValueError
            If a parameter is wrong, or there would be fewer than two models.
        UnsuitableLearnerError
            If the learner cannot give them; the message says what to add.
        """


class Reader(ABC):
    """Outputs of some of the models, those that one estimator gives, for a block.

    Attributes
    ----------
    member : int
        Which of ``pool.members`` the block is of.
    n_draws : int
        Number of models.
    n_outputs : int
        Columns of each.
    labels : ndarray of shape (n_outputs,) or None
        Classes of the columns; None for regression.
    """

    member: int
    n_draws: int
    n_outputs: int
    labels: np.ndarray | None

    @abstractmethod
    def read(self, block: Any) -> Tensor:
        """Give ``(n_draws, b, n_outputs)`` for rows as the member sees them."""


class Draws:
    """K plausible models: one set, the same for every row that is read.

    Parameters
    ----------
    pool : Pool
        What is read unless other rows are given.
    readers : sequence of Reader
        Between them they have the K models.
    source : str
        Where the models come from, for errors.

    Attributes
    ----------
    n_draws : int
        K.
    task : {"classification", "regression"}
        Whether outputs are probabilities or predictions.
    classes : ndarray of shape (C,) or None
        Classes of the columns, of all models together; None for regression.
    n_outputs : int
        C: classes, or targets.

    Raises
    ------
    ValueError
        If there are fewer than two models.

    Notes
    -----
    What is drawn (weights, or the seeds of dropout masks) is fixed at construction, so
    a row's outputs depend neither on the block or batch that it is in, nor on the
    order of reading: joint measures may compare rows, and EPIG may read other rows
    through the same models.
    """

    def __init__(self, pool: Pool, readers: Sequence[Reader], source: str) -> None:
        self._readers = list(readers)
        self._rows = [member.rows for member in pool.members]
        self.n_draws = sum(reader.n_draws for reader in self._readers)
        if self.n_draws < 2:
            raise UnsuitableLearnerError(
                f"{source} gives {self.n_draws} model where disagreement needs two or "
                "more."
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
        """Yield the outputs of all models, block by block, in the order of the rows.

        Parameters
        ----------
        rows : sequence of Rows, optional
            Rows to read as each of ``pool.members`` sees them, for example the
            ``labeled`` of each; those of the pool by default.

        Yields
        ------
        block : slice
            Which rows.
        outputs : Tensor of shape (K, b, C), float64
            Probabilities of a classifier; predictions of a regressor, in its own
            units, or in the learner's where models with different target
            transformers are put together.

        Raises
        ------
        UnsuitableLearnerError
            If what should be probabilities does not sum to 1.

        Notes
        -----
        Outputs are held for so many rows at a time that they take a sixteenth of
        scikit-learn's ``working_memory`` (64 MiB by default).
        """
        rows = self._rows if rows is None else list(rows)
        if len(rows) != len(self._rows):
            raise ValueError(
                f"Rows for {len(rows)} members were given, the learner has "
                f"{len(self._rows)}."
            )
        memory = get_config()["working_memory"] * 2**20 / 16
        step = max(1, int(memory // (8 * self.n_draws * self.n_outputs)))
        for parts in zip(*(part.blocks() for part in rows), strict=True):
            first, n = parts[0][0].start, parts[0][0].stop - parts[0][0].start
            for start in range(0, n, step):
                piece = slice(start, min(start + step, n))
                outputs = self._read([take_slice(block, piece) for _, block in parts])
                yield slice(first + piece.start, first + piece.stop), outputs

    def collect(self, rows: Sequence[Rows] | None = None) -> Tensor:
        """Give the outputs of all models for all rows at once.

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
                _check_proba(part)
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


def _check_proba(outputs: Tensor) -> None:
    """Raise unless rows are probabilities; NaN is for the strategy to report."""
    off = (outputs.sum(-1) - 1).abs().max()
    if off > 1e-3 or outputs.min() < 0:
        raise UnsuitableLearnerError(
            "The outputs of a model are not probabilities: a row has a negative one, "
            f"or sums to 1 but for {float(off):.3g}. A module trained by NLLLoss or "
            "BCELoss must give probabilities; one that gives logits wants "
            "CrossEntropyLoss or BCEWithLogitsLoss."
        )
