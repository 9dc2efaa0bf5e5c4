"""A perceptron of Bayesian layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from skal.nets.bayesian.layers import BayesLinear

__all__ = ["BayesianMLP"]


class BayesianMLP(nn.Module):
    """Multi-layer perceptron of Bayesian layers, as `MLP` otherwise.

    Parameters
    ----------
    n_features : int
        Numbers in a row. Rows of more dimensions are flattened.
    n_outputs : int
        Classes (their logits are given) or targets.
    hidden_sizes : sequence of int, default=(128, 128)
        Width of each hidden layer; empty gives a linear model.
    prior_scale : float, default=1.0
        Standard deviation of the prior of each weight and bias.
    activation : callable, default=torch.nn.ReLU
        Makes the module that follows each hidden layer; called without arguments.
    initial_scale : float, default=0.02
        Standard deviation of each weight before training.

    See Also
    --------
    GaussianNLL : A loss for regression that knows how large the noise is.

    Notes
    -----
    skal's nets add the divergence of the posterior from the prior to the loss. Where
    wide layers meet few labels it outweighs the data and the net stays near the prior:
    take a narrower net, or a smaller `prior_scale`. Standard deviations learn slowly:
    use a larger `lr` or more epochs than for `MLP`.

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
        """Raw outputs, (m, n_outputs), of rows (m, ...)."""
        outputs: Tensor = self.head(self.body(X.flatten(1)))
        return outputs
