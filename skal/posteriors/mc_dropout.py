"""Monte Carlo dropout: one mask for each draw, the same for all rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skal.contexts import hooked
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.nets import NetPosterior, Variant
from skal.reading.batches import tensors_of
from skal.reading.pool import Member
from skal.rng import seed_from
from skal.validation import check_int

__all__ = ["MCDropout", "dropout_layers"]

_WHOLE_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout)
_ALPHA = (nn.AlphaDropout, nn.FeatureAlphaDropout)
_KINDS = (nn.Dropout, *_WHOLE_CHANNELS, nn.AlphaDropout)

#: The value of a dropped unit of alpha dropout: the limit of SELU at -inf.
_SELU_FLOOR = -1.7580993408473766

#: Masks are kept up to this many bytes; others are drawn again, the same each time.
_KEPT_BYTES = 2**26


def dropout_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Find the dropout layers of a module with p > 0, by name.

    Raises
    ------
    UnsuitableLearnerError
        If one of them overrides the forward pass: what it draws is not known.
    """
    found: dict[str, Any] = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, _KINDS) and layer.p > 0
    }
    forwards = {kind.forward for kind in _KINDS}
    own = {
        name: type(layer).__name__
        for name, layer in found.items()
        if type(layer).forward not in forwards or "forward" in vars(layer)
    }
    if own:
        raise UnsuitableLearnerError(
            f"The dropout layers {own} of {type(module).__name__} have a forward pass "
            "of their own, and MCDropout would draw as torch.nn.Dropout does. Use "
            "torch's own layers, another posterior, or an ensemble."
        )
    return found


class MCDropout(NetPosterior):
    r"""Monte Carlo dropout [1]_ with masks that all rows share.

    Parameters
    ----------
    n_draws : int, default=20
        Number K of masks for each net.

    Notes
    -----
    A draw is a net with some units removed: a mask over the features of each dropout
    layer, drawn once and applied to all rows, whatever their block or batch.  The
    outputs of two rows in a draw then come from the same model, which joint measures
    such as BatchBALD require [2]_.  The k-th model multiplies features by :math:`m_k /
    (1 - p)`, :math:`m_k \sim \text{Bernoulli}(1 - p)`.  `torch.nn.Dropout1d` to ``3d``
    drop whole channels, and alpha dropout preserves mean and variance as it does in
    training.  A layer that runs several times in a forward pass has a mask for each
    run.

    Other layers are in eval mode: batch normalization is frozen.  Only dropout layers
    of `torch.nn` are found, not ``torch.nn.functional.dropout`` in a ``forward`` or the
    ``dropout=`` of `torch.nn.LSTM` or of attention; a subclass with its own forward
    pass raises an error.  The first dimension of the input of a dropout layer must be
    that of the rows.

    The cost is K forward passes over the rows.

    References
    ----------
    .. [1] Gal and Ghahramani, "Dropout as a Bayesian approximation: representing model
       uncertainty in deep learning", ICML 2016. https://arxiv.org/abs/1506.02142
    .. [2] Kirsch, van Amersfoort and Gal, "BatchBALD: efficient and diverse batch
       acquisition for deep Bayesian active learning", NeurIPS 2019.
       https://arxiv.org/abs/1906.08158

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.reading.pool import Pool
    >>> from skal.posteriors import MCDropout
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(module__dropout=0.2, max_epochs=2, random_state=0)
    >>> pool = Pool(net.fit(X, y), X)
    >>> proba = MCDropout(n_draws=5).draw(pool, torch.Generator()).collect()
    >>> proba.shape
    torch.Size([5, 150, 3])
    """

    def __init__(self, n_draws: int = 20) -> None:
        self.n_draws = n_draws

    def _check_parameters(self) -> None:
        check_int("n_draws", self.n_draws)

    def _variants(self, net: Member, rng: torch.Generator) -> Sequence[Variant]:
        module = net.access.module
        layers = dropout_layers(module)
        if not layers:
            raise UnsuitableLearnerError(
                f"The module {type(module).__name__} has no dropout layer with p > 0, "
                "so MCDropout has nothing to draw. Add torch.nn.Dropout layers to it; "
                "skal's MLP has them with NetClassifier(module__dropout=0.2). Calls of "
                "torch.nn.functional.dropout cannot be found."
            )
        masks = _Masks(module, layers)
        seeds = [seed_from(rng) for _ in range(self.n_draws)]
        return [partial(masks.applied, seed) for seed in seeds]


class _Masks:
    """The masks of the dropout layers of a module, made when a layer is first run."""

    def __init__(self, module: nn.Module, layers: dict[str, nn.Module]) -> None:
        self.module = module
        self.layers = layers
        self.positions = {name: k for k, name in enumerate(layers)}
        self.kept: dict[tuple[Any, ...], Tensor] = {}
        self.kept_bytes = 0

    @contextmanager
    def applied(self, seed: int) -> Iterator[None]:
        """Apply the masks of a seed to the layers, which are in eval mode."""
        run = _Run()
        with (
            hooked({"": self.module}, run.start, before=True),
            hooked(self.layers, partial(self._drop, run, seed)),
        ):
            yield
        if not run.calls:
            raise UnsuitableLearnerError(
                f"The forward pass of {type(self.module).__name__} does not run its "
                f"dropout layers {list(self.layers)} in eval mode, so MCDropout has "
                "nothing to draw. Call them as modules in forward."
            )

    def _drop(
        self,
        run: _Run,
        seed: int,
        name: str,
        layer: Any,
        args: Any,
        kwargs: Any,
        output: Tensor,
    ) -> Tensor:
        if len(output) != run.n_rows or output.ndim < 2:
            raise UnsuitableLearnerError(
                f"The dropout layer {name!r} of {type(self.module).__name__} has an "
                f"input of shape {tuple(output.shape)} for {run.n_rows} rows. "
                "MCDropout shares masks among rows, so they must be the first "
                "dimension (batch_first=True)."
            )
        shape = (1, *output.shape[1:])
        if isinstance(layer, _WHOLE_CHANNELS):
            shape = (1, output.shape[1], *(1 for _ in output.shape[2:]))
        position = self.positions[name]
        key = (seed, position, run.calls[position], shape)
        run.calls[position] += 1
        return _drop(layer, output, self._mask(key, layer.p, output.device))

    def _mask(self, key: tuple[Any, ...], p: float, device: torch.device) -> Tensor:
        """Draw the units that stay; the same for the same key."""
        if key in self.kept:
            return self.kept[key]
        *numbers, shape = key
        mixed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
        own = torch.Generator().manual_seed(mixed)
        # Within a forward pass, the default device is that of the caller.
        uniform = torch.rand(shape, generator=own, dtype=torch.float32, device="cpu")
        mask = (uniform >= p).to(device)
        if self.kept_bytes + mask.numel() <= _KEPT_BYTES:
            self.kept[key] = mask
            self.kept_bytes += mask.numel()
        return mask


class _Run:
    """The state of a forward pass: its number of rows, and the runs of each layer."""

    def __init__(self) -> None:
        self.n_rows = 0
        self.calls: Counter[int] = Counter()

    def start(self, name: str, _: nn.Module, args: Any, kwargs: Any) -> None:
        self.calls.clear()
        self.n_rows = len(next(tensors_of((args, kwargs))))


def _drop(layer: Any, x: Tensor, mask: Tensor) -> Tensor:
    p = float(layer.p)
    if p == 1:
        return torch.zeros_like(x)
    if not isinstance(layer, _ALPHA):
        return x * (mask.to(x.dtype) / (1 - p))
    # An affine map restores mean 0 and variance 1 [Klambauer et al. 2017].
    scale = 1 / math.sqrt((1 - p) * (1 + p * _SELU_FLOOR**2))
    return torch.where(mask, x, _SELU_FLOOR) * scale - scale * p * _SELU_FLOOR
