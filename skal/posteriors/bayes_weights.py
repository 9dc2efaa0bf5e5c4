"""Bayes by backprop as a posterior."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from skal.exceptions import UnsuitableLearnerError
from skal.nets.bayesian import bayesian_layers, sample_weights
from skal.posteriors.nets import NetPosterior, Variant, with_weights
from skal.reading.pool import Member
from skal.rng import seed_from
from skal.validation import check_int

__all__ = ["BayesWeights"]


class BayesWeights(NetPosterior):
    r"""Weights drawn from the variational posterior of Bayes by backprop [1]_.

    Parameters
    ----------
    n_draws : int, default=20
        Number K of draws of the weights of each net.

    Notes
    -----
    The weights of `skal.nets.bayesian.BayesLinear` have means and scales.  A draw is

    .. math:: w_k = \mu + \log(1 + e^\rho) \, \varepsilon_k, \quad
              \varepsilon_k \sim N(0, I),

    the same for all rows; other layers keep their weights.

    The cost is K forward passes over the rows.

    References
    ----------
    .. [1] Blundell, Cornebise, Kavukcuoglu and Wierstra, "Weight uncertainty in neural
       networks", ICML 2015. https://arxiv.org/abs/1505.05424
    """

    def __init__(self, n_draws: int = 20) -> None:
        self.n_draws = n_draws

    def _check_parameters(self) -> None:
        check_int("n_draws", self.n_draws)

    def _variants(self, net: Member, rng: torch.Generator) -> Sequence[Variant]:
        module = net.access.module
        if not bayesian_layers(module):
            raise UnsuitableLearnerError(
                f"The module {type(module).__name__} has no Bayesian layers to draw "
                "weights from. Train NetClassifier(skal.nets.bayesian.BayesianMLP) or "
                "a module of skal.nets.bayesian.BayesLinear layers."
            )
        seeds = [seed_from(rng) for _ in range(self.n_draws)]
        return [with_weights(partial(_draw_weights, module, seed)) for seed in seeds]


def _draw_weights(module: nn.Module, seed: int) -> dict[str, Tensor]:
    return sample_weights(module, torch.Generator().manual_seed(seed))
