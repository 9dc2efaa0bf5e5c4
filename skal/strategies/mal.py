"""MAL: unfamiliar and unclear rows, by networks that play a minimax game."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from skal.adversarial import (
    Body,
    CosineClassifier,
    History,
    MinimaxGame,
    unfamiliarity_net,
)
from skal.exceptions import UnsuitableLearnerError
from skal.reading.access import NetAccess
from skal.reading.pool import Member, Pool
from skal.rows import Rows
from skal.shared_copy import shared_copy
from skal.strategies.adversarial import AdversarialStrategy
from skal.validation import check_not_negative, check_positive

__all__ = ["MAL"]


class MAL(AdversarialStrategy):
    r"""Minimax active learning [1]_: unfamiliar rows whose class is unclear.

    Parameters
    ----------
    temperature : float, default=0.05
        Temperature T of the cosine classifier.
    entropy_weight : float, default=0.1
        Weight of the entropy of the predictions for the pool, which the encoder
        minimizes and the classifier maximizes.
    adversary_weight : float, default=0.1
        Weight of the loss by which the encoder hides from the discriminator which rows
        are labeled.
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
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    device : str, optional
        Device of the training; by default that of the learner's net.
    verbose : int, default=0
        Whether to show a progress bar.
    random_state : int, RandomState, Generator or None
        Used to draw weights and mini-batches.

    Attributes
    ----------
    history_ : list of dict
        Curves of the last query, one dict for each epoch: ``"classification_loss"``,
        ``"entropy"`` of the pool in nats, ``"discriminator_loss"`` and ``"auc"``, the
        probability that the discriminator gives a labeled row a higher value than a row
        of the pool.  For a committee, the curves of its last net.

    Raises
    ------
    ValueError
        If there are no labeled rows or only one class among them, or the training
        diverges.
    UnsuitableLearnerError
        If the input of the net is not a single tensor.

    Notes
    -----
    The encoder F is a copy of the net up to its head, with its weights, in eval mode
    (no dropout, batch norm with its statistics).  Its features have unit length, and a
    classifier C compares them with a vector for each class, :math:`p(x) =
    \mathrm{softmax}(\cos(w_c, F(x))/T)`.  Both are trained on the labels; on the pool F
    minimizes the entropy of p and C maximizes it, in one backward pass with the
    gradient reversed between them.  A discriminator D learns to recognize the features
    of labeled rows, and F learns to deceive it, as in `VAAL`.

    The score is the mean of two ranks in the pool, from 0 to 1: those of :math:`-\log
    D` and of the entropy.  The net of the learner is not changed.  The cost is
    ``max_epochs`` × 3 forward and backward passes of the net over ``epoch_size`` rows,
    and the pool is kept as input of the net.  The nets of a committee are trained one
    after the other, and their ranks are averaged.

    References
    ----------
    .. [1] Ebrahimi, Gan, Chen, Biamby, Salahi, Laielli, Zhu and Darrell, "Minimax
       active learning", 2020. https://arxiv.org/abs/2012.10467

    Examples
    --------
    >>> import numpy as np
    >>> from skal import ActiveLearner, NetClassifier
    >>> from skal.strategies import MAL
    >>> X = np.random.default_rng(0).normal(size=(60, 3))
    >>> y = X[:, 0] > 0
    >>> net = NetClassifier(max_epochs=5, random_state=0)
    >>> learner = ActiveLearner(net, X_training=X[:20], y_training=y[:20])
    >>> MAL(max_epochs=3, random_state=0).select(learner, X[20:], 4).indices.shape
    (4,)
    """

    _task: ClassVar[str] = "classification"
    _requires: ClassVar[str | None] = "net"
    _requires_labeled: ClassVar[bool] = True

    def __init__(
        self,
        temperature: float = 0.05,
        entropy_weight: float = 0.1,
        adversary_weight: float = 0.1,
        max_epochs: int = 50,
        batch_size: int = 128,
        epoch_size: int = 10_000,
        patience: int = 10,
        lr: float = 5e-4,
        head: str | None = None,
        device: str | None = None,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.temperature = temperature
        self.entropy_weight = entropy_weight
        self.adversary_weight = adversary_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.patience = patience
        self.lr = lr
        self.head = head
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        self._check_training()
        check_positive("temperature", self.temperature)
        check_not_negative("entropy_weight", self.entropy_weight)
        score, n = torch.zeros(len(pool), dtype=torch.float64), 0
        for member, access in pool.nets(self.head):
            unfamiliar, entropy, history = self._play(member, access, rng)
            score += (_rank(unfamiliar) + _rank(entropy)) / 2
            n += 1
        self.history_ = history
        return score / n

    def _play(
        self, member: Member, access: NetAccess, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, History]:
        """Train copies; return -log D and entropy of the pool, and the history."""
        assert member.labeled is not None  # checked by the base class
        classes, codes = np.unique(np.asarray(member.y), return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"The labeled rows are all of the class {classes.tolist()[0]!r}: MAL "
                "needs at least two classes. Label some rows picked by Random first."
            )
        device = self.device or access.net.device
        labeled = _inputs(access, member.labeled).to(device)
        inputs = _inputs(access, member.rows)
        head = access.find_head(inputs)
        unlabeled = inputs.to(device)
        y = torch.from_numpy(codes.reshape(-1)).to(device)
        body = shared_copy(access.module, own_tensors=True).requires_grad_(True)
        size = head.inputs.flatten(1).shape[1]
        game = MinimaxGame(
            Body(body.to(device), head.name),
            CosineClassifier(size, len(classes), self.temperature, rng).to(device),
            unfamiliarity_net(size, rng).to(device),
            self.entropy_weight,
            self.adversary_weight,
            self.lr,
        )
        if not game.encoder(unlabeled[:2]).requires_grad:
            raise UnsuitableLearnerError(
                f"The features of {type(access.module).__name__} have no gradient, so "
                "that MAL cannot train them: its forward pass detaches them, or runs "
                "under torch.no_grad."
            )
        history = self._train(
            lambda batches: game.epoch(labeled, y, unlabeled, batches),
            len(labeled),
            len(unlabeled),
            rng,
        )
        logits, entropy = zip(*game.read(unlabeled), strict=True)
        return -torch.cat(logits), torch.cat(entropy), history


def _inputs(access: NetAccess, rows: Rows) -> Tensor:
    """Read rows as the net takes them."""

    def read(batch: Any) -> Tensor:
        if not isinstance(batch, Tensor):
            raise UnsuitableLearnerError(
                "MAL trains a copy of the net on rows of one tensor, and "
                f"{type(access.module).__name__} takes a {type(batch).__name__}."
            )
        return batch

    return access.collect(rows, read)


def _rank(values: Tensor) -> Tensor:
    """Ranks in the pool, above 0 and up to 1; equal values share theirs."""
    ranks = rankdata(values.cpu().numpy()) / len(values)
    return torch.from_numpy(ranks)
