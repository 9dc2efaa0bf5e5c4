"""Training of nets of the same shape, each on all folds of the rows but its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skal.contexts import training_modes
from skal.nets.data import ArrayDataset
from skal.nets.ensembles.together import StackedLoss, StackedMLP
from skal.nets.modules import TabularMLP
from skal.nets.rates import BETAS, Recipe, parameter_groups, set_rates

__all__ = ["Schedule", "deal_folds", "train_on_folds"]

#: Steps between two looks at the held-out rows.
_EVERY = 10
#: Share of the steps without a better one of any net after which training ends.
_PATIENCE = 0.3
#: Rows of each net in a held-out batch, and passes over the rows at least, by default.
_MOST_ROWS, _MIN_EPOCHS, _MIN_STEPS = 4096, 30, 500


@dataclass(frozen=True)
class Schedule:
    """How long, and in what steps, nets are trained.

    Attributes
    ----------
    n_steps : int
    batch_size : int
    lr : float
        Largest learning rate, before the factors of the module.
    weight_decay : float
        Of the weight matrices, relative to the learning rate.
    """

    n_steps: int
    batch_size: int
    lr: float
    weight_decay: float

    @staticmethod
    def default_steps(n_rows: int, batch_size: int) -> int:
        """Get 500 steps, or as many as 30 passes over the rows have, if that is more.

        Examples
        --------
        >>> from skal.nets.ensembles.fold_training import Schedule
        >>> Schedule.default_steps(100, 64), Schedule.default_steps(6400, 64)
        (500, 3000)
        """
        return max(_MIN_STEPS, _MIN_EPOCHS * math.ceil(n_rows / batch_size))


def deal_folds(
    n_rows: int,
    n_folds: int,
    rng: torch.Generator,
    labels: np.ndarray | None = None,
    groups: Any = None,
) -> np.ndarray:
    """Deal rows out to folds at random.

    Parameters
    ----------
    n_rows, n_folds : int
        With fewer rows than folds, the last folds are empty.
    rng : torch.Generator
    labels : ndarray of int of shape (n_rows,), optional
        Classes, of which each fold gets its share.
    groups : array-like of shape (n_rows,), optional
        Rows of a group share a fold; `labels` are then not looked at.

    Returns
    -------
    folds : ndarray of int of shape (n_rows,)
        From 0 to ``n_folds - 1``.

    Raises
    ------
    ValueError
        If there are fewer than two groups.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from skal.nets.ensembles.fold_training import deal_folds
    >>> folds = deal_folds(10, 4, torch.Generator().manual_seed(0))
    >>> np.bincount(folds).tolist()
    [3, 3, 2, 2]
    """
    order = torch.randperm(n_rows, generator=rng).numpy()
    folds = np.empty(n_rows, np.intp)
    if groups is not None:
        _, codes, sizes = np.unique(
            np.asarray(groups)[order], return_inverse=True, return_counts=True
        )
        if len(sizes) < 2:
            raise ValueError("groups must name at least two groups, got one.")
        of_group, filled = np.empty(len(sizes), np.intp), np.zeros(n_folds)
        first = np.unique(codes, return_index=True)[1]
        # The largest groups first, equal ones in random order, to the emptiest fold.
        for group in np.lexsort((first, -sizes)):
            of_group[group] = filled.argmin()
            filled[of_group[group]] += sizes[group]
        folds[order] = of_group[codes]
        return folds
    if labels is not None:
        order = order[np.argsort(labels[order], kind="stable")]
    folds[order] = np.arange(n_rows) % n_folds
    return folds


@training_modes()
def train_on_folds(
    nets: list[Any], dataset: ArrayDataset, folds: np.ndarray, schedule: Schedule
) -> tuple[Tensor, list[int]]:
    """Train net k on all rows but fold k, with the weights of its best step there.

    Parameters
    ----------
    nets : list of NetClassifier or NetRegressor
        K nets that are built, with modules `TabularMLP` of the same shape; they are
        trained in place.
    dataset : ArrayDataset
        Encoded classes, or targets of about unit variance. Its weights of the rows
        include those of their classes.
    folds : ndarray of int of shape (n,)
        The fold of each row, from 0 to K - 1.
    schedule : Schedule

    Returns
    -------
    outputs : Tensor of shape (n, n_outputs)
        Raw output for each row of the net that did not see it.
    steps : list of int
        The best step of each net; 0 if its loss was never finite, so that it has its
        initial weights.

    Notes
    -----
    Training ends early if no net has become better in three tenths of the steps.

    A net whose fold is empty takes its weights of the step that is best for the others
    on average.  If no net has both rows to learn from and rows held out, as with a
    single row, all train on all rows to the last step, and the outputs are NaN.
    """
    generators = [torch.Generator().manual_seed(net.seed_) for net in nets]
    stack = StackedMLP([net.module_ for net in nets], generators)
    loss = StackedLoss(nets[0].criterion_, None)
    optimizer = _make_optimizer(nets[0].module_, stack, schedule)
    rows = _Rows(dataset, folds, len(nets), schedule.batch_size, nets[0].device)
    best = _Best(stack, loss, rows)
    for step in range(schedule.n_steps):
        set_rates(optimizer, (step + 1) / schedule.n_steps)
        X, y, weight = rows.draw(generators)
        optimizer.zero_grad(set_to_none=True)
        loss(stack(X), y, weight).sum().backward()
        optimizer.step()
        if (step + 1) % _EVERY == 0 or step + 1 == schedule.n_steps:
            best.update(step + 1)
            if best.waited(step + 1) >= _PATIENCE * schedule.n_steps:
                break
    stack.parameters = best.parameters
    stack.unstack([net.module_ for net in nets])
    return best.outputs, best.steps.tolist()


def _make_optimizer(
    module: TabularMLP, stack: StackedMLP, schedule: Schedule
) -> torch.optim.Optimizer:
    recipe = Recipe(schedule.lr, schedule.weight_decay)
    groups = parameter_groups(module, stack.parameters.items(), recipe)
    first = next(iter(stack.parameters.values()))
    return torch.optim.AdamW(
        groups, betas=BETAS, fused=first.device.type in ("cpu", "cuda") or None
    )


class _Rows:
    """The rows that each net learns from, and those that it is judged by."""

    def __init__(
        self,
        dataset: ArrayDataset,
        folds: np.ndarray,
        n_nets: int,
        batch_size: int,
        device: Any,
    ) -> None:
        self.dataset, self.device = dataset, device
        everything = np.arange(len(dataset))
        held = [everything[folds == k] for k in range(n_nets)]
        if any(len(rows) == len(dataset) for rows in held):
            held = [everything[:0]] * n_nets
        self.training = [np.setdiff1d(everything, rows) for rows in held]
        self.size = min(batch_size, *map(len, self.training))
        self.waiting = [everything[:0]] * n_nets
        # The held-out rows of all nets, padded to the same number.
        width = max(1, *map(len, held))
        self.held = np.stack([np.resize(r if len(r) else [0], width) for r in held])
        lengths = np.array([len(rows) for rows in held])
        self.is_held = np.arange(width) < lengths[:, None]

    def draw(
        self, generators: list[torch.Generator]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Draw the next batch of each net: X (K, b, ...), y (K, b, ...), weights."""
        chosen = []
        for k, generator in enumerate(generators):
            if len(self.waiting[k]) < self.size:
                own = self.training[k]
                order = torch.randperm(len(own), generator=generator).numpy()
                self.waiting[k] = np.concatenate((self.waiting[k], own[order]))
            chosen.append(self.waiting[k][: self.size])
            self.waiting[k] = self.waiting[k][self.size :]
        return self.take(np.stack(chosen))

    def take(self, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor | None]:
        """Get rows (K, b) as tensors on the device."""
        batch = self.dataset.batch(rows.reshape(-1))
        X, y = (part.to(self.device).unflatten(0, rows.shape) for part in batch)
        weight = batch.sample_weight
        if weight is not None:
            weight = weight.to(self.device).unflatten(0, rows.shape)
        return X, y, weight


class _Best:
    """The weights of each net at its best step so far, and what they give."""

    def __init__(self, stack: StackedMLP, loss: StackedLoss, rows: _Rows) -> None:
        self.stack, self.loss, self.rows = stack, loss, rows
        n_nets = len(rows.held)
        self.parameters = {k: p.detach().clone() for k, p in stack.parameters.items()}
        self.losses = torch.full((n_nets,), math.inf)
        self.steps = torch.zeros(n_nets, dtype=torch.long)
        self.judged = torch.from_numpy(rows.is_held.any(1))
        n_outputs = self.parameters["head.bias"].shape[1]
        self.outputs = torch.full((len(rows.dataset), n_outputs), math.nan)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Compare the present weights of each net with its best ones."""
        if bool(self.judged.any()):
            losses, outputs = self._judge()
            # A net whose fold is empty goes by the mean of the others, but those
            # whose training failed.
            finite = losses[self.judged & losses.isfinite()]
            losses[~self.judged] = finite.mean() if len(finite) else math.inf
            better = losses < self.losses
        else:  # the last step counts, unless training failed
            losses, outputs = torch.full_like(self.losses, math.inf), None
            flat = [p.detach().flatten(1) for p in self.stack.parameters.values()]
            better = torch.cat(flat, dim=1).isfinite().all(1).cpu()
        if not bool(better.any()):
            return
        self.losses[better], self.steps[better] = losses[better], step
        for name, parameter in self.stack.parameters.items():
            chosen = better.to(parameter.device)
            self.parameters[name][chosen] = parameter[chosen]
        if outputs is not None:
            chosen = better[:, None] & torch.from_numpy(self.rows.is_held)
            self.outputs[torch.from_numpy(self.rows.held)[chosen]] = outputs[chosen]

    def waited(self, step: int) -> int:
        """Count the steps since a net has become better, if one is judged."""
        return step - int(self.steps.max()) if bool(self.judged.any()) else 0

    def _judge(self) -> tuple[Tensor, Tensor]:
        """Compute the loss (K,) and the outputs (K, h, ...) on the held-out rows."""
        held, is_held = self.rows.held, self.rows.is_held
        size = max(1, _MOST_ROWS // len(held))
        total = torch.zeros(len(held))
        of_all = torch.zeros(len(held))
        parts = []
        for start in range(0, held.shape[1], size):
            X, y, weight = self.rows.take(held[:, start : start + size])
            outputs = self.stack(X)
            counts = torch.from_numpy(is_held[:, start : start + size]).to(outputs)
            weight = counts if weight is None else counts * weight
            sums = weight.sum(1)
            total += (self.loss(outputs, y, weight) * sums).cpu()
            of_all += sums.cpu()
            parts.append(outputs.float().cpu())
        losses = total / of_all.clamp_min(torch.finfo(of_all.dtype).tiny)
        return losses.nan_to_num(math.inf, posinf=math.inf), torch.cat(parts, 1)
