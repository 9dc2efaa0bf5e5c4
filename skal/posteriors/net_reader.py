"""Draws that are variants of a net: other weights, or masks on its dropout layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal.hooks import evaluating
from skal.posteriors.base import Draws, Posterior, Reader
from skal.posteriors.models import Model, net_models
from skal.reading.access import NetAccess, as_columns, tensors_of
from skal.reading.pool import Pool
from skal.rng import preserve_global_rng
from skal.rows import Rows

__all__ = ["NetPosterior", "NetReader", "Variant", "with_weights"]

#: Enters one drawn model, giving the weights to run the module by (None: its own).
Variant = Callable[[], AbstractContextManager[Mapping[str, Tensor] | None]]

#: Numbers of input that are held on the device while all variants are run on them.
_HELD = 2**22


def with_weights(weights: Callable[[], Mapping[str, Tensor] | None]) -> Variant:
    """Variant that runs the module by the weights that a function gives."""
    return lambda: nullcontext(weights())


class NetReader(Reader):
    """Outputs of variants of a net.

    Parameters
    ----------
    model : Model
        Whose estimator is a skorch net.
    variants : sequence of Variant
        The draws.

    Notes
    -----
    Everything runs in eval mode without gradients; the module's weights, modes and
    the global random number generators are as before. One forward pass a draw.
    """

    def __init__(self, model: Model, variants: Sequence[Variant]) -> None:
        self.model = model
        self.access = NetAccess(model.estimator)
        self.variants = list(variants)
        self.member = model.index
        self.n_draws = len(self.variants)
        self.classifies = is_classifier(model.estimator)
        plain = self._run(model.first_row(), [nullcontext])
        self.n_outputs = plain.shape[2]
        self.labels = self._labels() if self.classifies else None

    def read(self, block: Any) -> Tensor:
        """Give ``(n_draws, b, n_outputs)`` for rows as the member sees them."""
        return self._run(block, self.variants)

    def _run(self, block: Any, variants: Sequence[Variant]) -> Tensor:
        rows = self.model.rows(Rows(block, allow_nan=True))
        result: Tensor | None = None
        with preserve_global_rng(), evaluating(self.access.module):
            for group in _grouped(self.access.batches(rows)):
                for k, variant in enumerate(variants):
                    with variant() as weights:
                        for where, batch in group:
                            outputs = self._convert(self.access.forward(batch, weights))
                            if result is None:
                                shape = (len(variants), len(rows), outputs.shape[1])
                                result = outputs.new_empty(shape)
                            result[k, where] = outputs
        if result is None:
            raise ValueError("There is no row to read.")
        return result

    def _convert(self, outputs: Tensor) -> Tensor:
        outputs = as_columns(outputs)
        if self.classifies:
            return self.access.to_proba(outputs)
        outputs = outputs.double()
        if self.model.target_transformers[self.model.n_kept :]:
            undone = self.model.to_common_units(outputs.cpu().numpy())
            outputs = torch.as_tensor(undone, device=outputs.device).double()
        return outputs

    def _labels(self) -> np.ndarray:
        return self.model.decode(self.access.column_classes(self.n_outputs))


class NetPosterior(Posterior):
    """Base of the posteriors whose draws are variants of each net of the learner.

    A committee or an ensemble of nets gives the draws of all of them: of M nets with
    K draws each M·K models, for example a stochastic ensemble by `MCDropout`.
    """

    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Draw the variants of every net; see `Posterior.draw`."""
        self._check_parameters()
        source = type(self).__name__
        readers = [self._reader(model, rng) for model in net_models(pool, source)]
        return Draws(pool, readers, source)

    def _check_parameters(self) -> None:
        """Raise ValueError for a parameter out of range."""

    def _reader(self, model: Model, rng: torch.Generator) -> Reader:
        return NetReader(model, self._variants(model, rng))

    @abstractmethod
    def _variants(self, model: Model, rng: torch.Generator) -> Sequence[Variant]:
        """Draw variants of one net."""


def _grouped(
    batches: Iterable[tuple[slice, Any]],
) -> Iterator[list[tuple[slice, Any]]]:
    """Put batches together, so that a variant is entered once for many rows."""
    group: list[tuple[slice, Any]] = []
    held = 0
    for where, batch in batches:
        group.append((where, batch))
        held += sum(tensor.numel() for tensor in tensors_of(batch))
        if held >= _HELD:
            yield group
            group, held = [], 0
    if group:
        yield group
