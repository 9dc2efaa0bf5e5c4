"""Reading a fitted net in blocks, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from scipy import sparse
from sklearn.base import is_classifier
from skorch import NeuralNet
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import SequentialSampler

from skal.exceptions import UnsuitableLearnerError
from skal.hooks import evaluating, hooked, input_of
from skal.nets.criteria import find_nonlinearity
from skal.nets.heads import Head, find_head
from skal.rows import Rows, dense_pieces

__all__ = [
    "NetAccess",
    "arguments",
    "as_columns",
    "batch_length",
    "index_batch",
    "split",
    "tensors_of",
]

Parameters = Mapping[str, Tensor]
#: Rows of a chunk, and elements of the widest layer's activations in a chunk of a net
#: whose layers are all linear.  Activations of this size stay in the cache.
_CHUNK, _CHUNK_ELEMENTS = 512, 2**18


class NetAccess:
    """Reads a fitted skorch net without changing it.

    The net is read in eval mode and without gradients.  Other weights are swapped in by
    `torch.func.functional_call`, never written.

    Parameters
    ----------
    net : skorch.NeuralNet
        A fitted net of skal or skorch.
    head : str, optional
        Name of the head among ``net.module_.named_modules()``.  By default the head is
        the last `torch.nn.Linear` or `BayesLinear` that a forward pass runs.

    Attributes
    ----------
    module : torch.nn.Module
        The module that is read.  Modes and hooks are restored after each read.
    """

    def __init__(self, net: NeuralNet, head: str | None = None) -> None:
        self.net = net
        # The module itself, not a copy: a closure or a compiled module would still
        # refer to the original, whose mode the copy does not control.
        self.module: nn.Module = net.module_
        self._head_name = head
        self._head: Head | None = None

    # -- forward passes -----------------------------------------------------------

    def batches(
        self, rows: Rows, size: int | None = None
    ) -> Iterator[tuple[slice, Any]]:
        """Yield ``(slice, batch)`` in order, as tensors on the device of the net.

        Parameters
        ----------
        rows : Rows
        size : int, optional
            Maximum number of rows in a batch; by default that of the net's iterator.

        Raises
        ------
        UnsuitableLearnerError
            If the net's validation iterator shuffles or drops rows.
        """
        for block, X in rows.blocks():
            start = block.start
            for piece in dense_pieces(self._prepare(X)):
                dataset = self.net.get_dataset(piece)
                iterator = self.net.get_iterator(dataset, training=False)
                self._check_order(iterator)
                for data in iterator:
                    whole = to_tensor(unpack_data(data)[0], device=self.net.device)
                    for batch in split(whole, size):
                        stop = start + batch_length(batch)
                        yield slice(start, stop), batch
                        start = stop
            if start != block.stop:
                raise UnsuitableLearnerError(
                    f"The validation iterator of {type(self.net).__name__} gave "
                    f"{start - block.start} of {block.stop - block.start} rows. Set "
                    "iterator_valid__drop_last=False."
                )

    def forward(self, batch: Any, parameters: Parameters | None = None) -> Tensor:
        """Compute the raw outputs of the module, ``(b, ...)``.

        Parameters
        ----------
        batch : Tensor, tuple or dict of Tensor
            As `batches` yields it.
        parameters : mapping of str to Tensor, optional
            Parameters and buffers to use in place of the module's.
        """
        args, kwargs = arguments(batch)
        if parameters is None:
            output = self.module(*args, **kwargs)
        else:
            output = functional_call(self.module, dict(parameters), args, kwargs)
        return output[0] if isinstance(output, tuple) else output

    def find_head(self, batch: Any) -> Head:
        """Find the head of the module.

        Parameters
        ----------
        batch : Tensor, tuple or dict of Tensor
            The first call runs the module on its first two rows.

        Raises
        ------
        UnsuitableLearnerError
            If there is no such layer, it is not run, or its input does not have one
            row for each row of the output.
        """
        if self._head is None:
            outputs: list[Tensor] = []
            few = index_batch(batch, slice(2))
            with evaluating(self.module):
                head = find_head(
                    self.module,
                    lambda: outputs.append(self.forward(few)),
                    self._head_name,
                )
            self._check_features(head.name, head.inputs, outputs[0])
            self._head = head
        return self._head

    def forward_features(
        self, batch: Any, parameters: Parameters | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the input of the head, ``(b, d)``, and the raw outputs, in one pass.

        Parameters
        ----------
        batch, parameters
            As in `forward`.
        """
        head = self.find_head(batch)
        caught: list[Tensor] = []

        def catch(name: str, _: nn.Module, args: Any, kwargs: Any) -> None:
            caught.append(input_of(args, kwargs))

        with hooked({head.name: head.layer}, catch, before=True):
            output = self.forward(batch, parameters)
        self._check_features(head.name, caught[-1], output)
        return caught[-1].flatten(1), output

    @overload
    def collect(
        self, rows: Rows, read: Callable[[Any], Tensor], size: int | None = None
    ) -> Tensor: ...

    @overload
    def collect(
        self,
        rows: Rows,
        read: Callable[[Any], tuple[Tensor, ...]],
        size: int | None = None,
    ) -> tuple[Tensor, ...]: ...

    def collect(
        self, rows: Rows, read: Callable[[Any], Any], size: int | None = None
    ) -> Any:
        """Apply a function to all rows, batch by batch.

        Parameters
        ----------
        rows : Rows
        read : callable
            Maps a batch to a tensor ``(b, ...)``, or to a tuple of such tensors.
        size : int, optional
            As in `batches`.

        Returns
        -------
        result : Tensor of shape (m, ...), or tuple of such tensors
            On the device of the net.

        Raises
        ------
        ValueError
            If a result is not finite.
        """
        results: list[Tensor] = []
        with evaluating(self.module):
            for block, batch in self.batches(rows, size):
                found = read(batch)
                parts = found if isinstance(found, tuple) else (found,)
                if not results:  # allocated once, so that nothing is held twice
                    results = [
                        part.new_empty((len(rows), *part.shape[1:])) for part in parts
                    ]
                for result, part in zip(results, parts, strict=True):
                    result[block] = part
        for result in results:
            # One pass, unless the sum overflows.
            if not (result.sum().isfinite() or result.isfinite().all()):
                raise ValueError(
                    f"The outputs of {type(self.module).__name__} for {rows.name} are "
                    "not finite. Did its training diverge?"
                )
        return tuple(results) if isinstance(found, tuple) else results[0]

    @property
    def chunk_size(self) -> int:
        """Number of rows to read at a time, so that activations stay in the cache."""
        widest = 0
        for layer in self.module.modules():
            if isinstance(layer, nn.Linear):
                widest = max(widest, *layer.weight.shape)
            elif next(layer.parameters(recurse=False), None) is not None:
                return _CHUNK
        return max(_CHUNK, _CHUNK_ELEMENTS // widest) if widest else _CHUNK

    def outputs(self, rows: Rows) -> Tensor:
        """Read raw outputs, ``(m, C)``: logits of a classifier, else predictions."""
        return self.collect(rows, lambda batch: as_columns(self.forward(batch)))

    def features(self, rows: Rows) -> Tensor:
        """Read the penultimate features, ``(m, d)``: the input of the head."""
        size = self.chunk_size if torch.device(self.net.device).type == "cpu" else None
        return self.collect(rows, lambda batch: self.forward_features(batch)[0], size)

    # -- probabilities ------------------------------------------------------------

    @cached_property
    def to_proba(self) -> Callable[[Tensor], Tensor]:
        """Function from raw outputs to probabilities ``(b, C)``, float64.

        The criterion determines it: a softmax for cross-entropy, a sigmoid for binary
        cross-entropy, and the identity for skorch's negative log-likelihood, whose
        modules end in a softmax.  float64 preserves the differences between confident
        rows.

        Raises
        ------
        UnsuitableLearnerError
            If the net is not a classifier, or if its criterion does not determine what
            the outputs are.
        """
        if not is_classifier(self.net):
            raise UnsuitableLearnerError(
                f"{type(self.net).__name__} is not a classifier, so it cannot predict "
                "probabilities."
            )
        try:
            convert = find_nonlinearity(
                self.net.predict_nonlinearity, self.net.criterion_
            )
        except ValueError as error:
            raise UnsuitableLearnerError(str(error)) from error
        return lambda outputs: convert(outputs.double())

    def column_classes(self, n: int) -> np.ndarray:
        """Get the classes of the `n` columns of the net's probabilities.

        Raises
        ------
        UnsuitableLearnerError
            If they cannot be determined.
        """
        try:
            classes = np.asarray(self.net.classes_)
        except AttributeError:  # skorch's, trained on a Dataset: targets are positions
            classes = np.arange(n)
        if len(classes) != n:
            # skorch's classes_ are those in the training labels; its columns are all
            # positions.
            if classes.dtype.kind not in "iu" or not np.isin(classes, range(n)).all():
                raise UnsuitableLearnerError(
                    f"{type(self.net).__name__} has {n} outputs for the classes "
                    f"{classes.tolist()}. Name all classes with classes=."
                )
            classes = np.arange(n)
        return classes

    # -- checks -------------------------------------------------------------------

    def _prepare(self, X: Any) -> Any:
        """Convert X to the type that the module computes in, as skal's nets do."""
        single = any(p.dtype == torch.float32 for p in self.module.parameters())
        is_array = isinstance(X, np.ndarray) or sparse.issparse(X)
        if single and is_array and X.dtype == np.float64:
            return X.astype(np.float32)
        if single and isinstance(X, Tensor) and X.dtype == torch.float64:
            return X.float()
        return X

    def _check_order(self, iterator: Any) -> None:
        sampler = getattr(iterator, "sampler", None)
        if sampler is not None and not isinstance(sampler, SequentialSampler):
            raise UnsuitableLearnerError(
                f"The validation iterator of {type(self.net).__name__} does not keep "
                f"the order of the rows ({type(sampler).__name__}). Set "
                "iterator_valid__shuffle=False."
            )

    def _check_features(self, head: str, features: Tensor, output: Tensor) -> None:
        if len(features) != len(output):
            raise UnsuitableLearnerError(
                f"The head {head!r} of {type(self.module).__name__} reads "
                f"{len(features)} rows where the net outputs {len(output)}. Name "
                "another layer with head=."
            )


# -- batches: a tensor, or several in a tuple, list or dict ---------------------------


def arguments(batch: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Get the positional and the keyword arguments of a module for a batch."""
    if isinstance(batch, Mapping):
        return (), dict(batch)
    return (tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)), {}


def batch_length(batch: Any) -> int:
    """Count the rows of a batch."""
    if isinstance(batch, Mapping):
        return len(next(iter(batch.values())))
    return len(batch[0]) if isinstance(batch, (tuple, list)) else len(batch)


def index_batch(batch: Any, index: slice | None) -> Any:
    """Index each tensor of a batch."""
    if isinstance(batch, Mapping):
        return {key: x[index] for key, x in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(x[index] for x in batch)
    return batch[index]


def split(batch: Any, size: int | None) -> list[Any]:
    """Split a batch into pieces of at most `size` rows; None leaves it whole."""
    n_rows = batch_length(batch)
    if size is None or n_rows <= size:
        return [batch]
    starts = range(0, n_rows, size)
    return [index_batch(batch, slice(start, start + size)) for start in starts]


def tensors_of(batch: Any) -> Iterator[Tensor]:
    """Yield every tensor of a batch, or of nested batches, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for part in batch.values():
            yield from tensors_of(part)
    elif isinstance(batch, (list, tuple)):
        for part in batch:
            yield from tensors_of(part)


def as_columns(outputs: Tensor) -> Tensor:
    """Reshape a single output ``(b,)`` to one column; leave ``(b, C)`` as it is."""
    return outputs[:, None] if outputs.ndim == 1 else outputs
