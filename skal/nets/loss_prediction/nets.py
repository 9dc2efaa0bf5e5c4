"""Nets that learn to predict their losses, as estimators of scikit-learn."""

from __future__ import annotations

from skal.nets.classifier import NetClassifier
from skal.nets.loss_prediction.base import LossPredictionNet
from skal.nets.regressor import NetRegressor

__all__ = ["LossPredictionClassifier", "LossPredictionRegressor"]


class LossPredictionClassifier(LossPredictionNet, NetClassifier):
    r"""A classifier that learns beside its task how large its loss is on a row [1]_.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=MLP
        As of :class:`~skal.nets.NetClassifier`.
    blocks : "auto" or list of str, default="auto"
        Parts of the module from whose outputs losses are predicted, by their names
        among ``module.named_modules()``. ``"auto"``: every linear and convolutional
        layer but the last one run, through the normalization and the activation right
        behind it. Of a deep residual net, name a few stages.
    width : int, default=128
        Hidden units of the loss module for each block.
    margin : float, default=1.0
        By how much the larger loss of a pair is to be predicted larger.
    weight : float, default=1.0
        Of the ranking loss against the loss of the task.
    detach_after : float, default=0.6
        Share of the epochs of a fit, rounded to whole ones, after which the ranking
        loss no longer changes the module itself; 1 for never, 0 for always.
    **kwargs : dict
        All other parameters of :class:`~skal.nets.NetClassifier`: ``lr``,
        ``max_epochs``, ``batch_size``, ``device``, ``random_state`` and so on.

    Attributes
    ----------
    loss_module_ : torch.nn.Module
        What predicts losses.
    blocks_ : list of str
        Names of the parts that it reads, in the order they run.
    module_ : torch.nn.Module
        The trained module, which knows nothing of the loss module.
    classes_ : ndarray of shape (n_classes,)
    history_ : skorch.history.History
        ``loss_prediction_loss`` is the ranking loss of an epoch, ``train_loss`` the sum
        of both, ``valid_loss`` that of the task.

    See Also
    --------
    LossPredictionRegressor : The same for regression.
    skal.strategies.LossPrediction : Queries the largest predicted losses.

    Notes
    -----
    What a block gives is averaged over places, goes through a linear layer and ReLU,
    and all blocks through a last linear layer to :math:`\hat l(x)`. The net minimizes

    .. math:: L + \lambda \, \frac{2}{B} \sum_{(i, j)}
       \max\bigl(0, \xi - s_{ij} (\hat l_i - \hat l_j)\bigr)

    over pairs of rows of a batch, with :math:`s_{ij} = 1` if :math:`l_i > l_j`, else
    -1, margin :math:`\xi` and weight :math:`\lambda`. The losses :math:`l` are those of
    the criterion, by default the cross-entropy, row by row and without weights of
    rows or classes, which count in L alone; they are constants to the gradient. The
    middle row of an odd batch has no partner.

    With ``detach_after=0`` the module becomes what it is in a
    :class:`~skal.nets.NetClassifier` of the same ``random_state``.

    `partial_fit` and warm starts count epochs from their own beginning. As blocks are
    found by running the module, `initialize` needs a `fit` before it. The members of a
    snapshot ensemble share the loss module that its training ended with; a split-head
    ensemble takes the module apart, and refuses such nets.

    References
    ----------
    .. [1] Yoo and Kweon, "Learning loss for active learning", CVPR 2019.
       https://arxiv.org/abs/1905.03677

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skal.nets import LossPredictionClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = LossPredictionClassifier(lr=0.01, max_epochs=30, random_state=0)
    >>> bool(net.fit(X, y).score(X, y) > 0.9)
    True
    >>> net.blocks_, net.predict_loss(X).shape
    (['body.1', 'body.3'], (150,))
    """


class LossPredictionRegressor(LossPredictionNet, NetRegressor):
    r"""A regressor that learns beside its task how large its loss is on a row [1]_.

    Parameters
    ----------
    module : class, callable or torch.nn.Module, default=MLP
        As of :class:`~skal.nets.NetRegressor`.
    blocks : "auto" or list of str, default="auto"
        Parts of the module from whose outputs losses are predicted, by their names
        among ``module.named_modules()``. ``"auto"``: every linear and convolutional
        layer but the last one run, through the normalization and the activation right
        behind it.
    width : int, default=128
        Hidden units of the loss module for each block.
    margin : float, default=1.0
        By how much the larger loss of a pair is to be predicted larger.
    weight : float, default=1.0
        Of the ranking loss against the loss of the task.
    detach_after : float, default=0.6
        Share of the epochs of a fit, rounded to whole ones, after which the ranking
        loss no longer changes the module itself; 1 for never, 0 for always.
    **kwargs : dict
        All other parameters of :class:`~skal.nets.NetRegressor`: ``lr``,
        ``max_epochs``, ``batch_size``, ``device``, ``random_state`` and so on.

    Attributes
    ----------
    loss_module_ : torch.nn.Module
        What predicts losses.
    blocks_ : list of str
        Names of the parts that it reads, in the order they run.
    module_ : torch.nn.Module
        The trained module, which knows nothing of the loss module.
    history_ : skorch.history.History
        ``loss_prediction_loss`` is the ranking loss of an epoch, ``train_loss`` the sum
        of both, ``valid_loss`` that of the task.

    See Also
    --------
    LossPredictionClassifier : The same for classes, with notes that hold here, too.
    skal.strategies.LossPrediction : Queries the largest predicted losses.

    Notes
    -----
    The losses that are ranked are those of the criterion, by default squared errors; of
    several targets, their mean.

    References
    ----------
    .. [1] Yoo and Kweon, "Learning loss for active learning", CVPR 2019.
       https://arxiv.org/abs/1905.03677

    Examples
    --------
    >>> import numpy as np
    >>> from skal.nets import LossPredictionRegressor
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> noise = np.random.default_rng(0).normal(size=200)
    >>> y = np.where(X[:, 0] > 0, noise, 0)  # nothing to be learned on the right
    >>> net = LossPredictionRegressor(lr=0.01, random_state=0).fit(X, y)
    >>> low, high = net.predict_loss([[-0.5], [0.5]])
    >>> bool(low < high)
    True
    """
