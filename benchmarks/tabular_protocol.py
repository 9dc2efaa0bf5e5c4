"""How a campaign of the study of regression on tables is played.

The protocol is that of Holzmüller, Zaverkin, Kästner and Steinwart (JMLR 2023), on at
most 200 000 rows of a table: of a random order of the rows the last 20 % are the test,
the first 256 are labeled, the next 1024 validate, the rest is the pool.  Features are
standardized by what is labeled and the pool, then 5 tanh(x / 5); the target by all
rows, which is a factor of the errors.
The net has two hidden layers of 512 ReLU units, z = 0.2 (W x / sqrt(n) + b) with W from
N(0, 1) and b = 0, n the inputs of the layer.  Adam, 256 epochs, batches of 256, a
learning rate that falls from 0.375 to 0 in equal steps, the weights of the epoch with
the least validation error.  16 times 256 labels are added, and the net is trained anew.
TESSAR and NoiseStability pick from 10 000 rows that are drawn from the pool at each
query, all others from the whole pool.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import Callback
from skorch.helper import predefined_split
from torch import nn

from benchmarks.tabular_runs import Split, campaign
from benchmarks.tabular_sets import load_large
from skal import NetRegressor
from skal.nets.batching import ArrayDataset


class Protocol(NamedTuple):
    """Sizes of a campaign."""

    n_initial: int = 256
    n_instances: int = 256
    n_queries: int = 16
    n_valid: int = 1024
    test_share: float = 0.2
    max_epochs: int = 256


class ScaledMLP(nn.Module):
    """Net in the scaling of the neural tangent kernel.

    A layer is 0.2 (W x / sqrt(n) + b), with n inputs.  The scales stand around plain
    linear layers, whose gradients skal reads as factors.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int = 1,
        hidden_sizes: tuple[int, ...] = (512, 512),
        gain: float = 0.2,
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden_sizes, n_outputs]
        self.gain = gain
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        for layer in self.layers:
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        for k, layer in enumerate(self.layers):
            X = torch.relu(X) if k else X
            X = self.gain * layer(X * layer.in_features**-0.5)
        return X


class LinearDecay(Callback):
    """Lets the learning rate fall to 0, step by step."""

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, **kwargs: Any
    ) -> None:
        self.n_steps_ = net.max_epochs * -(-len(dataset_train) // net.batch_size)
        if len(net.history) == 1:
            self.step_ = 0

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        if training:
            for group in net.optimizer_.param_groups:
                group["lr"] = net.lr * (1 - self.step_ / self.n_steps_)
            self.step_ += 1


class BestEpoch(Callback):
    """Puts the weights of the epoch with the least validation loss back."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.loss_, self.epoch_ = np.inf, 0
        self.weights_: dict[str, torch.Tensor] = {}

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        loss = net.history[-1, "valid_loss"]
        if loss < self.loss_:
            self.loss_, self.epoch_ = loss, len(net.history)
            weights = net.module_.state_dict()
            self.weights_ = {name: w.clone() for name, w in weights.items()}

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.weights_:
            net.module_.load_state_dict(self.weights_)
            self.weights_ = {}


def split(X: np.ndarray, y: np.ndarray, seed: int, how: Protocol) -> Split:
    """Cut a table by a random order of its rows."""
    order = np.random.default_rng(seed).permutation(len(X))
    order, test = np.split(order, [len(X) - int(how.test_share * len(X))])
    first, valid, pool = np.split(order, [how.n_initial, how.n_initial + how.n_valid])
    own = np.concatenate([first, pool])
    mean, std = X[own].mean(axis=0), X[own].std(axis=0, ddof=1)
    scaled = (X - mean) / np.where(std > 0, std, 1)
    scaled = (5 * np.tanh(scaled / 5)).astype(np.float32)
    y = y.astype(np.float32)
    return Split(scaled[own], y[own], scaled[test], y[test], scaled[valid], y[valid])


def make_net(data: Split, how: Protocol) -> NetRegressor:
    """Make the net, which knows the rows that it is validated on."""
    return NetRegressor(
        ScaledMLP,
        lr=0.375,
        max_epochs=how.max_epochs,
        batch_size=256,
        train_split=predefined_split(ArrayDataset(data.X_valid, data.y_valid)),
        callbacks=[("decay", LinearDecay()), ("best", BestEpoch())],
        optimizer__fused=True,  # the same steps, faster
    )


def play(name: str, seed: int, strategy: Any, how: Protocol) -> pd.DataFrame:
    """Play one campaign; a row a step."""
    torch.set_num_threads(1)
    data = split(*load_large(name), seed, how)
    return campaign(
        data,
        make_net(data, how),
        strategy,
        seed,
        (how.n_initial, how.n_instances, how.n_queries),
        lambda net: {"best_epoch": dict(net.callbacks_)["best"].epoch_},
    )
