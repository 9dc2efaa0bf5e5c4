"""Scores per cost, for rows whose labels do not cost the same."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from skal._tables import column_names, columns_of
from skal.measures import not_negative
from skal.reading.inputs import real_array
from skal.reading.pool import Pool
from skal.rows import as_dense
from skal.strategies.base import ScoreStrategy
from skal.strategies.wrapping import WrappingStrategy

__all__ = ["PerCost"]


class PerCost(WrappingStrategy, ScoreStrategy):
    r"""Scores per cost [1]_: rows with high scores and cheap labels.

    Parameters
    ----------
    strategy : ScoreStrategy, optional
        Scores the rows; by default `Margin` for classifiers, `PredictiveVariance` for
        regressors.
    costs : array-like of shape (m,), str, int, callable or None
        Cost of the label of each row of the pool, in any unit, above 0:

        - an array in the order of the pool, or a pandas Series, which is matched to the
          index of the pool;
        - the name of a column of the pool, if it is a table, or a key, if it is a dict;
        - the number of a column of the pool, if it is an array or a sparse matrix;
        - a function of the pool, as it was passed to the query, that returns such an
          array.

        By default all labels cost the same.
    random_state : int, RandomState, Generator or None
        Used by `strategy` if its own `random_state` is None, and to order rows with
        equal scores.

    Raises
    ------
    ValueError
        If there is not one cost for each row, or a cost is not a finite number above 0.

    Notes
    -----
    The score is :math:`s_x / c_x`, also known as the return on investment; the n rows
    with the highest scores are picked, whatever they cost together.  If any score of
    `strategy` is negative, as those of `Margin` are, the lowest one of the pool is
    subtracted first.

    Where rows leave the pool from query to query, as in a campaign, the costs must
    follow: use a Series, a column or a function.  A column of costs is also a feature
    of the model, unless its pipeline drops it, as `sklearn.compose.ColumnTransformer`
    drops columns that it does not name.  ``Stochastic(PerCost(strategy, costs))`` draws
    rows by their scores per cost.  The cost of computation is that of `strategy`.

    References
    ----------
    .. [1] Haertel, Seppi, Ringger and Carroll, "Return on investment for active
       learning", NIPS workshop on cost-sensitive learning, 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal.strategies import Entropy, PerCost
    >>> X = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> model = LogisticRegression().fit(X, [0, 0, 1, 1])
    >>> pool = [[-3.0], [0.1], [0.3]]
    >>> PerCost(Entropy(), costs=[1.0, 5.0, 1.0]).select(model, pool).indices
    array([2])
    """

    _wraps: ClassVar[Mapping[str, type[Any]]] = {"strategy": ScoreStrategy}

    def __init__(
        self,
        strategy: ScoreStrategy | None = None,
        costs: Any = None,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.costs = costs
        self.random_state = random_state

    def _score(self, pool: Pool, rng: torch.Generator) -> Tensor:
        costs = read_costs(self.costs, pool.X, len(pool))
        scores = not_negative(self._wrapped_scores("strategy", pool, rng))
        return scores.double() / costs.to(scores.device)


def read_costs(costs: Any, X: Any, m: int) -> Tensor:
    """Read the cost of each row, ``(m,)``, float64; parameters as in `PerCost`."""
    if costs is None:
        return torch.ones(m, dtype=torch.float64)
    if callable(costs):
        values = costs(X)
    elif isinstance(costs, (str, Integral)) and not isinstance(costs, bool):
        values = _column(costs, X)
    else:
        values = _by_index(costs, X)
    if isinstance(values, Tensor):
        values = values.detach().cpu()
    try:
        array = np.array(real_array(values, "costs"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"costs must be numbers: {error}") from error
    if array.shape != (m,):
        raise ValueError(
            f"costs must have the shape ({m},), one for each row of the pool in its "
            f"order, got {array.shape}. Where the pool changes from query to query, "
            "name a column of it, or pass a function of it, or a Series with its index."
        )
    bad = ~(np.isfinite(array) & (array > 0))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"costs must be finite and above 0, and {int(bad.sum())} of {m} are not: "
            f"the first is {array[row]} in row {row}."
        )
    return torch.from_numpy(array)


def _by_index(costs: Any, X: Any) -> Any:
    """Costs of the rows of the pool, if indexes of pandas tell which they are."""
    has_index = isinstance(costs, pd.Series) and isinstance(X, pd.DataFrame | pd.Series)
    if not has_index or costs.index.nlevels != X.index.nlevels:
        return costs
    if X.index.equals(costs.index) or not costs.index.is_unique:
        return costs
    positions = costs.index.get_indexer(X.index)
    return costs if (positions < 0).any() else costs.iloc[positions]


def _column(name: Any, X: Any) -> Any:
    """Column of the pool: of a table or a dict by name, of an array by number."""
    names = column_names(X)
    if names is not None:
        if name not in names:
            raise ValueError(
                f"costs={name!r} is not a column of the pool; it has {names[:20]}."
            )
        return list(columns_of(X))[names.index(name)]
    if isinstance(X, Mapping) and not sparse.issparse(X):
        if name not in X:
            raise ValueError(f"costs={name!r} is not a key of the pool: {list(X)[:20]}")
        return X[name]
    X = np.asarray(X) if isinstance(X, (list, tuple)) else X
    shape: tuple[int, ...] = getattr(X, "shape", ())
    if len(shape) != 2 or isinstance(name, str) or not 0 <= name < shape[1]:
        kind = f"{type(X).__name__} of shape {tuple(shape)}" if shape else type(X)
        raise ValueError(
            f"costs={name!r} is not a column of the pool, a {kind}. A column of an "
            "array has a number from 0; of other rows, costs can be a function."
        )
    if sparse.issparse(X):
        return as_dense(sparse.csc_array(X)[:, [name]])[:, 0]
    return X[:, name]
