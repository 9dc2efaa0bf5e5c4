"""What a query strategy may ask of a fitted net: read-only, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

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
from skal.nets.bayesian.layers import LINEAR
from skal.nets.probabilities import find_nonlinearity
from skal.reading.batches import arguments, length, split
from skal.rows import Rows

__all__ = ["LINEAR", "NetAccess", "as_columns"]

Parameters = Mapping[str, Tensor]
#: Rows that run through a net together, and more of them where layers are all linear
#: and the widest has fewer numbers for them: their activations stay in cache.
_CHUNK, _NUMBERS = 512, 2**18


class NetAccess:
    """Reads a fitted skorch net without changing it.

    Everything is computed in eval mode and without gradients; other weights are
    swapped in by `torch.func.functional_call`, never written.

    Parameters
    ----------
    net : skorch.NeuralNet
        A fitted net, skal's or skorch's own.
    head : str, optional
        Name of the head among ``net.module_.named_modules()``.  By default it is the
        last `torch.nn.Linear` or `BayesLinear` that a forward pass runs through.

    Attributes
    ----------
    module : torch.nn.Module
        The net's module.
    """

    def __init__(self, net: NeuralNet, head: str | None = None) -> None:
        self.net = net
        self.module: nn.Module = net.module_
        self._head_name = head

    # -- forward passes -----------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Eval mode and no gradients; every module's mode is restored afterwards."""
        modes = [(module, module.training) for module in self.module.modules()]
        try:
            self.module.eval()
            with torch.no_grad():
                yield
        finally:
            for module, training in modes:
                if module.training != training:
                    module.training = training

    def batches(
        self, rows: Rows, size: int | None = None
    ) -> Iterator[tuple[slice, Any]]:
        """Yield ``(slice, batch)`` in order, tensors on the net's device.

        Batches are those of the net's iterator, or parts of at most `size` rows.
        """
        for block, X in rows.blocks():
            start = block.start
            dataset = self.net.get_dataset(self._prepare(X))
            iterator = self.net.get_iterator(dataset, training=False)
            self._check_order(iterator)
            for data in iterator:
                whole = to_tensor(unpack_data(data)[0], device=self.net.device)
                for batch in split(whole, size):
                    stop = start + length(batch)
                    yield slice(start, stop), batch
                    start = stop
            if start != block.stop:
                raise UnsuitableLearnerError(
                    f"The validation iterator of {type(self.net).__name__} gave "
                    f"{start - block.start} of {block.stop - block.start} rows. Set "
                    "iterator_valid__drop_last=False."
                )

    def forward(self, batch: Any, parameters: Parameters | None = None) -> Tensor:
        """Raw outputs of the module, ``(b, ...)``, by its own or other parameters."""
        args, kwargs = arguments(batch)
        if parameters is None:
            output = self.module(*args, **kwargs)
        else:
            output = functional_call(self.module, dict(parameters), args, kwargs)
        return output[0] if isinstance(output, tuple) else output

    def forward_features(
        self, batch: Any, parameters: Parameters | None = None
    ) -> tuple[Tensor, Tensor]:
        """Input of the head, ``(b, d)``, and raw outputs, in one pass."""
        caught: dict[str, Tensor] = {}

        def catcher(name: str) -> Callable[..., None]:
            def catch(_: nn.Module, args: tuple[Tensor, ...], named: Any) -> None:
                caught.pop(name, None)  # so that the last module run comes last
                caught[name] = args[0] if args else next(iter(named.values()))

            return catch

        handles = [
            module.register_forward_pre_hook(catcher(name), with_kwargs=True)
            for name, module in self._heads().items()
        ]
        try:
            output = self.forward(batch, parameters)
        finally:
            for handle in handles:
                handle.remove()
        if not caught:
            raise UnsuitableLearnerError(
                f"The forward pass of {type(self.module).__name__} does not run "
                f"through {list(self._heads())}, where its head was looked for. Name "
                "another with head=."
            )
        self._head_name, features = list(caught.items())[-1]
        if len(features) != len(output):
            raise UnsuitableLearnerError(
                f"The head {self._head_name!r} of {type(self.module).__name__} takes "
                f"{len(features)} rows where the net gives {len(output)}. Name "
                "another with head=."
            )
        return features.flatten(1), output

    def collect(
        self, rows: Rows, read: Callable[[Any], Tensor], size: int | None = None
    ) -> Tensor:
        """Apply ``read(batch) -> (b, ...)`` to all rows; ``(m, ...)`` on the device."""
        (result,) = self.collect_all(rows, lambda batch: (read(batch),), size)
        return result

    def collect_all(
        self,
        rows: Rows,
        read: Callable[[Any], tuple[Tensor, ...]],
        size: int | None = None,
    ) -> tuple[Tensor, ...]:
        """Apply a function of several results to all rows, in one pass over them."""
        results: tuple[Tensor, ...] = ()
        with self.reading():
            for block, batch in self.batches(rows, size):
                parts = read(batch)
                if not results:  # allocated once, so that nothing is held twice
                    results = tuple(
                        part.new_empty((len(rows), *part.shape[1:])) for part in parts
                    )
                for result, part in zip(results, parts, strict=True):
                    result[block] = part
        if not all(_all_finite(result) for result in results):
            raise ValueError(
                f"What {type(self.module).__name__} gives for {rows.name} is not "
                "finite. Did its training diverge?"
            )
        return results

    @property
    def n_together(self) -> int:
        """Rows that are read fast, and in little memory, forward and backward."""
        own = [m for m in self.module.modules() if [*m.parameters(recurse=False)]]
        widths = [max(m.weight.shape) for m in own if isinstance(m, nn.Linear)]
        if not widths or len(widths) < len(own):
            return _CHUNK
        return max(_CHUNK, _NUMBERS // max(widths))

    def outputs(self, rows: Rows) -> Tensor:
        """Raw outputs, ``(m, C)``: logits of a classifier, predictions otherwise."""
        return self.collect(rows, lambda batch: as_columns(self.forward(batch)))

    def features(self, rows: Rows) -> Tensor:
        """Input of the head, ``(m, d)``: the penultimate features."""
        size = self.n_together if torch.device(self.net.device).type == "cpu" else None
        return self.collect(rows, lambda batch: self.forward_features(batch)[0], size)

    # -- probabilities ------------------------------------------------------------

    @cached_property
    def to_proba(self) -> Callable[[Tensor], Tensor]:
        """Function from raw outputs to probabilities ``(b, C)``, float64.

        It follows from the criterion: a softmax for cross-entropy, a sigmoid for the
        binary one, nothing for skorch's negative log likelihood, whose modules end
        in a softmax.  float64 keeps differences of confident rows.

        Raises
        ------
        UnsuitableLearnerError
            If the criterion does not tell what the outputs are.
        """
        if not is_classifier(self.net):
            raise UnsuitableLearnerError(
                f"{type(self.net).__name__} is no classifier: it has no probabilities."
            )
        try:
            convert = find_nonlinearity(
                self.net.predict_nonlinearity, self.net.criterion_
            )
        except ValueError as error:
            raise UnsuitableLearnerError(str(error)) from error
        return lambda outputs: convert(outputs.double())

    def column_classes(self, n: int) -> np.ndarray:
        """Give the classes of the `n` columns of the net's probabilities.

        Raises
        ------
        UnsuitableLearnerError
            If they cannot be told.
        """
        try:
            classes = np.asarray(self.net.classes_)
        except AttributeError:  # skorch's, trained on a Dataset: targets are positions
            classes = np.arange(n)
        if len(classes) != n:
            # skorch's classes_ are those that it saw; its columns are all positions.
            if classes.dtype.kind not in "iu" or not np.isin(classes, range(n)).all():
                raise UnsuitableLearnerError(
                    f"{type(self.net).__name__} has {n} outputs for the classes "
                    f"{classes.tolist()}. Name all classes with classes=."
                )
            classes = np.arange(n)
        return classes

    # -- the head -----------------------------------------------------------------

    def _heads(self) -> dict[str, nn.Module]:
        """Modules among which the head is the last one run."""
        modules = dict(self.module.named_modules())
        linear: dict[str, nn.Module] = {
            name: module
            for name, module in modules.items()
            if isinstance(module, LINEAR)
        }
        if self._head_name is not None:
            if self._head_name not in modules:
                raise UnsuitableLearnerError(
                    f"{type(self.module).__name__} has no module named "
                    f"{self._head_name!r}. Its Linear modules are {list(linear)}."
                )
            return {self._head_name: modules[self._head_name]}
        if not linear:
            raise UnsuitableLearnerError(
                f"{type(self.module).__name__} has no torch.nn.Linear to take for its "
                f"head. Name its last layer with head=, one of {list(modules)[1:]}."
            )
        return linear

    @property
    def head(self) -> nn.Module:
        """The head; known once features were read, or by name."""
        heads = self._heads()
        if len(heads) > 1:
            raise RuntimeError("The head is known once features were read.")
        return next(iter(heads.values()))

    # -- inside -------------------------------------------------------------------

    def _prepare(self, X: Any) -> Any:
        """Give X the type that the module computes in, as skal's nets do."""
        if sparse.issparse(X):
            X = X.toarray()
        single = any(p.dtype == torch.float32 for p in self.module.parameters())
        if single and isinstance(X, np.ndarray) and X.dtype == np.float64:
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


def as_columns(outputs: Tensor) -> Tensor:
    """Give outputs as ``(b, C)``, a single output as one column."""
    return outputs[:, None] if outputs.ndim == 1 else outputs


def _all_finite(values: Tensor) -> bool:
    """Whether all are; a sum that is tells it in one pass, and may overflow."""
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())
