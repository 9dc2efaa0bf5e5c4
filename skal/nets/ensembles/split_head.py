"""Split-head ensembles: one trunk, several heads, one training run."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from sklearn.base import clone

from skal.nets.ensembles.base import (
    BaseEnsemble,
    EnsembleClassifier,
    EnsembleRegressor,
    seeded_clone,
)
from skal.nets.ensembles.multi_head import find_last_layer, multi_head_net
from skal.rng import seed_from

__all__ = ["SplitHeadEnsembleClassifier", "SplitHeadEnsembleRegressor"]


class SplitHeadEnsemble(BaseEnsemble):
    """Members that have all but the head in common."""

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 5,
        *,
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.head = head
        self.random_state = random_state

    def _fit(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        fit_params: dict[str, Any],
        rng: torch.Generator,
    ) -> dict[str, Any]:
        self._check_net(estimator)
        net = seeded_clone(estimator, seed_from(rng))
        # Fitted in all but its weights.
        shell = clone(net).set_params(callbacks=None, max_epochs=0)
        shell.fit(X, y, **fit_params)
        shell.callbacks, shell.max_epochs = net.callbacks, net.max_epochs
        head = find_last_layer(shell, X, self.head)
        run = multi_head_net(net, self.n_estimators, head).fit(X, y, **fit_params)
        shell.history_ = run.history_
        members = []
        for k in range(self.n_estimators):
            member = deepcopy(shell)
            member.module_.load_state_dict(run.module_.state_of(k))
            members.append(member)
        return {"estimators_": members}


class SplitHeadEnsembleClassifier(SplitHeadEnsemble, EnsembleClassifier):
    """Nets that share their trunk, each with a head of its own, trained in one run.

    Costs little more training than a single net.

    Parameters
    ----------
    estimator : NetClassifier, optional
    n_estimators : int, default=5
        Number of heads, and of members.
    head : str, optional
        Name of the module's last layer, which is multiplied; by default its last
        linear layer. The module must give what this layer gives.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the run; None for fresh entropy.

    Attributes
    ----------
    estimators_ : list of NetClassifier
        The fitted members: whole nets, with copies of the trunk. All have the history
        of the run; callbacks saw the run, not the members.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of a DataFrame X.

    See Also
    --------
    SplitHeadEnsembleRegressor : The same for regression.

    Notes
    -----
    Heads differ by their first weights alone. The loss is the mean of the losses of
    the heads, so that the trunk learns as in a single net; with an optimizer that does
    not scale gradients, as SGD, the heads learn more slowly. While the loss is
    convex in the heads they draw near to each other: members are less diverse than
    those that share nothing.

    References
    ----------
    Lee et al., `Why M Heads are Better than One: Training a Diverse Ensemble of Deep
    Networks <https://arxiv.org/abs/1511.06314>`_, 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import NetClassifier
    >>> from skal.nets.ensembles import SplitHeadEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> ensemble = SplitHeadEnsembleClassifier(n_estimators=3, random_state=0)
    >>> bool(ensemble.fit(X, y).score(X, y) > 0.9)
    True
    """


class SplitHeadEnsembleRegressor(SplitHeadEnsemble, EnsembleRegressor):
    """Nets that share their trunk, each with a head of its own, trained in one run.

    Parameters
    ----------
    estimator : NetRegressor, optional
    n_estimators : int, default=5
        Number of heads, and of members.
    head : str, optional
        Name of the module's last layer, which is multiplied; by default its last
        linear layer.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the run; None for fresh entropy.

    Attributes
    ----------
    estimators_ : list of NetRegressor
        The fitted members: whole nets, with copies of the trunk. All have the history
        of the run; callbacks saw the run, not the members.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Of a DataFrame X.

    See Also
    --------
    SplitHeadEnsembleClassifier : The same for classes, with notes that hold here, too.

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import NetRegressor
    >>> from skal.nets.ensembles import SplitHeadEnsembleRegressor
    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> ensemble = SplitHeadEnsembleRegressor(NetRegressor(lr=0.01), random_state=0)
    >>> mean, std = ensemble.fit(X, X[:, 0]).predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((40,), (40,))
    """
