"""BatchBALD against joint entropies by enumeration, and its bounds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.measures import bald, gaussian_bald
from skal.selection import (
    batch_bald,
    batch_bald_of_covariance,
    gaussian_batch_bald,
)
from skal.selection._configurations import GRID, LabelConfigurations
from tests.selection.ties import first, in_turn


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int, n_models: int, m: int, n_classes: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n_classes, 0.5), (n_models, m))


def entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def information(probs: np.ndarray, rows: list[int]) -> float:
    """Mutual information of the rows' labels and the model, every joint label seen."""
    if not rows:
        return 0.0
    n_models, _, n_classes = probs.shape
    joint = [
        np.mean(
            np.prod([probs[:, x, y] for x, y in zip(rows, ys, strict=True)], axis=0)
        )
        for ys in itertools.product(range(n_classes), repeat=len(rows))
    ]
    own = sum(entropy(probs[k, x]) for k in range(n_models) for x in rows)
    return entropy(np.array(joint)) - own / n_models


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(2, 3))
@settings(max_examples=25, deadline=None)
def test_every_pick_is_the_best_by_enumeration(seed, n_models, n_classes):
    probs = draws(seed, n_models, 6, n_classes)
    picks = batch_bald(torch.from_numpy(probs), 4, gen(), n_configurations=10_000)
    chosen: list[int] = []
    for index, score in zip(picks.indices.tolist(), picks.scores.tolist(), strict=True):
        before = information(probs, chosen)
        gain = {
            x: information(probs, [*chosen, x]) - before
            for x in range(6)
            if x not in chosen
        }
        assert score == pytest.approx(max(gain.values()), abs=1e-10)
        assert gain[index] == pytest.approx(score, abs=1e-10)
        chosen.append(index)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_bounds(seed):
    """Max <= BatchBALD <= sum; gains never rise; one row is BALD."""
    probs = torch.from_numpy(draws(seed, 8, 7, 3))
    single = bald(probs)
    picks = batch_bald(probs, 5, gen(), n_configurations=10_000)
    chosen, total = single[picks.indices], float(picks.scores.sum())
    assert float(chosen.max()) - 1e-9 <= total <= float(chosen.sum()) + 1e-9
    assert total <= np.log(8) + 1e-9  # no more can be told of 8 models
    assert (picks.scores.diff() <= 1e-9).all()
    one = batch_bald(probs, 1, gen())
    assert int(one.indices) == int(single.argmax())
    assert float(one.scores) == pytest.approx(float(single.max()), abs=1e-9)


def test_a_duplicate_adds_less_than_itself():
    probs = draws(1, 10, 1, 3)
    picks = batch_bald(torch.from_numpy(probs[:, [0, 0]]), 2, gen())
    assert sorted(picks.indices.tolist()) == [0, 1]
    truth = information(probs, [0, 0]) - information(probs, [0])
    assert float(picks.scores[1]) == pytest.approx(truth, abs=1e-9)
    assert picks.scores[1] < picks.scores[0]


def test_a_batch_is_spread_where_the_best_row_repeats():
    # Two kinds of rows on which the models differ in independent ways.
    kinds = np.array([[0.95, 0.95, 0.05, 0.05], [0.9, 0.1, 0.9, 0.1]])
    probs = torch.from_numpy(np.stack([kinds.T, 1 - kinds.T], axis=2))
    probs = probs[:, [0, 0, 0, 1, 1, 1]]
    assert int(bald(probs).topk(2).indices.max()) < 3
    expected = [first([0, 1, 2]), first([3, 4, 5])]
    assert batch_bald(probs, 2, gen()).indices.tolist() == expected


@pytest.mark.parametrize("n_configurations", [30, 10_000])
@pytest.mark.parametrize("pool", ["constant", "duplicates", "certain", "random"])
def test_never_the_same_row_twice(pool, n_configurations):
    probs = torch.from_numpy(draws(2, 6, 12, 3))
    if pool == "constant":
        probs = probs[:, :1].repeat(1, 12, 1)
    elif pool == "duplicates":
        probs = probs[:, [0, 1, 2] * 4]
    elif pool == "certain":
        probs = torch.nn.functional.one_hot(probs.argmax(2), 3).double()
    picks = batch_bald(probs, 12, gen(), n_configurations=n_configurations)
    assert sorted(picks.indices.tolist()) == list(range(12))
    assert picks.scores.isfinite().all()
    if pool == "constant":
        assert picks.indices.tolist() != list(range(12))


def test_sampled_gains_are_right_on_average():
    probs = draws(3, 10, 4, 3)
    # 26 samples hold all configurations of two labels, but not the 27 of three: the
    # third gain is exact still, the fourth is sampled.
    tensor = torch.from_numpy(probs)
    exact = batch_bald(tensor, 4, gen(), n_configurations=81)
    runs = [batch_bald(tensor, 4, gen(s), n_configurations=26) for s in range(200)]
    same = [r for r in runs if r.indices.tolist() == exact.indices.tolist()]
    assert len(same) > 150
    gains = np.array([r.scores[3] for r in same])
    assert gains.std() > 1e-4  # sampled
    assert (
        abs(gains.mean() - float(exact.scores[3])) < 5 * gains.std() / len(same) ** 0.5
    )
    assert all(torch.equal(r.scores[:3], exact.scores[:3]) for r in same)


def test_many_picks_do_not_underflow():
    probs = torch.from_numpy(draws(4, 20, 400, 10))
    picks = batch_bald(
        probs, 390, gen(), n_configurations=20
    )  # 10**-390 is 0 in float64
    assert len(set(picks.indices.tolist())) == 390
    assert picks.scores.isfinite().all()
    assert (picks.scores >= 0).all()


@pytest.mark.parametrize("seed", range(6))
def test_lazy_evaluation_and_blocks_change_nothing(small_blocks, seed):
    probs = torch.from_numpy(draws(seed, 10, 40, 3))
    probs = torch.cat([probs, probs], dim=1)[:, torch.randperm(80, generator=gen(seed))]
    found = []
    for block in (1, 10**9):  # row by row, and all rows each time
        small_blocks(block)
        found.append(batch_bald(probs, 5, gen(), n_configurations=243))
    assert torch.equal(found[0].indices, found[1].indices)  # duplicates in pool order
    torch.testing.assert_close(found[0].scores, found[1].scores)


def bits(*models: int) -> torch.Tensor:
    """A row whose label is sure under each model: one of 4 classes."""
    return torch.nn.functional.one_hot(torch.tensor(models), 4).double()


@pytest.mark.parametrize("block", [1, 10**9])
def test_of_equal_gains_the_same_wins_however_late_it_is_found(small_blocks, block):
    # Of 8 models row 3 asks two of three bits and row 0 two, one of them known then;
    # row 2 asks for the third alone. Row 0 has the larger bound, so it is found first.
    assert in_turn(range(4)) == [2, 3, 1, 0]
    one, late = bits(0, 0, 1, 1, 2, 2, 3, 3), bits(0, 1, 0, 1, 2, 3, 2, 3)
    nothing, third = bits(*[0] * 8), bits(*[0, 1] * 4)
    probs = torch.stack([late, nothing, third, one], dim=1)
    small_blocks(block)
    picks = batch_bald(probs, 2, gen())
    assert picks.indices.tolist() == [3, 2]
    np.testing.assert_allclose(picks.scores, np.log([4, 2]), atol=1e-9)


def test_once_the_models_are_told_apart_the_largest_bald_fill_the_batch():
    # Row 1 tells all four models; what is left has nothing to add.
    rows = [bits(0, 0, 0, 0), bits(0, 1, 2, 3), bits(0, 0, 0, 1), bits(0, 0, 1, 1)]
    picks = batch_bald(torch.stack([*rows, rows[3]], dim=1), 5, gen())
    assert picks.indices[0] == 1
    assert set(picks.indices[1:3].tolist()) == {3, 4}  # equal
    assert picks.indices[3:].tolist() == [2, 0]
    np.testing.assert_allclose(picks.scores, [np.log(4), 0, 0, 0, 0], atol=1e-9)


@pytest.mark.parametrize("n_models", [3, 20])
def test_samples_of_one_posterior_are_evaluated_together(monkeypatch, n_models):
    probs = torch.from_numpy(draws(8, n_models, 60, 4))
    found, kept = {}, {}
    merge = LabelConfigurations._merge
    for grid in (1e-300, GRID):
        monkeypatch.setattr("skal.selection._configurations.GRID", grid)
        kept[grid] = []

        def record(self, kept=kept[grid]):
            merge(self)
            kept.append(len(self.weight))
            assert float(self.weight.sum()) == pytest.approx(1, abs=1e-12)

        monkeypatch.setattr(LabelConfigurations, "_merge", record)
        labels = LabelConfigurations(n_models, 1000, gen(), probs)
        found[grid] = []
        for k in range(30):
            labels.add(probs[:, k])
            given = labels.posterior @ probs[:, 30:].flatten(1)
            entropies = torch.special.entr(given).view(-1, 30, 4).sum(dim=2)
            found[grid].append(labels.weight @ entropies)
    for merged, apart in zip(found[GRID], found[1e-300], strict=True):
        torch.testing.assert_close(merged, apart, atol=1e-6, rtol=0)
    assert kept[GRID][-1] < kept[1e-300][-1]
    assert kept[GRID][-1] < 500


def test_one_run_of_many_samples_is_near_enumeration():
    probs = draws(7, 10, 8, 3)
    picks = batch_bald(
        torch.from_numpy(probs), 8, gen(), n_configurations=2000
    )  # of 3^7
    rows = picks.indices.tolist()
    truth = information(probs, rows) - information(probs, rows[:7])
    assert float(picks.scores[7]) == pytest.approx(truth, abs=0.01)
    assert float(picks.scores[7]) != pytest.approx(truth, abs=1e-9)  # sampled


def test_same_seed_same_picks_and_the_global_generator_stays():
    probs = torch.from_numpy(draws(5, 10, 60, 4))
    state, copy = torch.get_rng_state(), probs.clone()
    one, two = (batch_bald(probs, 15, gen(3), n_configurations=50) for _ in range(2))
    assert torch.equal(one.indices, two.indices)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(probs, copy)


@pytest.mark.parametrize(
    ("shape", "n", "n_configurations", "message"),
    [
        ((1, 5, 2), 1, 100, "at least 2 models"),
        ((5, 2), 1, 100, r"shape \(K, m, C\)"),
        ((3, 5, 2), 6, 100, "n must be between 0 and 5"),
        ((3, 5, 2), 2, 0, "n_configurations must be an int"),
        ((8, 5, 2), 2, 7, "n_configurations must be at least 8"),
        ((3, 5, 9), 2, 7, "n_configurations must be at least 9"),
        (
            (2, 50, 10),
            20,
            10**9,
            r"would keep 1000000000 .* GiB. Lower n_configurations",
        ),
    ],
)
def test_bad_arguments(shape, n, n_configurations, message):
    with pytest.raises(ValueError, match=message):
        batch_bald(
            torch.ones(shape) / shape[-1], n, gen(), n_configurations=n_configurations
        )


# -- regression ------------------------------------------------------------------------

NOISE = 0.1


def gaussian_information(predictions: np.ndarray, rows: list[int]) -> float:
    if not rows:
        return 0.0
    columns = np.concatenate([predictions[:, x] for x in rows], axis=1)
    covariance = np.atleast_2d(np.cov(columns.T, bias=True))
    return np.linalg.slogdet(np.eye(len(covariance)) + covariance / NOISE)[1] / 2


@pytest.mark.parametrize("n_targets", [1, 2, 9])
def test_every_gaussian_pick_is_the_best(n_targets):
    # Nine targets are more than the seven models have directions.
    predictions = np.random.default_rng(n_targets).normal(size=(7, 25, n_targets)) + 50
    predictions[:, 3] = predictions[:, 20]
    picks = gaussian_batch_bald(torch.from_numpy(predictions), 8, NOISE)
    chosen: list[int] = []
    for index, score in zip(picks.indices.tolist(), picks.scores.tolist(), strict=True):
        before = gaussian_information(predictions, chosen)
        gain = {
            x: gaussian_information(predictions, [*chosen, x]) - before
            for x in range(25)
            if x not in chosen
        }
        assert score == pytest.approx(max(gain.values()), rel=1e-8)
        assert gain[index] == pytest.approx(score, rel=1e-8)
        chosen.append(index)
    first = gaussian_bald(torch.from_numpy(predictions), NOISE)
    assert chosen[0] == int(first.argmax())
    assert float(picks.scores[0]) == pytest.approx(float(first.max()))
    assert (picks.scores.diff() <= 1e-9).all()


def test_each_row_once_even_where_all_models_agree():
    picks = gaussian_batch_bald(torch.ones(4, 6, 1), 6, 1.0)
    assert picks.indices.tolist() == in_turn(range(6))
    assert picks.scores.tolist() == [0.0] * 6


def test_scale_and_offset_change_no_pick():
    predictions = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 40, 2)))
    one = gaussian_batch_bald(predictions, 10, 0.3)
    two = gaussian_batch_bald(4 * predictions + 7, 10, 16 * 0.3)
    assert torch.equal(one.indices, two.indices)
    torch.testing.assert_close(one.scores, two.scores)


def test_the_predictions_stay():
    predictions = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 9, 2)))
    copy = predictions.clone()
    gaussian_batch_bald(predictions, 4, 0.3)
    assert torch.equal(predictions, copy)


@pytest.mark.parametrize(
    ("shape", "n", "noise", "message"),
    [
        ((1, 5, 2), 1, 1.0, "at least 2 models"),
        ((3, 5), 1, 1.0, r"shape \(K, m, T\)"),
        ((3, 5, 1), 6, 1.0, "n must be between 0 and 5"),
        ((3, 5, 1), 1, 0.0, "noise_variance must be a number above 0"),
    ],
)
def test_gaussian_bad_arguments(shape, n, noise, message):
    with pytest.raises(ValueError, match=message):
        gaussian_batch_bald(torch.ones(shape), n, noise)


# -- by covariances -------------------------------------------------------------------


@pytest.mark.parametrize("m", [30, 700])
def test_covariances_give_the_picks_of_the_models(m):
    predictions = torch.from_numpy(np.random.default_rng(m).normal(size=(40, m, 1)))
    away = (predictions - predictions.mean(0))[:, :, 0]
    dense = (away.T @ away / 40)[:, :, None]
    asked = []

    def covariance(rows: torch.Tensor | None, columns: torch.Tensor) -> torch.Tensor:
        asked.append(len(columns) if rows is None else 0)
        return (dense if rows is None else dense[rows])[:, columns]

    n = 30
    picks = batch_bald_of_covariance(dense.diagonal().T, covariance, n, NOISE)
    expected = gaussian_batch_bald(predictions, n, NOISE)
    assert picks.indices.tolist() == expected.indices.tolist()
    torch.testing.assert_close(picks.scores, expected.scores)
    assert max(asked) < m  # never with all rows at once


def test_targets_are_independent():
    rng = np.random.default_rng(0)
    roots = torch.from_numpy(rng.normal(size=(2, 25, 6)))
    dense = (roots @ roots.mT).permute(1, 2, 0)
    picks = batch_bald_of_covariance(
        torch.stack([dense[:, :, t].diagonal() for t in (0, 1)], dim=1),
        lambda rows, columns: (dense if rows is None else dense[rows])[:, columns],
        7,
        NOISE,
    )
    batch: list[int] = []
    for i, score in zip(*map(torch.Tensor.tolist, picks), strict=True):

        def gain(j: int, batch: list[int] = batch) -> float:
            def total(rows: list[int]) -> float:
                part = dense[rows][:, rows] / NOISE
                eye = torch.eye(len(rows)).double()
                return sum(float((eye + part[:, :, t]).logdet()) / 2 for t in (0, 1))

            return total([*batch, j]) - (total(batch) if batch else 0)

        gains = [gain(j) for j in range(25) if j not in batch]
        assert gain(i) == pytest.approx(max(gains))
        assert score == pytest.approx(max(gains))
        batch.append(i)


@pytest.mark.parametrize(("n", "noise"), [(4, 0.5), (-1, 0.5), (2, 0.0)])
def test_bad_arguments_of_covariances(n, noise):
    dense = torch.eye(3).double()[:, :, None]
    with pytest.raises(ValueError, match=r"n must be|noise_variance must be"):
        batch_bald_of_covariance(
            torch.ones(3, 1).double(), lambda _, columns: dense[:, columns], n, noise
        )
