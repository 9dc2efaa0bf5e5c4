"""Reading a fitted net in blocks, without changing it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from sklearn.base import is_classifier
from skorch import NeuralNet
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.utils.data import DataLoader, SequentialSampler

from skal.contexts import call_with, hooked, input_of, outer_device
from skal.exceptions import UnsuitableLearnerError
from skal.nets.criteria import find_nonlinearity
from skal.nets.heads import Head, find_head
from skal.reading.batches import (
    arguments,
    as_columns,
    as_floats,
    batch_length,
    index_batch,
    split,
)
from skal.reading.probing import N_MANY, are_aligned, probe_rows, reads_rows_alone
from skal.rows import Rows, dense_pieces
from skal.shared_copy import copy_to_read

__all__ = ["NetAccess", "require_probabilities"]

Parameters = Mapping[str, Tensor]
#: Rows of a chunk, and elements of the widest layer's activations in a chunk of a net
#: whose layers are all linear.  Activations of this size stay in the cache.
_CHUNK, _CHUNK_ELEMENTS = 512, 2**18
#: Number of rows on which a module is probed.
_N_PROBE = 8


class NetAccess:
    """Reads a fitted skorch net without touching it.

    What is run is a copy of the net, in eval mode; see
    `skal.shared_copy.copy_to_read`.  Other weights are swapped in for a forward pass,
    never written.  Several threads may read the same net.

    Parameters
    ----------
    net : skorch.NeuralNet
        A fitted net of skal or skorch.
    head : str, optional
        Name of the head among ``access.module.named_modules()``.  By default the head
        is the last `torch.nn.Linear` or `BayesLinear` that a forward pass runs on the
        way to its (first) output.
    """

    def __init__(self, net: NeuralNet, head: str | None = None) -> None:
        self._original = net
        self._head_name = head
        self._head: Head | None = None
        self._rows_alone, self._n_checked = True, 1

    @cached_property
    def net(self) -> NeuralNet:
        """The copy of the net, with separate modules; all else is shared."""
        net: NeuralNet = copy_to_read(self._original)
        return net

    @property
    def module(self) -> nn.Module:
        """The copy of the module, without wrappers as that of `torch.compile`."""
        module: nn.Module = self.net.module_
        return module

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
            for piece in dense_pieces(X):
                dataset = self.net.get_dataset(piece)
                iterator = self.net.get_iterator(dataset, training=False)
                self._check_order(iterator)
                if isinstance(iterator, DataLoader) and iterator.generator is None:
                    # It would draw from the global one, even if it does not shuffle.
                    iterator.generator = torch.Generator()
                for data in iterator:
                    whole = to_tensor(unpack_data(data)[0], device=self.net.device)
                    whole = self._converted(whole)
                    self.check_rows_alone(whole)
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
        """Compute the raw outputs of the module, ``(b, ...)``, in float32 or float64.

        Parameters
        ----------
        batch : Tensor, tuple or dict of Tensor
            As `batches` yields it.
        parameters : mapping of str to Tensor, optional
            Parameters and buffers to use in place of the module's.
        """
        args, kwargs = arguments(batch)
        with outer_device():
            if parameters is None:
                output = self.module(*args, **kwargs)
            else:
                output = call_with(self.module, parameters, args, kwargs)
        output = output[0] if isinstance(output, tuple) and output else output
        if not isinstance(output, Tensor):
            raise UnsuitableLearnerError(
                f"{type(self.module).__name__} returns a {type(output).__name__}. "
                "Return a tensor, or a tuple that begins with one, as skorch expects."
            )
        output = as_floats(output)
        # Of a single row, a `squeeze` in the module has removed the batch dimension.
        squeezed = batch_length(batch) == 1 and (output.ndim == 0 or len(output) != 1)
        return output[None] if squeezed else output

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
            few = index_batch(batch, slice(2))
            head = find_head(self.module, lambda: self.forward(few), self._head_name)
            self._check_features(head.name, head.inputs, head.module_outputs)
            self._check_alignment(head, batch)
            self._head = head
        return self._head

    def check_rows_alone(self, batch: Any) -> bool:
        """Whether the outputs for a row are the same in any batch, as far as is known.

        Parameters
        ----------
        batch : Tensor, tuple or dict of Tensor
            It is read, unless a batch of this size or more has been checked before.

        Warns
        -----
        UserWarning
            If they are not, the first time.
        """
        n = min(batch_length(batch), N_MANY)
        if self._rows_alone and n > self._n_checked:
            with torch.inference_mode(False), torch.no_grad():
                alone = reads_rows_alone(self.forward, batch)
            # Not before: nothing is known after an interrupt, or to another thread.
            self._rows_alone, self._n_checked = alone, n
            if not alone:
                warnings.warn(
                    f"The outputs of {type(self.module).__name__} for a row depend on "
                    "the other rows of its batch, so that other picks may follow from "
                    f"other batches or pools.{_normalized(self.module)}",
                    UserWarning,
                    stacklevel=2,
                )
        return self._rows_alone

    def _check_alignment(self, head: Head, batch: Any) -> None:
        """Raise if the head sees the rows in another order than the output has."""
        caught: list[Tensor] = []

        def catch(_: str, __: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            if not isinstance(output, Tensor):
                return None
            if not output.requires_grad:
                output = output.detach().requires_grad_()
            caught.append(output)
            return output.clone()  # the next layer may write in place

        probe = index_batch(batch, probe_rows(batch_length(batch), _N_PROBE))
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            hooked({head.name: head.layer}, catch),
        ):
            outputs = as_columns(self.forward(probe)).flatten(1)
            aligned = are_aligned(outputs, caught[-1:])
        if not all(aligned) or not self._heads_rows_alone(head, batch):
            raise UnsuitableLearnerError(
                f"{type(self.module).__name__} sorts or mixes the rows of a batch "
                f"between its head {head.name!r} and its output, so it is unknown "
                "which features belong to which row. Restore the order of the rows "
                "before that layer, or name another one with head=."
            )

    @torch.inference_mode(False)
    @torch.no_grad()
    def _heads_rows_alone(self, head: Head, batch: Any) -> bool:
        """Whether the head has the same input for a row in any batch.

        Also True if the outputs differ between batches, of which there is a warning.
        """
        caught: list[Tensor] = []

        def catch(_: str, __: nn.Module, args: Any, kwargs: Any) -> None:
            caught.append(input_of(args, kwargs))

        def read(batch: Any) -> Tensor:
            self.forward(batch)
            return as_floats(caught[-1])

        with hooked({head.name: head.layer}, catch, before=True):
            return not self.check_rows_alone(batch) or reads_rows_alone(read, batch)

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
            caught.append(as_floats(input_of(args, kwargs)))

        with hooked({head.name: head.layer}, catch, before=True):
            output = self.forward(batch, parameters)
            if not caught:  # without gradients, transformers skip their modules
                with torch.enable_grad():
                    output = self.forward(batch, parameters)
                caught[-1], output = caught[-1].detach(), output.detach()
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
        with torch.inference_mode(False), torch.no_grad():
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
            self._check_finite(result, rows)
        return tuple(results) if isinstance(found, tuple) else results[0]

    def stream(
        self,
        rows: Rows,
        read: Callable[[Any], tuple[Tensor, ...]],
        size: int | None = None,
    ) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        """Yield ``(slice, result)`` in order; what `collect` returns is not kept.

        Parameters and errors as of `collect`.
        """
        for block, batch in self.batches(rows, size):
            with torch.inference_mode(False), torch.no_grad():
                parts = read(batch)
            for part in parts:
                self._check_finite(part, rows)
            yield block, parts

    def _check_finite(self, result: Tensor, rows: Rows) -> None:
        # One pass, unless the sum overflows.
        if not (result.sum().isfinite() or result.isfinite().all()):
            raise UnsuitableLearnerError(
                f"The outputs of {type(self.module).__name__} for {rows.name} are "
                "not finite. Did its training diverge?"
            )

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

        The function raises UnsuitableLearnerError if the rows are no probabilities.
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

        name = type(self.module).__name__

        def to_proba(outputs: Tensor) -> Tensor:
            proba = convert(outputs.double())
            require_probabilities(proba, name)
            return proba

        return to_proba

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

    def _converted(self, batch: Any) -> Any:
        """Convert a batch to tensors that the module computes in."""
        if isinstance(batch, Mapping):
            return {key: self._converted(x) for key, x in batch.items()}
        if isinstance(batch, (tuple, list)):
            return tuple(self._converted(x) for x in batch)
        if not isinstance(batch, Tensor):
            return batch
        if batch.is_floating_point() and self._dtypes:
            single = torch.float32 in self._dtypes and batch.dtype == torch.float64
            if single:
                batch = batch.float()
            elif batch.dtype not in self._dtypes:
                batch = batch.to(self._dtypes[0])
        # No gradient can be taken with a tensor made in torch.inference_mode.
        return batch.clone() if batch.is_inference() else batch

    @cached_property
    def _dtypes(self) -> list[torch.dtype]:
        """Floating-point types of the parameters, in order."""
        return [p.dtype for p in self.module.parameters() if p.is_floating_point()]

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


def _normalized(module: nn.Module) -> str:
    """Advise on layers that normalize by the statistics of a batch, if there are."""
    found = [
        name
        for name, part in module.named_modules()
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
        and part.running_mean is None
    ]
    if not found:
        return " Let each row be computed by itself."
    return (
        f" The layers {found[:5]} normalize by the rows of a batch: set "
        "track_running_stats=True."
    )


def require_probabilities(outputs: Tensor, name: str) -> None:
    """Check that outputs ``(..., C)`` are probabilities.

    NaN passes: whoever reads the scores reports it.

    Raises
    ------
    UnsuitableLearnerError
        If a value is negative, or those of a row do not sum to 1.
    """
    off = (outputs.sum(-1) - 1).abs().max()
    if off > 1e-3 or outputs.min() < 0:
        raise UnsuitableLearnerError(
            f"The outputs of {name} are not probabilities: a row has a negative value, "
            f"or its sum differs from 1 by {float(off):.3g}. NLLLoss and BCELoss need "
            "a module that outputs probabilities, by a softmax or sigmoid at its end; "
            "train one that outputs logits with CrossEntropyLoss or BCEWithLogitsLoss."
        )
