"""What a store compares between calls: parameters, data, and code of the user."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer
from sklearn.preprocessing import FunctionTransformer

from skal.simulation.describing import describe, without_code
from skal.simulation.store import CampaignStore

CODES = {
    "body": ("def f(x): return x + 1", "def f(x): return x - 1"),
    "constant": ("def f(x): return x + 1", "def f(x): return x + 2"),
    "default": ("def f(x, k=1): return x", "def f(x, k=2): return x"),
    "array": (
        "def f(x, k=numpy.arange(3000.)): return x",
        "def f(x, k=numpy.arange(3000.)[::-1]): return x",
    ),
    "closure": (
        "def make(k): return lambda x: x * k\nf = make(1)",
        "def make(k): return lambda x: x * k\nf = make(2)",
    ),
    "inner": (
        "def f(x): return [i + 1 for i in x]",
        "def f(x): return [i + 2 for i in x]",
    ),
    "method": (
        "class f:\n  def g(self): return 1",
        "class f:\n  def g(self): return 2",
    ),
    "base": (
        "class A:\n  def g(self): return 1\nclass f(A): pass",
        "class A:\n  def g(self): return 2\nclass f(A): pass",
    ),
    "property": (
        "class f:\n  @property\n  def g(self): return 1",
        "class f:\n  @property\n  def g(self): return 2",
    ),
}


def run(code: str) -> Any:
    names: dict[str, Any] = {"numpy": np, "__name__": "of_the_user"}
    exec(code, names)
    return names["f"]


CASES = [
    (kind, held_by)
    for kind in CODES
    for held_by in (lambda f: f, FunctionTransformer, make_scorer)
    if held_by is not make_scorer or "class" not in CODES[kind][0]
]


@pytest.mark.parametrize(("kind", "held_by"), CASES)
def test_the_code_of_the_user_counts(kind: str, held_by: Any) -> None:
    one, again, other = (describe(held_by(run(CODES[kind][k]))) for k in (0, 0, 1))
    assert one == again
    assert one != other
    assert without_code(one) == without_code(other)


def test_texts_that_document_do_not_count() -> None:
    one, other = (run(f"def f(x):\n  '{doc}'\n  return x") for doc in ("a", "b"))
    assert describe(one) == describe(other)


def test_functions_that_refer_to_themselves() -> None:
    code = (
        "def make():\n  def f(n): return f(n - 1) if n else {n}\n  return f\nf = make()"
    )
    assert describe(run(code.replace("{n}", "1"))) != describe(
        run(code.replace("{n}", "2"))
    )


def test_functions_of_packages_are_their_names() -> None:
    assert describe(np.linalg.norm) == "numpy.linalg.norm"
    assert describe(BaseEstimator) == "sklearn.base.BaseEstimator"
    assert describe(CampaignStore) == "skal.simulation.store.CampaignStore"
    assert describe(json.dumps) == "json.dumps"


class Strategy:
    """A strategy with parameters, but without a repr of its own."""

    def __init__(self, column: int, weights: Any = None) -> None:
        self.column = column
        self.weights = weights
        self._n_calls = 0

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        self._n_calls += 1
        return np.argsort(np.asarray(X_pool)[:, self.column])[:n_instances]


def test_parameters_of_objects_without_a_repr_count() -> None:
    assert describe(Strategy(0)) != describe(Strategy(1))
    weights = np.arange(3000.0)
    assert describe(Strategy(0, weights)) == describe(Strategy(0, weights.copy()))
    assert describe(Strategy(0, weights)) != describe(Strategy(0, weights[::-1]))
    assert describe(Strategy(0).__call__) != describe(Strategy(1).__call__)
    assert describe(partial(max, weights)) != describe(partial(max, weights[::-1]))
    assert describe(partial(max, key=abs)) != describe(partial(max, key=len))
    used = Strategy(0)
    used(None, np.ones((3, 2)))
    assert describe(used) == describe(Strategy(0))
    used.weights = used  # as a node that knows its parent
    assert describe(used) != describe(Strategy(0))


def test_code_is_the_same_in_another_process() -> None:
    program = (
        "from skal.simulation.describing import describe\n"
        "def f(x, among={'a': 1}): return x in {'low', 'mid', 'top', 'other'}\n"
        "print(describe(f), describe([lambda x: x, type('T', (), {'f': f})]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1
    assert "#" in outputs.pop()


def test_a_store_notices_other_code_unless_python_is_another(tmp_path: Path) -> None:
    folds = [(np.arange(4), np.arange(4, 6))]

    def store(code: str) -> CampaignStore:
        settings = {"scoring": run(code)}
        return CampaignStore(tmp_path, settings, {"mine": run(code)}, folds, [[0]])

    one, other = CODES["body"]
    store(one)
    store(one)
    with pytest.raises(ValueError, match=r"\(scoring\).*code of a function.*changed"):
        store(other)
    plan = tmp_path / "comparison.json"
    known = json.loads(plan.read_text())
    plan.write_text(json.dumps({**known, "python": "3.2"}))
    assert store(other).seeds == [[0]]
