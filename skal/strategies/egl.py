"""Expected gradient length: rows whose label would change the net most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from skal.measures import gradient_lengths, softmax_gradient_length
from skal.reading.access import NetAccess
from skal.reading.batches import as_columns, index_batch
from skal.reading.gradients import Directions, GradientReader
from skal.reading.pool import Pool
from skal.spaces import Factors
from skal.strategies.base import ScoreStrategy
from skal.validation import check_option

__all__ = ["EGL"]

#: Maximum number of elements of the directions of a chunk of rows.
_ELEMENTS = 2**24
#: Maximum number of labels whose gradients of all layers are held together.
_MAX_LABELS = 16
#: Number of rows in a chunk.
_ROWS = 512


class EGL(ScoreStrategy):
    r"""Expected gradient length [1]_ [2]_: rows whose labels would change a net most.

    Parameters
    ----------
    space : {"last_layer", "gradients"}, default="last_layer"
        Whether gradients are those of the last layer or of all trainable parameters.
    head : str, optional
        Name of the last layer; by default the last Linear on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used to order rows with equal scores; None gives the same order in each query.

    Notes
    -----
    The score is the length of the gradient of the loss that a label would cause, in
    expectation over the probabilities that the net predicts:

    .. math::
        \sum_y p_y(x) \lVert \nabla_\theta (-\log p_y(x)) \rVert = \sum_y \lVert
        \nabla_\theta p_y(x) \rVert

    The right side is computed, so that no logarithm of a zero probability is taken.
    For the last layer of a softmax, with features z, with 1 appended if it has a bias,
    it is :math:`\sum_y p_y \lVert p - e_y \rVert \lVert z \rVert`.  The scores of
    several nets are averaged.  Labeled rows, class weights and weight decay are not
    used.

    The cost is one forward pass over the pool for the last layer of a softmax.  In all
    other cases, there are C backward passes in addition (of the last layer only for
    ``"last_layer"``), and a forward pass for each group of labels if there are many
    classes.  Gradients are stored as factors, for a few rows at a time, so the memory
    does not grow with the pool.

    References
    ----------
    .. [1] Settles and Craven, "An analysis of active learning strategies for sequence
       labeling tasks", EMNLP 2008. https://aclanthology.org/D08-1112
    .. [2] Huang, Child, Rao, Liu, Satheesh and Coates, "Active learning for speech
       recognition: the power of gradients", 2016. https://arxiv.org/abs/1612.03226

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal import NetClassifier
    >>> from skal.strategies import EGL
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(lr=0.01, random_state=0).fit(X[::3], y[::3])
    >>> bool((y[EGL().select(net, X, 4).indices] > 0).all())
    True
    """

    _task: ClassVar[str] = "classification"
    _requires: ClassVar[str | None] = "net"
    _draws_only_ties: ClassVar[bool] = True

    def __init__(
        self,
        space: str = "last_layer",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.space = space
        self.head = head
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        check_option("space", self.space, ["last_layer", "gradients"])
        pool.warn_if_overridden()
        scores = [
            access.collect(
                member.rows, _expected_length(access, self.space), access.chunk_size
            ).cpu()
            for member, access in pool.nets(self.head)
        ]
        return torch.stack(scores).mean(dim=0)


def _expected_length(access: NetAccess, space: str) -> Callable[[Any], Tensor]:
    """Return a function from batches to scores, ``(b,)``."""
    in_closed_form = space == "last_layer"
    closed, general = _of_softmax(access), _by_label(access, space)

    def read(batch: Any) -> Tensor:
        nonlocal in_closed_form
        if in_closed_form:
            scores = closed(batch)
            if not bool(scores.isnan().any()):
                return scores
            in_closed_form = False
        return general(batch)

    return read


def _of_softmax(access: NetAccess) -> Callable[[Any], Tensor]:
    """Return what scores a batch, with NaN if the outputs of the head are not logits.

    All labels are taken at once: the gradients of a softmax differ only in the length
    of what comes back to the logits.  One direction of that length, summed over labels,
    is sent back; it arrives unchanged if the outputs of the head are the logits.
    """
    sent: list[Tensor] = []

    def directions(outputs: Tensor) -> Tensor:
        proba = outputs.double().softmax(dim=1)
        total = softmax_gradient_length(proba)
        if not torch.equal(access.to_proba(outputs), proba):
            total = torch.full_like(total, torch.nan)
        # The elements differ, so that only the identity leaves them unchanged.
        unit = F.normalize(torch.linspace(1, 2, outputs.shape[1]), dim=0)
        sent[:] = [(total[:, None] * unit.to(total)).to(outputs.dtype)]
        return sent[0][:, :, None]

    def lengths(factors: list[Factors]) -> Tensor:
        found = gradient_lengths(factors)[:, 0]
        is_kept = torch.equal(factors[0].outputs, sent[0])
        return found if is_kept else torch.full_like(found, torch.nan)

    reader = GradientReader(access, "last_layer", directions)
    return lambda batch: lengths(reader(batch))


def _by_label(access: NetAccess, space: str) -> Callable[[Any], Tensor]:
    """Return a function from batches to scores, label by label, for any net."""
    readers: list[tuple[int, GradientReader]] = []

    def read(batch: Any) -> Tensor:
        if not readers:
            few = index_batch(batch, slice(2))  # a batch norm may refuse a single row
            outputs = as_columns(access.forward(few))
            for labels in _groups(outputs, access.to_proba, space):
                directions = _gradients_of(access.to_proba, labels)
                reader = GradientReader(access, space, directions)
                readers.append((len(labels), reader))
        sums = [gradient_lengths(reader(batch), n).sum(dim=1) for n, reader in readers]
        return torch.stack(sums).sum(dim=0)

    return read


def _groups(
    outputs: Tensor, to_proba: Callable[[Tensor], Tensor], space: str
) -> list[range]:
    """Return groups of labels whose gradients are read together."""
    n_outputs, n_labels = outputs.shape[1], to_proba(outputs).shape[1]
    size = max(1, _ELEMENTS // (_ROWS * n_outputs))
    if space == "gradients":
        size = min(size, _MAX_LABELS)
    starts = range(0, n_labels, size)
    return [range(start, min(start + size, n_labels)) for start in starts]


def _gradients_of(to_proba: Callable[[Tensor], Tensor], labels: range) -> Directions:
    """Gradients of some probabilities with respect to the raw outputs, float64."""

    def directions(outputs: Tensor) -> Tensor:
        with torch.enable_grad():
            outputs = outputs.detach().double().requires_grad_()
            total = to_proba(outputs).sum(dim=0)
            found = [
                torch.autograd.grad(total[label], outputs, retain_graph=True)[0]
                for label in labels
            ]
        return torch.stack(found, dim=2)

    return directions
