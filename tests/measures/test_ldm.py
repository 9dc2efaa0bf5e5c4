from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from skal._numerics.flips import HeadRows, stack_head
from skal.measures import least_disagree_metric

GRID = [10 ** (-5 + 0.1 * k) for k in range(51)]


def gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def problem(seed: int, m: int, d: int, n_classes: int):
    rng = gen(seed)
    features = torch.randn(m, d, generator=rng)
    weight = torch.randn(n_classes, d, generator=rng)
    bias = torch.randn(n_classes, generator=rng) * 0.3
    return features, weight, bias


def classes(head: np.ndarray, rows: np.ndarray) -> np.ndarray:
    logits = rows @ head.T
    return (logits[:, 0] > 0).astype(int) if len(head) == 1 else logits.argmax(1)


def oracle(features, weight, bias, reference, *, rng, n_unchanged, sigmas, stop):
    """One head at a time, all rows, float64: the algorithm as it is written down."""
    ones = [] if bias is None else [np.ones]
    rows, mc = (
        np.hstack([x.double().numpy(), *(one((len(x), 1)) for one in ones)])
        for x in (features, reference)
    )
    head = weight.double().numpy()
    if bias is not None:
        head = np.c_[head, bias.double().numpy()]
    seeds = torch.randint(2**62, (len(sigmas),), generator=rng).tolist()
    before, before_mc = classes(head, rows), classes(head, mc)
    ldm, ldm_mc, n_draws = np.ones(len(rows)), np.ones(len(mc)), 0
    for sigma, seed in zip(sigmas, seeds, strict=True):
        draws = gen(seed)
        count = np.zeros(len(rows), dtype=int)
        while (count < n_unchanged).any():
            noise = torch.randn(head.shape, generator=draws).double().numpy()
            other = head + sigma * noise
            n_draws += 1
            flipped_mc = classes(other, mc) != before_mc
            rho = np.mean(flipped_mc)
            better_mc = flipped_mc & (rho < ldm_mc)
            ldm_mc[better_mc] = rho
            better = (classes(other, rows) != before) & (rho < ldm)
            if stop == "row":
                better &= count < n_unchanged
            ldm[better] = rho
            if stop != "row":
                lowered = better if stop == "pool" else better_mc
                count = count * 0 if lowered.any() else count + 1
            else:
                # A row whose count is full stays out of this scale.
                full = count >= n_unchanged
                count = np.where(better & ~full, 0, count + 1)
    return ldm, n_draws


@pytest.mark.parametrize("stop", ["reference", "pool", "row"])
@pytest.mark.parametrize("n_classes", [1, 2, 4])
@pytest.mark.parametrize("has_bias", [True, False])
def test_equals_the_sequential_algorithm_whatever_the_batch(stop, n_classes, has_bias):
    features, weight, bias = problem(n_classes, 90, 6, n_classes)
    options = {
        "n_unchanged": 5,
        "sigmas": torch.tensor(GRID[20::3], dtype=torch.float64),
        "stop": stop,
    }
    arguments = (features, weight, bias if has_bias else None, features[:70])
    slow, n_draws = oracle(
        *arguments, rng=gen(1), **{**options, "sigmas": options["sigmas"].tolist()}
    )
    assert n_draws > 11 * 5  # some scale went on after a decrease
    for batch_size in (1, 7, 64):
        fast = least_disagree_metric(
            *arguments, rng=gen(1), batch_size=batch_size, **options
        )
        np.testing.assert_allclose(fast.numpy(), slow, rtol=1e-6)


def test_the_reference_decides_as_the_pool_does_where_it_is_the_pool():
    features, weight, bias = problem(3, 80, 5, 3)
    for order in (torch.arange(80), torch.arange(79, -1, -1)):
        both = [
            least_disagree_metric(
                features, weight, bias, features[order], rng=gen(2), stop=stop
            )
            for stop in ("reference", "pool")
        ]
        assert torch.equal(*both)


def closed_form(v: np.ndarray, rows: np.ndarray) -> np.ndarray:
    cosine = np.abs(rows @ v) / np.linalg.norm(rows, axis=1) / np.linalg.norm(v)
    return np.arcsin(np.clip(cosine, 0, 1)) / np.pi


@pytest.mark.parametrize(
    ("d", "least"), [(2, 0.997), (5, 0.997), (20, 0.98), (100, 0.97)]
)
def test_rank_of_a_homogeneous_binary_head_is_that_of_the_closed_form(d, least):
    rng = np.random.default_rng(d)
    v = rng.normal(size=d)
    v /= np.linalg.norm(v)
    rows, reference = rng.normal(size=(500, d)), rng.normal(size=(2000, d))
    ldm = least_disagree_metric(
        *(torch.from_numpy(a) for a in (rows, v[None])),
        None,
        torch.from_numpy(reference),
        rng=gen(0),
    ).numpy()
    truth = closed_form(v, rows)
    assert spearmanr(ldm, truth)[0] > least
    # An infimum over fewer hypotheses; only the Monte-Carlo rho can undercut it.
    assert (ldm >= truth - 4 * np.sqrt(0.25 / 2000)).all()
    counts = ldm * 2000
    np.testing.assert_allclose(counts, counts.round(), atol=1e-3)


@pytest.mark.slow
def test_one_sided_where_rho_is_exact():
    # Points spread evenly over the circle: rho is the angle of the two lines over pi.
    angles = np.linspace(0, 2 * np.pi, 20_000, endpoint=False) + 1e-5
    circle = np.c_[np.cos(angles), np.sin(angles)]
    v = np.array([0.3, 0.9])
    rows = circle[::97]
    ldm = least_disagree_metric(
        *(torch.from_numpy(a) for a in (rows, v[None])),
        None,
        torch.from_numpy(circle),
        rng=gen(2),
    ).numpy()
    gap = ldm - closed_form(v, rows)
    assert gap.min() >= -2e-4  # two steps of the circle
    assert gap.mean() < 0.01


def test_law_of_an_affine_head_on_the_line():
    # sign(a x + b): L = min(D, 1 - D), D = |F(x) - F(t)|, F the law of the inputs.
    xs = np.sort(np.random.default_rng(0).normal(size=1001))
    t = 0.3
    ldm = least_disagree_metric(
        torch.from_numpy(xs[:, None]),
        torch.ones(1, 1, dtype=torch.float64),
        torch.tensor([-t], dtype=torch.float64),
        torch.from_numpy(xs[:, None]),
        rng=gen(0),
        n_unchanged=50,
    ).numpy()
    share = np.abs(np.searchsorted(xs, xs) - np.searchsorted(xs, t)) / len(xs)
    truth = np.minimum(share, 1 - share)
    assert (ldm >= truth - 3 / len(xs)).all()
    assert np.abs(ldm - truth).mean() < 0.02


def test_more_draws_never_raise_a_metric():
    features, weight, bias = problem(5, 200, 8, 3)
    reference = problem(6, 300, 8, 3)[0]
    metrics = [
        least_disagree_metric(
            features,
            weight,
            bias,
            reference,
            n_unchanged=s,
            stop="row",
            rng=gen(0),
            sigmas=torch.tensor([0.1]),
        )
        for s in (1, 3, 10, 40)
    ]  # one scale: the draws of fewer are the first of more
    for fewer, more in pairwise(metrics):
        assert (more <= fewer).all()
    assert metrics[-1].mean() < metrics[0].mean()


def test_the_size_of_a_row_does_not_count_without_a_bias():
    features, weight, _ = problem(7, 150, 5, 3)
    reference = problem(8, 300, 5, 3)[0]
    scale = 2.0 ** torch.randint(-8, 9, (150, 1), generator=gen(9))
    one, two = (
        least_disagree_metric(rows, weight, None, reference, rng=gen(0))
        for rows in (features, features * scale)
    )
    assert torch.equal(one, two)


def test_the_size_of_the_head_does_not_count_if_the_noise_grows_with_it():
    features, weight, bias = problem(10, 150, 5, 3)
    sigmas = torch.tensor(GRID[20:45:2], dtype=torch.float64)
    one, two = (
        least_disagree_metric(
            features, k * weight, k * bias, features, rng=gen(0), sigmas=k * sigmas
        )
        for k in (1.0, 8.0)
    )
    assert torch.equal(one, two)


def test_order_of_the_rows_does_not_count():
    features, weight, bias = problem(11, 200, 6, 4)
    order = torch.randperm(200, generator=gen(0))
    one, two = (
        least_disagree_metric(rows, weight, bias, features[:100], rng=gen(3))
        for rows in (features, features[order])
    )
    assert torch.equal(one[order], two)


@pytest.mark.slow
def test_blocks_do_not_count(small_blocks):
    features, weight, bias = problem(12, 300, 6, 4)
    whole = least_disagree_metric(features, weight, bias, features[:99], rng=gen(3))
    small_blocks(1)
    parts = least_disagree_metric(features, weight, bias, features[:99], rng=gen(3))
    assert torch.equal(whole, parts)


@pytest.mark.parametrize("scale", [1.0, 2.0**14, 2.0**-14])
def test_rounding_decides_nothing(scale):
    # Rows within float32's rounding of the border: decided as in float64.
    rng = gen(0)
    weight = torch.randn(3, 64, generator=rng) * scale
    features = torch.randn(400, 64, generator=rng) * 100
    difference = weight[0] - weight[1]
    features -= (features @ difference / difference.square().sum())[
        :, None
    ] * difference
    noise = torch.randn(50, 3, 64, generator=rng).double() * 1e-7 * scale
    head = stack_head(weight, None)
    logits = (head + noise) @ features.double().T
    truth = logits.argmax(1) != (head @ features.double().T).argmax(0)
    assert torch.equal(HeadRows(features, head).flips(noise), truth)
    rounded = logits.float().argmax(1) != (weight @ features.T).argmax(0)
    assert not torch.equal(rounded, truth)  # else nothing was put to the test


def test_rows_out_of_reach_do_not_flip():
    features, weight, bias = problem(13, 500, 8, 3)
    rows = HeadRows(features, stack_head(weight, bias))
    noise = torch.randn(200, 3, 9, generator=gen(0)).double() * 0.1
    can, flips = rows.can_flip(noise), rows.flips(noise).any(0)
    assert (can | ~flips).all()
    assert flips.any()
    assert not can.all()


def test_zero_features_without_bias_never_flip():
    features, weight, _ = problem(14, 20, 4, 3)
    features[:5] = 0
    ldm = least_disagree_metric(features, weight, None, features, rng=gen(0))
    assert ldm[:5].tolist() == [1.0] * 5
    assert (ldm[5:] < 1).all()


def test_the_global_generator_and_the_arguments_stay():
    arguments = problem(15, 30, 4, 3)
    copies = [a.clone() for a in arguments]
    state = torch.get_rng_state()
    least_disagree_metric(*arguments, arguments[0], rng=gen(0))
    assert torch.equal(state, torch.get_rng_state())
    for a, b in zip(arguments, copies, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_unchanged": 0}, "n_unchanged"),
        ({"batch_size": 0}, "batch_size"),
        ({"stop": "never"}, "stop must be"),
        ({"sigmas": []}, "sigmas"),
        ({"sigmas": [0.1, -1.0]}, "sigmas"),
        ({"weight": torch.ones(4)}, "weight must have shape"),
        ({"bias": torch.ones(2)}, r"bias must have shape \(3,\)"),
        ({"features": torch.ones(5, 3)}, r"features must have shape \(rows, 4\)"),
        ({"reference": torch.ones(5, 3)}, r"reference must have shape \(rows, 4\)"),
        ({"reference": torch.ones(0, 4)}, "reference has no rows"),
    ],
)
def test_bad_arguments(change, message):
    features, weight, bias = problem(0, 10, 4, 3)
    arguments = {
        "features": features,
        "weight": weight,
        "bias": bias,
        "reference": features,
    }
    with pytest.raises(ValueError, match=message):
        least_disagree_metric(**{**arguments, **change}, rng=gen(0))
