"""What fold ensembles share: folds, training, and the weights of all models."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.utils.validation import has_fit_parameter

from skal.exceptions import TrainingWarning
from skal.nets.data import ArrayDataset
from skal.nets.ensembles.base import (
    BaseEnsemble,
    seeded_clone,
)
from skal.nets.ensembles.fold_training import Schedule, deal_folds, train_on_folds
from skal.nets.ensembles.others import (
    held_out_predictions,
    predict_columns,
)
from skal.nets.modules import TabularMLP
from skal.nets.rates import share_of_decay
from skal.nets.validation import (
    check_groups,
    check_inputs,
    check_weights,
    is_structured,
)
from skal.rng import fill_seeds, seed_from
from skal.validation import (
    check_bool,
    check_int,
    check_not_negative,
    check_option,
    check_positive,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FoldEnsemble", "FoldTask"]

#: Rows from which others join: fewer do not tell the better model.
_FEWEST_FOR_OTHERS = 10
#: Rows beyond which the weights of classifiers decay less.
_FEW_ROWS = 100
#: Rows by which columns of two values are told from others.
_LOOKED_AT = 1000


class FoldEnsemble(BaseEnsemble):
    """Nets that are stopped and judged by a fold each, and other estimators."""

    others_: list[Any]
    weights_: np.ndarray
    oof_prediction_: np.ndarray
    oof_score_: float

    def __init__(
        self,
        n_estimators: int = 8,
        *,
        hidden_sizes: Sequence[int] = (128, 128, 128),
        periodic: Any = True,
        others: Any = "auto",
        max_steps: Any = "auto",
        batch_size: int = 64,
        lr: float = 0.05,
        weight_decay: float | str = 0.01,
        device: Any = "cpu",
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.hidden_sizes = hidden_sizes
        self.periodic = periodic
        self.others = others
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    def _estimator(self) -> Any:
        """Make the net that the members are clones of."""
        return self._net_class(
            TabularMLP,
            module__hidden_sizes=self.hidden_sizes,
            module__dropout=0.0,
            batch_size=self.batch_size,
            device=self.device,
        )

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Train the members from scratch.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (m, d)
            Columns of about unit scale, as by a `StandardScaler`.
        y : array-like of shape (m,) or (m, n_targets)
            In any units: targets are standardized during training.
        sample_weight : array-like of shape (m,), optional
            Rows of weight 0 are left out. Only the ratios of the other weights matter:
            with equal ones, the fit is that without weights.
        groups : array-like of shape (m,), optional
            Rows of a group are held out together.
        **fit_params : dict
            Not supported.

        Returns
        -------
        ensemble : self

        Raises
        ------
        ValueError, TypeError
            If an argument is invalid; the ensemble is left as it was.

        Warns
        -----
        TrainingWarning
            If the loss of a member was never finite on its fold, or the models given as
            `others` are left out.
        """
        if fit_params:
            raise TypeError(f"fit got unexpected arguments {sorted(fit_params)}.")
        params = {} if groups is None else {"groups": groups}
        return super().fit(X, y, sample_weight, **params)

    def _check(self) -> None:
        check_bool("periodic", self.periodic, auto=True)
        check_int("batch_size", self.batch_size)
        check_positive("lr", self.lr)
        if is_classifier(self) and isinstance(self.weight_decay, str):
            check_option("weight_decay", self.weight_decay, ["auto"])
        else:
            check_not_negative("weight_decay", self.weight_decay)
        if self.max_steps != "auto":
            check_int("max_steps", self.max_steps)
        if isinstance(self.others, str):
            check_option("others", self.others, ["auto"])
        elif self.others is not None:
            self._check_others()

    def _check_others(self) -> None:
        wanted = is_classifier if is_classifier(self) else is_regressor
        kind = "classifier" if is_classifier(self) else "regressor"
        if not isinstance(self.others, (list, tuple)):
            raise TypeError(
                f'others must be "auto", None or a list of {kind}s, got '
                f"{type(self.others).__name__}."
            )
        for other in self.others:
            if isinstance(other, type) or not wanted(other):
                raise TypeError(f"others must be {kind}s, got {other!r}.")
            if is_classifier(self) and not hasattr(other, "predict_proba"):
                raise TypeError(
                    f"{type(other).__name__} among others= has no predict_proba; put "
                    "it into a CalibratedClassifierCV."
                )

    def _fit(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        rng: torch.Generator,
    ) -> dict[str, Any]:
        self._check()
        if is_structured(X):
            raise TypeError(
                f"{type(self).__name__} needs a table as X, got {type(X).__name__}; "
                "a DeepEnsemble takes other inputs."
            )
        template = seeded_clone(estimator, seed_from(rng)).set_params(max_epochs=0)
        template.fit(X, y, fit_params.get("sample_weight"))
        task = self._task(template, X, y, fit_params, rng)
        others = self._others(task, seed_from(rng))
        units = self._units(task)
        groups_of_nets, held_out, steps = [], [], []
        for periodic in self._architectures(task.dense):
            nets = [
                seeded_clone(template, seed_from(rng)).set_params(
                    module__periodic=periodic
                )
                for _ in range(self.n_estimators)
            ]
            outputs, best = self._train(nets, X, y, task, units)
            groups_of_nets.append(nets)
            held_out.append(outputs)
            steps += best
        weight, n_columns = task.weight, held_out[0].shape[1]
        along = {} if weight is None else {"sample_weight": weight}
        target = task.target_of_others
        for other in others:
            other.fit(task.dense, target, **along)
            found = held_out_predictions(
                other, task.dense, target, task.folds, n_columns, weight
            )
            held_out.append(found)
        self._warn_of_failures(steps)
        weights, oof = self._average(np.stack(held_out), task)
        of_nets = np.repeat(weights[: len(groups_of_nets)], self.n_estimators)
        oof_prediction = np.full((task.n_given, *oof.shape[1:]), np.nan)
        oof_prediction[task.used] = oof
        return {
            "estimators_": [net for nets in groups_of_nets for net in nets],
            "others_": others,
            "weights_": np.concatenate(
                [of_nets / self.n_estimators, weights[len(groups_of_nets) :]]
            ),
            "n_steps_": steps,
            **self._of_held_out(template, oof_prediction, task),
        }

    def _task(
        self,
        template: Any,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        rng: torch.Generator,
    ) -> FoldTask:
        """Validate rows and targets, and deal the rows out to folds."""
        rows = check_inputs(template, X, reset=False)
        target = self._target(template, rows, y)
        weight = fit_params.get("sample_weight")
        if weight is not None:
            weight = check_weights(weight, target)
        by_class = getattr(template, "class_weights_", None)
        if by_class is not None:
            of_labels = by_class.numpy()[target]
            weight = of_labels if weight is None else weight * of_labels
        used = np.arange(len(target)) if weight is None else np.flatnonzero(weight)
        groups = fit_params.get("groups")
        if groups is not None:
            groups = check_groups(groups, len(target))[used]
        labels = target[used] if is_classifier(self) else None
        folds = deal_folds(len(used), self.n_estimators, rng, labels, groups)
        if weight is not None:
            weight = _relative(weight[used])
        return FoldTask(
            dense=as_table(rows)[used],
            target=target[used],
            weight=weight,
            folds=folds,
            used=used,
            n_given=len(target),
        )

    def _train(
        self,
        nets: list[Any],
        X: Any,
        y: Any,
        task: FoldTask,
        units: tuple[np.ndarray, np.ndarray] | None,
    ) -> tuple[np.ndarray, list[int]]:
        """Train the nets; return held-out predictions, and the step of each net."""
        for net in nets:
            net.fit(X, y)
            net.set_params(max_epochs="auto")
        target = task.target
        if units is not None:
            shift, scale = units
            flat = target.reshape(len(target), -1)
            target = ((flat - shift) / scale).astype(np.float32)
        n_steps, decay = self.max_steps, self.weight_decay
        if isinstance(n_steps, str):
            n_steps = Schedule.default_steps(len(target), self.batch_size)
        if isinstance(decay, str):
            decay = share_of_decay(len(target), _FEW_ROWS)
        schedule = Schedule(n_steps, self.batch_size, self.lr, decay)
        rows = task.dense.astype(np.float32)
        dataset = ArrayDataset(rows, target, task.weight)
        outputs, steps = train_on_folds(nets, dataset, task.folds, schedule)
        if units is not None:
            for net in nets:
                _rescale(net.module_.head, *units)
            outputs = outputs.double() * torch.from_numpy(scale) + torch.from_numpy(
                shift
            )
        return self._as_predictions(nets[0], outputs), steps

    def _architectures(self, dense: np.ndarray) -> list[list[int] | None]:
        """List the columns with an embedding, for each kind of net."""
        some = dense[:_LOOKED_AT]
        many = [j for j, c in enumerate(some.T) if len(np.unique(c)) > 2]
        if not many or self.periodic is False:
            return [None]
        return [None, many] if isinstance(self.periodic, str) else [many]

    def _others(self, task: FoldTask, seed: int) -> list[Any]:
        """Make the other estimators, not fitted yet."""
        if self.others is None or not len(self.others):
            return []
        reason = None
        if len(task.target) < _FEWEST_FOR_OTHERS:
            reason = f"there are fewer than {_FEWEST_FOR_OTHERS} rows"
        elif len(np.unique(task.folds)) < 2:
            reason = "all rows are in one fold"
        elif is_classifier(self) and len(np.unique(task.target)) < 2:
            reason = "not every classifier fits one class"
        if reason is not None:
            if not isinstance(self.others, str):
                warnings.warn(
                    f"{type(self).__name__} leaves out the models of others=, as "
                    f"{reason}.",
                    TrainingWarning,
                    stacklevel=5,
                )
            return []
        if isinstance(self.others, str):
            return self._default_others(task, seed)
        for other in self.others:
            if task.weight is not None and not has_fit_parameter(
                other, "sample_weight"
            ):
                raise ValueError(
                    f"{type(other).__name__} among others= takes no sample_weight."
                )
        rng = torch.Generator().manual_seed(seed)
        return [fill_seeds(clone(other), rng) for other in self.others]

    def _warn_of_failures(self, steps: list[int]) -> None:
        failed = steps.count(0)
        if failed:
            warnings.warn(
                f"Training without success: {failed} of the {len(steps)} nets of "
                f"{type(self).__name__} had no finite loss. Scale X (StandardScaler), "
                "or lower lr.",
                TrainingWarning,
                stacklevel=5,
            )

    def _average(
        self, held_out: np.ndarray, task: FoldTask
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the weights of the models by their held-out predictions."""
        n_models = len(held_out)
        finite = np.isfinite(held_out).all(2)
        usable = finite.any(1)
        known = finite[usable].all(0) & usable.any()
        if not known.any():  # nothing is held out of a single fold
            usable = usable if usable.any() else np.ones(n_models, bool)
            return usable / usable.sum(), np.full(held_out.shape[1:], np.nan)
        weight = None if task.weight is None else task.weight[known]
        weights = np.zeros(n_models)
        weights[usable] = self._weights(
            held_out[np.ix_(usable, known)], task.target[known], weight
        )
        oof = np.full(held_out.shape[1:], np.nan)
        oof[known] = np.tensordot(weights[usable], held_out[np.ix_(usable, known)], 1)
        return weights, oof

    def _predictions(self, X: Any, method: str) -> np.ndarray:
        """Predict by all models: (n_models, m, ...)."""
        found = [getattr(net, method)(X) for net in self.estimators_]
        if self.others_:
            rows = check_inputs(self.estimators_[0], X, reset=False)
            dense = as_table(rows)
            n_columns = found[0].size // max(1, len(dense))
            for other in self.others_:
                columns = predict_columns(other, dense, n_columns)
                found.append(columns.reshape(found[0].shape))
        return np.stack(found, dtype=np.float64)


def as_table(rows: Any) -> np.ndarray:
    """Convert validated rows to a float64 table."""
    dense = np.asarray(rows.toarray() if sparse.issparse(rows) else rows)
    return dense.reshape(len(dense), -1).astype(np.float64)


@dataclass(frozen=True)
class FoldTask:
    """What an ensemble is fitted to.

    Attributes
    ----------
    dense : float64 ndarray of shape (n, d)
        Without the rows of weight 0.
    target : ndarray of shape (n,) or (n, n_targets)
        Targets, or classes coded from 0.
    weight : ndarray of shape (n,) or None
        Weights of the rows, including those of their classes, with mean 1; None if
        they are equal.
    folds : ndarray of int of shape (n,)
    used : ndarray of int of shape (n,)
        Positions of these rows among those given.
    n_given : int
    """

    dense: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None
    folds: np.ndarray
    used: np.ndarray
    n_given: int

    @property
    def target_of_others(self) -> np.ndarray:
        """The targets, a single column of which has shape (n,)."""
        is_column = self.target.ndim == 2 and self.target.shape[1] == 1
        return self.target[:, 0] if is_column else self.target


def _relative(weight: np.ndarray) -> np.ndarray | None:
    """Divide weights by their mean; None if all are equal.

    Models in `others` depend on the scale of the weights: linear ones by their penalty,
    and trees by the differences that they treat as rounding.
    """
    if weight.min() == weight.max():
        return None
    scaled = weight.astype(np.float64)
    relative: np.ndarray = (scaled / scaled.mean()).astype(np.float32)
    return relative


def _rescale(head: Any, shift: np.ndarray, scale: np.ndarray) -> None:
    """Let a head predict ``shift + scale * outputs``."""
    with torch.no_grad():
        scale_o = torch.from_numpy(scale).to(head.bias)
        head.weight.mul_(scale_o[:, None])
        head.bias.mul_(scale_o).add_(torch.from_numpy(shift).to(head.bias))
