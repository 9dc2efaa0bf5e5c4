"""Strategies that wrap others, against the strategies themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch.utils.data import Dataset, TensorDataset

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.reading.pool import Pool
from skal.rng import resolve_rng, seed_from
from skal.selection import Picks
from skal.simulation import ActiveLearningSimulation
from skal.strategies import (
    CAL,
    LCMD,
    LDM,
    Alternate,
    CoreSet,
    Entropy,
    LDMSeeding,
    LeastConfident,
    Margin,
    Mixture,
    NoiseStability,
    PredictiveVariance,
    Prefilter,
    QueryStrategy,
    Random,
    Subsample,
)
from skal.strategies.wrapping import n_candidates
from tests.models import make_data, make_net
from tests.statistics import assert_follows

X, Y = make_data("classification")
POOL = make_data("classification", 90, seed=1)[0]


@pytest.fixture(scope="module")
def net() -> Any:
    return make_net("classification").fit(X, Y)


@pytest.fixture(scope="module")
def of_net() -> ActiveLearner:
    return ActiveLearner(make_net("classification"), X_training=X, y_training=Y)


@pytest.fixture(scope="module")
def learner() -> ActiveLearner:
    return ActiveLearner(LogisticRegression(), X_training=X, y_training=Y)


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


def ranked(strategy: Any, learner: Any) -> list[int]:
    return strategy.select(learner, POOL, len(POOL)).indices.tolist()


# -- any wrapper --------------------------------------------------------------------


@pytest.mark.parametrize("inner", [KMeans(), "margin", 3, lambda *args: [0]])
def test_the_strategy_must_be_one(net, inner):
    with pytest.raises(TypeError, match=r"strategy of Subsample must be .*Margin\(\)"):
        Subsample(inner).select(net, POOL, 1)


def test_a_class_in_place_of_a_strategy_is_named(net):
    with pytest.raises(TypeError, match=r"Construct it: Margin\(\)"):
        Subsample(Margin).select(net, POOL, 1)  # type: ignore[arg-type]


def test_the_learner_is_checked_for_every_strategy(net, learner):
    for strategy in (
        Subsample(Subsample(CAL())),
        Prefilter(CAL(), Margin()),
        Mixture(CAL()),
        Mixture(other=CAL()),
        Alternate(other=CAL()),
    ):
        with pytest.raises(UnsuitableLearnerError, match="CAL needs the net"):
            strategy.select(learner, POOL, 1)
    regressor = make_net("regression").fit(X, make_data("regression")[1])
    with pytest.raises(UnsuitableLearnerError, match="LDM is for classification"):
        Subsample(LDM()).select(regressor, POOL, 1)
    linear = LinearRegression().fit(X, X[:, 0])
    with pytest.raises(UnsuitableLearnerError, match="Margin is for classification"):
        Prefilter(Random(), Margin()).select(linear, POOL, 1)
    with pytest.raises(UnsuitableLearnerError, match="is a single model"):
        Prefilter().select(linear, POOL, 1)


def test_without_a_task_there_is_no_default():
    class Bare:
        def fit(self, X: Any, y: Any) -> Bare:
            return self

    with pytest.raises(UnsuitableLearnerError, match=r"Subsample\(strategy=...\)"):
        Subsample().select(Bare(), POOL, 1)
    assert len(Subsample(Random(), 10).select(Bare(), POOL, 2).indices) == 2


@pytest.mark.parametrize("cls", [Mixture, Alternate, Subsample, Prefilter])
def test_a_learner_need_not_be_fitted_for_strategies_that_do_not_read_it(cls):
    strategy = cls(Random(random_state=0), random_state=0)
    if cls is Prefilter:
        strategy.by = Random(random_state=1)
    unfitted = ActiveLearner(LogisticRegression())
    assert len(strategy.select(unfitted, POOL, 4).indices) == 4


def test_nested_parameters_and_clones():
    strategy = Prefilter(NoiseStability(n_draws=3), PredictiveVariance())
    names = {"strategy__n_draws", "by__posterior", "factor"}
    assert names <= strategy.get_params().keys()
    copied = clone(strategy).set_params(strategy__n_draws=5, factor=3)
    assert (copied.strategy.n_draws, copied.factor) == (5, 3)
    assert strategy.strategy.n_draws == 3


@pytest.mark.parametrize("cls", [Mixture, Alternate])
def test_wrappers_nest(learner, cls):
    nested = cls(cls(Margin(), Entropy()), cls(LeastConfident(), Random()))
    picks = nested.set_params(other__other__random_state=0).select(learner, POOL, 90)
    assert sorted(picks.indices.tolist()) == list(range(90))


# -- Subsample ----------------------------------------------------------------------


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


def test_labeled_rows_are_seen_by_the_strategy_inside(of_net):
    rows = drawn_rows(0, 30)
    expected = CoreSet().select(of_net, POOL[rows], 5).indices
    got = Subsample(CoreSet(), 30, random_state=0).select(of_net, POOL, 5).indices
    np.testing.assert_array_equal(got, rows[expected])
    assert set(rows[CoreSet().select(of_net.estimator, POOL[rows], 5).indices]) != set(
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


def test_rows_drawn_differ_by_seed(net):
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
def test_parts_of_containers(net, kind):
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


# -- Prefilter ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "inner"),
    [
        (Margin(), CoreSet()),
        (Entropy(), LCMD(random_state=2)),
        (Random(random_state=1), LeastConfident()),
    ],
)
@pytest.mark.parametrize(("factor", "n"), [(1, 4), (2.5, 5), (5, 3), (50, 3)])
def test_picks_are_those_of_the_strategy_on_the_rows_kept(of_net, by, inner, factor, n):
    scores = by.score_samples(of_net, POOL)
    kept = np.sort(np.argsort(-scores, kind="stable")[: int(np.ceil(factor * n))])
    expected = inner.select(of_net, POOL[kept], n)
    got = Prefilter(inner, by, factor).select(of_net, POOL, n)
    np.testing.assert_array_equal(got.indices, kept[expected.indices])
    np.testing.assert_array_equal(got.scores, expected.scores)


def test_equal_rows_are_kept_at_random():
    class Constant:
        classes_ = (0, 1)

        def fit(self, X: Any, y: Any) -> Constant:
            return self

        def predict_proba(self, X: Any) -> np.ndarray:
            return np.full((len(X), 2), 0.5)

    picked = [
        Prefilter(Random(), Margin(), 2, seed).select(Constant(), POOL, 3).indices
        for seed in range(60)
    ]
    # 180 of 90 rows: 78 different ones are expected, 6 in pool order.
    assert len(np.unique(np.concatenate(picked))) > 60


def test_by_default_random_rows_of_the_least_certain(of_net):
    top = set(np.argsort(-Margin().score_samples(of_net, POOL))[:30].tolist())
    picks = [
        Prefilter(random_state=seed).select(of_net, POOL, 3).indices.tolist()
        for seed in (0, 0, 1)
    ]
    assert picks[0] == picks[1] != picks[2]
    assert {i for picked in picks for i in picked} <= top
    regressor = make_net("regression").fit(*make_data("regression"))
    posterior = PredictiveVariance(random_state=5)
    top = set(np.argsort(-posterior.score_samples(regressor, POOL))[:30].tolist())
    picked = Prefilter(by=posterior).select(regressor, POOL, 3).indices
    assert set(picked.tolist()) <= top


@pytest.mark.parametrize(
    ("factor", "n", "m", "kept"),
    [
        (1, 3, 10, 3),
        (2, 3, 10, 6),
        (10, 3, 10, 10),
        (1.5, 3, 10, 5),
        (1.1, 10, 50, 11),
        (1.1, 100, 500, 110),
        (1e308, 3, 10, 10),
        (10**400, 3, 10, 10),
        (np.float32(2), 3, 10, 6),
    ],
)
def test_number_of_candidates(factor, n, m, kept):
    assert n_candidates(factor, n, m) == kept


@pytest.mark.parametrize("factor", [0, 0.5, -1, np.nan, np.inf, True, "2", None])
def test_bad_factor(of_net, factor):
    with pytest.raises(ValueError, match="factor must be a number of at least 1"):
        Prefilter(factor=factor).select(of_net, POOL, 1)


@pytest.mark.parametrize("by", [LCMD(), NoiseStability(), LDMSeeding()])
def test_the_filter_must_score_every_row(of_net, by):
    with pytest.raises(TypeError, match="by of Prefilter must be a strategy that scor"):
        Prefilter(by=by).select(of_net, POOL, 1)


def test_scores_on_the_device_of_the_net(device):
    net = make_net("classification", device).fit(X, Y)
    picks = Prefilter(CoreSet(), Margin(), 4).select(net, POOL, 4)
    assert len(set(picks.indices.tolist())) == 4
    assert torch.as_tensor(picks.scores).isfinite().all()


def test_the_default_by_is_named_where_the_learner_does_not_suit_it():
    net = make_net("regression", callbacks=[], module__dropout=0.0)
    net.fit(*make_data("regression"))
    with pytest.raises(UnsuitableLearnerError, match=r"by=.*PredictiveVariance"):
        Prefilter(CoreSet()).select(net, POOL, 2)
    with pytest.raises(UnsuitableLearnerError) as caught:
        Prefilter(CoreSet(), by=PredictiveVariance()).select(net, POOL, 2)
    assert "by=" not in str(caught.value)


# -- Mixture ------------------------------------------------------------------------


def test_share_of_the_other(learner):
    best, far = ranked(Margin(), learner), ranked(Random(random_state=7), learner)
    first = {best[0]: 0, far[0]: 1}
    assert len(first) == 2
    mixtures = [Mixture(Margin(), Random(7), 0.3, seed) for seed in range(1500)]
    drawn = [first[m.select(learner, POOL).indices[0]] for m in mixtures]
    assert_follows(drawn, {0: 0.7, 1: 0.3})


def test_turns_of_a_batch_are_independent(learner):
    best, far = ranked(Margin(), learner), ranked(Random(random_state=7), learner)
    assert not set(best[:2]) & set(far[:2])
    mixtures = [Mixture(Margin(), Random(7), 0.4, seed) for seed in range(1500)]
    drawn = [
        tuple(int(i in far[:2]) for i in m.select(learner, POOL, 2).indices)
        for m in mixtures
    ]
    law = {(0, 0): 0.36, (0, 1): 0.24, (1, 0): 0.24, (1, 1): 0.16}
    assert_follows(drawn, law)


@pytest.mark.parametrize("share", [0, 0.0, 1, 1.0])
def test_nothing_or_all_of_the_other(learner, share):
    entropy, margin = Entropy(), Margin()
    strategy = margin if share else entropy
    for n in (1, 7, 90):
        got = Mixture(entropy, margin, share).select(learner, POOL, n)
        expected = strategy.select(learner, POOL, n)
        np.testing.assert_array_equal(got.indices, expected.indices)
        np.testing.assert_array_equal(got.scores, expected.scores)


def test_a_strategy_that_has_no_turn_is_not_asked(learner, monkeypatch):
    def refuse(*args: Any) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(Entropy, "_select", refuse)
    Mixture(Entropy(), Random(), 1.0).select(learner, POOL, 5)
    with pytest.raises(AssertionError, match="asked"):
        Mixture(Entropy(), Random(), 0.0).select(learner, POOL, 5)


def test_each_row_keeps_the_score_of_the_strategy_that_gave_it(learner):
    margin, far = Margin(), Random(random_state=7)
    scores = [s.score_samples(learner, POOL) for s in (margin, far)]
    picks = Mixture(margin, far, 0.5, random_state=0).select(learner, POOL, 60)
    seen = set()
    for i, score in zip(*picks, strict=True):
        source = [k for k in (0, 1) if scores[k][i] == score]
        assert len(source) == 1
        seen.update(source)
    assert seen == {0, 1}


def test_draws_of_both_differ_by_seed():
    net = make_net("classification").fit(X, Y)
    mixture = Mixture(LDM(), LCMD(), 0.5)
    picks = [
        mixture.set_params(random_state=s).select(net, POOL, 8).indices.tolist()
        for s in (0, 0, 1)
    ]
    assert picks[0] == picks[1] != picks[2]


@pytest.mark.parametrize("share", [-0.1, 1.1, np.nan, np.inf, True, "0.1", None])
def test_bad_share(learner, share):
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        Mixture(share=share).select(learner, POOL, 1)


# -- Alternate ----------------------------------------------------------------------


def by_turns(lists: list[list[int]], turns: list[int]) -> list[int]:
    taken: list[int] = []
    for turn in turns:
        taken.append(next(i for i in lists[turn] if i not in taken))
    return taken


@pytest.mark.parametrize("every", [2, 3, 5])
@pytest.mark.parametrize("n_labeled", [58, 59, 60])
def test_turns_go_on_from_the_labeled_rows(every, n_labeled):
    learner = ActiveLearner(
        LogisticRegression(), X_training=X[:n_labeled], y_training=Y[:n_labeled]
    )
    first, second = LeastConfident(), Random(random_state=3)
    turns = [int((n_labeled + k) % every == 0) for k in range(1, 91)]
    expected = by_turns([ranked(first, learner), ranked(second, learner)], turns)
    for n in (1, 2, 6, 90):
        got = Alternate(first, second, every).select(learner, POOL, n).indices
        assert got.tolist() == expected[:n]


def test_single_rows_alternate_from_query_to_query():
    learner = ActiveLearner(
        LogisticRegression(),
        Alternate(Margin(), Random(random_state=3)),
        X_training=X[:41],
        y_training=Y[:41],
    )
    who = []
    for _ in range(6):
        ((picked,), _) = learner.query(POOL, n_instances=1)
        who.append(int(picked == ranked(Random(random_state=3), learner)[0]))
        learner.teach(POOL[[picked]], [Y[0]])
    assert who == [1, 0, 1, 0, 1, 0]


def test_a_bare_estimator_has_no_labels():
    model = LogisticRegression().fit(X, Y)
    first, second = Margin(), Random(random_state=3)
    expected = by_turns([ranked(first, model), ranked(second, model)], [0, 1, 0, 1])
    assert Alternate(first, second).select(model, POOL, 4).indices.tolist() == expected


@pytest.mark.parametrize("every", [1, 0, -2, 2.0, True, None])
def test_bad_every(learner, every):
    with pytest.raises(ValueError, match="every must be an int of at least 2"):
        Alternate(every=every).select(learner, POOL, 1)


def test_a_grid_search_over_nested_parameters():
    target = X[:, 0]
    net = make_net("regression", max_epochs=2)
    strategy = Mixture(NoiseStability(n_draws=2), Random(), random_state=0)
    simulation = ActiveLearningSimulation(
        net, strategy, n_initial=20, n_instances=5, n_queries=2, random_state=0
    )
    grid = {"query_strategy__strategy__n_draws": [2, 3], "query_strategy__share": [1.0]}
    search = GridSearchCV(simulation, grid, cv=2).fit(X, target)
    assert len(pd.DataFrame(search.cv_results_)) == 2
    assert search.best_estimator_.query_strategy.share == 1.0
