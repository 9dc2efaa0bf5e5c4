"""Of equal rows, none is preferred for its place in the pool."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from skal import ActiveLearner, NetClassifier, NetRegressor
from skal._equal_rows import row_codes, without_order
from skal.exceptions import UnsuitableLearnerError
from skal.strategies import (
    LCMD,
    LabelDispersion,
    LossPrediction,
    PerCost,
    PredictiveVariance,
    QueryStrategy,
    VariationOfPrediction,
    all_strategies,
)

RNG = np.random.default_rng(0)
KINDS = RNG.normal(size=(6, 4)).astype(np.float32)
N_COPIES = 40
POOL = np.repeat(KINDS, N_COPIES, axis=0)
LABELED = np.repeat(KINDS, 6, axis=0)
#: What reads the epochs of a training, a second head, or members.
NEED_MORE = {LabelDispersion, LossPrediction, VariationOfPrediction}


@pytest.fixture(scope="module")
def learners() -> list[ActiveLearner]:
    settings = {"max_epochs": 10, "random_state": 0, "module__dropout": 0.2}
    classes = np.tile(np.arange(3), 12)
    targets = 2 * LABELED[:, 0] + RNG.normal(0, 0.1, 36).astype(np.float32)
    return [
        ActiveLearner(NetClassifier(**settings), None, LABELED, classes),
        ActiveLearner(NetRegressor(**settings), None, LABELED, targets),
    ]


def _default(cls: type[QueryStrategy]) -> QueryStrategy | None:
    try:
        return cls()
    except TypeError:  # a parameter has no default
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", all_strategies())
def test_the_first_copies_have_no_favour(
    cls: type[QueryStrategy], learners: list[ActiveLearner]
) -> None:
    strategy = _default(cls)
    if strategy is None:
        pytest.skip("It has no default.")
    asked = False
    for learner in learners:
        try:
            picks = strategy.select(learner, POOL, 60).indices
        except (UnsuitableLearnerError, AttributeError):
            continue
        asked = True
        # The mean of 60 places of 0 to 39 has a standard deviation of 1.5 at most.
        assert abs((picks % N_COPIES).mean() - 19.5) < 4.5
    assert asked is not (cls in NEED_MORE)


def _oracle(indices: np.ndarray, codes: np.ndarray) -> list[int]:
    """Walk through all rows in the random order, for each pick."""
    order = np.random.default_rng(0).random(len(codes)).argsort()
    taken: list[int] = []
    for i in indices:
        free = (int(j) for j in order if codes[j] == codes[i] and int(j) not in taken)
        taken.append(next(free))
    return taken


def test_equal_rows_in_a_random_order() -> None:
    codes = RNG.integers(0, 9, 80)
    indices = RNG.permutation(80)[:30]
    found = without_order(indices, codes)
    assert found.tolist() == _oracle(indices, codes)
    assert np.array_equal(without_order(indices[:7], codes), found[:7])
    different = np.arange(80)
    assert without_order(indices, different) is indices


@pytest.mark.parametrize(
    "kind", [pd.DataFrame, sparse.csr_matrix, torch.from_numpy, np.ndarray.tolist]
)
def test_every_container_has_the_same_order(kind) -> None:
    model = Ridge().fit(LABELED, LABELED[:, 0])
    expected = LCMD(random_state=0).select(model, POOL, 6).indices
    assert len(set(expected // N_COPIES)) == 6
    assert (expected % N_COPIES).min() > 0
    if kind is pd.DataFrame:
        model = Ridge().fit(kind(LABELED), LABELED[:, 0])
    found = LCMD(random_state=0).select(model, kind(POOL), 6).indices
    assert np.array_equal(found, expected)


def test_rows_that_cost_differently_are_not_exchanged() -> None:
    model = RandomForestRegressor(9, random_state=0).fit(LABELED, RNG.normal(size=36))
    costs = np.where(np.arange(len(POOL)) % N_COPIES == 7, 1.0, 100.0)
    strategy = PerCost(PredictiveVariance(), costs)
    assert strategy.select(model, POOL, 1).indices[0] % N_COPIES == 7


def test_rows_on_disk_are_not_read_again() -> None:
    class Disk:
        """A container like those of h5py, which counts the rows that are read."""

        shape, dtype, n_read = POOL.shape, POOL.dtype, 0

        def __len__(self) -> int:
            return len(POOL)

        def __getitem__(self, rows):
            found = POOL[rows]
            self.n_read += len(found)
            return found

    model = Ridge().fit(LABELED, LABELED[:, 0])
    pool = Disk()
    picks = LCMD(random_state=0).select(model, pool, 6).indices
    assert len(set(picks // N_COPIES)) == 6
    assert pool.n_read == len(POOL)


def test_entries_of_a_sparse_row_that_are_given_twice_are_summed() -> None:
    parts = RNG.normal(size=9)
    data = [*parts, np.add.reduce(parts), *parts[::-1]]
    rows = sparse.csr_matrix((data, [0] * 19, [0, 9, 10, 19]), shape=(3, 2))
    summed = rows.copy()
    summed.sum_duplicates()
    assert np.array_equal(row_codes(rows), row_codes(summed))


CELLS = RNG.integers(0, 2, size=(30, 2))


@pytest.mark.parametrize(
    "rows",
    [
        CELLS.astype(str),
        CELLS.astype("S"),
        CELLS.astype(np.longdouble) / 3,
        CELLS.astype(object),
        pd.Series(CELLS.tolist()),
        pd.Series(list(CELLS)),
        pd.Series([{"a": a, "b": [b]} for a, b in CELLS.tolist()]),
        pd.DataFrame({"a": CELLS[:, 0], "b": CELLS[:, 1:].tolist()}),
        [[0] * a + [1] * b for a, b in CELLS.tolist()],
        [torch.ones(1 + a, 1 + b) for a, b in CELLS.tolist()],
        pd.Series([[a, b or float("nan")] for a, b in CELLS.tolist()]),
        pd.Series([np.array([a, np.nan if b else 1]) for a, b in CELLS.tolist()]),
        pd.Series([np.array([a, None if b else "x"]) for a, b in CELLS.tolist()]),
        pd.Series([{a, 2 + b} for a, b in CELLS.tolist()]),
    ],
)
def test_rows_of_any_kind_are_compared(rows) -> None:
    expected = pd.factorize(CELLS @ [2, 1])[0]
    codes = row_codes(rows)
    assert codes.dtype == np.int64
    np.testing.assert_array_equal(pd.factorize(codes)[0], expected)
