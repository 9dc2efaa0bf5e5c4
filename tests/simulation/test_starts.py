from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skal import ActiveLearningSimulation, compare_strategies
from skal.exceptions import UnsuitableLearnerError
from skal.simulation.playing import PlayedStep
from skal.simulation.starts import draw_start
from skal.strategies import CAL, KMeansPP, MaxDist, Random, TypiClust
from tests.models import make_data


def draw(initial: object, y: object, n: int, classes: bool, seed: int = 0) -> list[int]:
    rng = np.random.default_rng(seed)
    return draw_start(initial, y, n, classes=classes, rng=rng).tolist()


def test_random_rows_are_distinct_and_each_is_as_likely() -> None:
    counts = np.zeros(6)
    for seed in range(600):
        rows = draw("random", np.zeros(6), 3, False, seed)
        assert len(set(rows)) == 3
        counts[rows] += 1
    # Binomial(600, 1/2): five standard deviations.
    assert np.abs(counts - 300).max() < 5 * np.sqrt(150)


@pytest.mark.parametrize("seed", range(5))
def test_stratified_start_keeps_the_shares_of_the_classes(seed: int) -> None:
    y = np.array(["a"] * 60 + ["b"] * 30 + ["c"] * 10)
    rows = draw("stratified", y, 20, True, seed)
    assert len(set(rows)) == 20
    # One each, then 17 in the ratio 59 : 29 : 9, by largest remainder.
    assert np.unique(y[rows], return_counts=True)[1].tolist() == [11, 6, 3]


def test_stratified_start_has_each_class_however_rare() -> None:
    y = np.array([0] * 98 + [1, 2])
    for seed in range(5):
        assert set(y[draw("stratified", y, 3, True, seed)]) == {0, 1, 2}
    assert sorted(draw("stratified", y, 100, True)) == list(range(100))


def test_stratified_start_takes_labels_of_objects_and_several_outputs() -> None:
    y = np.array([["a", 0], ["a", 1], ["b", 0]] * 4, dtype=object)
    rows = draw("stratified", y, 3, True)
    assert {tuple(y[row]) for row in rows} == {("a", 0), ("a", 1), ("b", 0)}


def test_stratified_start_of_targets_takes_one_row_of_each_quantile() -> None:
    y = np.random.default_rng(1).permutation(np.arange(40.0)) ** 3
    for seed in range(5):
        rows = draw("stratified", y, 8, False, seed)
        rank = np.argsort(np.argsort(y))[rows]
        assert sorted(rank // 5) == list(range(8))


def test_stratified_start_of_several_targets_spreads_over_their_sum() -> None:
    u = np.arange(20.0)
    rows = draw("stratified", np.stack([u, 1000 * u], axis=1), 4, False)
    assert sorted(np.array(rows) // 5) == [0, 1, 2, 3]


def test_positions_may_be_given() -> None:
    assert draw([5, 2], np.zeros(6), 99, False) == [5, 2]


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        ("balanced", r"must be 'random', 'stratified', a strategy .*TypiClust\(\)"),
        ([0, 6], "positions from 0 to 6, but the rows are 0 to 5"),
        ([-1, 2], "positions from -1 to 2"),
        ([1, 1], "more than once"),
        ([], "non-empty one-dimensional"),
        ([0.5], "non-empty one-dimensional"),
        ([[1, 2]], "non-empty one-dimensional"),
        ([True, False], "non-empty one-dimensional"),
    ],
)
def test_bad_starts_are_refused(initial: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(initial, np.zeros(6), 2, False)


def test_too_few_rows_for_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="each of the 3 classes, but n_initial=2"):
        draw("stratified", np.array([0, 1, 2, 0]), 2, True)


def test_a_start_of_one_class_is_refused() -> None:
    y = np.array(["a"] * 9 + ["b"])
    with pytest.raises(ValueError, match=r"All 3 rows .* class 'a'.*'stratified'"):
        draw([0, 1, 2], y, 3, True)
    assert draw([0, 1], y[:9], 2, True) == [0, 1]  # there is no other class
    assert draw([0, 1], np.zeros((9, 2)), 2, True) == [0, 1]


def test_a_strategy_picks_the_start() -> None:
    X, y = make_data("regression", 40)
    X = 10 * X
    model, settings = make_pipeline(StandardScaler(), Ridge()), {"n_queries": 1}
    settings |= {"n_initial": 6, "n_instances": 2}

    def starts(initial: object, seed: object) -> list[int]:
        simulation = ActiveLearningSimulation(
            model, Random(), initial=initial, random_state=seed, **settings
        )
        return simulation.fit(X, y).initial_indices_.tolist()

    expected = MaxDist().select(model, X, 6).indices.tolist()
    assert starts(MaxDist(), 0) == starts(MaxDist(), None) == expected
    first = KMeansPP()
    drawn = [starts(first, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert first.random_state is None
    assert not hasattr(first, "space_")
    steps: list[PlayedStep] = []
    compare_strategies(
        Ridge(), {"a": Random(), "b": MaxDist()}, X, y, cv=2, initial=first,
        random_state=0, callback=steps.append, **settings,
    )  # fmt: skip
    of_fold = {(step.fold, *step.labeled) for step in steps if step.step == 0}
    assert len(steps) == 8
    assert len(of_fold) == 2  # one of each fold, the same for both strategies


def test_a_strategy_that_cannot_pick_the_start() -> None:
    X, y = make_data("classification", 40)
    settings = {"n_instances": 1, "n_queries": 1}
    for first, n, message in (
        (CAL(), 20, "CAL needs labeled rows|Before the first label"),
        (TypiClust(), 50, "n_samples=40"),
    ):
        simulation = ActiveLearningSimulation(
            LogisticRegression(), Random(), initial=first, n_initial=n, **settings
        )
        with pytest.raises((UnsuitableLearnerError, ValueError), match=message):
            simulation.fit(X, y)
