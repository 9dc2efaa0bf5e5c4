"""Estimates of a mean loss against enumeration, closed forms and coverage."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge

from skal.evaluation import cross_validated_loss, lure, mean_loss, row_losses
from skal.reading.pool import Pool
from skal.selection import draw_probabilities
from skal.strategies import (
    Entropy,
    Margin,
    Mixture,
    PowerBALD,
    Random,
    Stochastic,
)
from tests.models import make_data

LOSSES = np.array([1.0, 0.2, 3.0, 0.0, 0.7, 2.0])
WEIGHTS = np.array([1.0, 4.0, 0.5, 2.0, 3.0, 0.3])


def _sequences(weights: np.ndarray, n_drawn: int) -> Any:
    """List all sequences with their probabilities, in total and of each draw."""
    for order in permutations(range(len(weights)), n_drawn):
        left, chances = weights.sum(), []
        for row in order:
            chances.append(weights[row] / left)
            left -= weights[row]
        yield list(order), np.prod(chances), np.array(chances)


@pytest.mark.parametrize("n_drawn", [1, 2, 3, 5, 6])
def test_lure_is_unbiased_over_all_sequences(n_drawn: int) -> None:
    expected = total = 0.0
    for order, chance, q in _sequences(WEIGHTS, n_drawn):
        expected += chance * lure(LOSSES[order], q, len(LOSSES)).risk
        total += chance
    assert total == pytest.approx(1)
    assert expected == pytest.approx(LOSSES.mean(), rel=1e-12)


def test_lure_is_that_of_the_paper() -> None:
    order, _, q = next(_sequences(WEIGHTS, 3))
    n, m = 6, np.arange(1, 4)
    v = 1 + (n - 3) / (n - m) * (1 / ((n - m + 1) * q) - 1)
    assert lure(LOSSES[order], q, n).risk == pytest.approx((v * LOSSES[order]).mean())


def test_standard_error_is_unbiased_over_all_sequences() -> None:
    """The mean of its square is the variance of the estimate, exactly."""
    losses, weights = np.append(LOSSES, [1.5]), np.append(WEIGHTS, [1.0])
    variance = expected = 0.0
    for order, chance, q in _sequences(weights, 4):
        estimate = lure(losses[order], q, 7)
        variance += chance * (estimate.risk - losses.mean()) ** 2
        expected += chance * estimate.std_error**2
    assert expected == pytest.approx(variance, rel=1e-10)


def test_uniform_draws_are_a_plain_mean() -> None:
    q = 1 / np.arange(60, 48, -1.0)
    losses = np.random.default_rng(0).exponential(size=12)
    estimate = lure(losses, q, 60)
    assert estimate.risk == pytest.approx(losses.mean())
    # A sample of a finite pool: the variance is less by the share drawn.
    known = losses.std(ddof=1) / np.sqrt(12) * np.sqrt(1 - 12 / 60)
    assert estimate.std_error == pytest.approx(known, rel=0.1)


def test_all_rows_drawn_leave_no_error() -> None:
    order = [3, 1, 0, 2, 5, 4]
    estimate = lure(LOSSES[order], np.full(6, 0.5), 6)
    assert estimate == (LOSSES.mean(), 0.0, LOSSES.mean(), LOSSES.mean(), 6)


def test_too_few_rows_have_no_standard_error() -> None:
    estimate = lure([1.0, 2.0], [0.1, 0.1], 10)
    assert np.isnan([estimate.std_error, estimate.low, estimate.high]).all()
    assert np.isnan(mean_loss([2.0]).std_error)


@pytest.mark.parametrize(
    ("losses", "q", "n_pool"),
    [
        ([1.0, np.nan], [0.5, 0.5], 4),
        ([], [], 4),
        ([1.0], [0.0], 4),
        ([1.0], [1.5], 4),
        ([1.0], [0.5, 0.5], 4),
        ([1.0, 1.0], [0.5, 0.5], 1),
    ],
)
def test_wrong_input_is_refused(losses: Any, q: Any, n_pool: int) -> None:
    with pytest.raises(ValueError, match=r"must be|cannot be drawn|probabilities of"):
        lure(losses, q, n_pool)
    with pytest.raises(ValueError, match="confidence"):
        mean_loss([1.0, 0.0], confidence=95)


def test_draw_probabilities_against_the_slow_way() -> None:
    logs = torch.tensor(WEIGHTS).log()
    for order, _, q in _sequences(WEIGHTS, 4):
        found = draw_probabilities(logs, torch.tensor(order))
        np.testing.assert_allclose(found.numpy(), q, rtol=1e-12)
    # No rounding error of a difference, and no overflow.
    huge = torch.tensor([2000.0, 0.0, -1.0])
    found = draw_probabilities(huge, torch.tensor([0, 1, 2]))
    expected = [1.0, 1 / (1 + np.exp(-1)), 1.0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    zeros = torch.tensor([-torch.inf, 0.0, -torch.inf])
    assert draw_probabilities(zeros, torch.tensor([1, 2, 0])).tolist() == [1, 0.5, 1]


X, Y = make_data("classification", n=4)
MODEL = LogisticRegression().fit(*make_data("classification", n=40, seed=1))


@pytest.mark.parametrize(
    "strategy",
    [
        Random(),
        Stochastic(Entropy(), beta=2.0, kind="softmax"),
        Stochastic(Entropy(), beta=2.0),
        Stochastic(Entropy(), kind="softrank"),
        Mixture(Entropy(), share=0.4),
        Mixture(Stochastic(Entropy(), beta=3.0), share=0.4),
        Mixture(Entropy(), Stochastic(Entropy(), kind="softrank"), share=0.7),
    ],
    ids=str,
)
def test_probabilities_are_the_frequencies(strategy: Any) -> None:
    """Whatever a strategy returns must be how often it does what it does."""
    n_repeats, stated, seen = 250, {}, {}
    pool, rng = Pool(MODEL, X), torch.Generator().manual_seed(0)
    for _ in range(n_repeats):
        picks, probabilities, lowest = strategy._draw_rows(pool, 2, rng)
        assert lowest > 0
        key = tuple(picks.indices.tolist())
        stated[key] = float(probabilities.prod())
        seen[key] = seen.get(key, 0) + 1
    expected = np.array([stated[key] * n_repeats for key in seen])
    counts = np.array([seen[key] for key in seen], dtype=float)
    # Sequences that were hardly expected, or not seen at all, are counted together.
    large = expected >= 5
    expected = np.append(expected[large], n_repeats - expected[large].sum())
    counts = np.append(counts[large], counts[~large].sum())
    if expected[-1] < 5:
        assert counts[-1] < 15
        expected, counts = expected[:-1], counts[:-1]
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert stats.chi2.sf(chi2, len(expected) - 1) > 1e-4


def test_a_mixture_whose_part_is_a_mixture_is_unbiased() -> None:
    """Its probabilities are those given what the inner one has drawn."""
    strategy = Mixture(Random(), Mixture(Entropy(), share=0.5), share=0.5)
    pool, rng = Pool(MODEL, X), torch.Generator().manual_seed(0)
    losses, found = LOSSES[:4], []
    for _ in range(200):
        picks, probabilities, _ = strategy._draw_rows(pool, 2, rng)
        found.append(lure(losses[picks.indices], probabilities, 4).risk)
    assert abs(np.mean(found) - losses.mean()) < 4 * stats.sem(found)


def test_draw_picks_what_select_picks() -> None:
    for strategy in (
        Random(random_state=3),
        Stochastic(Entropy(), kind="softmax", random_state=3),
        Mixture(Entropy(), share=0.5, random_state=3),
    ):
        drawn, picked = strategy.draw(MODEL, X, 3), strategy.select(MODEL, X, 3)
        np.testing.assert_array_equal(drawn.indices, picked.indices)
        np.testing.assert_array_equal(drawn.scores, picked.scores)


def test_power_bald_draws_in_proportion_to_its_scores() -> None:
    forest = RandomForestClassifier(10, random_state=0)
    forest.fit(*make_data("classification", n=40, seed=1))
    strategy = PowerBALD(random_state=3, power=2.0)
    drawn = strategy.draw(forest, X, 3)
    weights = strategy.score_samples(forest, X) ** 2
    for k, row in enumerate(drawn.indices):
        share = weights[row] / weights.sum()
        assert drawn.probabilities[k] == pytest.approx(share, rel=1e-5)
        weights[row] = 0
    picked = strategy.select(forest, X, 3)
    np.testing.assert_array_equal(drawn.indices, picked.indices)


@pytest.mark.parametrize(
    "strategy",
    [
        Mixture(Entropy(), share=0.0),
        Mixture(Entropy(), Margin()),
        # The lowest of negative scores has the weight 0.
        Stochastic(Margin()),
    ],
    ids=str,
)
def test_rows_without_a_chance_are_refused(strategy: Any) -> None:
    with pytest.raises(ValueError, match="no chance"):
        strategy.set_params(random_state=0).draw(MODEL, X, 2)


def test_intervals_of_lure_cover_the_mean() -> None:
    """Over 300 pools: mean and coverage of the estimates."""
    inside, off = 0, []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        losses = rng.exponential(size=80)
        weights = losses + 0.3
        order = rng.choice(80, size=30, replace=False, p=weights / weights.sum())
        q, left = [], weights.sum()
        for row in order:
            q.append(weights[row] / left)
            left -= weights[row]
        estimate = lure(losses[order], q, 80)
        inside += estimate.low <= losses.mean() <= estimate.high
        off.append(estimate.risk - losses.mean())
    assert 0.9 < inside / 300 < 0.99
    assert abs(np.mean(off)) < 4 * stats.sem(off)


def test_exact_interval_covers_as_often_as_it_says() -> None:
    """For each rate of errors, by the binomial distribution itself."""
    n = 12
    bounds = [mean_loss([1] * k + [0] * (n - k), confidence=0.9) for k in range(n + 1)]
    for rate in np.linspace(0.01, 0.99, 25):
        covered = sum(
            stats.binom.pmf(k, n, rate)
            for k, bound in enumerate(bounds)
            if bound.low <= rate <= bound.high
        )
        assert covered >= 0.9


def test_mean_of_other_losses() -> None:
    losses = np.array([0.5, 1.5, 4.0])
    estimate = mean_loss(losses)
    low, high = stats.t.interval(0.95, 2, losses.mean(), stats.sem(losses))
    np.testing.assert_allclose([estimate.low, estimate.high], [low, high])


def test_losses_of_rows() -> None:
    y, predicted = [[1.0, 2.0], [0.0, 0.0]], [[1.0, 4.0], [1.0, 1.0]]
    assert row_losses(y, predicted, "absolute").tolist() == [1.0, 1.0]
    assert row_losses(y, predicted, "squared").tolist() == [2.0, 1.0]
    assert row_losses(["a", "b"], ["b", "b"], "zero_one").tolist() == [1.0, 0.0]
    small = np.array([250, 3], np.uint8)  # whose differences wrap around
    assert row_losses(small, small[::-1], "absolute").tolist() == [247.0, 247.0]
    assert row_losses(small, small[::-1], "squared").tolist() == [247.0**2] * 2
    assert row_losses([True, False], [True, True], "squared").tolist() == [0.0, 1.0]
    with pytest.raises(ValueError, match="none would be equal"):
        row_losses(["1", "2"], [1, 2], "zero_one")
    with pytest.raises(ValueError, match="loss must be one of"):
        row_losses(y, predicted, "other")
    with pytest.raises(ValueError, match="shape"):
        row_losses([1.0], predicted, "absolute")
    with pytest.raises(ValueError, match="one number for each"):
        row_losses(y, predicted, lambda y, p: 0.0)


def test_cross_validation_warns() -> None:
    X, y = make_data("regression")
    with pytest.warns(UserWarning, match="often too high"):
        estimate = cross_validated_loss(Ridge(), X, y, cv=3)
    assert estimate.n == 60
    assert np.isnan(estimate.std_error)


# -- losses, probabilities and labels of other containers ------------------------------


def test_losses_are_matched_to_probabilities_by_index() -> None:
    index = ["a", "b", "c", "d"]
    losses = pd.Series([1.0, 2.0, 4.0, 3.0], index=index)
    drawn = pd.Series([0.1, 0.2, 0.3, 0.1], index=index)
    right = lure(losses, drawn, 20)
    shuffled = losses.loc[["c", "a", "d", "b"]]
    assert lure(shuffled, drawn, 20) == right != lure(shuffled.to_numpy(), drawn, 20)
    assert lure(losses.reset_index(drop=True), drawn, 20) == right
    with pytest.raises(ValueError, match="indexes of losses and probabilities differ"):
        lure(losses.rename({"a": "z"}), drawn, 20)


def test_predictions_are_matched_to_labels_by_index() -> None:
    y = pd.Series([1.0, 2.0, 3.0], index=[10, 20, 30])
    predicted = pd.Series([3.0, 2.5, 1.0], index=[30, 20, 10])
    assert row_losses(y, predicted, "absolute").tolist() == [0.0, 0.5, 0.0]
    with pytest.raises(ValueError, match="indexes of predicted and y differ"):
        row_losses(y, predicted.set_axis([30, 20, 11]), "absolute")


def test_masked_and_missing_values_are_no_losses() -> None:
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    for call in (
        lambda: lure(masked, [0.1, 0.1], 20),
        lambda: lure([1.0, 2.0], masked / 10, 20),
        lambda: mean_loss(masked),
        lambda: row_losses(masked, [1.0, 2.0], "squared"),
        lambda: row_losses([1.0, 2.0], masked, "squared"),
    ):
        with pytest.raises(ValueError, match="masked in 1 of 2 rows"):
            call()
    for missing in (["a", None], [1.0, np.nan], pd.array(["a", None])):
        with pytest.raises(ValueError, match="y has no label in 1 of 2 rows"):
            row_losses(missing, ["a", "b"], "zero_one")


def test_tensors_and_confidences() -> None:
    losses = torch.tensor([1.0, 3.0], requires_grad=True)
    assert mean_loss(losses).risk == 2.0
    assert lure(losses, torch.tensor([0.1, 0.1]), 2).risk == 2.0
    with pytest.raises(ValueError, match="confidence must be between 0 and 1"):
        mean_loss([1.0, 2.0], confidence="0.9")
