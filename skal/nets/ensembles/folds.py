"""Fold ensembles: nets trained at once, each stopped and judged by its fold."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skal.exceptions import TrainingWarning
from skal.nets.ensembles.base import (
    EnsembleClassifier,
    EnsembleRegressor,
    sum_to_one,
)
from skal.nets.ensembles.fold_base import FoldEnsemble, FoldTask
from skal.nets.ensembles.others import (
    classification_weights,
    gaussian_process,
    regression_weights,
)
from skal.rows import array_if_tensor

__all__ = ["FoldEnsembleClassifier", "FoldEnsembleRegressor"]

#: Rows up to which a Gaussian process joins by default: its cost is cubic.
_MOST_FOR_PROCESS = 1000
#: Trees of a forest, or rounds of a boosting, that join by default.
_N_TREES = 100
#: Share of the columns that a split of boosted trees chooses from, and classes up to
#: which they join: each round fits a tree for each.
_SOME_COLUMNS, _MOST_CLASSES = 0.3, 8
#: Penalties of the ridge regression, for columns of unit scale.
_PENALTIES = np.logspace(-2, 4, 13)
#: Steps of float32 that a standard deviation of the target should have.
_LEAST_STEPS = 100
#: Of the solver of the logistic regression.
_MAX_ITERATIONS = 1000


class FoldEnsembleRegressor(FoldEnsemble, EnsembleRegressor):
    """Ensemble of nets for small tables, each stopped early by its own fold.

    The recommended estimator for tables with 30 to a few thousand labels. The nets are
    trained simultaneously, and averaged with a Gaussian process, a forest and a ridge
    regression, with weights chosen on the predictions of held-out rows.

    Parameters
    ----------
    n_estimators : int, default=8
        Number of folds and of nets. With a single one, no row is held out.
    hidden_sizes : sequence of int, default=(128, 128, 128)
        Width of each hidden layer.
    periodic : bool or "auto", default=True
        Whether columns of more than two values get periodic embeddings, see
        :class:`~skal.nets.modules.PeriodicEmbedding`. "auto" trains nets of both kinds
        and weights them by the held-out rows, in twice the time.
    others : "auto", None or list of regressors, default="auto"
        Regressors that are included in the average. "auto" stands for a
        :class:`~sklearn.gaussian_process.GaussianProcessRegressor` with a length scale
        for each column, if there are at most 1000 rows of equal weight, a
        :class:`~sklearn.linear_model.RidgeCV`, and an
        :class:`~sklearn.ensemble.ExtraTreesRegressor` of 100 trees. With None, and
        with fewer than 10 rows, only the nets are averaged; the latter issues a warning
        if a list was given.
    max_steps : int or "auto", default="auto"
        Number of training steps. "auto" takes 500, or as many as 30 passes over the
        rows have, if that is more.
    batch_size : int, default=64
        Number of rows of each net in a step.
    lr : float, default=0.05
        Largest learning rate. It is scaled for each layer by
        :meth:`~skal.nets.TabularMLP.lr_factors`, rises in the first tenth of the steps
        and falls to 0 as a cosine.
    weight_decay : float, default=0.01
        Decay of the weight matrices, relative to the learning rate.
    device : str, default="cpu"
        Device of the nets.
    random_state : int, numpy RandomState or Generator, optional
        Seeds folds, weights and the order of rows. None draws a new seed for each
        `fit`.

    Attributes
    ----------
    estimators_ : list of NetRegressor
        The nets, which strategies and posteriors use.
    others_ : list of regressors
        The other regressors, fitted to all rows.
    weights_ : ndarray of shape (n_nets + n_others,)
        Weight of each of `estimators_` and `others_` in the average; sum 1.
    n_steps_ : list of int
        The best step of each net; 0 if its training failed.
    oof_prediction_ : ndarray of the shape of `y`
        Prediction of each row by models that were not trained on it; NaN for rows of
        weight 0. The weights of the average were chosen by these.
    oof_score_ : float
        Coefficient of determination of `oof_prediction_`.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    FoldEnsembleClassifier : The same for classification.
    DeepEnsembleRegressor : Any nets, trained on all rows for a fixed time.
    skal.tabular.make_tabular_regressor : With preprocessing for mixed tables.

    Notes
    -----
    Net k is trained on all rows except those of fold k, whose loss is computed every
    ten steps, and keeps the weights of the step with the smallest loss. The average is
    therefore trained on all rows, and the length of training adapts to the noise in the
    targets.

    The held-out predictions estimate the error of the model without further labels. The
    estimate is slightly optimistic, since steps and weights were chosen by these
    predictions, and it is biased if a strategy chose the labeled rows, which are mostly
    more difficult than those of the pool.

    `X` should have columns of about unit scale. A fit costs about as much as 500 steps
    of a net with eight times the rows in a batch, and the Gaussian process O(n^3).

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data", NeurIPS 2024. https://arxiv.org/abs/2407.04491

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skal.nets import FoldEnsembleRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> ensemble = FoldEnsembleRegressor(max_steps=100, others=None, random_state=0)
    >>> ensemble = ensemble.fit(20 * X[:200], y[:200])
    >>> bool(ensemble.score(20 * X[200:], y[200:]) > 0.4)
    True
    >>> bool(abs(ensemble.oof_score_ - 0.5) < 0.15)
    True
    """

    def predict(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the weighted mean of the models and, on request, their spread.

        Parameters
        ----------
        X : as in `fit`
        return_std : bool, default=False
            Whether to return standard deviations as well.

        Returns
        -------
        y : float64 ndarray of shape (m,) or (m, n_targets)
            Same shape as `y` in `fit`.
        std : float64 ndarray of the same shape
            Only if `return_std`: standard deviation over the models by their weights,
            without label noise. See `predict_interval` for intervals of labels.
        """
        check_is_fitted(self, "weights_")
        found = self._predictions(X, "predict")
        mean: np.ndarray = np.tensordot(self.weights_, found, 1)
        if not return_std:
            return mean
        return mean, np.sqrt(np.tensordot(self.weights_, (found - mean) ** 2, 1))

    def predict_interval(
        self, X: Any, coverage: float = 0.9
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict intervals that contain the label with a given probability.

        Parameters
        ----------
        X : as in `fit`
        coverage : float, default=0.9
            Between 0 and 1.

        Returns
        -------
        lower, upper : float64 ndarray of the shape of the prediction
            The prediction plus and minus a quantile of the absolute errors of
            ``oof_prediction_``. With fewer than ``1 / (1 - coverage)`` rows, the
            largest error takes its place.

        Raises
        ------
        ValueError
            If `coverage` is not between 0 and 1, or there is no held-out prediction.

        Notes
        -----
        The intervals have the same width everywhere. Coverage is about right for rows
        from the same distribution as the labeled rows. Rows that a strategy chose are
        mostly more difficult than others, so that intervals are rather too wide.
        """
        if not (isinstance(coverage, Real) and 0 < coverage < 1):
            raise ValueError(f"coverage must be between 0 and 1, got {coverage!r}.")
        mean = self.predict(X)
        n_rows = len(self._oof_errors)
        if not n_rows:
            raise ValueError("There is no held-out prediction: fit more rows.")
        place = min(n_rows, math.ceil((n_rows + 1) * coverage)) - 1
        half = np.sort(self._oof_errors, axis=0)[place]
        return mean - half, mean + half

    def _default_others(self, task: FoldTask, seed: int) -> list[Any]:
        forest = ExtraTreesRegressor(_N_TREES, random_state=seed)
        others = [RidgeCV(_PENALTIES), forest]
        if task.weight is None and len(task.target) <= _MOST_FOR_PROCESS:
            others.append(gaussian_process(task.dense, task.target_of_others))
        return others

    def _target(self, template: Any, rows: Any, y: Any) -> np.ndarray:
        checked: np.ndarray = template._held_out_target(rows, y)
        # float32 would round targets of large mean before they are standardized.
        return np.asarray(array_if_tensor(y), np.float64).reshape(checked.shape)

    def _units(self, task: FoldTask) -> tuple[np.ndarray, np.ndarray]:
        """Get mean and standard deviation of each target; 1 if it is constant."""
        flat = task.target.reshape(len(task.target), -1)
        mean = np.average(flat, axis=0, weights=task.weight)
        std = np.sqrt(np.average((flat - mean) ** 2, axis=0, weights=task.weight))
        rounding = np.abs(mean) * np.finfo(np.float64).eps * len(flat)
        constant = std <= rounding
        of_float = np.finfo(np.float32)
        step = np.maximum(np.abs(mean) * of_float.eps, of_float.smallest_subnormal)
        if (_LEAST_STEPS * step > std)[~constant].any():
            warnings.warn(
                "The nets predict in float32, which is too coarse for targets of "
                f"mean {mean.max():.3g} and standard deviation {std.min():.3g}: "
                "subtract the mean, and scale (TransformedTargetRegressor).",
                TrainingWarning,
                stacklevel=5,
            )
        return mean, np.where(constant, 1.0, std)

    def _as_predictions(self, net: Any, outputs: Tensor) -> np.ndarray:
        return outputs.numpy()

    def _weights(
        self, held_out: np.ndarray, target: np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray:
        return regression_weights(held_out, target.reshape(len(target), -1), weight)

    def _of_held_out(
        self, template: Any, held_out: np.ndarray, task: FoldTask
    ) -> dict[str, Any]:
        target = np.full(held_out.shape, np.nan)
        target[task.used] = task.target.reshape(len(task.target), -1)
        known = np.isfinite(held_out).all(1)
        errors = (target - held_out)[known]
        score = math.nan
        if len(errors) > 1:
            spread = ((target[known] - target[known].mean(0)) ** 2).sum(0)
            score = float(
                np.mean(1 - (errors**2).sum(0) / np.where(spread > 0, spread, 1))
            )
        shape = template.target_shape_
        return {
            "oof_prediction_": held_out.reshape(len(held_out), *shape),
            "oof_score_": score,
            "_oof_errors": np.abs(errors).reshape(len(errors), *shape),
        }


class FoldEnsembleClassifier(FoldEnsemble, EnsembleClassifier):
    """Ensemble of nets for small tables, each stopped early by its own fold.

    The recommended estimator for tables with 30 to a few thousand labels. The nets are
    trained simultaneously, and averaged with a logistic regression, a forest and
    boosted trees, with weights chosen on the predictions of held-out rows.

    Parameters
    ----------
    n_estimators : int, default=8
        Number of folds and of nets. With a single one, no row is held out.
    hidden_sizes : sequence of int, default=(128, 128, 128)
        Width of each hidden layer.
    periodic : bool or "auto", default=True
        As in `FoldEnsembleRegressor`.
    others : "auto", None or list of classifiers, default="auto"
        Classifiers with `predict_proba` that are included in the average. "auto" stands
        for a :class:`~sklearn.linear_model.LogisticRegression`, a
        :class:`~sklearn.ensemble.RandomForestClassifier` of 100 trees and, for at most
        8 classes, a :class:`~sklearn.ensemble.GradientBoostingClassifier` of 100
        rounds, each of whose splits chooses from three tenths of the columns. With
        None, only the nets are averaged. Classifiers whose `random_state` is None are
        seeded.
    max_steps : int or "auto", default="auto"
    batch_size : int, default=64
    lr : float, default=0.05
    weight_decay : float or "auto", default="auto"
        As in `FoldEnsembleRegressor`. "auto" stands for 1, and with n > 100 rows for
        100 / n.
    classes : array-like, optional
        All classes, if `y` may lack some.
    class_weight : dict or "balanced", optional
        Weights of the classes, as in :class:`~skal.nets.NetClassifier`.
    device : str, default="cpu"
    random_state : int, numpy RandomState or Generator, optional
        As in `FoldEnsembleRegressor`.

    Attributes
    ----------
    estimators_ : list of NetClassifier
        The nets, which strategies and posteriors use.
    others_ : list of classifiers
        The other classifiers, fitted to all rows, with classes coded from 0.
    weights_ : ndarray of shape (n_nets + n_others,)
        Weight of each of `estimators_` and `others_` in the average; sum 1.
    n_steps_ : list of int
        The best step of each net; 0 if its training failed.
    oof_prediction_ : ndarray of shape (m, n_classes)
        Probabilities for each row by models that were not trained on it; NaN for rows
        of weight 0. The weights of the average were chosen by these.
    oof_score_ : float
        Accuracy of `oof_prediction_`.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Column names of a DataFrame X.

    See Also
    --------
    FoldEnsembleRegressor : The same for regression; its notes apply here, too.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import FoldEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> ensemble = FoldEnsembleClassifier(max_steps=50, random_state=0)
    >>> bool(ensemble.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9)
    True
    """

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
        weight_decay: float | str = "auto",
        classes: Any = None,
        class_weight: Any = None,
        device: Any = "cpu",
        random_state: Any = None,
    ) -> None:
        super().__init__(
            n_estimators,
            hidden_sizes=hidden_sizes,
            periodic=periodic,
            others=others,
            max_steps=max_steps,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            device=device,
            random_state=random_state,
        )
        self.classes = classes
        self.class_weight = class_weight

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class, averaged over the models by weight.

        Parameters
        ----------
        X : as in `fit`

        Returns
        -------
        proba : float64 ndarray of shape (m, n_classes)
            Columns in the order of ``classes_``; rows sum to 1.
        """
        check_is_fitted(self, "weights_")
        found = self._predictions(X, "predict_proba")
        return sum_to_one(np.tensordot(self.weights_, found, 1))

    def _estimator(self) -> Any:
        net = super()._estimator()
        return net.set_params(classes=self.classes, class_weight=self.class_weight)

    def _default_others(self, task: FoldTask, seed: int) -> list[Any]:
        others = [
            LogisticRegression(max_iter=_MAX_ITERATIONS),
            RandomForestClassifier(_N_TREES, random_state=seed),
        ]
        if len(np.unique(task.target)) <= _MOST_CLASSES:
            boosting = GradientBoostingClassifier(
                n_estimators=_N_TREES, max_features=_SOME_COLUMNS, random_state=seed
            )
            others.append(boosting)
        return others

    def _target(self, template: Any, rows: Any, y: Any) -> np.ndarray:
        codes: np.ndarray = template._held_out_target(rows, y)
        return codes

    def _units(self, task: FoldTask) -> None:
        return None

    def _as_predictions(self, net: Any, outputs: Tensor) -> np.ndarray:
        proba: np.ndarray = net.outputs_to_proba(outputs).double().numpy()
        return proba

    def _weights(
        self, held_out: np.ndarray, target: np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray:
        probabilities = held_out[:, np.arange(len(target)), target]
        return classification_weights(probabilities, weight)

    def _of_held_out(
        self, template: Any, held_out: np.ndarray, task: FoldTask
    ) -> dict[str, Any]:
        found = held_out[task.used]
        known = np.isfinite(found).all(1)
        right = found[known].argmax(1) == task.target[known]
        score = float(right.mean()) if known.any() else math.nan
        return {"oof_prediction_": sum_to_one(held_out), "oof_score_": score}
