"""The learners that are compared: skal's, scikit-learn's, CatBoost and pytabkit's.

All take rows of a DataFrame with missing values and categories.  Except where a learner
takes these as they are, numbers are imputed by the median, standardized and clipped at
5, and levels are one-hot encoded, those seen once together with those unknown.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import (
    GaussianProcessClassifier,
    GaussianProcessRegressor,
    kernels,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import SVC, SVR

_LEVELS = make_column_selector(dtype_exclude="number")
_NUMBERS = make_column_selector(dtype_include="number")
#: Length scales of a Gaussian process, of all classes together; beyond, one for all.
MOST_SCALES = 128
#: Rows by which its scales are chosen in regression.
MOST_TUNED = 400


Make = Callable[[str, int, pd.DataFrame, np.ndarray], Any]


class Learner(NamedTuple):
    """A learner for both tasks.

    Attributes
    ----------
    make : callable
        ``(task, seed, X, y) -> estimator``, not fitted; for the rows and labels on
        which it will be fitted.
    most_labels : tuple of int
        Most labels that it is fitted to, in regression and in classification.
    version : int
        Of its settings: results of another version are computed again.
    needs : str
        Module that must be installed, or ``module:attribute``.
    own : bool
        Whether it is skal's.
    seeds : int
        Most seeds by default, fewer for what is slow.
    """

    make: Make
    most_labels: tuple[int, int] = (1000, 1000)
    version: int = 1
    needs: str = "sklearn"
    own: bool = False
    seeds: int = 5

    def available(self) -> bool:
        """Whether what it needs is there."""
        module, _, name = self.needs.partition(":")
        if importlib.util.find_spec(module) is None:
            return False
        return not name or hasattr(importlib.import_module(module), name)

    def takes(self, task: str, n: int) -> bool:
        """Whether it is fitted to n labels."""
        return n <= self.most_labels[task == "classification"]


# -- preprocessing ---------------------------------------------------------------------


def numbers() -> Pipeline:
    """Impute, standardize and clip numeric columns."""
    clip = FunctionTransformer(np.clip, kw_args={"a_min": -5, "a_max": 5})
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(impute, StandardScaler(), clip)


def encoded() -> ColumnTransformer:
    """Standardize numbers and one-hot encode levels."""
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=2, sparse_output=False
    )
    return ColumnTransformer(
        [("number", numbers(), _NUMBERS), ("level", one_hot, _LEVELS)]
    )


def as_strings(X: pd.DataFrame) -> pd.DataFrame:
    """Write missing levels as a string, as CatBoost takes them."""
    levels = _LEVELS(X)
    filled = X[levels].astype(object).where(X[levels].notna(), "missing")
    return X.assign(**{c: filled[c].astype(str) for c in levels})


def without_gaps() -> ColumnTransformer:
    """Impute numbers; levels stay as they are."""
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    parts = [
        ("number", impute, _NUMBERS),
        ("level", FunctionTransformer(as_strings), _LEVELS),
    ]
    plain = ColumnTransformer(parts, verbose_feature_names_out=False)
    return plain.set_output(transform="pandas")


# -- learners --------------------------------------------------------------------------


def _by_task(regressor: Any, classifier: Any, **settings: Any) -> Make:
    """Make one of two estimators after `encoded`."""

    def make(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
        chosen = regressor if task == "regression" else classifier
        return make_pipeline(encoded(), chosen(random_state=seed, **settings))

    return make


def _linear(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
    if task == "regression":
        return make_pipeline(encoded(), RidgeCV(np.logspace(-3, 4, 15)))
    model = LogisticRegression(max_iter=1000)
    return make_pipeline(encoded(), _search(model, [0.03, 0.3, 3.0, 30.0], seed))


def _svm(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
    model = SVR(epsilon=0.05) if task == "regression" else SVC()
    return make_pipeline(encoded(), _search(model, [0.3, 1.0, 3.0, 10.0, 100.0], seed))


def _search(model: Any, values: list[float], seed: int) -> GridSearchCV:
    """Choose C by five folds, which may lack a class."""
    folds = KFold(5, shuffle=True, random_state=seed)
    return GridSearchCV(model, {"C": values}, cv=folds)


def _boosting(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
    ordinal = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-1,
        min_frequency=2,
        max_categories=250,
    )
    encode = ColumnTransformer(
        [("level", ordinal, _LEVELS)],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    regression = task == "regression"
    cls = (
        HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    )
    return make_pipeline(
        without_gaps(), encode, cls(categorical_features=_LEVELS(X), random_state=seed)
    )


def _gp(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
    """RBF, and white noise for regression.

    A length scale per column after encoding and per class, up to `MOST_SCALES`;
    otherwise one for all columns, since the gradient has an n x n matrix per scale.
    Beyond `MOST_TUNED` rows the scales are those of the first ones.
    """
    if task == "regression" and len(X) > MOST_TUNED:
        tuned = _gp(task, seed, X[:MOST_TUNED], y[:MOST_TUNED])
        return fixed_gp(tuned.fit(X[:MOST_TUNED], y[:MOST_TUNED]))
    n_columns = encoded().fit_transform(X).shape[1]
    n_models = 1
    if task == "classification" and len(np.unique(y)) > 2:
        n_models = len(np.unique(y))
    start = np.sqrt(n_columns)
    one_each = n_columns * n_models <= MOST_SCALES
    scales = np.full(n_columns, start) if one_each else start
    # From 1, the classifier of a rare class ends where it predicts its share.
    amplitude = 10.0 if task == "classification" else 1.0
    rbf = kernels.RBF(scales, (1e-2, 1e4))
    rbf = kernels.ConstantKernel(amplitude, (1e-3, 1e4)) * rbf
    if task == "classification":
        gpc = GaussianProcessClassifier(rbf, random_state=seed)
        return make_pipeline(encoded(), gpc)
    kernel = rbf + kernels.WhiteKernel(0.1, (1e-6, 10.0))
    gp = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    return make_pipeline(encoded(), gp)


def fixed_gp(model: Pipeline) -> Pipeline:
    """Return a Gaussian process with the columns and scales of a fitted one."""
    encode, gp = FrozenEstimator(model[:-1]), model[-1]
    return make_pipeline(
        encode, clone(gp).set_params(kernel=gp.kernel_, optimizer=None)
    )


def _catboost(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
    module = importlib.import_module("catboost")
    name = "CatBoostRegressor" if task == "regression" else "CatBoostClassifier"
    levels = _LEVELS(X)
    # Combinations of many columns take minutes, and change little.
    options = {"max_ctr_complexity": 1} if len(levels) > 10 else {}
    model = getattr(module, name)(
        iterations=500,
        cat_features=tuple(levels),  # a list cannot be cloned
        **options,
        random_seed=seed,
        thread_count=1,
        verbose=False,
        allow_writing_files=False,
    )
    return make_pipeline(FunctionTransformer(as_strings), model)


def _pytabkit(name: str) -> Make:
    def make(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
        module = importlib.import_module("pytabkit")
        kind = "Regressor" if task == "regression" else "Classifier"
        model = getattr(module, f"{name}_{kind}")(
            random_state=seed, n_threads=1, device="cpu", verbosity=0
        )
        return make_pipeline(without_gaps(), model)

    return make


def _skal(module: str, name: str) -> Make:
    """Make skal's estimator of a task, after `encoded`; looked up by name."""

    def make(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
        kind = "Regressor" if task == "regression" else "Classifier"
        cls = getattr(importlib.import_module(module), f"{name}{kind}")
        return make_pipeline(
            encoded(), FunctionTransformer(np.float32), cls(random_state=seed)
        )

    return make


def _ready_made(task: str, seed: int, X: pd.DataFrame, y: np.ndarray) -> Any:
    module = importlib.import_module("skal.tabular")
    kind = "regressor" if task == "regression" else "classifier"
    return getattr(module, f"make_tabular_{kind}")(random_state=seed)


LEARNERS = {
    "skal: NetRegressor / NetClassifier": Learner(
        _skal("skal.nets", "Net"), own=True, version=4
    ),
    "skal: fold ensemble": Learner(
        _skal("skal.nets", "FoldEnsemble"),
        own=True,
        version=4,
        needs="skal.nets:FoldEnsembleRegressor",
    ),
    "skal: make_tabular": Learner(
        _ready_made,
        own=True,
        version=4,
        needs="skal.tabular:make_tabular_regressor",
    ),
    "ridge / logistic regression": Learner(_linear),
    "MLP": Learner(_by_task(MLPRegressor, MLPClassifier, max_iter=1000)),
    "random forest": Learner(
        _by_task(RandomForestRegressor, RandomForestClassifier, n_estimators=300)
    ),
    "extra trees": Learner(
        _by_task(ExtraTreesRegressor, ExtraTreesClassifier, n_estimators=300)
    ),
    "histogram boosting": Learner(_boosting),
    "SVM": Learner(_svm),
    "Gaussian process": Learner(_gp, most_labels=(1000, 200)),
    "CatBoost": Learner(_catboost, needs="catboost"),
    "RealMLP-TD-S": Learner(_pytabkit("RealMLP_TD_S"), needs="pytabkit", seeds=3),
    "TabM": Learner(_pytabkit("TabM_D"), needs="pytabkit", seeds=3),
}
