"""VAAL: rows that a discriminator tells from the labeled ones."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skal.adversarial import BetaVAE, VAEGame, unfamiliarity_net
from skal.exceptions import is_out_of_memory
from skal.reading.inputs import read_inputs
from skal.reading.pool import Pool
from skal.strategies.adversarial import AdversarialStrategy
from skal.validation import check_int, check_not_negative

__all__ = ["VAAL", "standardize"]


class VAAL(AdversarialStrategy):
    r"""Variational adversarial active learning [1]_: rows unlike the labeled ones.

    Parameters
    ----------
    latent_dim : int, optional
        Length of a code, at most the number of features; by default the smaller of
        these and 32.
    beta : float, default=0.1
        Weight of the divergence of the codes from a standard normal.
    adversary_weight : float, default=1.0
        Weight :math:`\lambda` of the loss by which the autoencoder hides from the
        discriminator which rows are labeled.
    max_epochs : int, default=50
    batch_size : int, default=128
        Number of rows in a mini-batch, of labeled and of unlabeled rows.
    epoch_size : int, default=10000
        Maximum number of rows of the pool in an epoch; they are drawn anew for each.
    patience : int, default=10
        Number of epochs without an increase of the discriminator's area under the curve
        after which training stops.
    lr : float, default=0.0005
        Learning rate of Adam.
    encoder, decoder, discriminator : Module, optional
        Used instead of multi-layer perceptrons sized from the data, and copied before
        they are trained.  They map rows ``(b, d)`` to means and log variances ``(b, 2 *
        latent_dim)``, codes ``(b, latent_dim)`` to rows, and codes to a logit ``(b,
        1)``.
    device : str, optional
        Device of the training; by default that of the learner's net, or the CPU.
    verbose : int, default=0
        Whether to show a progress bar.
    random_state : int, RandomState, Generator or None
        Used to draw weights, mini-batches and codes.

    Attributes
    ----------
    history_ : list of dict
        Curves of the last query, one dict for each epoch: ``"vae_loss"``,
        ``"discriminator_loss"`` and ``"auc"``, the probability that the discriminator
        gives a labeled row a higher value than a row of the pool.  Near 0.5, it
        cannot distinguish them: the labeled rows represent the pool, and the picks are
        as good as random sampling.

    Raises
    ------
    ValueError
        If there are no labeled rows, `latent_dim` is above the number of features, a
        module returns the wrong shape, or the training diverges.
    TypeError
        If `encoder`, `decoder` or `discriminator` is not a Module.

    Notes
    -----
    An autoencoder is trained on labeled rows and the pool such that a discriminator D,
    trained against it, considers all rows labeled:

    .. math:: \ell(x_L) + \ell(x_U) - \lambda\,(\log D(\mu_L) + \log D(\mu_U)),
       \qquad \ell(x) = \|x - \hat x\|^2/d + \frac{\beta}{d}\,\mathrm{KL}(q(z|x) \,\|\,
       N(0, I))

    with :math:`\mu` the mean of the code of a row, in two steps for each step of D.
    The score is :math:`-\log D(\mu)`.  The model and the labels are not used.  The
    authors' program sums the divergence over the rows of a mini-batch and does not
    divide it by d; on tables, the codes then contain no information.

    The rows are used as the model receives them (for a committee, its first member),
    flattened, and standardized by their mean and standard deviation.  The cost is
    ``max_epochs`` × 4 forward and backward passes of the small networks over
    ``epoch_size`` rows; the pool is kept as float32.

    References
    ----------
    .. [1] Sinha, Ebrahimi and Darrell, "Variational adversarial active learning", ICCV
       2019. https://arxiv.org/abs/1904.00370

    Examples
    --------
    The labels are of one cluster, the pool has another:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal import ActiveLearner
    >>> from skal.strategies import VAAL
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(40, 4)), np.zeros(40)
    >>> learner = ActiveLearner(LinearRegression(), X_training=X, y_training=y)
    >>> pool = rng.normal(size=(60, 4)) + 6 * (np.arange(60) >= 30)[:, None]
    >>> strategy = VAAL(max_epochs=20, random_state=0)
    >>> bool((strategy.select(learner, pool, 5).indices >= 30).all())
    True
    >>> sorted(strategy.history_[-1])
    ['auc', 'discriminator_loss', 'vae_loss']
    """

    _task: ClassVar[str] = "any"
    _requires_labeled: ClassVar[bool] = True

    def __init__(
        self,
        latent_dim: int | None = None,
        beta: float = 0.1,
        adversary_weight: float = 1.0,
        max_epochs: int = 50,
        batch_size: int = 128,
        epoch_size: int = 10_000,
        patience: int = 10,
        lr: float = 5e-4,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        device: str | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.beta = beta
        self.adversary_weight = adversary_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.patience = patience
        self.lr = lr
        self.encoder = encoder
        self.decoder = decoder
        self.discriminator = discriminator
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        self._check_training()
        check_not_negative("beta", self.beta)
        if self.latent_dim is not None:
            check_int("latent_dim", self.latent_dim)
        member = pool.members[0]
        assert member.labeled is not None  # checked by the base class
        device = self.device or getattr(member.estimator, "device", None) or "cpu"
        labeled, unlabeled = standardize(
            read_inputs(member.labeled), read_inputs(member.rows), device
        )
        game = VAEGame(
            *self._networks(labeled.shape[1], device, rng),
            self.beta,
            self.adversary_weight,
            self.lr,
            rng,
        )
        self.history_ = self._train(
            lambda batches: game.epoch(labeled, unlabeled, batches),
            len(labeled),
            len(unlabeled),
            rng,
        )
        return nn.functional.softplus(-game.logits(unlabeled).double())

    def _networks(
        self, n_features: int, device: str, rng: torch.Generator
    ) -> tuple[BetaVAE, nn.Module]:
        """Build autoencoder and discriminator, with the user's modules where given."""
        for name in ("encoder", "decoder", "discriminator"):
            own = getattr(self, name)
            if own is not None and not isinstance(own, nn.Module):
                raise TypeError(f"{name} must be a torch.nn.Module, got {own!r}.")
        latent_dim = self.latent_dim or min(32, n_features)
        if latent_dim > n_features:
            raise ValueError(
                f"latent_dim is {latent_dim} and the rows have {n_features} features: "
                "a code cannot be longer than its row. Lower latent_dim."
            )
        vae = BetaVAE.sized(n_features, latent_dim, rng)
        if self.encoder is not None:
            vae.encoder = copy.deepcopy(self.encoder)
        if self.decoder is not None:
            vae.decoder = copy.deepcopy(self.decoder)
        discriminator = copy.deepcopy(self.discriminator)
        if discriminator is None:
            discriminator = unfamiliarity_net(latent_dim, rng)
        shapes = {
            "encoder": (vae.encoder, n_features, 2 * latent_dim),
            "decoder": (vae.decoder, latent_dim, n_features),
            "discriminator": (discriminator, latent_dim, 1),
        }
        for name, (module, n_in, n_out) in shapes.items():
            _check_shape(name, module.to(device), n_in, n_out, device)
        return vae, discriminator


def standardize(
    labeled: Tensor, unlabeled: Tensor, device: str
) -> tuple[Tensor, Tensor]:
    """Scale both to mean 0 and deviation 1 by feature, float32 on the device."""
    both = torch.cat([labeled, unlabeled])
    mean, std = both.mean(dim=0), both.std(dim=0, correction=0)
    std[std == 0] = 1
    scaled = both.sub_(mean).div_(std).float().to(device)
    return scaled[: len(labeled)], scaled[len(labeled) :]


def _check_shape(
    name: str, module: nn.Module, n_in: int, n_out: int, device: str
) -> None:
    with torch.no_grad():
        try:
            rows = torch.zeros(2, n_in, dtype=torch.float32, device=device)
            shape = tuple(module.eval()(rows).shape)
        except (RuntimeError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            raise ValueError(
                f"{name} must take rows of shape (b, {n_in}): {error}"
            ) from error
        finally:
            module.train()
    if shape != (2, n_out):
        raise ValueError(
            f"{name} must return shape (b, {n_out}) for (b, {n_in}); it returned "
            f"{shape} for b = 2."
        )
