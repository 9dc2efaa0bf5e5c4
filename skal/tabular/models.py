"""Models that take tables of mixed columns as they are."""

from __future__ import annotations

from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from skal.nets import FoldEnsembleClassifier, FoldEnsembleRegressor
from skal.tabular.preprocessing import make_tabular_preprocessor
from skal.tabular.targets import ScaledTargetRegressor, TargetScaler

__all__ = ["make_tabular_classifier", "make_tabular_regressor"]


def make_tabular_regressor(
    estimator: Any = None,
    *,
    preprocessor: Any = None,
    scale_target: bool = True,
    random_state: Any = None,
    device: str = "cpu",
) -> TransformedTargetRegressor | Pipeline:
    """Make a regressor that takes a table of mixed columns as it is.

    Parameters
    ----------
    estimator : regressor, optional
        Fitted on the preprocessed rows. By default
        :class:`skal.nets.FoldEnsembleRegressor`.
    preprocessor : transformer, optional
        ``make_tabular_preprocessor()`` by default.
    scale_target : bool, default=True
        Whether the estimator is fitted on targets of mean 0 and variance 1.
        Predictions have the unit of `y` in any case.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the default estimator. None draws a new seed for each `fit`.
    device : str, default="cpu"
        Of the default estimator.

    Returns
    -------
    model : TransformedTargetRegressor or Pipeline
        Unfitted: a Pipeline of two steps, ``preprocessor`` and ``estimator``, in a
        :class:`sklearn.compose.TransformedTargetRegressor` that refuses masked targets,
        unless `scale_target` is False.  If the estimator offers them, as the default
        does, ``model.predict(X, return_std=True)`` returns standard deviations as well,
        and ``model.predict_interval(X, coverage=0.9)`` prediction intervals, in the
        units of the target.

    Raises
    ------
    ValueError
        If `random_state` or `device` is set beside an estimator of your own, which has
        its own.

    See Also
    --------
    make_tabular_classifier : The same for classification.
    make_tabular_preprocessor : What happens to each kind of column.

    Notes
    -----
    The names of the steps lead to parameters, such as
    ``regressor__preprocessor__level__onehotencoder__min_frequency`` in a search, and
    to arguments of `fit`, such as ``model.fit(X, y, estimator__sample_weight=w)``. A
    target with a long tail, such as a price, is best learned on a scaled logarithm:
    ``model.set_params(transformer=make_pipeline(FunctionTransformer(np.log, np.exp),
    StandardScaler()))``. Strategies look through both wrappers, so that scores have the
    unit of the scaled target.

    Examples
    --------
    >>> import pandas as pd
    >>> from skal.tabular import make_tabular_regressor
    >>> area, kind = [50.0, 70.0, None, 90.0], ["flat", "house", None, "house"]
    >>> X = pd.DataFrame({"area": area, "kind": kind})
    >>> model = make_tabular_regressor(random_state=0)
    >>> model.fit(X, [150.0, 260.0, 180.0, 310.0]).predict(X).shape
    (4,)
    """
    if estimator is None:
        estimator = FoldEnsembleRegressor(device=device, random_state=random_state)
    else:
        _check_default_only(random_state, device)
    pipeline = _pipeline(preprocessor, estimator)
    if not scale_target:
        return pipeline
    # That its inverse is right need not be checked, which fails for decimals.
    return ScaledTargetRegressor(
        pipeline, transformer=TargetScaler(), check_inverse=False
    )


def make_tabular_classifier(
    estimator: Any = None,
    *,
    preprocessor: Any = None,
    class_weight: Any = None,
    random_state: Any = None,
    device: str = "cpu",
) -> Pipeline:
    """Make a classifier that takes a table of mixed columns as it is.

    Parameters
    ----------
    estimator : classifier, optional
        Fitted on the preprocessed rows. By default
        :class:`skal.nets.FoldEnsembleClassifier`.
    preprocessor : transformer, optional
        ``make_tabular_preprocessor()`` by default.
    class_weight : dict or "balanced", optional
        Weights of the classes for the default estimator. "balanced" gives each class
        the same total weight, which helps if one is rare.
    random_state : int, numpy RandomState or Generator, optional
        Seeds the default estimator. None draws a new seed for each `fit`.
    device : str, default="cpu"
        Of the default estimator.

    Returns
    -------
    model : Pipeline
        Unfitted, of two steps: ``preprocessor`` and ``estimator``.

    Raises
    ------
    ValueError
        If `class_weight`, `random_state` or `device` is set beside an estimator of your
        own, which has its own.

    See Also
    --------
    make_tabular_regressor : The same for regression.
    make_tabular_preprocessor : What happens to each kind of column.

    Notes
    -----
    The names of the steps lead to parameters, such as ``estimator__n_estimators`` in a
    search, and to arguments of `fit`, such as
    ``model.fit(X, y, estimator__sample_weight=w)``.

    Examples
    --------
    >>> import pandas as pd
    >>> from skal.tabular import make_tabular_classifier
    >>> area, kind = [50.0, 70.0, None, 90.0], ["flat", "house", None, "house"]
    >>> X = pd.DataFrame({"area": area, "kind": kind})
    >>> model = make_tabular_classifier(random_state=0)
    >>> model.fit(X, ["no", "yes", "no", "yes"]).predict_proba(X).shape
    (4, 2)
    """
    if estimator is None:
        estimator = FoldEnsembleClassifier(
            class_weight=class_weight, device=device, random_state=random_state
        )
    else:
        _check_default_only(random_state, device, class_weight=class_weight)
    return _pipeline(preprocessor, estimator)


def _pipeline(preprocessor: Any, estimator: Any) -> Pipeline:
    if preprocessor is None:
        preprocessor = make_tabular_preprocessor()
    return Pipeline([("preprocessor", preprocessor), ("estimator", estimator)])


def _check_default_only(random_state: Any, device: str, **others: Any) -> None:
    names = [*others, "random_state", "device"]
    if device != "cpu" or any(v is not None for v in (random_state, *others.values())):
        raise ValueError(
            f"{', '.join(names[:-1])} and {names[-1]} belong to the default estimator. "
            "Set them on the estimator that you pass."
        )
