"""The default of each public parameter is the one that its docstring states."""

from __future__ import annotations

import importlib
import inspect
import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.test_docs import PUBLIC

#: ``name : type, default=value``, or several names for one type.
STATED = re.compile(r"^ *(\w+(?:, \w+)*) : .*\bdefault=(.+)$", re.M)
#: Arguments that are documented by modAL, or passed on to another function.
ELSEWHERE = {
    *("bootstrap", "bootstrap_init", "force_all_finite", "on_transformed"),
    *("only_new", "return_metrics"),
}


def _callables(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield what a module exports, and the methods of its classes."""
    for name in module.__all__:
        found = getattr(module, name)
        if inspect.isfunction(found):
            yield name, found
        if inspect.isclass(found) and not issubclass(found, BaseException):
            yield name, found
            for key, method in vars(found).items():
                method = getattr(method, "__func__", method)
                if inspect.isfunction(method) and not key.startswith("_"):
                    yield f"{name}.{key}", method


def _stated(found: Callable[..., Any]) -> dict[str, str]:
    return {
        name: value
        for names, value in STATED.findall(found.__doc__ or "")
        for name in names.split(", ")
    }


def _same(text: str, value: Any) -> bool:
    stated = 7 * 24 * 3600 if text == "7 days" else literal_eval(text)
    return bool(stated == value and isinstance(stated, bool) == isinstance(value, bool))


@pytest.mark.on_cpu
@pytest.mark.parametrize("name", [*PUBLIC, "skal.stopping"])
def test_defaults_are_those_of_the_docstrings(name: str) -> None:
    if name == "skal.campaign":
        pytest.importorskip("sqlalchemy")
    module = importlib.import_module(name)
    found = dict(_callables(module))
    siblings: dict[str, list[str]] = {}  # "space, n_components: as for LCMD"
    for one in found.values():
        for parameter, text in _stated(one).items():
            siblings.setdefault(parameter, []).append(text)
    wrong = []
    for one_name, one in found.items():
        own = _stated(one)
        for parameter, value in inspect.signature(one).parameters.items():
            if not isinstance(value.default, bool | int | float | str):
                continue
            if parameter in ELSEWHERE and parameter not in own:
                continue
            texts = (
                [own[parameter]] if parameter in own else siblings.get(parameter, [])
            )
            if not any(_same(text, value.default) for text in texts):
                wrong.append(f"{one_name}({parameter}={value.default!r}), not {texts}")
    assert wrong == []
