"""Draws that are variants of a net: other weights, or masks on its dropout layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from sklearn.base import is_classifier
from torch import Tensor

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.base import Draws, Posterior, Reader
from skal.reading.batches import as_columns, tensors_of
from skal.reading.pool import Member, Pool
from skal.rng import preserve_global_rng
from skal.rows import Rows

__all__ = ["NetPosterior", "NetReader", "Variant", "with_weights"]

#: Enters one drawn model; yields the weights to run the module with, or None for its
#: own.
Variant = Callable[[], AbstractContextManager[Mapping[str, Tensor] | None]]

#: Elements of inputs held on the device while all variants are run on them.
_HELD_ELEMENTS = 2**22


def with_weights(weights: Callable[[], Mapping[str, Tensor] | None]) -> Variant:
    """Make the variant that runs the module with the weights a function returns."""
    return lambda: nullcontext(weights())


class NetReader(Reader):
    """Reads the outputs of variants of a net.

    Parameters
    ----------
    net : Member
        Its estimator is a skorch net.
    variants : sequence of Variant
        The draws.

    Notes
    -----
    A copy of the net is run in eval mode without gradients, one forward pass for each
    draw.  The global random generators are restored.
    """

    def __init__(self, net: Member, variants: Sequence[Variant]) -> None:
        self.net = net
        self.access = net.access
        self.variants = list(variants)
        self.member = net.index
        self.n_draws = len(self.variants)
        self.classifies = is_classifier(net.estimator)
        # Two rows: batch norm without running statistics refuses a single one.
        plain = self._run(net.rows.first(2), [nullcontext])
        self.n_outputs = plain.shape[2]
        self.labels = None
        if self.classifies:
            self.labels = net.decode(self.access.column_classes(self.n_outputs))

    def read(self, block: Any) -> Tensor:
        """Read ``(n_draws, b, n_outputs)`` for a block of the member's rows."""
        return self._run(self.net.through_steps(block), self.variants)

    def _run(self, rows: Rows, variants: Sequence[Variant]) -> Tensor:
        result: Tensor | None = None
        with preserve_global_rng(), torch.inference_mode(False), torch.no_grad():
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
        if self.net.has_own_units:
            shared = self.net.to_shared_units(outputs.cpu().numpy())
            outputs = torch.as_tensor(shared, device=outputs.device).double()
        return outputs


class NetPosterior(Posterior):
    """Base class of the posteriors that draw variants of each net of the learner.

    The draws of a committee or an ensemble are those of all its nets: M nets with K
    draws each give M·K models, for example a stochastic ensemble with `MCDropout`.
    """

    def draw(self, pool: Pool, rng: torch.Generator) -> Draws:
        """Draw the variants of every net; see `Posterior.draw`."""
        self._check_parameters()
        name = type(self).__name__
        readers = []
        for member in pool.members:
            nets = member.nets()
            if not nets:
                raise UnsuitableLearnerError(
                    f"{name} draws from the nets of skorch estimators, and "
                    f"{type(member.estimator).__name__} is not one. Use "
                    "skal.NetClassifier or skal.NetRegressor, alone, in a Pipeline, a "
                    "committee or an ensemble; or posterior=Members() for an ensemble "
                    "or committee of other estimators."
                )
            readers += [NetReader(net, self._variants(net, rng)) for net in nets]
        return Draws(pool, readers, name)

    def _check_parameters(self) -> None:
        """Raise ValueError for a parameter out of range."""

    @abstractmethod
    def _variants(self, net: Member, rng: torch.Generator) -> Sequence[Variant]:
        """Draw variants of one net, to be applied to ``net.access.module``."""


def _grouped(
    batches: Iterable[tuple[slice, Any]],
) -> Iterator[list[tuple[slice, Any]]]:
    """Group batches, so that a variant is entered once for many rows."""
    group: list[tuple[slice, Any]] = []
    held = 0
    for where, batch in batches:
        group.append((where, batch))
        held += sum(tensor.numel() for tensor in tensors_of(batch))
        if held >= _HELD_ELEMENTS:
            yield group
            group, held = [], 0
    if group:
        yield group
