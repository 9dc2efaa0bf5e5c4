"""Learners in files that hold no code: weights and labels in open formats.

`container` is the file, `tree` turns objects to JSON, `arrays`, `tables` and `objects`
add kinds of objects, `names` says which classes may be looked up, and `checks` which
arrays do not fit together.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
import skorch
import torch

from skal._extras import how_to_install
from skal._version import __version__
from skal.exceptions import LearnerFileError
from skal.nets.validation import check_device
from skal.saving.arrays import ARRAYS
from skal.saving.checks import check_objects
from skal.saving.container import pack, read_file, unpack, write_file
from skal.saving.names import Names
from skal.saving.objects import OBJECTS
from skal.saving.tables import TABLES
from skal.saving.tree import CONTAINERS, Reader, Writer

__all__ = ["load", "save"]

_CODECS = (*ARRAYS, *TABLES, *CONTAINERS, *OBJECTS)
_TENSORS = "tensors.safetensors"
#: What objects raise if what they are made of is not as they expect.
_UNFIT = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError),
    *(MemoryError, RuntimeError, TypeError, ValueError),
)


def save(learner: Any, path: Any) -> None:
    """Save a learner and its labeled rows, without pickle.

    Parameters
    ----------
    learner : learner or estimator
        Fitted or not.
    path : str or path
        The file is replaced at once and as a whole.

    Raises
    ------
    TypeError
        If a part of the learner has no open format; the error names it. Nothing is
        written then.
    ImportError
        If safetensors or, for tables, pyarrow is not installed: the extra ``save``.

    See Also
    --------
    load : The inverse.

    Notes
    -----
    The file is a zip archive, not compressed.  ``learner.json`` holds classes by name,
    parameters, and attributes; ``tensors.safetensors`` the weights and the state of
    optimizers; ``arrays`` the numpy arrays; ``tables`` the DataFrames as Parquet.  The
    archive ends with a comment, the SHA-256 of all bytes before.  All numbers are
    kept bit for bit.  On the same machine and with the same versions, predictions and
    the next query of the loaded learner are those of the saved one; a few estimators,
    such as `LabelPropagation`, round sums by where arrays lie in memory.

    What can be saved: learners, nets, ensembles, strategies and tables of skal; nets of
    skorch, and its callbacks that write no files; estimators of scikit-learn that
    consist of attributes, trees and forests included.  What cannot: lambdas; caches on
    disk; Datasets that hold open files; and objects that only code can restore, such as
    those of CatBoost, or the search trees of `KNeighborsClassifier`, which does without
    them if ``algorithm="brute"``.

    References
    ----------
    safetensors. https://huggingface.co/docs/safetensors

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> import skal
    >>> X, y = load_iris(return_X_y=True)
    >>> learner = skal.ActiveLearner(
    ...     LogisticRegression(), X_training=X[::10], y_training=y[::10]
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skal.save(learner, f"{folder}/iris.skal")
    ...     loaded = skal.load(f"{folder}/iris.skal")
    >>> bool((loaded.predict_proba(X) == learner.predict_proba(X)).all())
    True
    """
    from_torch, _ = _safetensors()
    if not hasattr(learner, "get_params") or isinstance(learner, type):
        raise TypeError(f"A learner or an estimator is saved, got {learner!r}.")
    writer = Writer(_CODECS)
    try:
        tree = writer.write(learner)
    except RecursionError as error:
        raise TypeError("The learner is nested too deeply to be saved.") from error
    manifest = {**_versions(), "learner": tree}
    members = {**writer.members, _TENSORS: from_torch.save(writer.tensors)}
    write_file(path, pack(manifest, members))


def load(path: Any, *, module: Any = None, device: Any = None) -> Any:
    """Load a learner that `save` has written.

    Parameters
    ----------
    path : str or path
    module : class, function or list of these, optional
        Your own that the learner contains, such as the class of a net's module.  Only
        classes of skal, scikit-learn, skorch and torch are looked up unasked.
    device : str or torch.device, optional
        For all nets, such as "cpu" for those that were trained on a GPU; by default
        that on which they were.

    Returns
    -------
    learner : learner or estimator

    Raises
    ------
    LearnerFileError
        If the file is truncated or was altered, is of a later version, or names a class
        or function that is neither allowed nor passed. Nothing is loaded then.
    ImportError
        If safetensors or, for tables, pyarrow is not installed: the extra ``save``.

    Warns
    -----
    UserWarning
        If the file was written by another version of skal or skorch; scikit-learn warns
        itself.

    See Also
    --------
    save : The inverse.

    Notes
    -----
    No code of the file is executed: it holds none.  Objects are made without their
    ``__init__``, and only of allowed classes that are written in Python; functions are
    looked up in modules whose functions only compute.  Arrays that compiled code reads
    without looking, such as the nodes of trees and support vectors, are checked.  The
    checksum tells of damage, not who wrote the file: a stranger can give you a model
    that predicts nonsense, needs more memory than there is, or has objects in places
    where scikit-learn expects others.
    """
    (from_torch, broken), names = _safetensors(), Names(module)
    if device is not None:
        check_device(device)
    try:
        manifest, members = unpack(read_file(path))
        tensors = from_torch.load(members.pop(_TENSORS))
        reader = Reader(_CODECS, names, members, tensors, device)
        _warn_of_versions(path, manifest)
        learner = reader.read(manifest["learner"])
        check_objects(reader.objects)
        return learner
    except LearnerFileError as error:
        raise LearnerFileError(f"{str(path)!r} was not loaded: {error}") from error
    # Made by hand, or by versions whose objects have other attributes.
    except (*_UNFIT, broken) as error:
        raise LearnerFileError(
            f"{str(path)!r} was not loaded: its parts do not fit together, or not with "
            f"the installed versions ({type(error).__name__}: {error})."
        ) from error


def _warn_of_versions(path: Any, manifest: dict[str, Any]) -> None:
    """Warn of other versions of skal and skorch; scikit-learn warns itself."""
    now = _versions()
    for package in ("skal", "skorch"):
        if manifest[package] != now[package]:
            warnings.warn(
                f"{str(path)!r} was saved with {package} {manifest[package]}, and this "
                f"is {now[package]}: the learner may be incomplete, or predict "
                "otherwise. Compare some predictions, or fit it again.",
                UserWarning,
                stacklevel=3,
            )


def _versions() -> dict[str, str]:
    return {
        "skal": __version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
        "torch": torch.__version__,
    }


def _safetensors() -> Any:
    try:
        import safetensors.torch
        from safetensors import SafetensorError
    except ImportError as error:
        raise ImportError(
            "Learners are saved and loaded with safetensors, which is not installed: "
            f"{how_to_install('save')}."
        ) from error
    return safetensors.torch, SafetensorError
