"""Per-row gradients as outer products of layer inputs and output gradients."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skal.contexts import hiding, hooked, input_of
from skal.exceptions import UnsuitableLearnerError, is_out_of_memory
from skal.reading.access import NetAccess
from skal.reading.batches import as_columns, as_floats, batch_length, index_batch
from skal.reading.layer_gradients import (
    Pass,
    backward,
    layer_gradients,
    linear_factors,
    summed_gradients,
    whole_gradients,
)
from skal.reading.probing import (
    are_aligned,
    are_close,
    gradients_by,
    has_factors,
    is_single,
    probe_rows,
    reads_rows_alone,
)
from skal.rng import preserve_global_rng
from skal.rows import Rows
from skal.spaces import Factors
from skal.validation import check_option

__all__ = ["Directions", "GradientReader", "per_row_gradients"]

#: Number of rows of the probe batch, used to find the layers whose first dimension is
#: that of the batch.
_N_PROBE = 8
Directions = Callable[[Tensor], Tensor]


class _Caught(NamedTuple):
    """The layers that ran in a forward pass, in order."""

    names: list[str]
    inputs: list[Tensor]
    outputs: list[Tensor]


class GradientReader:
    r"""Reads :math:`\nabla_\theta \langle v, f(x; \theta) \rangle` row by row.

    Parameters
    ----------
    access : NetAccess
        The net f.
    space : {"gradients", "last_layer"}
        Whether theta is every trainable parameter or the parameters of the head.
    directions : callable, optional
        Maps raw outputs ``(b, C)`` to vectors v ``(b, C, K)``, which are constants to
        the gradient: K gradients for each row.  By default the gradient of each output
        is read, K = C.

    Notes
    -----
    The gradients of a linear layer that each row passes once are outer products.  Hooks
    read their factors in one forward and K backward passes, and no gradient is written
    out.  Linear layers that a row passes several times (sequences) give the sum of such
    products.  Of other layers without parts, such as a normalization or an embedding,
    `torch.func` differentiates the layer alone, and of all other parameters the whole
    module; these are returned unfactored.  The gradients by hooks are compared with
    those of autograd once, on the first rows: a layer whose parameters are also used
    without calling it, as that of attention, or that mixes rows, is one of the others.
    The order of the layers is the same for all batches.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import MLP, NetRegressor
    >>> from skal.reading.access import NetAccess
    >>> from skal.reading.gradients import GradientReader
    >>> X = np.linspace(-1, 1, 20, dtype=np.float32)[:, None]
    >>> net = NetRegressor(MLP, max_epochs=1, module__hidden_sizes=(8,))
    >>> net = net.fit(X, X[:, 0])
    >>> read = GradientReader(NetAccess(net), space="gradients")
    >>> [(a.shape[1], g.shape[1]) for a, g in read(torch.as_tensor(X))]
    [(2, 8), (9, 1)]
    """

    def __init__(
        self,
        access: NetAccess,
        space: str = "gradients",
        directions: Directions | None = None,
    ) -> None:
        check_option("space", space, ["gradients", "last_layer"])
        self.access = access
        self.space = space
        self.directions = directions
        self._chosen: tuple[dict[str, nn.Module], list[str]] | None = None
        #: The linear layers that each row of a table passes once.
        self._factored: set[str] = set()

    def __call__(self, batch: Any) -> list[Factors]:
        """Read the factors of each layer for a batch of ``access.batches``."""
        if self._chosen is None:
            self._chosen = self._choose(batch)
        return self._read(batch, *self._chosen)

    # -- which parameters, and how --------------------------------------------------

    def _choose(self, batch: Any) -> tuple[dict[str, nn.Module], list[str]]:
        """Choose layers for hooks, and names of parameters for `torch.func`."""
        module = self.access.module
        if self.space == "last_layer":
            head = self.access.find_head(batch)
            layers, within = {head.name: head.layer}, head.layer
        else:
            layers, within = dict(module.named_modules()), module
        n_owners: Counter[int] = Counter()
        for part in module.modules():
            n_owners.update(map(id, part.parameters(recurse=False)))
        watched: dict[str, nn.Module] = {}
        for name, layer in layers.items():
            if has_factors(layer, n_owners) or is_single(layer, n_owners):
                watched[name] = layer
        few = index_batch(batch, slice(_N_PROBE))
        self._drop_without_batch_rows(watched, few)
        self._drop_unlike_autograd(watched, few)
        spread = probe_rows(batch_length(batch), _N_PROBE)
        self._drop_with_other_rows(watched, index_batch(batch, spread))
        self._drop_in_large_batches(watched, batch)
        left = set(map(id, within.parameters()))
        for layer in watched.values():
            left.difference_update(map(id, layer.parameters()))
        others = [
            name
            for name, p in module.named_parameters()
            if p.requires_grad and id(p) in left
        ]
        if not watched and not others:
            raise UnsuitableLearnerError(
                f"{type(module).__name__} has no trainable parameter to take gradients "
                f"of with space={self.space!r}."
            )
        return watched, others

    @torch.no_grad()
    def _drop_without_batch_rows(self, watched: dict[str, nn.Module], few: Any) -> None:
        """Drop the layers that do not map one tensor of the batch's rows to another."""
        passes: list[tuple[str, set[int]]] = []

        def note(name: str, _: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            ends = [*args, *kwargs.values(), output]
            single = len(ends) == 2 and all(
                isinstance(e, Tensor) and e.ndim for e in ends
            )
            single = single and output.is_floating_point()
            passes.append((name, set(map(len, ends)) if single else {-1}))

        # Another dimension may have the length of one of the two by chance.
        fewer = index_batch(few, slice(max(1, batch_length(few) - 1)))
        for probe in (few, fewer):
            passes.clear()
            with hooked(watched, note):
                n_rows = len(self.access.forward(probe))
            for name, lengths in passes:
                if lengths != {n_rows}:
                    watched.pop(name, None)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _drop_unlike_autograd(self, watched: dict[str, nn.Module], few: Any) -> None:
        """Drop the layers whose gradients by hooks are not those of autograd.

        Raises
        ------
        UnsuitableLearnerError
            If no parameter has a gradient: then none is zero, all are missing.
        """
        module = self.access.module
        moving = {
            # Copies: a module that normalizes its weights in its forward pass would
            # write into those of the other graph.
            name: p.detach().clone().requires_grad_()
            for name, p in module.named_parameters()
            if p.is_floating_point() or p.is_complex()
        }
        if not moving:
            return
        with preserve_global_rng():  # both passes draw the same, if they do
            plain, caught = self._watched(few, watched)
        outputs = as_columns(self.access.forward(few, moving)).flatten(1)
        # Uneven weights, so that the terms of rows and outputs do not cancel.
        weights = torch.arange(outputs.numel(), device=outputs.device).cos()
        weights = weights.reshape(outputs.shape).to(outputs)
        own = gradients_by(plain, caught.outputs, weights)
        found = gradients_by(outputs, list(moving.values()), weights)
        if all(gradient is None for gradient in found):
            raise UnsuitableLearnerError(
                f"The outputs of {type(module).__name__} have no gradient by any "
                "parameter: its forward pass detaches them, or runs under "
                "torch.no_grad."
            )
        by_autograd = dict(zip(moving, found, strict=True))
        by_hooks: defaultdict[str, list[Pass]] = defaultdict(list)
        for name, x, g in zip(caught.names, caught.inputs, own, strict=True):
            if g is not None:
                by_hooks[name].append((x, (as_floats(g),)))
        for name, layer in list(watched.items()):
            prefix, passes = (f"{name}." if name else ""), by_hooks[name]
            kinds = [
                kind for kind, _ in layer.named_parameters() if prefix + kind in moving
            ]
            try:
                with hiding():
                    sums = summed_gradients(layer, passes, kinds)
            except Exception as error:  # whatever a layer raises if it runs alone
                if is_out_of_memory(error):
                    raise
                watched.pop(name)
                continue
            if not all(
                are_close(sums.get(kind), by_autograd[prefix + kind], caught.outputs)
                for kind in kinds
            ):
                watched.pop(name)

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _drop_with_other_rows(self, watched: dict[str, nn.Module], probe: Any) -> None:
        """Drop the layers of a module that sorts the rows of a batch, or mixes them."""
        with preserve_global_rng():
            outputs, caught = self._watched(probe, watched)
        if not all(are_aligned(outputs, caught.outputs)):
            watched.clear()  # what the others see may be mixed as well
        self._factored = {
            name
            for name, x in zip(caught.names, caught.inputs, strict=True)
            if x.ndim == 2 and caught.names.count(name) == 1
        }

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _drop_in_large_batches(self, watched: dict[str, nn.Module], batch: Any) -> None:
        """Drop the layers if in large batches alone they see rows in another order."""

        def read(batch: Any) -> list[Tensor]:
            outputs, caught = self._watched(batch, watched)
            weights = torch.arange(1, outputs.shape[1] + 1, device=outputs.device)
            vectors = weights.cos().to(outputs).expand_as(outputs)
            found = gradients_by(outputs, caught.outputs, vectors)
            gradients = [g for g in found if g is not None]
            return [*map(as_floats, caught.inputs), *map(as_floats, gradients)]

        if self.access.check_rows_alone(batch) and not reads_rows_alone(read, batch):
            watched.clear()

    # -- reading --------------------------------------------------------------------

    def _watched(
        self, batch: Any, watched: dict[str, nn.Module]
    ) -> tuple[Tensor, _Caught]:
        """Compute the outputs, ``(b, C)``, in a pass that catches those of layers."""
        # Detached parameters, so that the graph holds the hooked layers alone.
        fixed = {n: p.detach() for n, p in self.access.module.named_parameters()}
        caught = _Caught([], [], [])

        def catch(
            name: str, _: nn.Module, args: Any, kwargs: Any, output: Tensor
        ) -> Tensor:
            if not output.requires_grad:
                output = output.detach().requires_grad_()
            caught.names.append(name)
            caught.inputs.append(input_of(args, kwargs).detach())
            caught.outputs.append(output)
            return output.clone()  # the next layer may write in place

        with hooked(watched, catch):
            return as_columns(self.access.forward(batch, fixed)).flatten(1), caught

    @torch.inference_mode(False)
    @torch.enable_grad()
    def _read(
        self, batch: Any, watched: dict[str, nn.Module], others: list[str]
    ) -> list[Factors]:
        outputs, caught = self._watched(batch, watched)
        vectors = self._vectors(outputs.detach())
        gradients = backward(outputs, caught.outputs, vectors)
        passes: defaultdict[str, list[Pass]] = defaultdict(list)
        found = zip(caught.names, caught.inputs, gradients, strict=True)
        for name, x, by_direction in found:
            self._check_pass(name, len(x), len(outputs), bool(passes[name]))
            passes[name].append((x, by_direction))
        result = []
        for name, layer in watched.items():
            if isinstance(layer, nn.Linear):
                factored = name in self._factored
                result.append(linear_factors(layer, passes[name], vectors, factored))
            else:
                result.append(layer_gradients(layer, passes[name], vectors))
        if others:
            result.append(whole_gradients(self.access.module, others, batch, vectors))
        return result

    def _check_pass(self, name: str, n_rows: int, n_outputs: int, again: bool) -> None:
        """Raise if a layer is run in another way than on the rows of the probe."""
        if n_rows != n_outputs or (again and name in self._factored):
            raise UnsuitableLearnerError(
                f"{type(self.access.module).__name__} runs its layer {name!r} "
                + ("again" if n_rows == n_outputs else f"on {n_rows} of {n_outputs}")
                + " rows of some batches, unlike of others, so gradients of its rows "
                'cannot be read. Use the last layer alone (space="last_layer").'
            )

    def _vectors(self, outputs: Tensor) -> Tensor:
        """Compute the directions v, ``(b, C, K)``."""
        if self.directions is not None:
            return self.directions(outputs).to(outputs.dtype)
        n_outputs = outputs.shape[1]
        eye = torch.eye(n_outputs, dtype=outputs.dtype, device=outputs.device)
        return eye.expand(len(outputs), n_outputs, n_outputs)


def per_row_gradients(
    access: NetAccess,
    rows: Rows,
    space: str = "gradients",
    directions: Directions | None = None,
) -> list[Factors]:
    """Read the gradients of all rows, factored.

    Parameters
    ----------
    access, space, directions
        As in `GradientReader`.
    rows : Rows
        The m rows to read.

    Returns
    -------
    factors : list of Factors
        One for each layer, with m rows.
    """
    read = GradientReader(access, space, directions)
    flat = access.collect(
        rows, lambda batch: sum(map(tuple, read(batch)), ()), access.chunk_size
    )
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [Factors(inputs, outputs) for inputs, outputs in pairs]
