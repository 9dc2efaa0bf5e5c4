"""Selection via proxy: a small model picks for a large one."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from skorch import NeuralNet

from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier, NetRegressor
from skal.reading.fitting import FittedCopy, fit_copy, is_estimator, labeled_rows
from skal.reading.pool import Pool
from skal.reading.unwrapping import innermost, learners_of, rewrap
from skal.selection import Picks
from skal.strategies.base import QueryStrategy
from skal.strategies.wrapping import WrappingStrategy

__all__ = ["ViaProxy"]


class ViaProxy(WrappingStrategy):
    """Selection via proxy [1]_: a small model picks for a large one.

    Parameters
    ----------
    proxy : estimator, optional
        Estimator for the learner's task, or a Committee of such; a copy is fitted on
        the labeled rows at each query.  By default a `NetClassifier` or `NetRegressor`
        in a pipeline with the transformers of the learner.
    strategy : QueryStrategy, optional
        Picks the rows, with the proxy as learner; by default `Margin` for classifiers,
        `GreedySampling` for regressors.
    random_state : int, RandomState, Generator or None
        Used to seed each ``random_state`` of the proxy that is None, and by the
        strategy if its own `random_state` is None.

    Notes
    -----
    The proxy is cloned and fitted on ``X_training`` and ``y_training`` of the learner
    as they are, and the strategy queries the proxy in place of the learner, with the
    same labeled rows.  The model of the learner is not used, and need not be fitted.
    The picks suit the large model to the extent that both agree on which rows are
    difficult [1]_.

    The cost is that of a fit of the proxy, and of the strategy with the proxy.  Nothing
    is kept between queries.  The default proxy requires rows of a single table or
    array, to which the transformers of the learner are applied; pass a proxy for any
    other rows.

    References
    ----------
    .. [1] Coleman, Yeh, Mussmann, Mirzasoleiman, Bailis, Liang, Leskovec and Zaharia,
       "Selection via proxy: efficient data selection for deep learning", ICLR 2020.
       https://arxiv.org/abs/1906.11829

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal import ActiveLearner, NetClassifier
    >>> from skal.strategies import Entropy, ViaProxy
    >>> X, y = load_digits(return_X_y=True)
    >>> small, large = LogisticRegression(max_iter=1000), NetClassifier(max_epochs=1)
    >>> strategy = ViaProxy(small, Entropy())
    >>> learner = ActiveLearner(large, strategy, X[:50] / 16, y[:50])
    >>> indices, rows = learner.query(X[50:] / 16, n_instances=3)
    >>> picked = Entropy().select(small.fit(X[:50] / 16, y[:50]), X[50:] / 16, 3)
    >>> bool((indices == picked.indices).all())
    True
    """

    _requires_labeled: ClassVar[bool] = True

    def __init__(
        self,
        proxy: Any = None,
        strategy: QueryStrategy | None = None,
        random_state: Any = None,
    ) -> None:
        self.proxy = proxy
        self.strategy = strategy
        self.random_state = random_state

    def _check_learner(self, pool: Pool) -> None:
        """Raise unless learner, labeled rows, proxy and strategy go together."""
        QueryStrategy._check_learner(self, pool)
        labeled_rows(pool, "a proxy")
        proxy = Pool(self._proxy(pool), pool.X)
        self._wrapped("strategy", proxy)
        if "unknown" not in (pool.task, proxy.task) and pool.task != proxy.task:
            raise UnsuitableLearnerError(
                f"The learner is for {pool.task}, and its proxy "
                f"{type(proxy.learner).__name__} is for {proxy.task}. Use a "
                "proxy for the task of the learner."
            )

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        X, y = labeled_rows(pool, "a proxy")
        proxy = fit_copy(self._proxy(pool), X, y, rng, "The proxy")
        asked = proxy if hasattr(proxy, "query") else FittedCopy(proxy, X, y)
        seen = Pool(asked, pool.X, pool.name)
        _ = seen.members  # raises if the proxy is not fitted even so
        strategy = self._wrapped("strategy", seen)
        strategy._check_learner(seen)
        return strategy._query(seen, n, rng)

    def _proxy(self, pool: Pool) -> Any:
        """Return the proxy; only copies of it may be fitted."""
        if self.proxy is None:
            return _default_proxy(pool)
        if not is_estimator(self.proxy):
            raise TypeError(
                f"proxy of {type(self).__name__} must be an estimator, such as "
                f"LogisticRegression(), got {self.proxy!r}."
            )
        return self.proxy


def _default_proxy(pool: Pool) -> Any:
    """Build a default net in the wrappers of the learner's estimator."""
    nets = {"classification": NetClassifier, "regression": NetRegressor}
    if pool.task not in nets:
        raise UnsuitableLearnerError(
            f"{type(pool.learner).__name__} does not tell whether it is a classifier "
            "or a regressor. Name a proxy: ViaProxy(proxy=...)."
        )
    learner = learners_of(pool.learner)[0]
    inner = innermost(learner)
    device = inner.device if isinstance(inner, NeuralNet) else "cpu"
    net = nets[pool.task](device=device)
    if pool.task == "classification":  # labeled rows may lack a class
        net.set_params(classes=_named_classes(inner))
    return rewrap(learner, net)


def _named_classes(estimator: Any) -> Any:
    """Get ``classes=`` of a net or of the net of an ensemble; None if it has none."""
    named = getattr(estimator, "classes", None)
    inner = getattr(estimator, "estimator", None)
    return _named_classes(inner) if named is None and inner is not None else named
