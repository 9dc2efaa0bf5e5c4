"""A strategy on a part of the pool picks what it picks of that part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from torch.utils.data import Dataset, TensorDataset

from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.rng import resolve_rng, seed_from
from skal.selection import Picks
from skal.strategies import (
    LCMD,
    LDM,
    CoreSet,
    LDMSeeding,
    Margin,
    NoiseStability,
    QueryStrategy,
    Random,
    Subsample,
)
from tests.models import make_data, make_net

X, Y = make_data("classification")
POOL = make_data("classification", 90, seed=1)[0]


class Recorder(QueryStrategy):
    """Takes the first rows, and keeps what it saw."""

    def __init__(self, seen: Any = None, random_state: Any = None) -> None:
        self.seen = seen
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        blocks = [np.asarray(b) for _, b in pool.members[0].rows.blocks()]
        draw = float(torch.rand((), generator=rng))
        self.seen.append((np.concatenate(blocks), draw, torch.rand(()).item()))
        return Picks(torch.arange(n), torch.arange(n).double())


@pytest.fixture(scope="module")
def net() -> Any:
    return make_net("classification").fit(X, Y)


def drawn_rows(seed: int, size: int) -> np.ndarray:
    rng = resolve_rng(seed)
    seed_from(rng)
    return np.sort(torch.randperm(len(POOL), generator=rng)[:size].numpy())


@pytest.mark.parametrize(
    "inner",
    [Margin(), CoreSet(), LCMD(random_state=3), LDMSeeding(random_state=3)],
    ids=lambda inner: type(inner).__name__,
)
@pytest.mark.parametrize("max_rows", [40, 0.5, np.float32(0.5)])
def test_picks_are_those_of_the_strategy_on_the_part(net, inner, max_rows):
    rows = drawn_rows(5, 40 if max_rows == 40 else 45)
    expected = inner.select(net, POOL[rows], 6)
    got = Subsample(inner, max_rows, random_state=5).select(net, POOL, 6)
    np.testing.assert_array_equal(got.indices, rows[expected.indices])
    np.testing.assert_array_equal(got.scores, expected.scores)


def test_labeled_rows_are_seen_by_the_strategy_inside():
    from skal import ActiveLearner

    learner = ActiveLearner(make_net("classification"), X_training=X, y_training=Y)
    rows = drawn_rows(0, 30)
    expected = CoreSet().select(learner, POOL[rows], 5).indices
    got = Subsample(CoreSet(), 30, random_state=0).select(learner, POOL, 5).indices
    np.testing.assert_array_equal(got, rows[expected])
    assert set(rows[CoreSet().select(learner.estimator, POOL[rows], 5).indices]) != set(
        got
    )


def test_at_least_as_many_rows_as_are_picked_and_at_most_all(net):
    seen: list[Any] = []
    Subsample(Recorder(seen), max_rows=3).select(net, POOL, 8)
    Subsample(Recorder(seen), max_rows=0.001).select(net, POOL, 1)
    Subsample(Recorder(seen), max_rows=1000).select(net, POOL, 1)
    Subsample(Recorder(seen), max_rows=1.0).select(net, POOL, 1)
    Subsample(Recorder(seen)).select(net, POOL, 1)
    assert [len(rows) for rows, _, _ in seen] == [8, 1, 90, 90, 90]
    np.testing.assert_array_equal(seen[2][0], POOL)


def test_every_row_is_seen_equally_often(net):
    times = np.zeros(len(POOL))
    for seed in range(600):
        picked = Subsample(Random(), 30, seed).select(net, POOL, 1).indices
        times[picked] += 1
    # 600 draws of one row in 90: mean 6.67, standard deviation 2.57
    assert times.sum() == 600
    chi2 = ((times - 600 / 90) ** 2 / (600 / 90)).sum()
    assert chi2 < 89 + 5 * (2 * 89) ** 0.5


def test_rows_differ_by_seed_and_stay_with_it(net):
    picks = [
        Subsample(Margin(), 20, random_state=seed).select(net, POOL, 5).indices.tolist()
        for seed in (0, 0, 1)
    ]
    assert picks[0] == picks[1] != picks[2]


def test_draws_of_the_strategy_follow_its_own_seed_if_it_has_one(net):
    seen: list[Any] = []
    for own, outer in [(None, 0), (None, 0), (None, 1), (7, 0), (7, 1)]:
        Subsample(Recorder(seen, own), 20, random_state=outer).select(net, POOL, 1)
    own_draws = [draw for _, draw, _ in seen]
    global_draws = [draw for _, _, draw in seen]
    for draws in (own_draws, global_draws):
        assert draws[0] == draws[1] != draws[2]
        assert draws[3] == draws[4] != draws[0]


@pytest.mark.parametrize(
    "kind",
    [
        pd.DataFrame,
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.coo_matrix,
        sparse.dok_matrix,
        torch.as_tensor,
        lambda x: x.tolist(),
    ],
)
def test_containers_agree(net, kind):
    strategy = Subsample(Margin(), 25, random_state=0)
    expected = strategy.select(net, POOL, 5)
    got = strategy.select(net, kind(POOL), 5)
    np.testing.assert_array_equal(got.indices, expected.indices)


def test_memmaps_dask_arrays_and_datasets_are_read_in_part(net, tmp_path):
    strategy = Subsample(CoreSet(), 25, random_state=0)
    expected = strategy.select(net, POOL, 5).indices
    np.save(tmp_path / "pool.npy", POOL)
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    np.testing.assert_array_equal(strategy.select(net, mapped, 5).indices, expected)
    dask_array = pytest.importorskip("dask.array")
    chunks = dask_array.from_array(POOL, chunks=(7, 5))
    np.testing.assert_array_equal(strategy.select(net, chunks, 5).indices, expected)

    read = set()

    class Watched(Dataset):
        def __len__(self) -> int:
            return len(POOL)

        def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
            read.add(i)
            return POOL[i].astype(np.float32), 0

    np.testing.assert_array_equal(strategy.select(net, Watched(), 5).indices, expected)
    assert read == set(drawn_rows(0, 25).tolist())
    data = TensorDataset(torch.as_tensor(POOL).float(), torch.zeros(len(POOL)))
    np.testing.assert_array_equal(strategy.select(net, data, 5).indices, expected)


def test_missing_values_are_reported_where_they_are_seen(net):
    bad = POOL.copy()
    bad[:] = np.nan
    with pytest.raises(ValueError, match="20 of 20 rows of the part of the pool"):
        Subsample(Margin(), 20).select(net, bad, 1)


@pytest.mark.parametrize("max_rows", [0, -3, 0.0, 1.5, True, "all", None, np.nan])
def test_bad_number_of_rows(net, max_rows):
    with pytest.raises(ValueError, match="max_rows must be an int of at least 1"):
        Subsample(max_rows=max_rows).select(net, POOL, 1)


@pytest.mark.parametrize("inner", [KMeans(), "margin", 3, lambda *args: [0]])
def test_the_strategy_must_be_one(net, inner):
    with pytest.raises(TypeError, match=r"strategy of Subsample must be .*Margin\(\)"):
        Subsample(inner).select(net, POOL, 1)


def test_a_class_in_place_of_a_strategy_is_named(net):
    with pytest.raises(TypeError, match=r"Construct it: Margin\(\)"):
        Subsample(Margin).select(net, POOL, 1)  # type: ignore[arg-type]


def test_what_the_strategy_needs_is_asked_at_the_door(net):
    with pytest.raises(UnsuitableLearnerError, match="LDM reads the net"):
        Subsample(Subsample(LDM())).select(LogisticRegression().fit(X, Y), POOL, 1)
    target = make_data("regression")[1]
    regressor = make_net("regression").fit(X, target)
    with pytest.raises(UnsuitableLearnerError, match="LDM is for classification"):
        Subsample(LDM()).select(regressor, POOL, 1)


def test_without_a_task_there_is_no_default():
    class Bare:
        def fit(self, X: Any, y: Any) -> Bare:
            return self

    with pytest.raises(UnsuitableLearnerError, match=r"Subsample\(strategy=...\)"):
        Subsample().select(Bare(), POOL, 1)
    assert len(Subsample(Random(), 10).select(Bare(), POOL, 2).indices) == 2


def test_nested_parameters_and_clones():
    strategy = Subsample(NoiseStability(n_draws=3))
    assert strategy.get_params()["strategy__n_draws"] == 3
    copied = clone(strategy).set_params(strategy__n_draws=5, max_rows=7)
    assert (copied.strategy.n_draws, copied.max_rows) == (5, 7)
    assert strategy.strategy.n_draws == 3
