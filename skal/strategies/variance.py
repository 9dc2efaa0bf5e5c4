"""Disagreement of regressors: the variance of their predictions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from skal.measures import predictive_variance
from skal.posteriors import Posterior, Snapshots
from skal.reading.pool import Pool
from skal.strategies.disagreement import Disagreement
from skal.validation import check_option

__all__ = ["PredictiveVariance", "QBCVariance", "VariationOfPrediction"]


class PredictiveVariance(Disagreement):
    r"""Predictive variance [1]_: variance of the predictions of several models.

    Parameters
    ----------
    posterior : Posterior or "auto"
        Source of the K models; `skal.posteriors.resolve_posterior` says what ``"auto"``
        chooses.
    reduction : {"sum", "max"}
        How the variances of several targets are combined; their scales matter.
    random_state : int, RandomState, Generator or None
        Draws the models.

    Notes
    -----
    Scores :math:`\frac1K \sum_k (f_k(x) - \bar f(x))^2`, in squared units of the
    model's own target.  For a committee this is query by committee for regression [2]_,
    and it can be imported as ``QBCVariance``.  Costs K forward passes over the pool,
    read in blocks.

    References
    ----------
    .. [1] Gal and Ghahramani, "Dropout as a Bayesian approximation", ICML 2016.
       https://arxiv.org/abs/1506.02142
    .. [2] Burbidge, Rowland and King, "Active learning for regression based on query by
       committee", IDEAL 2007. https://doi.org/10.1007/978-3-540-77226-2_22

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from skal.strategies import PredictiveVariance
    >>> X, y = load_diabetes(return_X_y=True)
    >>> forest = RandomForestRegressor(random_state=0).fit(X[:100], y[:100])
    >>> PredictiveVariance().select(forest, X[100:], 3).indices.shape
    (3,)
    """

    _task: ClassVar[str] = "regression"

    def __init__(
        self,
        posterior: Any = "auto",
        reduction: str = "sum",
        random_state: Any = None,
    ) -> None:
        super().__init__(posterior, random_state)
        self.reduction = reduction

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        check_option("reduction", self.reduction, ["sum", "max"])
        return super()._score(pool, rng)

    def _measure(self, outputs: Tensor) -> Tensor:
        return predictive_variance(outputs, self.reduction)


#: The name of `PredictiveVariance` for a committee.
QBCVariance = PredictiveVariance


class VariationOfPrediction(PredictiveVariance):
    r"""Variance over epochs [1]_ of the predictions of a regressor.

    Parameters
    ----------
    posterior : Posterior or "auto"
        ``"auto"`` uses the epochs kept by a `skal.nets.WeightSnapshots` among the
        callbacks of the net.
    reduction, random_state
        As in `PredictiveVariance`.

    Notes
    -----
    The analogue of `LabelDispersion`, which is for classification: scores
    :math:`\frac1T \sum_t (f_t(x) - \bar f(x))^2` over the epochs t that were kept.
    Leave out the first ones, in which all rows change, by
    ``WeightSnapshots(warmup=...)``.  Costs T forward passes over the pool.

    References
    ----------
    .. [1] Zolfaghari Bengar, Raducanu and van de Weijer, "When deep learners change
       their mind: learning dynamics for active learning", CAIP 2021.
       https://arxiv.org/abs/2107.14707

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skal import NetRegressor
    >>> from skal.nets import WeightSnapshots
    >>> from skal.strategies import VariationOfPrediction
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = NetRegressor(max_epochs=9, callbacks=[WeightSnapshots(warmup=4)])
    >>> net = net.fit(X[:100], y[:100] / 100)
    >>> VariationOfPrediction().select(net, X[100:], 3).indices.shape
    (3,)
    """

    _auto: ClassVar[type[Posterior] | None] = Snapshots
