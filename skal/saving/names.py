"""Classes and functions: their names in a file, and which names may be looked up."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from skal.exceptions import LearnerFileError

__all__ = ["CONSTRUCTED", "Names", "name_of"]

#: Subpackages whose estimators compute. A later one is not allowed before it was read.
_SKLEARN = (
    *("calibration", "cluster", "compose", "covariance", "cross_decomposition"),
    *("decomposition", "discriminant_analysis", "dummy", "ensemble"),
    *("feature_extraction", "feature_selection", "frozen", "gaussian_process"),
    *("impute", "isotonic", "kernel_approximation", "kernel_ridge", "linear_model"),
    *("manifold", "metrics", "mixture", "model_selection", "multiclass"),
    *("multioutput", "naive_bayes", "neighbors", "neural_network", "pipeline"),
    *("preprocessing", "random_projection", "semi_supervised", "svm", "tree"),
)
#: Modules whose classes may be looked up. An object is made without its ``__init__``.
_CLASSES = (
    *(f"sklearn.{name}" for name in _SKLEARN),
    *("sklearn.base", "sklearn._loss"),
    *(f"skal.{name}" for name in ("learners", "nets", "posteriors", "stopping")),
    *("skal.strategies", "skal.tabular"),
    *("skorch.classifier", "skorch.dataset", "skorch.history", "skorch.net"),
    *("skorch.regressor", "skorch.callbacks.lr_scheduler"),
    *("torch.nn.modules", "torch.optim"),
    "modAL.models",
)
#: Modules whose functions may be looked up: those of Python, not methods or compiled
#: ones, which trust their arguments. They compute, and read or write nothing.
_FUNCTIONS = (
    *("modAL.acquisition", "modAL.batch", "modAL.density", "modAL.disagreement"),
    *("modAL.expected_error", "modAL.multilabel", "modAL.uncertainty"),
    *("skal.measures", "skal.nets", "skal.tabular", "torch.nn.functional"),
    *("sklearn.feature_selection", "sklearn.metrics"),
)
#: Cython classes, which are made by a call with the arguments that pickle passes.
CONSTRUCTED = (
    "sklearn.tree._tree:Tree",
    *(
        f"sklearn._loss._loss:Cy{name}"
        for name in (
            *("AbsoluteError", "ExponentialLoss", "HalfBinomialLoss"),
            *("HalfGammaLoss", "HalfMultinomialLoss", "HalfPoissonLoss"),
            *("HalfSquaredError", "HalfTweedieLoss", "HuberLoss", "PinballLoss"),
        )
    ),
)
#: Functions of numpy, beside its ufuncs, that reduce rows to one.
_REDUCTIONS = (
    *("amax", "amin", "max", "mean", "median", "min", "nanmax", "nanmean"),
    *("nanmedian", "nanmin", "nansum", "prod", "ptp", "std", "sum", "var"),
)
#: What some versions of scikit-learn call a module, and where it is.
_MODULES = {"_loss": "sklearn._loss._loss"}
#: Others. Callbacks that write files, such as skorch's checkpoints, are left out.
_NAMED = (
    *CONSTRUCTED,
    *(f"builtins:{name}" for name in ("bool", "float", "int", "object", "print")),
    "builtins:str",
    "collections:OrderedDict",
    *("skorch.callbacks.logging:EpochTimer", "skorch.callbacks.logging:PrintLog"),
    *(
        f"skorch.callbacks.{name}"
        for name in (
            "regularization:GradientNormClipping",
            *("scoring:BatchScoring", "scoring:EpochScoring"),
            *("scoring:PassthroughScoring", "training:EarlyStopping"),
            *("training:Freezer", "training:Initializer", "training:Unfreezer"),
            *("training:ParamMapper",),
        )
    ),
    *("skorch.setter:optimizer_setter", "skorch.utils:to_numpy"),
    *(
        f"skorch.utils:_indexing_{name}"
        for name in ("dict", "list_tuple_of_data", "ndframe", "none", "other")
    ),
    *(
        f"sklearn.utils.{name}"
        for name in (
            "_bunch:Bunch",
            *("_metadata_requests:MetadataRequest",),
            *("_metadata_requests:MethodMetadataRequest",),
        )
    ),
    *(f"sklearn.cluster._kmeans:_kmeans_single_{name}" for name in ("elkan", "lloyd")),
    *("torch.utils.data.dataloader:DataLoader", "torch.utils.data.dataset:Subset"),
    "torch.utils.data.dataset:TensorDataset",
)


def name_of(found: Any) -> str:
    """Name a class or function, as ``"package.module:Name"``.

    Raises
    ------
    TypeError
        If it has no name by which it can be found again.
    """
    if isinstance(found, np.ufunc):
        return f"numpy:{found.__name__}"
    # Methods of classes in C have no module.
    module = str(getattr(found, "__module__", None))
    name = f"{_MODULES.get(module, module)}:{found.__qualname__}"
    if "<lambda>" in name:
        raise TypeError(
            "a lambda has no name by which it could be found again: write a function "
            "with def."
        )
    return name


class Names:
    """Looks up classes and functions by the names in a file.

    Parameters
    ----------
    passed : class, function or sequence of these, optional
        The user's own. Nothing else outside of skal, scikit-learn, skorch, torch, modAL
        and numpy is ever looked up, and nothing is imported that the user's packages do
        not import themselves.
    """

    def __init__(self, passed: Any = None) -> None:
        if passed is None:
            passed = []
        elif not isinstance(passed, Sequence):
            passed = [passed]
        self._passed: dict[str, Any] = {}
        self._alone: dict[str, list[Any]] = {}
        for one in passed:
            if isinstance(one, nn.Module) or not hasattr(one, "__qualname__"):
                raise TypeError(
                    f"module must be a class or a function, or a list of them, got "
                    f"{type(one).__name__}. Pass the class itself, not an object of it."
                )
            self._passed[name_of(one)] = one
            # Under its name alone, too: a script is called "__main__" when it is run.
            self._alone.setdefault(one.__qualname__, []).append(one)

    def is_passed(self, found: Any) -> bool:
        """Whether the user passed this class or function."""
        return any(found is one for one in self._passed.values())

    def look_up(self, name: str, *, function: bool = False) -> Any:
        """Get the class or function of a name.

        Raises
        ------
        LearnerFileError
            If it is not allowed, or is not there.
        """
        if name in self._passed:
            return self._passed[name]
        module, _, qualname = name.partition(":")
        allowed = _FUNCTIONS if function else _CLASSES
        is_allowed = name in _NAMED or _is_within(module, allowed)
        found = None
        if module == "numpy":
            found = _numpy(qualname)
        elif is_allowed:
            found = _found(name, function)
        if found is not None:
            return found
        # Last, so that one of the user's does not stand for another of the same name.
        alone = self._alone.get(qualname, [])
        if len(alone) == 1:
            return alone[0]
        if len(alone) > 1:
            raise LearnerFileError(
                f"it needs {name}, and module= has {len(alone)} of the name {qualname}."
            )
        if not is_allowed:
            raise _refused(name)
        raise LearnerFileError(
            f"it needs {name}, which the installed version of {module.split('.')[0]} "
            "does not have."
        )


def _numpy(name: str) -> Any:
    """Get a function of arrays or a type of numbers; None if it is neither."""
    found = getattr(np, name, None)
    is_type = inspect.isclass(found) and issubclass(found, np.generic)
    computes = isinstance(found, np.ufunc) or name in _REDUCTIONS
    return found if is_type or computes else None


def _found(name: str, function: bool) -> Any:
    """Get what a name that is allowed stands for; None if it is not there."""
    module, _, qualname = name.partition(":")
    try:
        found = _attribute(module, qualname)
    except ImportError:
        return None
    if not function:
        right = inspect.isclass(found)
    elif name in _NAMED:
        right = inspect.isroutine(found)
    else:
        right = inspect.isfunction(found) and "." not in qualname
    return found if right and name_of(found) == name else None


def _attribute(module: str, qualname: str) -> Any:
    package = module.split(".")
    if package[0] == "skal":
        importlib.import_module(module)
    elif package[0] != "builtins":
        # The public package imports the private module that defines a class.
        importlib.import_module(".".join(package[:2]))
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _is_within(module: str, packages: Sequence[str]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages) and not any(
        part.startswith(("test", "_test", "conftest")) for part in module.split(".")
    )


def _refused(name: str) -> LearnerFileError:
    module, _, qualname = name.partition(":")
    return LearnerFileError(
        f"it needs {qualname} of {module}, which is not looked up unasked. If you know "
        f"and trust it, import it and pass it: skal.load(path, module={qualname}), or "
        "a list of all that are needed."
    )
