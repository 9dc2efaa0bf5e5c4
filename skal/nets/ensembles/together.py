"""Nets of the same shape, trained simultaneously with stacked weights."""

from __future__ import annotations

from copy import copy
from inspect import signature
from time import perf_counter
from typing import Any

import torch
from sklearn.base import is_classifier
from torch import Tensor, nn

from skal.contexts import training_modes
from skal.nets.classifier import NetClassifier
from skal.nets.data import ArrayDataset, BatchOrder
from skal.nets.modules import MLP, ColumnScale, PeriodicEmbedding, TabularMLP
from skal.nets.outcome import warn_if_untrained
from skal.nets.rates import Course
from skal.nets.regressor import NetRegressor
from skal.nets.validation import (
    check_inputs,
    check_labels,
    check_targets,
    encode,
    is_structured,
    warn_if_lost,
)

__all__ = ["StackedLoss", "StackedMLP", "can_train_together", "train_together"]

NETS = (NetClassifier, NetRegressor)
# Elementwise and without weights.
ACTIVATIONS = (
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.Identity, nn.LeakyReLU, nn.Mish),
    *(nn.ReLU, nn.ReLU6, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh),
)
# The update of a weight depends only on that weight and the number of the step.
OPTIMIZERS = (
    *(torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW),
    *(torch.optim.RMSprop, torch.optim.SGD),
)
CRITERIA = (
    *(nn.BCEWithLogitsLoss, nn.CrossEntropyLoss),
    *(nn.HuberLoss, nn.L1Loss, nn.MSELoss, nn.SmoothL1Loss),
)
# Parameters that simultaneous training respects; all others must have their defaults.
SUPPORTED = {
    *("module", "criterion", "optimizer", "lr", "max_epochs", "batch_size"),
    *("classes", "class_weight", "device", "random_state"),
    *("warm_start", "predict_nonlinearity"),
}


def can_train_together(net: Any, X: Any) -> bool:
    """Whether copies of a net can be trained simultaneously on X.

    Parameters
    ----------
    net : estimator
        Not fitted.
    X : as in its `fit`

    Returns
    -------
    possible : bool
        If not, copies have to be fitted one after the other.

    Examples
    --------
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.ensembles.together import can_train_together
    >>> can_train_together(NetClassifier(module__dropout=0.1), [[0.0], [1.0]])
    True
    >>> can_train_together(NetClassifier(callbacks=[print]), [[0.0], [1.0]])
    False
    """
    if type(net) not in NETS or is_structured(X):
        return False
    params, default = net.get_params(deep=False), type(net)().get_params(deep=False)
    for name, value in params.items():
        if name in SUPPORTED or name.startswith(("module__", "optimizer__")):
            continue
        if name not in default or value is not default[name]:
            return False
    if params["module"] not in (MLP, TabularMLP):
        return False
    options = signature(params["module"]).parameters
    dropout, activation = (
        params.get(f"module__{name}", options[name].default)
        for name in ("dropout", "activation")
    )
    return (
        activation in ACTIVATIONS
        and params["criterion"] in CRITERIA
        and params["optimizer"] in OPTIMIZERS
        and "optimizer__param_groups" not in params
        # On a GPU, the values of a dropout mask depend on its shape.
        and (dropout == 0 or (dropout < 1 and torch.device(net.device).type == "cpu"))
    )


def train_together(nets: list[Any], X: Any, y: Any) -> None:
    """Fit nets that differ only by their seeds, simultaneously.

    Parameters
    ----------
    nets : list of NetClassifier or NetRegressor
        Not fitted and accepted by `can_train_together`; they are fitted in place.
    X, y : as in their `fit`

    Notes
    -----
    Each net validates its inputs, builds its module and seeds it in its own `fit`. Then
    the weights of all nets are stacked, and a step is one batched product per layer.
    The order of rows and the dropout masks of each net are drawn from a generator with
    the seed of the net, as in its own `fit`.
    """
    for net in nets:
        epochs = net.max_epochs
        net.set_params(max_epochs=0).fit(X, y)
        net.set_params(max_epochs=epochs)
    first = nets[0]
    checked = check_inputs(first, X, reset=False)
    if is_classifier(first):
        target = encode(check_labels(first, checked, y), first.classes_)
    else:
        target = check_targets(first, checked, y)
        warn_if_lost(y, "y", None, "by TransformedTargetRegressor")
    _run(nets, ArrayDataset(checked, target))
    for net in nets:
        warn_if_untrained(net)


@training_modes()
def _run(nets: list[Any], dataset: ArrayDataset) -> None:
    first, n_rows = nets[0], len(dataset)
    generators = [torch.Generator().manual_seed(net.seed_) for net in nets]
    stack = StackedMLP([net.module_ for net in nets], generators)
    loss = StackedLoss(first.criterion_, getattr(first, "class_weights_", None))
    optimizer = _make_optimizer(first, stack)
    size = n_rows if first.batch_size == -1 else first.batch_size
    batches = list(BatchOrder(n_rows, size, merge_single=True))
    n_epochs = first.n_epochs(n_rows)
    course = Course(optimizer, n_epochs, n_rows)  # of the groups with lr="auto"
    for _ in range(n_epochs):
        start, losses = perf_counter(), []
        course.begin_epoch(batches)
        orders = torch.stack([torch.randperm(n_rows, generator=g) for g in generators])
        for batch in batches:
            rows = orders[:, batch[0] : batch[-1] + 1]
            X, y = dataset.batch(rows.reshape(-1).numpy())
            course.begin_step()
            optimizer.zero_grad()
            outputs = stack(X.to(first.device).unflatten(0, rows.shape))
            losses_K = loss(outputs, y.to(first.device).unflatten(0, rows.shape))
            losses_K.sum().backward()
            optimizer.step()
            losses.append(losses_K.detach())
        seconds = (perf_counter() - start) / len(nets)
        sizes = [len(batch) for batch in batches]
        for net, column in zip(nets, torch.stack(losses, 1).tolist(), strict=True):
            _record(net.history, sizes, column, seconds)
    stack.unstack([net.module_ for net in nets])
    stack.unstack_state(optimizer, [net.optimizer_ for net in nets])


def _make_optimizer(net: Any, stack: StackedMLP) -> torch.optim.Optimizer:
    """Make an optimizer like that of the net, for the stacked weights."""
    args, options = net.get_params_for_optimizer(
        "optimizer", list(stack.parameters.items())
    )
    # The stacked weights do not fit into cache, so that each of the dozen operations
    # of an unfused Adam would go through memory.
    adam = net.optimizer in (torch.optim.Adam, torch.optim.AdamW)
    if adam and not options.keys() & {"foreach", "capturable", "differentiable"}:
        options.setdefault("fused", torch.device(net.device).type == "cpu" or None)
    optimizer: torch.optim.Optimizer = net.optimizer(*args, **options)
    return optimizer


def _record(
    history: Any, sizes: list[int], losses: list[float], seconds: float
) -> None:
    """Record an epoch as skorch would."""
    best = min((row["train_loss"] for row in history), default=float("inf"))
    history.new_epoch()
    history.record("epoch", len(history))
    for size, loss in zip(sizes, losses, strict=True):
        history.new_batch()
        history.record_batch("train_loss", loss)
        history.record_batch("train_batch_size", size)
    mean = sum(s * v for s, v in zip(sizes, losses, strict=True)) / sum(sizes)
    history.record("train_batch_count", len(sizes))
    history.record("train_loss", mean)
    history.record("train_loss_best", mean < best)
    history.record("dur", seconds)


class StackedLinear(torch.autograd.Function):
    """K linear layers in one batched product.

    Autograd's own backward pass of a batched product copies the weights.
    """

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
    modules : list of MLP or TabularMLP
        K modules.
    generators : list of torch.Generator
        Source of the dropout masks of each perceptron.

    Attributes
    ----------
    parameters : dict of str to Tensor of shape (K, ...)
        Same names and order as the parameters of a module.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.nets.ensembles.together import StackedMLP
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
        """Compute outputs (K, b, n_outputs) of a batch (K, b, ...) for each net."""
        hidden = X.flatten(2)
        for name, layer in self.layers:
            if isinstance(layer, nn.Linear):
                weight = self.parameters[f"{name}.weight"]
                bias = self.parameters[f"{name}.bias"]
                hidden = StackedLinear.apply(hidden, weight, bias)
            elif isinstance(layer, nn.Dropout):
                hidden = hidden * self._mask(hidden, 1 - layer.p)
            elif isinstance(layer, (ColumnScale, PeriodicEmbedding)):
                own = dict(layer.named_parameters())
                hidden = layer.run(
                    hidden, {key: self.parameters[f"{name}.{key}"] for key in own}
                )
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
        """Copy the weights of each net into its module."""
        for k, module in enumerate(modules):
            for name, parameter in module.named_parameters():
                parameter.copy_(self.parameters[name][k])

    def unstack_state(
        self,
        optimizer: torch.optim.Optimizer,
        optimizers: list[torch.optim.Optimizer],
    ) -> None:
        """Copy the state of the optimizer into the optimizer of each net.

        Parameters
        ----------
        optimizer : torch.optim.Optimizer
            Optimizer of the stacked parameters.
        optimizers : list of torch.optim.Optimizer
            Optimizers of the nets.
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
    """Get the k-th net's part of a state; scalars are shared by all nets."""
    if not isinstance(value, Tensor):
        return value
    return (value[k] if value.ndim > 0 else value).clone()


class StackedLoss:
    """Mean loss over the rows of a batch, for each net.

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

    def __call__(
        self, outputs: Tensor, y: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """Compute the loss of each net.

        Parameters
        ----------
        outputs : Tensor of shape (K, b, n_outputs)
        y : Tensor of shape (K, b, ...)
        weight : Tensor of shape (K, b), optional
            Weights of the rows.

        Returns
        -------
        losses : Tensor of shape (K,)
        """
        if self.class_weights is not None:
            by_class = self.class_weights.to(y.device)[y]
            weight = by_class if weight is None else weight * by_class
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
