"""A module with several heads on one trunk, and nets that train it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from skorch.dataset import unpack_data
from torch import Tensor, nn

from skal.hooks import evaluating
from skal.nets.base import BaseNet
from skal.nets.bayesian.layers import LINEAR
from skal.nets.heads import find_head
from skal.rng import preserve_global_rng

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["MultiHead", "find_last_layer", "multi_head_net"]


def find_last_layer(net: Any, X: Any, name: str | None = None) -> str:
    """Find the layer of a net's module that computes its outputs.

    Parameters
    ----------
    net : BaseNet
        Fitted.
    X : as in its `fit`
        One batch of it is read.
    name : str, optional
        Name of the layer; by default that of the last linear layer to run.

    Returns
    -------
    name : str
        Among ``net.module_.named_modules()``.

    Raises
    ------
    ValueError
        If there is no such layer, if its outputs are not those of the module, or if it
        is run twice.
    """
    module, kind = net.module_, type(net.module_).__name__
    if name is not None:
        layers = dict(module.named_modules())
        if not hasattr(layers.get(name), "reset_parameters"):
            linear = [n for n, m in layers.items() if isinstance(m, LINEAR)]
            raise ValueError(
                f"{kind} has no layer {name!r} whose weights can be drawn anew; its "
                f"linear layers are {linear}."
            )
    outputs = None

    def run() -> None:
        nonlocal outputs
        batch = next(iter(net.get_iterator(net.get_dataset(X))))
        outputs = net.infer(unpack_data(batch)[0])

    with preserve_global_rng(), evaluating(module):
        head = find_head(module, run, name)
    if head.outputs is not outputs:
        raise ValueError(
            f"The last step of {kind} is not its layer {head.name!r}. A module can be "
            "split only if its outputs are those of its head; name the head with head=."
        )
    if head.n_runs > 1:
        raise ValueError(
            f"{kind} runs its layer {head.name!r} twice, so it is not the head alone."
        )
    return head.name


class MultiHead(nn.Module):
    """A module whose head is there several times, each with weights of its own.

    Parameters
    ----------
    module : torch.nn.Module
        It is taken apart.
    n_heads : int
    head : str
        Name of its last layer among ``module.named_modules()``.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.nets.ensembles.multi_head import MultiHead
    >>> module = MultiHead(MLP(4, 3, hidden_sizes=(8,)), n_heads=5, head="head")
    >>> X = torch.zeros(7, 4)
    >>> module(X).shape, module.eval()(X).shape
    (torch.Size([7, 5, 3]), torch.Size([7, 3]))
    """

    def __init__(self, module: nn.Module, n_heads: int, head: str) -> None:
        super().__init__()
        self.head_name = head
        original: Any = module.get_submodule(head)
        heads = [deepcopy(original) for _ in range(n_heads)]
        for copy in heads:
            copy.reset_parameters()
        self.heads = nn.ModuleList(heads)
        self.trunk: nn.Module = nn.Identity()
        if head:
            parent, _, name = head.rpartition(".")
            setattr(module.get_submodule(parent), name, nn.Identity())
            self.trunk = module

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Give outputs (m, n_heads, n_outputs); in eval mode the mean of heads."""
        features = self.trunk(*args, **kwargs)
        outputs = torch.stack([head(features) for head in self.heads], 1)
        return outputs if self.training else outputs.mean(1)

    def state_of(self, k: int) -> dict[str, Tensor]:
        """State of the module with the k-th head, by the names it had of its own."""
        prefix = f"{self.head_name}." if self.head_name else ""
        head = self.heads[k].state_dict()
        return {
            **self.trunk.state_dict(),
            **{prefix + name: value for name, value in head.items()},
        }


class MultiHeadNet(BaseNet):
    """Trains all heads at once; comes before a net of skal among the bases of a class.

    Attributes
    ----------
    n_heads : int
        Of the class.
    head : str
        Of the class; as for `MultiHead`.
    """

    n_heads: int
    head: str

    def initialize_module(self) -> Self:
        """Make ``module_`` anew, with several heads."""
        super().initialize_module()
        whole: nn.Module = self.module_
        self.module_ = MultiHead(whole, self.n_heads, self.head)
        return self

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Mean of the losses of the heads, or in eval mode loss of their mean."""
        if not training:
            of_mean: Tensor = super().get_loss(y_pred, y_true, X, training)
            return of_mean
        losses = [
            super(MultiHeadNet, self).get_loss(y_head, y_true, X, training)
            for y_head in y_pred.unbind(1)
        ]
        return torch.stack(losses).mean()


def multi_head_net(net: Any, n_heads: int, head: str) -> Any:
    """Give a net with the parameters of another whose module has several heads."""
    kind = type(net)
    options = {"n_heads": n_heads, "head": head}
    several = type(kind.__name__, (MultiHeadNet, kind), options)
    return several(**net.get_params(deep=False))
