"""BaseNet: a skorch net that follows scikit-learn's rules for estimators."""

from __future__ import annotations

from copy import copy
from math import ceil
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from skorch.callbacks import LRScheduler, PrintLog
from skorch.dataset import get_len
from skorch.exceptions import SkorchException
from skorch.utils import is_dataset
from torch import Tensor
from torch.utils.data import Subset

from skal.contexts import training_modes
from skal.nets.bayesian import BayesLinear, kl_divergence
from skal.nets.criteria import naming_outputs, row_losses, weighted_loss
from skal.nets.data import ArrayDataset, TargetDataset
from skal.nets.estimator import EstimatorNet
from skal.nets.held_out import missing_score
from skal.nets.modules import make_module, row_size
from skal.nets.outcome import warn_if_unread, warn_if_untrained
from skal.nets.rates import (
    BETAS,
    PLAIN_LR,
    Course,
    Recipe,
    has_factors,
    parameter_groups,
)
from skal.nets.validation import (
    check_device,
    check_inputs,
    check_weights,
    is_structured,
)
from skal.rng import preserve_global_rng
from skal.validation import check_option

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseNet"]

#: Epochs and training steps of a fit with ``max_epochs="auto"``, at least.
_MIN_EPOCHS, _MIN_STEPS = 50, 300


class QuietPrintLog(PrintLog):
    """skorch's table of epochs, skipped while ``verbose=0``."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Print a row of the table."""
        if net.verbose:
            super().on_epoch_end(net, **kwargs)


class _Interrupted(BaseException):
    """Carries an interrupt past skorch, which takes it for the end of training."""

    def __init__(self, interrupt: KeyboardInterrupt) -> None:
        super().__init__()
        self.interrupt = interrupt


def _raised_by_callback(interrupt: KeyboardInterrupt) -> bool:
    """Whether a callback ended training, as skorch's `EarlyStopping` does.

    Such a callback raises in the method that skorch calls, such as ``on_epoch_end``.
    An interrupt by the user is raised wherever the process is, nearly always deeper.
    """
    return extract_tb(interrupt.__traceback__)[-1].name.startswith("on_")


class BaseNet(EstimatorNet):
    """Base class of skal's nets.

    In addition to skorch, inputs are checked before anything changes, and a `fit` that
    fails leaves the net unchanged; `random_state` seeds all random draws; the size of
    modules is derived from X and y; rows can be weighted; arrays are sliced into
    batches.

    A subclass inherits from one of skorch's nets as well, which comes second among its
    bases, and defines `_check_target`, `_held_out_target`, `_n_outputs`, `_match` and
    `_recipe`.
    """

    #: How modules with `lr_factors` are trained if ``lr="auto"``.
    _recipe: ClassVar[Recipe]

    # -- initialization -----------------------------------------------------------

    @training_modes()
    def initialize(self) -> Self:
        """Build the module, criterion, optimizer and callbacks, without training.

        Returns
        -------
        net : self
        """
        check_device("cpu" if self.device is None else self.device)
        with preserve_global_rng(self._next_seed()):
            super().initialize()
        return self

    def initialize_module(self) -> Self:
        """Build ``module_``, sized for the X and y of `fit`.

        Returns
        -------
        net : self
        """
        sizes = self.__dict__.get("module_sizes_", {})
        self.module_ = make_module(self.module, self.get_params_for("module"), sizes)
        return self

    def get_default_callbacks(self) -> list[tuple[str, Any]]:
        """Get skorch's default callbacks; the log of epochs is free if ``verbose=0``.

        Returns
        -------
        callbacks : list of (name, callback)
        """
        callbacks = dict(super().get_default_callbacks())
        callbacks["print_log"] = QuietPrintLog()
        return list(callbacks.items())

    # -- learning rates -------------------------------------------------------------

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Get the arguments of the optimizer, with ``lr="auto"`` resolved.

        Parameters
        ----------
        prefix : str
        named_parameters : iterable of (str, Parameter)

        Returns
        -------
        args : tuple
        kwargs : dict

        Raises
        ------
        ValueError
            If `lr` is neither a number from 0 nor "auto".
        """
        named = list(named_parameters)
        args, options = super().get_params_for_optimizer(prefix, named)
        if not isinstance(options.get("lr"), str):
            return args, options
        if self._follows_recipe():
            del options["lr"]
            # Adam's own decay is another one: a part of the gradient.
            otherwise = None if self.optimizer is torch.optim.AdamW else 0.0
            decay = options.get("weight_decay", otherwise)
            groups = parameter_groups(self.module_, named, self._recipe, decay)
            return (groups,), {"betas": BETAS, **options}
        return args, {**options, "lr": PLAIN_LR}

    def _follows_recipe(self) -> bool:
        """Whether the rates are those that the module recommends."""
        return (
            isinstance(self.lr, str)
            and self.optimizer in (torch.optim.Adam, torch.optim.AdamW)
            and has_factors(self.module_)
            and not self.get_params_for("optimizer").keys() & {"lr", "param_groups"}
        )

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of the net and of its parts.

        Parameters
        ----------
        **params : dict
            As listed by `get_params`.

        Returns
        -------
        net : self
        """
        # skorch writes a new `lr` into the optimizer as it is.
        if not isinstance(params.get("lr"), str) or not self.initialized_:
            return super().set_params(**params)
        self.lr = params.pop("lr")
        super().set_params(**params)
        return self.initialize_optimizer()

    # -- training -----------------------------------------------------------------

    def n_epochs(self, n_rows: int) -> int:
        """Get the number of epochs of a fit: `max_epochs`, with "auto" resolved.

        Parameters
        ----------
        n_rows : int
            Number of training rows.

        Returns
        -------
        n_epochs : int

        Raises
        ------
        ValueError
            If `max_epochs` is a string other than "auto".
        """
        if not isinstance(self.max_epochs, str):
            return int(self.max_epochs)
        check_option("max_epochs", self.max_epochs, ["auto"])
        n_batches = 1 if self.batch_size == -1 else ceil(n_rows / self.batch_size)
        return max(_MIN_EPOCHS, ceil(_MIN_STEPS / max(1, n_batches)))

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, **fit_params: Any
    ) -> Self:
        """Train from scratch, or continue training if ``warm_start=True``.

        Parameters
        ----------
        X : array-like, sparse matrix, DataFrame, Tensor, dict, tuple or Dataset
            m rows. Arrays are cast to float32, integers included. In a dict or tuple
            of several inputs, integers stay integers.
        y : array-like of shape (m,) or (m, n_targets), optional
            May be omitted if X is a Dataset that holds the targets.
        sample_weight : array-like of shape (m,), optional
            The loss of a batch is the weighted mean over its rows, so that only the
            ratios of the weights matter. All are multiplied by one factor if the
            largest is below 1e-12 or above 1e12. Rows are left out if their weight is
            0, or less than 1e-30 of the largest.
        **fit_params : dict
            Passed to the module's ``forward`` and to `train_split`, as in skorch.

        Returns
        -------
        net : self

        Raises
        ------
        ValueError
            If X, y or sample_weight is invalid; the net is left as it was.
        KeyboardInterrupt
            If the user interrupts training; the net is left as it was. Use a callback,
            such as skorch's ``EarlyStopping``, to end training early.

        Warns
        -----
        TrainingWarning
            If the net has made fewer than 30 training steps, as with few rows and
            epochs, or its loss is not finite or never decreased. `partial_fit` does not
            warn.
        """
        self._fit(X, y, sample_weight, fit_params)
        warn_if_untrained(self)
        return self

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, fit_params: dict[str, Any]
    ) -> None:
        """Fit without a warning that the training was short or failed."""
        resume = self.warm_start and self.initialized_
        with self._all_or_nothing():
            self._has_all_rows = True
            self._train(X, y, None, sample_weight, fit_params, resume)
            del self._has_all_rows

    @training_modes()
    def _train(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: Any,
        fit_params: dict[str, Any],
        resume: bool,
    ) -> Self:
        self.n_epochs(1)  # refuses what it does not know
        if isinstance(self.lr, str):
            check_option("lr", self.lr, ["auto"])
        sized = resume and "module_sizes_" in self.__dict__
        checked = check_inputs(self, X, reset=not sized)
        target = self._check_target(checked, y, classes, first=not sized)
        dataset = self._training_set(checked, target, sample_weight)
        if not sized:
            self.module_sizes_ = {**row_size(checked), "n_outputs": self._n_outputs()}
        if not resume:
            self.__dict__.pop("seed_", None)
            self.history_ = copy(self.history_)  # skorch clears it in place
            self.initialize()
        self._check_criterion(weighted=sample_weight is not None)
        if isinstance(X, tuple) and not is_structured(X):
            X = checked  # skorch would take a tuple of rows for several inputs
        self._unread = self._weights_of(sample_weight)
        self._run(X, dataset, target, fit_params)
        del self._unread
        return self

    def _weights_of(self, sample_weight: Any) -> list[str]:
        """Name the weights that the loss must take into account."""
        return [] if sample_weight is None else ["sample_weight"]

    def _training_set(self, X: Any, target: np.ndarray, sample_weight: Any) -> Any:
        if sample_weight is None:
            if is_dataset(X):
                return TargetDataset(X, target)
            return self._make_dataset(X, target)
        weight = check_weights(sample_weight, target)
        dataset = None if is_dataset(X) else self._make_dataset(X, target)
        if not isinstance(dataset, ArrayDataset):
            raise ValueError(
                "sample_weight requires X to be arrays and the default dataset class; "
                "otherwise put the weights into the criterion."
            )
        dataset.sample_weight = weight
        # Rows of zero weight are left out, so that they do not count in batch sizes.
        if weight.all():
            return dataset
        return Subset(dataset, np.flatnonzero(weight).tolist())

    def _check_criterion(self, weighted: bool) -> None:
        if weighted and not hasattr(self.criterion_, "reduction"):
            raise ValueError(
                "Weights require a criterion with a `reduction` attribute, as torch's "
                f"criteria have; {type(self.criterion_).__name__} has none."
            )

    def _run(
        self, X: Any, dataset: Any, target: np.ndarray, fit_params: dict[str, Any]
    ) -> None:
        if isinstance(dataset, Subset):
            target = target[dataset.indices]
        with preserve_global_rng(self._next_seed()):
            try:
                super().partial_fit(X, target, training_set=dataset, **fit_params)
            except _Interrupted as error:
                raise error.interrupt from None
            except (KeyError, SkorchException) as error:
                score = missing_score(error)
                if score is None or self.train_split:
                    raise
                raise ValueError(
                    f"A callback needs {score!r}, which is computed on validation "
                    "rows, and there are none. Hold rows out of training by "
                    "train_split=ValidSplit(5) (from skorch.dataset), pass others by "
                    "train_split=predefined_split(dataset) (from skorch.helper), or "
                    "let the callback monitor 'train_loss'."
                ) from error

    def fit_loop(
        self,
        X: Any,
        y: Any = None,
        epochs: int | None = None,
        *,
        training_set: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Run the epochs of a fit.

        Parameters
        ----------
        X : as in `fit`
            Shown to callbacks.
        y : array-like of shape (m,), optional
        epochs : int, optional
            By `n_epochs` by default.
        training_set : Dataset, optional
            Dataset to train on, in place of X.
        **fit_params : dict
            As in `fit`.

        Returns
        -------
        net : self
        """
        n_rows = get_len(X if training_set is None else training_set)
        if epochs is None:
            epochs = self.n_epochs(n_rows)
        self._n_epochs = epochs
        schedules = [cb for _, cb in self.callbacks_ if isinstance(cb, LRScheduler)]
        self._course = None
        if not schedules and self._follows_recipe():
            known = n_rows if vars(self).get("_has_all_rows") else None
            self._course = Course(self.optimizer_, epochs, known)
        try:
            if training_set is None:
                return super().fit_loop(X, y, epochs, **fit_params)
            return super().fit_loop(training_set, y, epochs, **fit_params)
        except KeyboardInterrupt as interrupt:
            if training_set is None or _raised_by_callback(interrupt):
                raise
            raise _Interrupted(interrupt) from None
        finally:
            if self._course is not None:
                self._course.end()
            del self._course

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        """Add an epoch to `history_` and note the number of training rows."""
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kw)
        self._n_training_rows = len(dataset_train)
        course = vars(self).get("_course")
        if course is not None:
            course.begin_epoch(self.get_iterator(dataset_train, training=True))

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kw: Any
    ) -> None:
        """Note the weights of a batch, and set the learning rates of the step."""
        super().on_batch_begin(net, batch, training, **kw)
        self._batch_weight = getattr(batch, "sample_weight", None)
        course = vars(self).get("_course")
        if training and course is not None:
            course.begin_step()

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kw: Any
    ) -> None:
        """Warn if the loss of the first batch was computed without the weights."""
        super().on_batch_end(net, batch, training, **kw)
        unread = vars(self).get("_unread")
        if training and unread:
            self._unread = []
            warn_if_unread(self, unread)

    def on_train_end(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        """Forget the weights of the last batch."""
        super().on_train_end(net, X, y, **kw)
        self._batch_weight = None

    # -- loss ---------------------------------------------------------------------

    def get_loss(
        self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_outputs)
        y_true : Tensor of shape (b,) or (b, n_targets)
            Targets, or class indices.
        X : optional
        training : bool, default=False
            Whether to add the divergence of a Bayesian module from its prior.

        Returns
        -------
        loss : Tensor of shape ()

        Raises
        ------
        ValueError
            If the number of outputs does not match the targets or classes.
        """
        weight = self._row_weights(y_true)
        if isinstance(y_pred, Tensor):
            y_pred, y_true = self._match(y_pred, y_true.to(y_pred.device))
        with naming_outputs(y_pred, self.criterion_):
            if weight is None:
                loss: Tensor = super().get_loss(y_pred, y_true, X, training)
            else:
                weight = weight.to(y_true.device)
                loss = weighted_loss(self.criterion_, y_pred, y_true, weight)
        if training and any(isinstance(m, BayesLinear) for m in self.module_.modules()):
            loss = loss + self._prior_loss(y_true)
        return loss

    def row_losses(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Compute the unweighted loss of each row, averaged over targets.

        Parameters
        ----------
        y_pred : Tensor of shape (b, n_outputs)
        y_true : Tensor of shape (b,) or (b, n_targets)
            Targets, or class indices.

        Returns
        -------
        losses : Tensor of shape (b,)
        """
        y_pred, y_true = self._match(y_pred, y_true.to(y_pred.device))
        return row_losses(self.criterion_, y_pred, y_true)

    def _row_weights(self, y_true: Tensor) -> Tensor | None:
        weight: Tensor | None = vars(self).get("_batch_weight")
        if weight is not None:
            self._has_read("sample_weight")
        return weight

    def _has_read(self, name: str) -> None:
        if name in vars(self).get("_unread", []):
            self._unread = [given for given in self._unread if given != name]

    def _prior_loss(self, y_true: Tensor) -> Tensor:
        """Compute a batch's share of the divergence from the prior.

        The share is the batch's fraction of the training rows, divided by the number of
        losses in the batch, one per row and target, if the loss is a mean over them.
        """
        n_rows = len(y_true)
        share = n_rows / vars(self).get("_n_training_rows", n_rows)
        if getattr(self.criterion_, "reduction", "mean") != "sum":
            share /= y_true.numel()
        return share * self._divergence()

    def _divergence(self) -> Tensor:
        return kl_divergence(self.module_)
