"""Batches by EPIG against joint entropies by enumeration and by determinants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from skal.measures import epig, gaussian_epig
from skal.selection import batch_epig, batch_epig_of_covariance, gaussian_batch_epig
from tests.selection.ties import first, in_turn


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(seed: int, n_models: int, m: int, n_classes: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n_classes, 0.4), (n_models, m))


def joint_entropy(columns: list[np.ndarray]) -> float:
    """Entropy of labels together, each given by its ``(K, C)``, all of them seen."""
    sizes = [range(column.shape[1]) for column in columns]
    labels = itertools.product(*sizes)
    joint = [
        np.prod([c[:, y] for c, y in zip(columns, ys, strict=True)], axis=0).mean()
        for ys in labels
    ]
    return float(entropy(joint)) if columns else 0.0


def information(
    probs: np.ndarray, targets: np.ndarray, x: int, before: list[int]
) -> float:
    """Mean over targets of I(y_x; y_* | y_B), by four joint entropies."""
    given = [probs[:, b] for b in before]
    terms = [
        joint_entropy([*given, probs[:, x]])
        + joint_entropy([*given, targets[:, z]])
        - joint_entropy([*given, probs[:, x], targets[:, z]])
        - joint_entropy(given)
        for z in range(targets.shape[1])
    ]
    return float(np.mean(terms))


def assert_greedy(picks, gain) -> None:
    chosen: list[int] = []
    m = 6
    for i, score in zip(picks.indices.tolist(), picks.scores.tolist(), strict=True):
        gains = {x: gain(x, chosen) for x in range(m) if x not in chosen}
        assert score == pytest.approx(max(gains.values()), abs=1e-10)
        assert gains[i] == pytest.approx(score, abs=1e-10)
        chosen.append(i)


@pytest.mark.parametrize("seed", range(3))
def test_every_pick_is_the_best_by_enumeration(seed):
    probs, targets = draws(seed, 5, 6, 3), draws(seed + 50, 5, 4, 3)
    picks = batch_epig(
        torch.from_numpy(probs),
        torch.from_numpy(targets),
        4,
        gen(),
        n_configurations=100,
    )
    assert_greedy(picks, lambda x, b: information(probs, targets, x, b))


def test_the_second_gain_with_sampled_labels_is_right_on_average():
    probs, targets = draws(3, 8, 6, 3), draws(4, 8, 4, 3)
    args = torch.from_numpy(probs), torch.from_numpy(targets)
    first = int(epig(*args).argmax())
    found = np.array(
        [
            float(batch_epig(*args, 3, gen(s), n_configurations=4).scores[1])
            for s in range(20)
        ]
    )
    best = max(information(probs, targets, x, [first]) for x in range(6) if x != first)
    # Three labels are few enough to be kept, so the second gain is exact.
    np.testing.assert_allclose(found, best, atol=1e-10)


def test_sampled_scores_are_right_on_average():
    # The labels of one pick are kept, those of two are sampled.
    probs, targets = draws(7, 8, 3, 2), draws(8, 8, 5, 2)
    args = torch.from_numpy(probs), torch.from_numpy(targets)
    found = [batch_epig(*args, 3, gen(s), n_configurations=2) for s in range(300)]
    *before, last = found[0].indices.tolist()
    assert all(picks.indices.tolist() == [*before, last] for picks in found)
    scores = np.array([float(picks.scores[2]) for picks in found])
    truth = information(probs, targets, last, before)
    assert scores.std() > 0.01 * truth
    assert abs(scores.mean() - truth) < 4 * scores.std() / np.sqrt(len(scores))


def test_weights_are_repetitions_of_models():
    probs, targets = draws(1, 3, 4, 3), draws(2, 3, 2, 3)
    times = torch.tensor([1, 3, 2])
    both = [torch.from_numpy(p) for p in (probs, targets)]
    repeated = epig(*(p.repeat_interleave(times, dim=0) for p in both))
    torch.testing.assert_close(epig(*both, times.double() / 6), repeated)


def test_duplicates_of_the_best_row_are_not_taken_first():
    probs = torch.from_numpy(draws(5, 12, 3, 3))[:, [0, 0, 0, 1, 2]]
    assert set(epig(probs, probs).topk(3).indices.tolist()) == {0, 1, 2}
    picks = batch_epig(probs, probs, 3, gen(), n_configurations=1000)
    assert set(picks.indices.tolist()) == {first([0, 1, 2]), 3, 4}


def test_labels_that_distinguish_all_models_leave_the_best_of_epig():
    kinds = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]])
    kinds = torch.eye(2).double()[kinds]
    probs = torch.stack([kinds[1], kinds[0], kinds[2], kinds[1]], dim=1)
    picks = batch_epig(probs, probs, 4, gen(), n_configurations=1000)
    one, other = in_turn([0, 3])  # which are equal
    assert picks.indices.tolist() == [one, 2, other, 1]
    assert picks.scores[2:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("seed", range(3))
def test_the_rounding_of_a_gain_of_zero_decides_nothing(seed: int) -> None:
    """The first label tells which of two models is right; others tell nothing more."""
    probs, targets = (
        torch.from_numpy(draws(10 * seed + k, 2, m, 3)) for k, m in enumerate((12, 5))
    )
    probs[:, 7] = torch.eye(3)[:2]
    picks = batch_epig(probs, targets, 6, gen())
    single = epig(probs, targets)
    single[7] = -1
    assert picks.indices.tolist() == [7, *single.topk(5).indices.tolist()]
    assert picks.scores[1:].tolist() == [0.0] * 5


def test_same_seed_same_picks():
    args = [torch.from_numpy(draws(s, 9, 30, 3)) for s in (0, 1)]
    a, b = (batch_epig(*args, 8, gen(5)) for _ in range(2))
    assert a.indices.tolist() == b.indices.tolist()
    assert a.scores.tolist() == b.scores.tolist()


NOISE = 0.3


def functions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(7, 6, 2)), rng.normal(size=(7, 3, 2))


def gaussian_information(cov: np.ndarray, m: int, x: int, before: list[int]) -> float:
    """Of two labels given others, by determinants; targets are the last rows."""

    def logdet(rows: list[int]) -> float:
        own = cov[np.ix_(rows, rows)] + NOISE * np.eye(len(rows))
        return float(np.linalg.slogdet(own)[1])

    return float(
        np.mean(
            [
                logdet([*before, x])
                + logdet([*before, z])
                - logdet([*before, x, z])
                - logdet(before)
                for z in range(m, len(cov))
            ]
        )
        / 2
    )


@pytest.mark.parametrize("block", [1, 2**20])
@pytest.mark.parametrize("seed", range(2))
def test_gaussian_picks_are_the_best_by_determinants(small_blocks, seed, block):
    small_blocks(block)
    x, z = functions(seed)
    both = np.concatenate([x, z], axis=1)
    covs = [np.cov(both[:, :, t].T, ddof=0) for t in range(2)]
    picks = gaussian_batch_epig(torch.from_numpy(x), torch.from_numpy(z), 5, NOISE)
    assert_greedy(
        picks, lambda i, b: sum(gaussian_information(c, 6, i, b) for c in covs)
    )
    first = gaussian_epig(torch.from_numpy(x), torch.from_numpy(z), NOISE)
    assert float(picks.scores[0]) == pytest.approx(float(first.max()))


def test_forecasts_change_nothing_but_the_speed():
    rng = np.random.default_rng(3)
    F = rng.normal(size=(80, 10)) / 3
    cov = torch.from_numpy(F @ F.T)[:, :, None]
    asked = []

    def covariance(rows, columns):
        asked.append(rows)
        return (cov if rows is None else cov[rows])[:, columns]

    variance = cov.diagonal().T
    targets = torch.arange(0, 80, 8)
    picks = batch_epig_of_covariance(
        variance, covariance, variance[targets], cov[:, targets], 30, NOISE
    )
    chosen: list[int] = []
    all_targets = np.concatenate([F, F[::8]])
    whole = all_targets @ all_targets.T
    for i in picks.indices.tolist()[:6]:
        gains = [
            -np.inf if x in chosen else gaussian_information(whole, 80, x, chosen)
            for x in range(80)
        ]
        assert i == int(np.argmax(gains))
        chosen.append(i)
    assert sum(rows is None for rows in asked) < 29
    assert float(variance[0]) == pytest.approx(float(F[0] @ F[0]))  # not changed


@pytest.mark.parametrize(
    ("probs", "targets", "match"),
    [
        (draws(0, 1, 4, 2), draws(0, 1, 4, 2), "at least 2 models"),
        (draws(0, 3, 4, 2), draws(0, 2, 4, 2), "targets"),
        (draws(0, 3, 4, 2), draws(0, 3, 4, 3), "targets"),
        (draws(0, 3, 4, 2), draws(0, 3, 0, 2), "targets"),
    ],
)
def test_bad_shapes(probs, targets, match):
    both = torch.from_numpy(probs), torch.from_numpy(targets)
    with pytest.raises(ValueError, match=match):
        batch_epig(*both, 2, gen())
    with pytest.raises(ValueError, match=match):
        gaussian_batch_epig(*both, 2, 1.0)


def test_bad_numbers():
    probs = torch.from_numpy(draws(0, 3, 4, 2))
    with pytest.raises(ValueError, match="n must be"):
        batch_epig(probs, probs, 5, gen())
    with pytest.raises(ValueError, match="n_configurations"):
        batch_epig(probs, probs, 2, gen(), n_configurations=0)
    with pytest.raises(ValueError, match="noise_variance"):
        gaussian_batch_epig(probs, probs, 2, 0.0)
