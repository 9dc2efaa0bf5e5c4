"""Bayes by backprop: nets with a Gaussian distribution for each weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import expm1, log, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skal.validation import check_sizes

__all__ = [
    "BayesLinear",
    "BayesianMLP",
    "GaussianNLL",
    "bayesian_layers",
    "kl_divergence",
    "one_draw",
    "sample_weights",
]


class BayesLinear(nn.Module):
    r"""Linear layer with a Gaussian posterior over its weights.

    In training mode, each forward pass draws new weights, one draw for the whole batch.
    In eval mode, the layer uses the means and is deterministic. A module that uses a
    layer several times in a forward pass needs one draw for all of them: skal's nets
    ensure this, and a custom training loop should run the module within `one_draw`.

    Parameters
    ----------
    in_features, out_features : int
    prior_scale : float, default=1.0
        Standard deviation of the prior of each weight and bias, a Gaussian around 0.
    initial_scale : float, default=0.02
        Standard deviation of each weight before training.
    bias : bool, default=True

    Attributes
    ----------
    weight_mu, weight_rho : Parameter of shape (out_features, in_features)
        Mean, and the parameter :math:`\rho` of the standard deviation
        :math:`\log(1 + e^\rho)`.
    bias_mu, bias_rho : Parameter of shape (out_features,), or None

    Notes
    -----
    Weights are :math:`w = \mu + \log(1 + e^\rho)\,\varepsilon` with
    :math:`\varepsilon \sim N(0, 1)`. Means are initialized like the weights of
    :class:`torch.nn.Linear`. `weight` and `bias` return the means, so that code which
    reads the weights of a linear layer works here, too.

    References
    ----------
    Blundell, Cornebise, Kavukcuoglu and Wierstra, "Weight uncertainty in neural
    networks", ICML 2015. https://arxiv.org/abs/1505.05424

    Examples
    --------
    >>> import torch
    >>> from skal.nets.bayesian import BayesLinear
    >>> layer = BayesLinear(3, 2)
    >>> X = torch.ones(4, 3)
    >>> torch.equal(layer(X), layer(X))
    False
    >>> layer = layer.eval()
    >>> torch.equal(layer(X), layer(X))
    True
    """

    weight_mu: nn.Parameter
    weight_rho: nn.Parameter
    bias_mu: nn.Parameter | None
    bias_rho: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        prior_scale: float = 1.0,
        initial_scale: float = 0.02,
        bias: bool = True,
    ) -> None:
        super().__init__()
        for name, scale in [
            ("prior_scale", prior_scale),
            ("initial_scale", initial_scale),
        ]:
            if not scale > 0:
                raise ValueError(f"{name} must be above 0, got {scale}.")
        self.in_features, self.out_features = in_features, out_features
        self.prior_scale, self.initial_scale = prior_scale, initial_scale
        for name, shape in [
            ("weight", (out_features, in_features)),
            ("bias", (out_features,) if bias else None),
        ]:
            for part in ("mu", "rho"):
                value = None if shape is None else nn.Parameter(torch.empty(shape))
                self.register_parameter(f"{name}_{part}", value)
        self._kept: list[Tensor] | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new means and set every standard deviation to `initial_scale`."""
        bound = 1 / sqrt(self.in_features) if self.in_features > 0 else 0.0
        scale = self.initial_scale
        rho = scale + log(-expm1(-scale))  # the inverse of log(1 + e^rho)
        for mu, rho_parameter in self._gaussians():
            nn.init.uniform_(mu, -bound, bound)
            nn.init.constant_(rho_parameter, rho)

    def _gaussians(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        yield self.weight_mu, self.weight_rho
        if self.bias_mu is not None and self.bias_rho is not None:
            yield self.bias_mu, self.bias_rho

    @property
    def weight(self) -> Tensor:
        """Mean of the weights."""
        return self.weight_mu

    @property
    def bias(self) -> Tensor | None:
        """Mean of the bias."""
        return self.bias_mu

    def forward(self, X: Tensor) -> Tensor:
        """Compute outputs of shape (m, out_features) of rows (m, in_features)."""
        if not self.training:
            return F.linear(X, self.weight_mu, self.bias_mu)
        draws = self._kept or [
            mu + F.softplus(rho) * torch.randn_like(mu) for mu, rho in self._gaussians()
        ]
        if self._kept is not None:
            self._kept[:] = draws
        return F.linear(X, *draws)

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Use one draw for all forward passes of a block, in training mode."""
        self._kept = []
        try:
            yield
        finally:
            self._kept = None

    def kl_divergence(self) -> Tensor:
        """Compute the divergence of the posterior from the prior, in nats."""
        total = self.weight_mu.new_zeros(())
        variance = self.prior_scale**2
        for mu, rho in self._gaussians():
            scale = F.softplus(rho)
            squares = (scale.square() + mu.square()) / (2 * variance)
            total = total + (squares - scale.log()).sum()
            total = total + mu.numel() * (log(self.prior_scale) - 0.5)
        return total

    def extra_repr(self) -> str:
        """Describe the layer in the repr of its module."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias_mu is not None}, prior_scale={self.prior_scale}"
        )


#: Layers whose outputs are linear in their inputs, so that they can be the head.
LINEAR = (nn.Linear, BayesLinear)


class BayesianMLP(nn.Module):
    """Multi-layer perceptron of Bayesian layers.

    Parameters
    ----------
    n_features : int
        Number of elements in a row. Rows of more dimensions are flattened.
    n_outputs : int
        Number of classes (outputs are logits) or targets.
    hidden_sizes : sequence of int, default=(128, 128)
        Width of each hidden layer; an empty sequence gives a linear model.
    prior_scale : float, default=1.0
        Standard deviation of the prior of each weight and bias.
    activation : callable, default=torch.nn.ReLU
        Called without arguments; returns the module that follows a hidden layer.
    initial_scale : float, default=0.02
        Standard deviation of each weight before training.

    See Also
    --------
    GaussianNLL : A loss for regression with a known scale of the noise.

    Notes
    -----
    skal's nets add the divergence of the posterior from the prior to the loss. With
    wide layers and few labels, the divergence outweighs the data and the net stays near
    the prior; use a narrower net or a smaller `prior_scale`. Standard deviations are
    learned slowly; use a larger `lr` or more epochs than for an `MLP`.

    The posterior contracts with the number of rows, and not with their weights: the
    loss of a batch is a weighted *mean*, so a `sample_weight` of 10 for every row
    changes nothing. To count rows several times, repeat them; to trust all targets
    more, lower ``criterion__noise_scale`` of `GaussianNLL`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.bayesian import BayesianMLP
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(
    ...     BayesianMLP,
    ...     module__hidden_sizes=(16,),
    ...     lr=0.02,
    ...     max_epochs=30,
    ...     random_state=0,
    ... )
    >>> bool(net.fit(X, y).score(X, y) > 0.8)
    True
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden_sizes: Sequence[int] = (128, 128),
        prior_scale: float = 1.0,
        activation: Callable[[], nn.Module] = nn.ReLU,
        initial_scale: float = 0.02,
    ) -> None:
        check_sizes("hidden_sizes", hidden_sizes)
        super().__init__()
        layers: list[nn.Module] = []
        width = n_features
        for size in hidden_sizes:
            layer = BayesLinear(width, size, prior_scale, initial_scale)
            layers += [layer, activation()]
            width = size
        self.body = nn.Sequential(*layers)
        self.head = BayesLinear(width, n_outputs, prior_scale, initial_scale)

    def forward(self, X: Tensor) -> Tensor:
        """Compute raw outputs of shape (m, n_outputs) of rows (m, ...)."""
        outputs: Tensor = self.head(self.body(X.flatten(1)))
        return outputs


class GaussianNLL(nn.MSELoss):
    r"""Negative log-likelihood of targets with Gaussian noise of known scale.

    Parameters
    ----------
    noise_scale : float, default=1.0
        Standard deviation of the noise, in units of the targets.
    reduction : {"mean", "sum", "none"}, default="mean"
        Reduction over rows and targets.

    Notes
    -----
    The loss is :math:`(y - f)^2 / (2\sigma^2)`, without the constant. In a Bayesian
    net, :math:`\sigma` determines the weight of the data against the prior;
    :class:`torch.nn.MSELoss` corresponds to :math:`\sigma = 1/\sqrt 2`.

    Examples
    --------
    >>> import torch
    >>> from skal.nets.bayesian import GaussianNLL
    >>> GaussianNLL(noise_scale=0.5)(torch.zeros(2, 1), torch.ones(2, 1))
    tensor(2.)
    """

    def __init__(self, noise_scale: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)
        if not noise_scale > 0:
            raise ValueError(f"noise_scale must be above 0, got {noise_scale}.")
        self.noise_scale = noise_scale

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of predictions and targets of the same shape."""
        return super().forward(input, target) / (2 * self.noise_scale**2)


def bayesian_layers(module: nn.Module) -> dict[str, BayesLinear]:
    """Get the Bayesian layers of a module by name; a shared layer appears once."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, BayesLinear)
    }


@contextmanager
def one_draw(module: nn.Module) -> Iterator[None]:
    """Use one draw of the weights of all Bayesian layers for a block.

    Has no effect in eval mode, in which the layers use their means.

    Parameters
    ----------
    module : torch.nn.Module

    Examples
    --------
    >>> import torch
    >>> from skal.nets.bayesian import BayesLinear, one_draw
    >>> layer, X = BayesLinear(3, 3), torch.ones(1, 3)
    >>> with one_draw(layer):
    ...     first, second = layer(X), layer(X)
    >>> torch.equal(first, second)
    True
    """
    with ExitStack() as stack:
        for layer in bayesian_layers(module).values():
            stack.enter_context(layer.keeping())
        yield


def kl_divergence(module: nn.Module) -> Tensor:
    r"""Compute the divergence of a module's posterior from its prior.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    kl : Tensor of shape ()
        Kullback-Leibler divergence in nats, summed over the Bayesian layers; 0 if
        there are none.

    Notes
    -----
    The divergence of a weight is
    :math:`\log(s/\sigma) + (\sigma^2 + \mu^2) / (2 s^2) - 1/2`, where s is the scale
    of the prior.

    Bayes by backprop minimizes the summed loss of all rows plus the divergence. The
    share of a batch in the divergence is 1 / (number of batches). If the loss of a
    batch is the *mean* over its rows and targets, everything is divided by their number
    in a batch, and the share is 1 / (number of training rows · number of targets).

    Examples
    --------
    >>> import torch
    >>> from skal.nets.bayesian import BayesianMLP, kl_divergence
    >>> module = BayesianMLP(2, 1, hidden_sizes=(3,))
    >>> for name, parameter in module.named_parameters():
    ...     value = 0.541324854612918 if name.endswith("rho") else 0.0
    ...     _ = torch.nn.init.constant_(parameter, value)  # log(1 + e^.541) = 1
    >>> abs(kl_divergence(module).item()) < 1e-5
    True
    """
    layers = bayesian_layers(module).values()
    if not layers:
        return torch.zeros(())
    return torch.stack([layer.kl_divergence() for layer in layers]).sum()


def sample_weights(module: nn.Module, rng: torch.Generator) -> dict[str, Tensor]:
    """Draw the weights of all Bayesian layers from the posterior.

    Parameters
    ----------
    module : torch.nn.Module
        It is not changed.
    rng : torch.Generator
        On the CPU, whatever the device of the module.

    Returns
    -------
    weights : dict of str to Tensor
        Replacements of the means, for :func:`torch.func.functional_call` on the module
        in eval mode.

    Raises
    ------
    ValueError
        If the module has no Bayesian layer.

    Examples
    --------
    >>> import torch
    >>> from torch.func import functional_call
    >>> from skal.nets.bayesian import BayesianMLP, sample_weights
    >>> module = BayesianMLP(2, 1, hidden_sizes=(3,)).eval()
    >>> weights = sample_weights(module, torch.Generator().manual_seed(0))
    >>> sorted(weights)
    ['body.0.bias_mu', 'body.0.weight_mu', 'head.bias_mu', 'head.weight_mu']
    >>> functional_call(module, weights, torch.zeros(4, 2)).shape
    torch.Size([4, 1])
    """
    layers = bayesian_layers(module)
    if not layers:
        raise ValueError(
            f"{type(module).__name__} has no Bayesian layer to draw weights from; "
            "build it from BayesLinear layers, as BayesianMLP is."
        )
    draws = {}
    for name, layer in layers.items():
        prefix = f"{name}." if name else ""
        for part in ("weight", "bias"):
            mu, rho = getattr(layer, f"{part}_mu"), getattr(layer, f"{part}_rho")
            if mu is not None:
                noise = torch.randn(mu.shape, generator=rng).to(mu)
                draws[f"{prefix}{part}_mu"] = (mu + F.softplus(rho) * noise).detach()
    return draws
