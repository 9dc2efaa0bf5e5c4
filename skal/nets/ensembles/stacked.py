"""The weights of several perceptrons, stacked, and what they compute."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from skal.nets.modules import MLP

__all__ = ["StackedLoss", "StackedMLP"]


class StackedLinear(torch.autograd.Function):
    """K linear layers; autograd's own backward of a batched product copies weights."""

    @staticmethod
    def forward(
        ctx: Any, hidden_K_b_d: Tensor, weight_K_o_d: Tensor, bias_K_o: Tensor
    ) -> Tensor:
        ctx.save_for_backward(hidden_K_b_d, weight_K_o_d)
        transposed = weight_K_o_d.transpose(1, 2)
        return torch.baddbmm(bias_K_o[:, None], hidden_K_b_d, transposed)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        hidden, weight = ctx.saved_tensors
        (grad,) = grads
        of_hidden = torch.bmm(grad, weight) if ctx.needs_input_grad[0] else None
        return of_hidden, torch.bmm(grad.transpose(1, 2), hidden), grad.sum(1)


class StackedMLP:
    """K perceptrons of the same shape, in training mode.

    Parameters
    ----------
    modules : list of MLP
    generators : list of torch.Generator
        What each draws its masks of dropout from.

    Attributes
    ----------
    parameters : dict of str to Tensor of shape (K, ...)
        In the order and by the names of the modules' own.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.nets.ensembles.stacked import StackedMLP
    >>> modules = [MLP(2, 3, hidden_sizes=(4,)) for _ in range(5)]
    >>> stack = StackedMLP(modules, [torch.Generator()] * 5)
    >>> X = torch.zeros(5, 7, 2)
    >>> outputs = stack(X)
    >>> torch.allclose(outputs[2], modules[2](X[2]))
    True
    """

    def __init__(self, modules: list[MLP], generators: list[torch.Generator]) -> None:
        self.generators = generators
        first = modules[0]
        self.layers = [(f"body.{i}", layer) for i, layer in enumerate(first.body)]
        self.layers.append(("head", first.head))
        self.parameters = {
            name: torch.stack([dict(m.named_parameters())[name] for m in modules])
            .detach()
            .requires_grad_()
            for name, _ in first.named_parameters()
        }

    def __call__(self, X: Tensor) -> Tensor:
        """Give outputs (K, b, n_outputs) of a batch for each net, (K, b, ...)."""
        hidden = X.flatten(2)
        for name, layer in self.layers:
            if isinstance(layer, nn.Linear):
                weight = self.parameters[f"{name}.weight"]
                bias = self.parameters[f"{name}.bias"]
                hidden = StackedLinear.apply(hidden, weight, bias)
            elif isinstance(layer, nn.Dropout):
                hidden = hidden * self._mask(hidden, 1 - layer.p)
            else:
                hidden = layer(hidden)
        return hidden

    def _mask(self, hidden: Tensor, kept: float) -> Tensor:
        mask = torch.empty_like(hidden)
        for part, generator in zip(mask, self.generators, strict=True):
            part.bernoulli_(kept, generator=generator)
        return mask.div_(kept)

    @torch.no_grad()
    def unstack(self, modules: list[MLP]) -> None:
        """Write the weights of each net into its module."""
        for k, module in enumerate(modules):
            for name, parameter in module.named_parameters():
                parameter.copy_(self.parameters[name][k])

    def unstack_state(
        self,
        optimizer: torch.optim.Optimizer,
        optimizers: list[torch.optim.Optimizer],
    ) -> None:
        """Give each net's optimizer its part of the state, to go on from.

        Parameters
        ----------
        optimizer : of the stacked parameters
        optimizers : list of those of the nets
        """
        stacked = optimizer.state_dict()["state"]
        for k, own in enumerate(optimizers):
            state = {
                i: {name: _part(value, k) for name, value in entries.items()}
                for i, entries in stacked.items()
            }
            groups = own.state_dict()["param_groups"]
            own.load_state_dict({"state": state, "param_groups": groups})


def _part(value: Any, k: int) -> Any:
    """Give the k-th net's part of a state: all share what is a single number."""
    if not isinstance(value, Tensor):
        return value
    return (value[k] if value.ndim > 0 else value).clone()


class StackedLoss:
    """A criterion's mean over the rows of a batch, for each net.

    Parameters
    ----------
    criterion : torch criterion with a ``reduction``
    class_weights : Tensor of shape (n_classes,), optional
    """

    def __init__(self, criterion: Any, class_weights: Tensor | None) -> None:
        self.criterion = copy(criterion)
        self.criterion.reduction = "none"
        self.binary = isinstance(criterion, nn.BCEWithLogitsLoss)
        self.coded = self.binary or isinstance(criterion, nn.CrossEntropyLoss)
        self.class_weights = class_weights

    def __call__(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Give the losses (K,) of outputs (K, b, n_outputs) and targets (K, b, ...)."""
        weight = None
        if self.class_weights is not None:
            weight = self.class_weights.to(y.device)[y]
        flat = outputs.flatten(0, 1)
        if self.binary:
            losses = self.criterion(flat[:, 0], y.reshape(-1).to(flat.dtype))
        elif self.coded:
            losses = self.criterion(flat, y.reshape(-1))
        else:
            losses = self.criterion(flat, y.reshape(flat.shape)).mean(1)
        losses = losses.unflatten(0, outputs.shape[:2])
        if weight is None:
            mean: Tensor = losses.mean(1)
            return mean
        tiny = torch.finfo(weight.dtype).tiny
        weighted: Tensor = (weight * losses).sum(1) / weight.sum(1).clamp_min(tiny)
        return weighted
