"""The Laplace approximation of the last layer as a posterior."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor, nn
from torch.nn import functional as F

from skal.contexts import hooked, input_of
from skal.exceptions import UnsuitableLearnerError
from skal.posteriors.nets import NetPosterior, Variant
from skal.reading.access import NetAccess
from skal.reading.pool import Member
from skal.rows import Rows
from skal.validation import check_int, check_positive

__all__ = ["LastLayerLaplace"]

#: Maximum number of weights of a head for a full Hessian (32 MiB).
_WHOLE = 2048


class LastLayerLaplace(NetPosterior):
    r"""Laplace approximation of the posterior of the last layer [1]_.

    Parameters
    ----------
    n_draws : int, default=20
        Number K of draws of the head of each net.
    prior_precision : float, default=1.0
        Precision of the zero-mean Gaussian prior of each weight of the head.

    Notes
    -----
    With the features :math:`z_n` of the labeled rows, 1 appended for the bias, and the
    trained weights W, heads are drawn from :math:`N(W, H^{-1})`,

    .. math:: H = \sum_n \Lambda_n \otimes z_n z_n^\top + \tau I,

    the Gauss-Newton Hessian: :math:`\Lambda_n = \operatorname{diag}(p_n) - p_n
    p_n^\top` for cross-entropy, times the weight of the row's class, and
    :math:`\operatorname{diag}(1 / \sigma_t^2)` for regression, with :math:`\sigma_t^2`
    the mean squared residual of target t, which is Bayesian linear regression on the
    features.  A learner does not store sample weights, so these count as 1.  For the
    head of a classifier with more than 2048 weights, H is the Kronecker product of the
    mean :math:`\Lambda_n` and :math:`\sum_n z_n z_n^\top`.

    The cost is one forward pass over the labeled rows, and K forward passes over the
    rows that are read.

    References
    ----------
    .. [1] Daxberger, Kristiadi, Immer, Eschenhagen, Bauer and Hennig, "Laplace redux -
       effortless Bayesian deep learning", NeurIPS 2021.
       https://arxiv.org/abs/2106.14806
    """

    def __init__(self, n_draws: int = 20, prior_precision: float = 1.0) -> None:
        self.n_draws = n_draws
        self.prior_precision = prior_precision

    def _check_parameters(self) -> None:
        check_int("n_draws", self.n_draws)
        check_positive("prior_precision", self.prior_precision)

    def _variants(self, net: Member, rng: torch.Generator) -> Sequence[Variant]:
        if net.labeled is None or net.y is None:
            raise UnsuitableLearnerError(
                "LastLayerLaplace reads the labeled rows, which a bare estimator does "
                "not keep. Use skal.ActiveLearner(estimator, X_training=, y_training=)."
            )
        access = net.access
        features, outputs = access.collect(net.labeled, access.forward_features)
        outputs = outputs.double().reshape(len(outputs), -1)
        name, head = _linear_head(access, net.labeled, features, outputs)
        z = features.double()
        if head.bias is not None:
            z = torch.cat([z, torch.ones_like(z[:, :1])], dim=1)
        curvature = _curvature(net, outputs)  # (n, C, C)
        size = (self.n_draws, head.out_features, z.shape[1])
        noise = torch.randn(size, generator=rng, dtype=torch.float64).to(z.device)
        whole = is_classifier(net.estimator) and noise[0].numel() <= _WHOLE
        sample = _by_cholesky if whole else _by_kronecker
        steps = sample(z, curvature, self.prior_precision, noise)
        return [partial(_moved, name, head, step) for step in steps]


def _linear_head(
    access: NetAccess, rows: Rows, features: Tensor, outputs: Tensor
) -> tuple[str, nn.Linear]:
    _, batch = next(access.batches(rows))
    name, head, *_ = access.find_head(batch)
    if isinstance(head, nn.Linear):
        with torch.no_grad():
            direct = head(features.to(head.weight.dtype)).double()
            if torch.allclose(direct, outputs, atol=1e-4, rtol=1e-3):
                return name, head
    raise UnsuitableLearnerError(
        "LastLayerLaplace needs a torch.nn.Linear whose outputs are those of "
        f"{type(access.module).__name__}, and its last one is followed by another "
        "layer. End the module with a Linear (logits, with CrossEntropyLoss)."
    )


def _curvature(net: Member, outputs: Tensor) -> Tensor:
    """Compute the Hessian of each row's loss in the outputs, ``(n, C, C)``."""
    estimator = net.access.net
    eye = torch.eye(outputs.shape[1], dtype=outputs.dtype, device=outputs.device)
    if not is_classifier(estimator):
        # A copy: torch warns of read-only memory, as the values of a Series are.
        residual = outputs - torch.tensor(net.own_targets(), device=outputs.device)
        precision = 1 / residual.square().mean(dim=0).clamp(min=1e-12)
        return precision.diag().expand(len(outputs), -1, -1)
    criterion = estimator.criterion_
    if isinstance(criterion, nn.CrossEntropyLoss):
        p = outputs.softmax(dim=1)
        curvature = p[:, :, None] * (eye - p[:, None, :])
    elif isinstance(criterion, nn.BCEWithLogitsLoss):
        p = outputs.sigmoid()
        curvature = (p * (1 - p))[:, :, None] * eye
    else:
        raise UnsuitableLearnerError(
            "LastLayerLaplace needs a net trained with CrossEntropyLoss or "
            f"BCEWithLogitsLoss, got {type(criterion).__name__}."
        )
    weights = _class_weights(estimator, max(2, outputs.shape[1]))
    if weights is None:
        return curvature
    return weights.to(outputs)[_codes(net, len(weights))][:, None, None] * curvature


def _class_weights(estimator: Any, n_classes: int) -> Tensor | None:
    """Get the factor of a row's loss by its class; None if it is always 1."""
    weights = getattr(estimator, "class_weights_", None)  # of skal's nets
    total = torch.ones(n_classes) if weights is None else weights.cpu().clone()
    criterion = estimator.criterion_
    own, positive = (getattr(criterion, k, None) for k in ("weight", "pos_weight"))
    if isinstance(criterion, nn.CrossEntropyLoss):
        if own is not None:  # smoothing moves a part of the label to all classes
            share, own = criterion.label_smoothing, own.detach().cpu()
            total *= (1 - share) * own + share * own.mean()
    elif positive is not None:
        total[1] *= float(positive)
    return None if bool((total == 1).all()) else total


def _codes(net: Member, n_classes: int) -> Tensor:
    """Find the class of each labeled row among those of the net's probabilities."""
    columns = NetAccess(net.estimator).column_classes(n_classes)
    codes = {label: k for k, label in enumerate(net.decode(columns).tolist())}
    return torch.tensor([codes[label] for label in np.asarray(net.y).ravel().tolist()])


def _by_cholesky(z: Tensor, curvature: Tensor, tau: float, noise: Tensor) -> Tensor:
    """Draw steps ``(K, C, d)`` from N(0, H^-1) with the full H."""
    c, d = noise.shape[1:]
    rows = [
        z.T @ (curvature[:, i, :, None] * z[:, None, :]).flatten(1) for i in range(c)
    ]
    hessian = torch.cat(rows) + tau * torch.eye(c * d, dtype=z.dtype, device=z.device)
    lower = torch.linalg.cholesky(hessian)
    steps = torch.linalg.solve_triangular(lower.T, noise.flatten(1).T, upper=True)
    return steps.T.reshape(noise.shape)


def _by_kronecker(z: Tensor, curvature: Tensor, tau: float, noise: Tensor) -> Tensor:
    """Draw steps from N(0, (B x A + tau I)^-1), exact if all rows share B."""
    a, u = torch.linalg.eigh(z.T @ z)
    b, v = torch.linalg.eigh(curvature.mean(dim=0))
    precision = b.clamp(min=0)[:, None] * a.clamp(min=0) + tau
    return v @ (noise / precision.sqrt()) @ u.T


@contextmanager
def _moved(name: str, head: nn.Linear, step: Tensor) -> Iterator[None]:
    """Run a block with other weights of the head.

    They are not swapped in: those of a head may be computed, as by weight_norm, or be
    those of an embedding, too.
    """
    weight = head.weight.detach()
    weight = weight + step[:, : weight.shape[1]].to(weight)
    bias = None if head.bias is None else head.bias.detach() + step[:, -1].to(weight)

    def run(_: str, __: nn.Module, args: Any, kwargs: Any, output: Tensor) -> Tensor:
        return F.linear(input_of(args, kwargs), weight, bias)

    with hooked({name: head}, run):
        yield
