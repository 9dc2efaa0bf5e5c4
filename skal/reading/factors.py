"""Gradients of rows as outer products, from what layers take and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from skal.exceptions import UnsuitableLearnerError
from skal.reading.batches import arguments, map_tensors, split
from skal.spaces import Factors

__all__ = [
    "backward",
    "input_of",
    "is_bare_linear",
    "linear_factors",
    "whole_gradients",
]

#: Numbers of gradients that are not factored, for the rows computed together.
_WHOLE_NUMBERS = 2**24


def backward(
    outputs: Tensor, layers: list[Tensor], vectors: Tensor
) -> list[list[Tensor]]:
    """Gradients by layer and by direction."""
    n_directions = vectors.shape[2]
    found: list[list[Tensor]] = [[] for _ in layers]
    for k in range(n_directions):
        gradients: tuple[Tensor | None, ...] = (None,) * len(layers)
        if layers and outputs.requires_grad:
            gradients = torch.autograd.grad(
                outputs,
                layers,
                vectors[:, :, k],
                retain_graph=k < n_directions - 1,
                allow_unused=True,
            )
        for by_direction, layer, g in zip(found, layers, gradients, strict=True):
            by_direction.append(torch.zeros_like(layer) if g is None else g)
    return found


def linear_factors(
    layer: nn.Linear,
    inputs: list[Tensor],
    gradients: list[list[Tensor]],
    vectors: Tensor,
) -> Factors:
    """Join what a layer took and what came back to it."""
    weight = layer.weight.requires_grad
    bias = layer.bias is not None and layer.bias.requires_grad
    extended = []
    for x in inputs:
        parts = [x] if weight else []
        parts += [x.new_ones(*x.shape[:-1], 1)] if bias else []
        extended.append(torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0])
    if len(inputs) == 1 and inputs[0].ndim == 2:
        (found,) = gradients
        return Factors(
            extended[0], found[0] if len(found) == 1 else torch.cat(found, dim=1)
        )
    n_directions = vectors.shape[2]
    width = (layer.in_features if weight else 0) + bool(bias)
    whole = vectors.new_zeros(
        len(vectors), n_directions, layer.out_features * width
    )  # stays zero where the forward pass leaves the layer out
    for x, by_direction in zip(extended, gradients, strict=True):
        x = x.reshape(len(x), -1, x.shape[-1])
        for k, g in enumerate(by_direction):
            g = g.reshape(len(g), -1, g.shape[-1])
            whole[:, k] += torch.einsum("bto,bti->boi", g, x).flatten(1)
    return Factors(whole.new_ones(len(whole), 1), whole.flatten(1))


def is_bare_linear(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether it computes ``x @ weight.T + bias`` of its own parameters."""
    return (
        isinstance(module, nn.Linear)
        and type(module).forward is nn.Linear.forward
        and {name for name, _ in module.named_parameters()} <= {"weight", "bias"}
        and "weight" in dict(module.named_parameters(recurse=False))
    )


def input_of(args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> Tensor:
    """Input of a linear layer, however it was called."""
    return args[0] if args else kwargs["input"]


def whole_gradients(
    module: nn.Module,
    fixed: dict[str, Tensor],
    names: list[str],
    batch: Any,
    vectors: Tensor,
) -> Factors:
    """Gradients with respect to any parameters, by `torch.func`.

    Parameters
    ----------
    module : torch.nn.Module
    fixed : dict of Tensor
        All parameters, without gradients.
    names : list of str
        Those that gradients are taken of.
    batch : tensor, tuple or dict of tensors
        Rows of the module's inputs.
    vectors : Tensor of shape (b, C, K)
        Directions in the outputs.

    Raises
    ------
    UnsuitableLearnerError
        If `torch.func` cannot see through the module.
    """
    moving = {name: fixed[name] for name in names}

    def value(parameters: dict[str, Tensor], row: Any, vector: Tensor) -> Tensor:
        args, kwargs = arguments(map_tensors(row, lambda x: x[None]))
        output = functional_call(module, {**fixed, **parameters}, args, kwargs)
        output = output[0] if isinstance(output, tuple) else output
        return (output.flatten() * vector).sum()

    per_row = vmap(grad(value), in_dims=(None, 0, 0))
    n_numbers = vectors.shape[2] * sum(p.numel() for p in moving.values())
    size = max(1, _WHOLE_NUMBERS // n_numbers)
    chunks = []
    for rows, v in zip(split(batch, size), vectors.split(size), strict=True):
        whole = []
        for k in range(v.shape[2]):
            try:
                found = per_row(moving, rows, v[:, :, k])
            except RuntimeError as error:
                raise UnsuitableLearnerError(
                    f"torch.func gives no gradients row by row through "
                    f"{type(module).__name__}, for {names[:5]}: {error} Use the "
                    'last layer alone (space="last_layer").'
                ) from error
            whole += [g.flatten(1) for g in found.values()]
        chunks.append(torch.cat(whole, dim=1))
    outputs = torch.cat(chunks).detach()
    return Factors(outputs.new_ones(len(outputs), 1), outputs)
