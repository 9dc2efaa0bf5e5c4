"""Descriptions of what a comparison depends on, to be compared in a later process."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import Dataset

from skal._tables import as_pandas, is_other_table
from skal.rows import array_if_tensor, n_rows

__all__ = ["describe", "without_code"]

#: The hash of a code, as it follows a name.
_CODE = re.compile(r"#[0-9a-f]{16}")


def describe(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Describe an object by what can be written and compared in another process.

    Parameters
    ----------
    value : object
        Estimators are described by their class and parameters, data and modules by a
        hash, functions and classes of the user by their names and a hash of their code,
        others by their names, and other objects by their repr, or by their public
        attributes if they have none of their own.
    within : tuple of int
        Ids of functions and objects that refer to this one.

    Returns
    -------
    description : object
        Made of dicts, lists, strings and numbers.
    """
    if isinstance(value, float) and np.isnan(value):
        return "NaN"  # which does not equal itself
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return describe(value.item())
    if id(value) in within:
        return "..."
    inner = (*within, id(value))
    if isinstance(value, types.MethodType):
        return [describe(value.__func__, inner), describe(value.__self__, inner)]
    if isinstance(value, type) or hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}{_code_of(value, inner)}"
    if isinstance(value, partial):
        return ["partial", *(describe(v, inner) for v in value.__reduce__()[2][:3])]
    if hasattr(value, "get_params"):
        params = value.get_params(deep=False)
        return {describe(type(value)): _described(dict(sorted(params.items())), inner)}
    if isinstance(value, nn.Module):
        return [repr(value), describe(value.state_dict(), inner)]
    if isinstance(value, Mapping):
        return _described(value, inner)
    if isinstance(value, pd.api.extensions.ExtensionArray):
        value = pd.Series(value)
    if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
        return _describe_table(value)
    if is_other_table(value):
        return [type(value).__module__, _describe_table(as_pandas(value))]
    if isinstance(value, Dataset):
        items = [describe(value[i], inner) for i in range(n_rows(value))]
        return [describe(type(value)), joblib.hash(items)]
    if isinstance(value, torch.Tensor):
        return describe(array_if_tensor(value))
    if isinstance(value, np.ndarray) or hasattr(value, "tocsr"):
        return joblib.hash(value)
    if isinstance(value, list | tuple):
        # Each by itself, as the hash of a tensor is not always the same.
        parts = [describe(part, inner) for part in value]
        return parts if len(parts) <= 100 else joblib.hash(parts)
    if hasattr(value, "__array__"):
        return describe(np.asarray(value))
    if type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__"):
        public = {k: v for k, v in vars(value).items() if not k.startswith("_")}
        return {describe(type(value)): _described(public, inner)}
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    # Of a scorer, the repr has no more than the name of its function.
    held = vars(value).values() if hasattr(value, "__dict__") else []
    parts = [describe(v, inner) for v in held if isinstance(v, types.FunctionType)]
    return [text, *parts] if parts else text


def without_code(description: Any) -> Any:
    """Leave out the hashes of code, which differ between versions of Python."""
    return json.loads(_CODE.sub("", json.dumps(description)))


def _described(values: Mapping[Any, Any], within: tuple[int, ...]) -> dict[str, Any]:
    return {str(key): describe(part, within) for key, part in values.items()}


def _describe_table(value: Any) -> Any:
    names = list(map(str, getattr(value, "columns", [])))
    try:
        hashes = pd.util.hash_pandas_object(value)
    except TypeError:  # cells that cannot be hashed, such as arrays
        return [names, joblib.hash(value)]
    return [names, joblib.hash(hashes.to_numpy())]


# -- code ----------------------------------------------------------------------------


def _code_of(value: Any, within: tuple[int, ...]) -> str:
    """Hash the code of a function or a class of the user; "" for any other."""
    parts = [_parts_of(f, within) for f in _functions_of(value)]
    return f"#{joblib.hash(parts)[:16]}" if parts else ""


def _functions_of(value: Any) -> Iterator[types.FunctionType]:
    """Yield a function, or the methods of a class and its bases; of the user alone."""
    if not isinstance(value, type):
        function = getattr(value, "__wrapped__", value)
        if isinstance(function, types.FunctionType) and _is_of_user(function):
            yield function
        return
    for cls in value.__mro__:
        for _, member in sorted(vars(cls).items()):
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(function, types.FunctionType) and _is_of_user(function):
                yield function


def _is_of_user(function: types.FunctionType) -> bool:
    """Whether a function is not of a package, whose version tells what it does."""
    root = function.__module__.partition(".")[0]
    file = function.__code__.co_filename
    is_installed = "site-packages" in file or "dist-packages" in file
    return not (is_installed or root == "skal" or root in sys.stdlib_module_names)


def _parts_of(function: types.FunctionType, within: tuple[int, ...]) -> list[Any]:
    cells = [_content(cell) for cell in function.__closure__ or ()]
    given = function.__defaults__, function.__kwdefaults__, cells
    inner = (*within, id(function))
    code = _parts_of_code(function.__code__, function.__doc__)
    return [function.__name__, code, *(describe(part, inner) for part in given)]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _parts_of_code(code: types.CodeType, doc: str | None = None) -> list[Any]:
    constants: list[Any] = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            constants.append(_parts_of_code(constant))
        elif isinstance(constant, frozenset):  # whose order differs
            constants.append(sorted(map(repr, constant)))
        elif doc is None or constant != doc:
            constants.append(repr(constant))
    return [code.co_code, code.co_names, constants]
