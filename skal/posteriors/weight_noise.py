"""Noise on the weights of a net."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from skal.posteriors.nets import NetPosterior, Variant, with_weights
from skal.reading.pool import Member
from skal.rng import seed_from
from skal.validation import check_int, check_option, check_positive

__all__ = ["WeightNoise", "perturb_weights"]


def perturb_weights(
    module: nn.Module, scaling: str, noise_scale: float, rng: torch.Generator
) -> dict[str, Tensor]:
    r"""Draw weights near those of a module.

    Parameters
    ----------
    module : torch.nn.Module
        It is not changed.
    scaling : {"per_tensor", "global"}
        ``"per_tensor"`` moves every weight tensor by ``noise_scale`` times its norm and
        leaves biases unchanged.  ``"global"`` moves all parameters together by
        ``noise_scale`` times their joint norm.
    noise_scale : float
        Length of the step relative to the norm of the weights.
    rng : torch.Generator
        On the CPU, so that the draws are the same on all devices.

    Returns
    -------
    parameters : dict of str to Tensor
        By the names of ``module.named_parameters()``.  A tensor that two modules share
        is moved once.

    Notes
    -----
    With :math:`e \sim N(0, I)` and the noise scale :math:`\zeta`, the weights are
    :math:`W_l + \zeta \, \lVert W_l \rVert_F \, e_l / \lVert e_l \rVert_F` per tensor,
    and :math:`\theta + \zeta \, \lVert \theta \rVert \, e / \lVert e \rVert`
    globally.
    """
    moved = {
        name: parameter.detach()
        for name, parameter in module.named_parameters()
        if (parameter.is_floating_point() or parameter.is_complex())
        and (scaling == "global" or "bias" not in name.rpartition(".")[2])
    }
    steps = {name: _randn(weight, rng) for name, weight in moved.items()}
    if scaling == "global":
        length = noise_scale * _norm(moved) / _norm(steps)
        lengths = dict.fromkeys(moved, length)
    else:
        lengths = {
            name: noise_scale * _norm({name: moved[name]}) / _norm({name: steps[name]})
            for name in moved
        }
    return {
        name: weight + (lengths[name] * steps[name]).to(weight)
        for name, weight in moved.items()
    }


def _randn(weight: Tensor, rng: torch.Generator) -> Tensor:
    """Draw a standard normal for each real number of a tensor, complex or not."""
    if not weight.is_complex():
        return torch.randn(weight.shape, generator=rng, dtype=torch.float32)
    pairs = torch.randn((*weight.shape, 2), generator=rng, dtype=torch.float32)
    return torch.view_as_complex(pairs)


def _norm(tensors: dict[str, Tensor]) -> float:
    """Euclidean norm of several tensors together."""
    return sum(float(t.abs().double().square().sum()) for t in tensors.values()) ** 0.5


class WeightNoise(NetPosterior):
    """Weights near the trained ones, in isotropic Gaussian directions.

    Parameters
    ----------
    n_draws : int, default=20
        Number K of draws of the weights of each net.
    noise_scale : float, default=0.1
        Length of the step relative to the norm of the weights.  With 1e-3, the default
        of `skal.strategies.NoiseStability`, hardly any predicted label changes, so that
        votes are tied.
    scaling : {"per_tensor", "global"}, default="per_tensor"
        As in `perturb_weights`.

    Notes
    -----
    This is not a Bayesian posterior: the spread of a row's outputs measures how
    strongly they depend on the weights.  The cost is K forward passes over the rows.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.reading.pool import Pool
    >>> from skal.posteriors import WeightNoise
    >>> X, y = load_iris(return_X_y=True)
    >>> pool = Pool(NetClassifier(max_epochs=2, random_state=0).fit(X, y), X)
    >>> WeightNoise(n_draws=4).draw(pool, torch.Generator()).collect().shape
    torch.Size([4, 150, 3])
    """

    def __init__(
        self, n_draws: int = 20, noise_scale: float = 0.1, scaling: str = "per_tensor"
    ) -> None:
        self.n_draws = n_draws
        self.noise_scale = noise_scale
        self.scaling = scaling

    def _check_parameters(self) -> None:
        check_int("n_draws", self.n_draws)
        check_positive("noise_scale", self.noise_scale)
        check_option("scaling", self.scaling, ["per_tensor", "global"])

    def _variants(self, net: Member, rng: torch.Generator) -> Sequence[Variant]:
        module = net.access.module

        def draw(seed: int) -> dict[str, Tensor]:
            own = torch.Generator().manual_seed(seed)
            return perturb_weights(module, self.scaling, self.noise_scale, own)

        seeds = [seed_from(rng) for _ in range(self.n_draws)]
        return [with_weights(partial(draw, seed)) for seed in seeds]
