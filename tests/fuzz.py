"""Random problems for every strategy: containers, degenerate rows and nets, settings.

A seed gives one problem, always the same.  Run ``python -m tests.fuzz --n 10000``, or
``make fuzz``; the seeds done are kept in a file, and a second run goes on from there.
A query either picks distinct rows, the same ones again at the same seed, or raises one
of the errors of its documentation.  Either way, and also if it is interrupted at a
random point, the learner, its net and the state of the process are as before.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import QueryStrategy
from tests.models import cases, make_data, make_net, make_strategy, with_labeled

#: What a query may raise for such problems.  Any other error is a fault.
EXPECTED = (ValueError, UnsuitableLearnerError)

ROWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "continuous": lambda X: X,
    "tied": np.round,
    "duplicated": lambda X: X[np.arange(len(X)) % 3],
    "constant": np.ones_like,
    "zero": np.zeros_like,
    "large": lambda X: X * 1e6,
    "tiny": lambda X: X * 1e-30,
    "overflowing": lambda X: X * 1e25,
    "far": lambda X: X + 1.7e9,
    "one outlier": lambda X: np.concatenate([X[:-1], 1e8 * X[-1:]]),
    "missing": lambda X: np.where(X > 2, np.nan, X),
    "infinite": lambda X: np.where(X > 2, np.inf, X),
}
CONTAINERS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda X: X,
    "float32": lambda X: X.astype(np.float32),
    "fortran": np.asfortranarray,
    "DataFrame": lambda X: pd.DataFrame(X, columns=list("abcde")),
    "shuffled index": lambda X: pd.DataFrame(
        X, columns=list("abcde"), index=np.arange(len(X))[::-1]
    ),
    "list": lambda X: X.tolist(),
    "csr": sparse.csr_matrix,
    "tensor": lambda X: torch.tensor(X, dtype=torch.float32),
}
MODELS = ("net", "scaled net", "dead net", "saturated net", "forest", "linear")
SETTINGS: dict[str, Callable[[], Any]] = {
    "none": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "errors of numpy": lambda: np.errstate(all="raise"),
    "pandas as strings": lambda: pd.option_context("mode.copy_on_write", True),
}


@dataclass(frozen=True)
class Problem:
    """One query, by the names of its parts."""

    seed: int
    strategy: type[QueryStrategy]
    task: str
    rows: str
    container: str
    model: str
    setting: str
    m: int
    n: int
    interrupt: bool


def problem_of(seed: int) -> Problem:
    """Draw the problem of a seed."""
    rng = np.random.default_rng(seed)
    strategy, task = cases()[rng.integers(len(cases()))]
    m = int(rng.integers(1, 40))
    return Problem(
        seed,
        strategy,
        task,
        # Half of the problems have usual rows, so that the other parts are tried too.
        "continuous" if rng.random() < 0.5 else str(rng.choice(list(ROWS))),
        str(rng.choice(list(CONTAINERS))),
        str(rng.choice(MODELS)),
        str(rng.choice(list(SETTINGS))),
        m,
        int(rng.integers(1, m + 1)),
        bool(rng.random() < 0.3),
    )


@cache
def _fitted(model: str, task: str, strategy: type[QueryStrategy]) -> Any:
    X, y = make_data(task)
    if model == "forest":
        classes = RandomForestClassifier, RandomForestRegressor
        return classes[task == "regression"](5, random_state=0).fit(X, y)
    if model == "linear":
        return (LogisticRegression() if task == "classification" else Ridge()).fit(X, y)
    net = make_net(task, strategy=strategy)
    if model == "scaled net":
        scaled = make_pipeline(StandardScaler(), net)
        if task == "regression":
            scaled = TransformedTargetRegressor(scaled, transformer=StandardScaler())
        return scaled.fit(X, y)
    net.fit(X, y)
    linear = [m for m in net.module_.modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad():
        if model == "dead net":  # no unit of the last hidden layer is ever active
            linear[-2].weight.zero_()
            linear[-2].bias.fill_(-1.0)
        if model == "saturated net":
            linear[-1].weight.mul_(1e4)
    return net


def learner_of(problem: Problem) -> ActiveLearner:
    """Make the learner of a problem; its estimator is a copy that was never queried."""
    kind = problem.strategy if problem.strategy.__name__ == "LossPrediction" else None
    fitted = _fitted(problem.model, problem.task, kind or QueryStrategy)
    return with_labeled(copy.deepcopy(fitted), *make_data(problem.task))


def pool_of(problem: Problem) -> Any:
    """Make the pool of a problem."""
    X = make_data(problem.task, problem.m, seed=problem.seed % 1000 + 1)[0]
    return CONTAINERS[problem.container](ROWS[problem.rows](X))


# -- what must stay as it is --------------------------------------------------------


def state_of(learner: ActiveLearner) -> list[Any]:
    """Describe the learner, its net and the process, to be compared."""
    found: list[Any] = [
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        repr(np.geterr()),
        torch.get_rng_state().tolist(),
        repr(np.random.get_state(legacy=False)),  # noqa: NPY002
        id(learner.estimator),
    ]
    for net in _nets(learner.estimator):
        module = net.module_
        found += [m.training for m in module.modules()]
        found += [len(m._forward_hooks) for m in module.modules()]
        found += [len(m._forward_pre_hooks) for m in module.modules()]
        found += [p.grad is None for p in module.parameters()]
        found += [t.cpu().numpy().tobytes() for t in module.state_dict().values()]
    return found


def _nets(estimator: Any) -> Iterator[Any]:
    for name in ("regressor_", "steps"):
        inner = getattr(estimator, name, None)
        if inner is not None:
            yield from _nets(inner if name == "regressor_" else inner[-1][1])
            return
    if hasattr(estimator, "module_"):
        yield estimator


@contextlib.contextmanager
def interrupted_at(count: int) -> Iterator[None]:
    """Raise KeyboardInterrupt when the count-th function of skal is entered."""
    left = count

    def watch(frame: Any, event: str, _: Any) -> None:
        nonlocal left
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("skal."):
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)


# -- one problem --------------------------------------------------------------------


def check(problem: Problem) -> str:
    """Play a problem; return what came of it.

    Raises
    ------
    AssertionError
        If a pick is wrong, or something is not as it was.
    Exception
        Whatever a query raises that is not `EXPECTED`.
    """
    learner, X = learner_of(problem), pool_of(problem)
    before = state_of(learner)
    strategy = make_strategy(problem.strategy)
    if problem.interrupt:
        count = int(np.random.default_rng(problem.seed).integers(1, 400))
        with contextlib.suppress(KeyboardInterrupt, *EXPECTED), interrupted_at(count):
            strategy.select(learner, X, problem.n)
        assert state_of(learner) == before, "an interrupt left something changed"
    try:
        with SETTINGS[problem.setting]():
            picked = strategy.select(learner, X, problem.n)
    except EXPECTED as error:
        message, outcome = str(error), type(error).__name__
    except FloatingPointError:
        # Allowed only where the learner by itself raises it, as scikit-learn's softmax.
        with SETTINGS[problem.setting](), pytest.raises(FloatingPointError):
            learner.predict_proba(X)
        assert state_of(learner) == before, "an error left something changed"
        return "FloatingPointError"
    else:
        message, outcome = "", "picked"
    if outcome != "picked":
        assert len(message) > 20, "an error that says too little"
        assert state_of(learner) == before, "an error left something changed"
        return outcome
    assert state_of(learner) == before, "a query left something changed"
    indices, scores = picked
    assert len(set(indices.tolist())) == len(scores) == problem.n
    assert 0 <= indices.min() <= indices.max() < problem.m
    assert not np.isnan(scores).any()
    again = make_strategy(problem.strategy).select(learner, X, problem.n)
    assert np.array_equal(again.indices, indices), "other picks at the same seed"
    return "picked"


def main(argv: list[str] | None = None) -> int:
    """Play many problems; return 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="seeds from 0 to n - 1")
    parser.add_argument("--state", type=Path, default=Path("fuzz_state.txt"))
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    done = int(args.state.read_text()) if args.state.exists() else 0
    failures = []
    counts: dict[str, int] = {}
    for seed in range(done, args.n):
        problem = problem_of(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcome = check(problem)
            except Exception:
                outcome = "failed"
                failures.append(seed)
                print(problem, traceback.format_exc(), sep="\n", flush=True)
        counts[outcome] = counts.get(outcome, 0) + 1
        if seed % 100 == 99:
            args.state.write_text(str(seed + 1))
            print(f"{seed + 1} of {args.n}: {counts}", flush=True)
    print(f"seeds that failed: {failures}")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
