"""Split-head ensembles: one trunk with several heads, trained in one run."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from sklearn.base import clone
from skorch.dataset import unpack_data
from torch import Tensor, nn

from skal.contexts import evaluating
from skal.nets.bayesian import LINEAR, kl_divergence
from skal.nets.callbacks import ForgettingEvents, WeightSnapshots
from skal.nets.ensembles.base import (
    BaseEnsemble,
    EnsembleClassifier,
    EnsembleRegressor,
    seeded_clone,
)
from skal.nets.heads import find_head
from skal.nets.net import BaseNet
from skal.rng import preserve_global_rng, seed_from

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SplitHeadEnsembleClassifier", "SplitHeadEnsembleRegressor"]


class MultiHead(nn.Module):
    """A module with several copies of its head, each with different weights.

    Parameters
    ----------
    module : torch.nn.Module
        Its head is replaced in place.
    n_heads : int
    head : str
        Name of its last layer among ``module.named_modules()``.

    Examples
    --------
    >>> import torch
    >>> from skal.nets import MLP
    >>> from skal.nets.ensembles.split_head import MultiHead
    >>> module = MultiHead(MLP(4, 3, hidden_sizes=(8,)), n_heads=5, head="head")
    >>> X = torch.zeros(7, 4)
    >>> module(X).shape, module.eval()(X).shape
    (torch.Size([7, 5, 3]), torch.Size([7, 3]))
    """

    def __init__(self, module: nn.Module, n_heads: int, head: str) -> None:
        super().__init__()
        self.head_name = head
        factors: Any = getattr(module, "lr_factors", None)
        # Read before the head is replaced.
        self._factors = factors() if callable(factors) else None
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
        """Compute outputs of shape (m, n_heads, n_outputs), or their mean in eval mode.

        In eval mode the shape is (m, n_outputs).
        """
        features = self.trunk(*args, **kwargs)
        outputs = torch.stack([head(features) for head in self.heads], 1)
        return outputs if self.training else outputs.mean(1)

    @property
    def lr_factors(self) -> Any:
        """Method for the learning rates, if the original module has one."""
        original = self._factors
        if original is None:
            raise AttributeError("The module has no lr_factors.")

        def factors() -> dict[str, float]:
            merged = {}
            for k in range(len(self.heads)):
                named = self.names_of(k).items()
                merged.update({own: original[n] for own, n in named if n in original})
            return merged

        return factors

    def state_of(self, k: int) -> dict[str, Tensor]:
        """Get the state dict of the original module with the k-th head."""
        prefix = f"{self.head_name}." if self.head_name else ""
        head = self.heads[k].state_dict()
        return {
            **self.trunk.state_dict(),
            **{prefix + name: value for name, value in head.items()},
        }

    def names_of(self, k: int) -> dict[str, str]:
        """Map the names of a member's tensors to those in the original module."""
        before, after = f"heads.{k}.", f"{self.head_name}." if self.head_name else ""
        names = {}
        for name, _ in (*self.named_parameters(), *self.named_buffers()):
            if name.startswith("trunk."):
                names[name] = name.removeprefix("trunk.")
            elif name.startswith(before):
                names[name] = after + name.removeprefix(before)
        return names


class MultiHeadNet(BaseNet):
    """A net that trains all heads; precedes a net of skal among the bases of a class.

    Attributes
    ----------
    n_heads : int
        Class attribute, as in `MultiHead`.
    head : str
        Class attribute, as in `MultiHead`.
    """

    n_heads: int
    head: str

    def initialize_module(self) -> Self:
        """Build ``module_``, with several heads."""
        super().initialize_module()
        whole: nn.Module = self.module_
        self.module_ = MultiHead(whole, self.n_heads, self.head)
        return self

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Compute the mean loss of the heads, or of their mean if not training."""
        if not training:
            of_mean: Tensor = super().get_loss(y_pred, y_true, X, training)
            return of_mean
        losses = [
            super(MultiHeadNet, self).get_loss(y_head, y_true, X, training)
            for y_head in y_pred.unbind(1)
        ]
        return torch.stack(losses).mean()

    def _divergence(self) -> Tensor:
        """Average the divergences of the members, as their losses are."""
        module: Any = self.module_
        of_heads = kl_divergence(module.heads) / len(module.heads)
        return kl_divergence(module.trunk) + of_heads

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Run a training step; callbacks see the mean of the heads.

        Parameters
        ----------
        batch : (X, y)
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        step : dict
            ``loss``, and ``y_pred`` of shape (b, n_outputs).
        """
        step: dict[str, Any] = super().train_step_single(batch, **fit_params)
        return {**step, "y_pred": step["y_pred"].mean(1)}


def multi_head_net(net: Any, n_heads: int, head: str) -> Any:
    """Make a net with the parameters of another one, and several heads."""
    kind = type(net)
    options = {"n_heads": n_heads, "head": head}
    several = type(kind.__name__, (MultiHeadNet, kind), options)
    return several(**net.get_params(deep=False))


def find_last_layer(net: Any, X: Any, name: str | None = None) -> str:
    """Find the layer of a net's module that returns the outputs of the module.

    Parameters
    ----------
    net : BaseNet
        Fitted.
    X : as in its `fit`
        The module is run on one batch.
    name : str, optional
        Name of the layer; by default, the last linear layer that runs.

    Returns
    -------
    name : str
        Name among ``net.module_.named_modules()``.

    Raises
    ------
    ValueError
        If the layer does not exist, its output is not that of the module, or it runs
        more than once.
    """
    module, kind = net.module_, type(net.module_).__name__
    if name is not None:
        layers = dict(module.named_modules())
        if not hasattr(layers.get(name), "reset_parameters"):
            linear = [n for n, m in layers.items() if isinstance(m, LINEAR)]
            raise ValueError(
                f"{kind} has no layer {name!r} whose weights can be reset; its linear "
                f"layers are {linear}."
            )

    def run() -> Any:
        batch = next(iter(net.get_iterator(net.get_dataset(X))))
        return net.infer(unpack_data(batch)[0])

    with preserve_global_rng(), evaluating(module):
        head = find_head(module, run, name)
    if head.outputs is not head.module_outputs:
        raise ValueError(
            f"The last step of {kind} is not its layer {head.name!r}. A module can be "
            "split only if its outputs are those of its head; name the head with head=."
        )
    if head.n_runs > 1:
        raise ValueError(
            f"{kind} runs its layer {head.name!r} more than once, not only as its head."
        )
    return head.name


def _records(
    callbacks: list[tuple[str, Any]], names: dict[str, str]
) -> list[tuple[str, Any]]:
    """Copy what skal's callbacks recorded of the run, under a member's names."""
    records: list[tuple[str, Any]] = []
    for name, callback in callbacks:
        if isinstance(callback, WeightSnapshots):
            records.append((name, callback.part(rename=names)))
        elif isinstance(callback, ForgettingEvents):
            records.append((name, deepcopy(callback)))
    return records


class SplitHeadEnsemble(BaseEnsemble):
    """Members that share everything but the head."""

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 5,
        *,
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.head = head
        self.random_state = random_state

    def _fit(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        rng: torch.Generator,
    ) -> dict[str, Any]:
        self._check_net(estimator)
        net = seeded_clone(estimator, seed_from(rng))
        # A net that is fitted but for its weights.
        shell = clone(net).set_params(callbacks=None, max_epochs=0)
        shell.fit(X, y, **fit_params)
        shell.callbacks, shell.max_epochs = net.callbacks, net.max_epochs
        head = find_last_layer(shell, X, self.head)
        run = multi_head_net(net, self.n_estimators, head).fit(X, y, **fit_params)
        shell.history_ = run.history_
        members = []
        for k in range(self.n_estimators):
            member = deepcopy(shell)
            member.module_.load_state_dict(run.module_.state_of(k))
            member.callbacks_ = [
                *member.callbacks_,
                *_records(run.callbacks_, run.module_.names_of(k)),
            ]
            members.append(member)
        return {"estimators_": members}


class SplitHeadEnsembleClassifier(SplitHeadEnsemble, EnsembleClassifier):
    """Nets with a shared trunk and different heads, trained in one run.

    Training costs little more than for a single net.

    Parameters
    ----------
    estimator : NetClassifier, optional
    n_estimators : int, default=5
        Number of heads, which is the number of members.
    head : str, optional
        Name of the last layer of the module, which is copied; by default, the last
        linear layer. The module must return the output of this layer.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the training run. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of NetClassifier
        The fitted members: complete nets with copies of the trunk. Each has the history
        of the run, and what `WeightSnapshots` and `ForgettingEvents` recorded of it;
        other callbacks saw the run, not the members.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    SplitHeadEnsembleRegressor : The same for regression.

    Notes
    -----
    Heads differ only by their initial weights. The loss is the mean of the losses of
    the heads, so the trunk learns as in a single net; with an optimizer that does not
    rescale gradients, such as SGD, the heads learn more slowly. The loss is convex in
    the weights of a linear head, so the heads approach each other: members are less
    diverse than members that share nothing.

    References
    ----------
    Lee, Purushwalkam, Cogswell, Crandall and Batra, "Why M heads are better than one:
    training a diverse ensemble of deep networks", 2015.
    https://arxiv.org/abs/1511.06314

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.ensembles import SplitHeadEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> ensemble = SplitHeadEnsembleClassifier(n_estimators=3, random_state=0)
    >>> bool(ensemble.fit(X, y).score(X, y) > 0.9)
    True
    """


class SplitHeadEnsembleRegressor(SplitHeadEnsemble, EnsembleRegressor):
    """Nets with a shared trunk and different heads, trained in one run.

    Parameters
    ----------
    estimator : NetRegressor, optional
    n_estimators : int, default=5
        Number of heads, which is the number of members.
    head : str, optional
        Name of the last layer of the module, which is copied; by default, the last
        linear layer.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the training run. None draws a new seed for each `fit`.

    Attributes
    ----------
    estimators_ : list of NetRegressor
        The fitted members: complete nets with copies of the trunk. Each has the history
        of the run, and what `WeightSnapshots` and `ForgettingEvents` recorded of it;
        other callbacks saw the run, not the members.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    SplitHeadEnsembleClassifier : The same for classification; its notes apply here,
        too.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import NetRegressor
    >>> from skal.nets.ensembles import SplitHeadEnsembleRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> ensemble = SplitHeadEnsembleRegressor(NetRegressor(lr=0.01), random_state=0)
    >>> mean, std = ensemble.fit(X, X[:, 0]).predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((40,), (40,))
    """
