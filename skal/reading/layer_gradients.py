"""Gradients of the parameters of one layer, or of a whole module, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from skal.contexts import call_with, hiding
from skal.exceptions import UnsuitableLearnerError, is_out_of_memory
from skal.reading.batches import arguments, as_floats, index_batch, split
from skal.spaces import Factors

__all__ = [
    "Pass",
    "backward",
    "layer_gradients",
    "linear_factors",
    "summed_gradients",
    "whole_gradients",
]

#: Elements of gradients that are not factored, in the rows computed together.
_WHOLE_ELEMENTS = 2**24
#: Input of a layer, and the gradients by its output, one for each direction.
Pass = tuple[Tensor, tuple[Tensor, ...]]


def summed_gradients(
    layer: nn.Module, passes: list[Pass], kinds: list[str]
) -> dict[str, Tensor]:
    """Sum the gradients of the parameters of a layer over rows and passes.

    A layer that is connected to the outputs without a pass, used but not called, has
    none.
    """
    sums: dict[str, Tensor] = {}
    for x, (g,) in passes:
        if isinstance(layer, nn.Linear):
            x, g = as_floats(x).flatten(0, -2), g.flatten(0, -2)
            found = {"weight": g.mT @ x.to(g), "bias": g.sum(dim=0)}
        else:
            found = {k: v.sum(0) for k, v in _own_gradients(layer, kinds, x, g).items()}
        sums = {k: sums[k] + v if k in sums else v for k, v in found.items()}
    return sums


def backward(
    outputs: Tensor, layer_outputs: list[Tensor], vectors: Tensor
) -> list[tuple[Tensor, ...]]:
    """Compute the gradients by each output of a layer, one for each direction."""
    n_directions = vectors.shape[2]
    if not layer_outputs:
        return []
    if not outputs.requires_grad:
        raise UnsuitableLearnerError(
            "The outputs of the net have no gradient for some rows, unlike for the "
            "first: its forward pass detaches them, or runs under torch.no_grad."
        )
    found = []
    for k in range(n_directions):
        gradients = torch.autograd.grad(
            outputs,
            layer_outputs,
            vectors[:, :, k],
            retain_graph=k < n_directions - 1,
            # The graph is known to be there; what it does not reach has gradient 0.
            materialize_grads=True,
        )
        found.append(tuple(map(as_floats, gradients)))
    return list(zip(*found, strict=True))


def linear_factors(
    layer: nn.Linear, passes: list[Pass], vectors: Tensor, factored: bool
) -> Factors:
    """Join the inputs of a layer and the gradients by its outputs, for each pass.

    All batches must have factors of the same shape: only where each row passes the
    layer at most once, as it is `factored`, it keeps its factors.
    """
    weight = layer.weight.requires_grad
    bias = layer.bias is not None and layer.bias.requires_grad
    extended = []
    for given, _ in passes:
        x = as_floats(given)
        parts = [x] if weight else []
        parts += [x.new_ones(*x.shape[:-1], 1)] if bias else []
        extended.append(torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0])
    n_directions = vectors.shape[2]
    width = (layer.in_features if weight else 0) + bool(bias)
    if factored and not passes:  # the forward pass skips the layer
        zeros = vectors.new_zeros(
            len(vectors), width + n_directions * layer.out_features
        )
        return Factors(zeros[:, :width], zeros[:, width:])
    if factored:
        ((_, found),) = passes
        return Factors(
            extended[0], found[0] if len(found) == 1 else torch.cat(found, dim=1)
        )
    whole = vectors.new_zeros(
        len(vectors), n_directions, layer.out_features * width
    )  # stays zero where the forward pass skips the layer
    for x, (_, by_direction) in zip(extended, passes, strict=True):
        x = x.reshape(len(x), -1, x.shape[-1])
        for k, g in enumerate(by_direction):
            g = g.reshape(len(g), -1, g.shape[-1])
            whole[:, k] += torch.einsum("bto,bti->boi", g, x).flatten(1)
    return Factors(whole.new_ones(len(whole), 1), whole.flatten(1))


def layer_gradients(layer: nn.Module, passes: list[Pass], vectors: Tensor) -> Factors:
    """Compute the gradients of a layer without parts, for each direction and row."""
    kinds = [kind for kind, p in layer.named_parameters() if p.requires_grad]
    n_rows, n_directions = len(vectors), vectors.shape[2]
    n_elements = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    whole = vectors.new_zeros(n_rows, n_directions, n_elements)
    for x, by_direction in passes:
        for k, g in enumerate(by_direction):
            found = _own_gradients(layer, kinds, x, g).values()
            whole[:, k] += torch.cat([g.reshape(n_rows, -1) for g in found], dim=1)
    return Factors(whole.new_ones(n_rows, 1), whole.flatten(1))


def _own_gradients(
    layer: nn.Module, kinds: list[str], x: Tensor, g: Tensor
) -> dict[str, Tensor]:
    """Compute the gradients of <g, layer(x)> for each row, by torch.func."""
    fixed = {n: p.detach() for n, p in layer.named_parameters()}

    def value(parameters: dict[str, Tensor], row: Tensor, vector: Tensor) -> Tensor:
        output = call_with(layer, {**fixed, **parameters}, (row[None],))
        return (as_floats(output) * vector[None]).sum()

    moving = {kind: fixed[kind] for kind in kinds}
    with _as_unsuitable(layer, kinds):
        found = vmap(grad(value), in_dims=(None, 0, 0))(moving, x, g)
    return {kind: as_floats(gradient.detach()) for kind, gradient in found.items()}


@contextmanager
def _as_unsuitable(module: nn.Module, names: list[str]) -> Iterator[None]:
    """Turn the errors of torch.func into UnsuitableLearnerError.

    Its warnings of operations that are slow are hidden: one cannot choose others.
    """
    try:
        with hiding(UserWarning, "There is a performance drop because"):
            yield
    except Warning:  # of the user's module, under a filter that raises warnings
        raise
    # A module that is given a single row at a time may raise anything.
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise UnsuitableLearnerError(
            f"torch.func cannot compute per-row gradients of {type(module).__name__} "
            f"by {names[:5]}: {error} Use the last layer alone "
            '(space="last_layer").'
        ) from error


def _as_real(gradient: Tensor) -> Tensor:
    """Get the gradient by the real and imaginary parts of a complex parameter."""
    return torch.view_as_real(gradient) if gradient.is_complex() else gradient


def whole_gradients(
    module: nn.Module, names: list[str], batch: Any, vectors: Tensor
) -> Factors:
    """Compute gradients by the parameters of these names, by `torch.func`.

    Raises
    ------
    UnsuitableLearnerError
        If `torch.func` does not support the module.
    """
    fixed = {n: p.detach() for n, p in module.named_parameters()}
    moving = {name: fixed[name] for name in names}

    def value(parameters: dict[str, Tensor], row: Any, vector: Tensor) -> Tensor:
        args, kwargs = arguments(index_batch(row, None))
        output = call_with(module, {**fixed, **parameters}, args, kwargs)
        output = output[0] if isinstance(output, tuple) else output
        return (as_floats(output).flatten() * vector).sum()

    per_row = vmap(grad(value), in_dims=(None, 0, 0))
    n_elements = sum(p.numel() * (1 + p.is_complex()) for p in moving.values())
    n_elements *= vectors.shape[2]
    size = max(1, _WHOLE_ELEMENTS // n_elements)
    chunks = []
    for rows, v in zip(split(batch, size), vectors.split(size), strict=True):
        whole = []
        for k in range(v.shape[2]):
            with _as_unsuitable(module, names):
                found = per_row(moving, rows, v[:, :, k])
            whole += [_as_real(g).reshape(len(g), -1) for g in found.values()]
        chunks.append(torch.cat(whole, dim=1))
    outputs = as_floats(torch.cat(chunks).detach())
    return Factors(outputs.new_ones(len(outputs), 1), outputs)
