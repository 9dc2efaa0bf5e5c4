"""Nets of the same shape that take their training steps side by side."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import torch
from sklearn.base import is_classifier
from torch import nn

from skal.nets.batching import ArrayDataset, BatchOrder
from skal.nets.classifier import NetClassifier
from skal.nets.ensembles.stacked import StackedLoss, StackedMLP
from skal.nets.labels import encode
from skal.nets.modules import MLP
from skal.nets.regressor import NetRegressor
from skal.nets.validation import (
    check_inputs,
    check_labels,
    check_targets,
    is_structured,
)

__all__ = ["can_train_together", "train_together"]

NETS = (NetClassifier, NetRegressor)
# Treat each number by itself and have no weights.
ACTIVATIONS = (
    *(nn.CELU, nn.ELU, nn.GELU, nn.Hardswish, nn.Identity, nn.LeakyReLU, nn.Mish),
    *(nn.ReLU, nn.ReLU6, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Tanh),
)
# Treat each weight by itself, the number of the step aside.
OPTIMIZERS = (
    *(torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW),
    *(torch.optim.RMSprop, torch.optim.SGD),
)
CRITERIA = (
    *(nn.BCEWithLogitsLoss, nn.CrossEntropyLoss),
    *(nn.HuberLoss, nn.L1Loss, nn.MSELoss, nn.SmoothL1Loss),
)
# Parameters of a net that training side by side minds; others must be left alone.
MINDED = {
    *("module", "criterion", "optimizer", "lr", "max_epochs", "batch_size"),
    *("classes", "class_weight", "device", "random_state"),
    *("warm_start", "predict_nonlinearity"),
}


def can_train_together(net: Any, X: Any) -> bool:
    """Whether copies of a net could be trained side by side on X.

    Parameters
    ----------
    net : estimator
        Not fitted.
    X : as in its `fit`

    Returns
    -------
    possible : bool
        If not, copies have to be fitted one by one.

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
    params, usual = net.get_params(deep=False), type(net)().get_params(deep=False)
    for name, value in params.items():
        if name in MINDED or name.startswith(("module__", "optimizer__")):
            continue
        if name not in usual or value is not usual[name]:
            return False
    dropout = params.get("module__dropout", 0.0)
    return (
        params["module"] is MLP
        and params.get("module__activation", nn.ReLU) in ACTIVATIONS
        and params["criterion"] in CRITERIA
        and params["optimizer"] in OPTIMIZERS
        and "optimizer__param_groups" not in params
        # Masks on a GPU depend on the shape of what they are drawn for.
        and (dropout == 0 or (dropout < 1 and torch.device(net.device).type == "cpu"))
    )


def train_together(nets: list[Any], X: Any, y: Any) -> None:
    """Fit nets that differ by their seed alone, side by side.

    Parameters
    ----------
    nets : list of NetClassifier or NetRegressor
        Not fitted, fit for `can_train_together`; they are fitted in place.
    X, y : as in their `fit`

    Notes
    -----
    Each net is checked, made and seeded by its own `fit`; then the weights of all are
    stacked, and a step is one batched product for all of them. Orders of rows and masks
    of dropout are drawn for each net from a generator with its seed, as it would alone.
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
    _run(nets, ArrayDataset(checked, target))


def _run(nets: list[Any], dataset: ArrayDataset) -> None:
    first, n_rows = nets[0], len(dataset)
    generators = [torch.Generator().manual_seed(net.seed_) for net in nets]
    stack = StackedMLP([net.module_ for net in nets], generators)
    loss = StackedLoss(first.criterion_, getattr(first, "class_weights_", None))
    optimizer = _make_optimizer(first, stack)
    size = n_rows if first.batch_size == -1 else first.batch_size
    batches = list(BatchOrder(n_rows, size, merge_single=True))
    for _ in range(first.max_epochs):
        start, losses = perf_counter(), []
        orders = torch.stack([torch.randperm(n_rows, generator=g) for g in generators])
        for batch in batches:
            rows = orders[:, batch[0] : batch[-1] + 1]
            X, y = dataset.batch(rows.reshape(-1).numpy())
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
    """Make the net's kind of optimizer for the weights of all."""
    args, options = net.get_params_for_optimizer(
        "optimizer", list(stack.parameters.items())
    )
    # The stack has outgrown the cache, where each of Adam's dozen operations on it
    # would go through memory.
    adam = net.optimizer in (torch.optim.Adam, torch.optim.AdamW)
    if adam and not options.keys() & {"foreach", "capturable", "differentiable"}:
        options.setdefault("fused", torch.device(net.device).type == "cpu" or None)
    optimizer: torch.optim.Optimizer = net.optimizer(*args, **options)
    return optimizer


def _record(
    history: Any, sizes: list[int], losses: list[float], seconds: float
) -> None:
    """Write what skorch would have written of an epoch."""
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
