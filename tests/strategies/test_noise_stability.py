"""Noise stability against a slow version that writes the weights into copies."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import skal.strategies.noise_stability as module_under_test
from skal import ActiveLearner
from skal.posteriors import perturb_weights
from skal.reading.pool import Pool
from skal.rng import preserve_global_rng, resolve_rng, seed_from
from skal.strategies import NoiseStability
from tests.models import make_data, make_net

POOL = make_data("regression", 40, seed=1)[0]


def fitted(task: str, n_targets: int | None = None):
    X, y = make_data(task)
    if n_targets:
        y = np.column_stack([y * k for k in range(1, n_targets + 1)])
    return make_net(task).fit(X, y)


def outputs(net, module: nn.Module, kind: str, X: np.ndarray) -> torch.Tensor:
    x = torch.as_tensor(X, dtype=torch.float32)
    linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
    seen = []
    handle = linear[-1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        raw = module.eval()(x)
    handle.remove()
    if kind == "features":
        return seen[0]
    return raw.double().softmax(1) if kind == "probabilities" else raw


def slow_deviations(
    net, strategy: NoiseStability, kind: str, X: np.ndarray = POOL
) -> np.ndarray:
    """Deviations with the weights of each draw written into a copy of the module."""
    rng = resolve_rng(strategy.random_state)
    seed_from(rng)  # the door seeds the global generators first
    seeds = [seed_from(rng) for _ in range(strategy.n_draws)]
    clean = outputs(net, net.module_, kind, X)
    deltas = []
    for seed in seeds:
        own = torch.Generator().manual_seed(seed)
        drawn = perturb_weights(
            net.module_, strategy.scaling, strategy.noise_scale, own
        )
        other = copy.deepcopy(net.module_)
        with torch.no_grad():
            for name, parameter in other.named_parameters():
                if name in drawn:
                    parameter.copy_(drawn[name])
        deltas.append(outputs(net, other, kind, X) - clean)
    delta = torch.cat(deltas, dim=1)
    if strategy.normalize is True or (
        strategy.normalize == "auto" and kind == "probabilities"
    ):
        delta = delta / clean.norm(dim=1, keepdim=True)
    return delta.double().numpy()


def farthest_first(
    delta: np.ndarray, n: int, centers: np.ndarray | None = None
) -> tuple[list, list]:
    """Greedy k-center, by default from the origin."""
    centers = [np.zeros(delta.shape[1])] if centers is None else list(centers)
    picks, scores = [], []
    for _ in range(n):
        nearest = [min(np.linalg.norm(row - c) for c in centers) for row in delta]
        for i in picks:
            nearest[i] = -1.0
        picks.append(int(np.argmax(nearest)))
        scores.append(nearest[picks[-1]])
        centers.append(delta[picks[-1]])
    return picks, scores


@pytest.mark.on_cpu
@pytest.mark.parametrize(
    ("task", "options", "kind"),
    [
        ("classification", {}, "probabilities"),
        ("classification", {"scaling": "global"}, "probabilities"),
        ("classification", {"outputs": "features"}, "features"),
        ("classification", {"outputs": "predictions"}, "predictions"),
        ("classification", {"normalize": False}, "probabilities"),
        ("regression", {}, "predictions"),
        ("regression", {"scaling": "global"}, "predictions"),
        ("regression", {"outputs": "predictions", "normalize": True}, "predictions"),
        ("regression", {"outputs": "features", "normalize": True}, "features"),
        ("regression", {"outputs": "features"}, "features"),
    ],
)
def test_picks_of_the_slow_version(task, options, kind):
    net = fitted(task)
    strategy = NoiseStability(n_draws=6, noise_scale=0.05, random_state=3, **options)
    delta = slow_deviations(net, strategy, kind)
    picks, scores = farthest_first(delta, 10)
    selection = strategy.select(net, POOL, 10)
    assert selection.indices.tolist() == picks
    np.testing.assert_allclose(selection.scores, scores, rtol=1e-4)


@pytest.mark.on_cpu
def test_multi_output_regression():
    net = fitted("regression", n_targets=3)
    strategy = NoiseStability(6, 0.05, random_state=0)
    delta = slow_deviations(net, strategy, "predictions")
    assert delta.shape == (40, 18)
    picks, _ = farthest_first(delta, 5)
    assert strategy.select(net, POOL, 5).indices.tolist() == picks


def lcmd_picks(delta: np.ndarray, n: int, centers: np.ndarray) -> list[int]:
    """Pick the farthest row of the cluster with the largest sum of squares."""
    centers, picks = list(centers), []
    for _ in range(n):
        sq_dist = np.array([[((row - c) ** 2).sum() for c in centers] for row in delta])
        nearest, sq_dist = sq_dist.argmin(1), sq_dist.min(1)
        weights = np.bincount(nearest, sq_dist, minlength=len(centers))
        inside = nearest == weights.argmax()
        picks.append(int(np.where(inside, sq_dist, -1).argmax()))
        centers.append(delta[picks[-1]])
    return picks


@pytest.mark.on_cpu
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("selection", ["k_center", "lcmd"])
@pytest.mark.parametrize("centers", ["auto", "origin", "labeled"])
def test_centers(task, selection, centers):
    """By default labeled rows are centers for a regressor, not for a classifier."""
    X, y = make_data(task)
    learner = ActiveLearner(make_net(task), X_training=X, y_training=y)
    strategy = NoiseStability(
        6, 0.05, centers=centers, selection=selection, random_state=3
    )
    kind = "probabilities" if task == "classification" else "predictions"
    delta = slow_deviations(learner.estimator, strategy, kind)
    labeled = centers == "labeled" or (centers, task) == ("auto", "regression")
    initial = (
        slow_deviations(learner.estimator, strategy, kind, X)
        if labeled
        else np.zeros((1, delta.shape[1]))
    )
    if selection == "lcmd":
        expected = lcmd_picks(delta, 8, initial)
    else:
        expected, _ = farthest_first(delta, 8, initial)
    assert strategy.select(learner, POOL, 8).indices.tolist() == expected


def test_labeled_centers_need_labeled_rows():
    strategy = NoiseStability(3, centers="labeled")
    with pytest.raises(ValueError, match=r'the learner holds none.*centers="origin"'):
        strategy.select(fitted("regression"), POOL)


@pytest.mark.on_cpu
def test_deviations_are_as_long_as_the_jacobian():
    r"""E of the squared norm is the sum over tensors of zeta^2 |W|^2 |J|^2 / n."""
    net = fitted("regression")
    strategy = NoiseStability(2000, 1e-3, random_state=0)
    ((member, access),) = Pool(net, POOL[:20]).nets()
    delta = access.collect(member.rows, strategy._reader(access, resolve_rng(0)))
    module = net.module_.eval()
    expected = []
    for row in torch.as_tensor(POOL[:20], dtype=torch.float32):
        weights = [p for n, p in module.named_parameters() if not n.endswith("bias")]
        jacobian = torch.autograd.grad(module(row[None]).sum(), weights)
        expected.append(
            sum(
                (w.detach().square().sum() * j.square().sum()).item() / w.numel()
                for w, j in zip(weights, jacobian, strict=True)
            )
        )
    found = delta.double().square().sum(1) / (2000 * 1e-6)
    np.testing.assert_allclose(found, expected, rtol=0.2)


def deviations(net, **options):
    strategy = NoiseStability(random_state=0, **options)
    ((member, access),) = Pool(net, POOL).nets()
    with preserve_global_rng():
        return access.collect(member.rows, strategy._reader(access, resolve_rng(0)))


def test_rescaling_changes_no_pick_of_a_linear_net():
    X, y = make_data("regression")
    net = make_net("regression", module=nn.Linear(5, 1)).fit(X, y)
    options = {"n_draws": 5, "outputs": "predictions", "normalize": False}
    small = deviations(net, noise_scale=0.1, **options)
    large = deviations(net, noise_scale=10.0, **options)
    assert torch.allclose(large, 100 * small, rtol=1e-3, atol=1e-5)
    picks = [
        NoiseStability(noise_scale=z, random_state=0, **options)
        .select(net, POOL, 8)
        .indices.tolist()
        for z in (0.1, 10.0)
    ]
    assert picks[0] == picks[1]


def test_draws_made_anew_are_those_kept(monkeypatch):
    net = fitted("classification")
    kept = deviations(net, n_draws=5)
    monkeypatch.setattr(module_under_test, "_KEPT_BYTES", 0)
    assert torch.equal(deviations(net, n_draws=5), kept)


def test_spread_of_the_norms_shrinks_with_the_draws():
    net = fitted("classification")
    spread = [
        np.std(
            [
                float(
                    NoiseStability(k, random_state=seed, normalize=False)
                    .select(net, POOL[:1], 1)
                    .scores[0]
                    / k**0.5
                )
                for seed in range(40)
            ]
        )
        for k in (4, 64)
    ]
    assert spread[1] < spread[0] / 2


def test_rows_that_do_not_move_are_picked_in_no_order():
    X, y = make_data("regression")
    net = make_net("regression").fit(X, y)
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.zero_()
    selection = NoiseStability(3, random_state=0).select(net, POOL, 5)
    assert len(set(selection.indices.tolist())) == 5
    assert selection.indices.tolist() != [0, 1, 2, 3, 4]
    assert not selection.scores.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalize": "no"}, 'normalize must be True, False or "auto", got .no.'),
        ({"n_draws": 0}, "n_draws must be an int of at least 1, got 0"),
        ({"n_draws": 2.5}, "n_draws"),
        ({"noise_scale": 0}, "noise_scale must be a number above 0"),
        ({"noise_scale": float("nan")}, "noise_scale"),
        ({"scaling": "both"}, r"scaling must be one of \['per_tensor', 'global'\]"),
        ({"centers": "labelled"}, "centers must be one of"),
        ({"selection": "k_means"}, "selection must be one of"),
        ({"outputs": "logits"}, "outputs must be one of"),
    ],
)
def test_bad_parameters(options, message):
    with pytest.raises(ValueError, match=message):
        NoiseStability(**options).select(fitted("classification"), POOL)


def test_probabilities_of_a_regressor_are_refused():
    with pytest.raises(ValueError, match="not a classifier"):
        NoiseStability(outputs="probabilities").select(fitted("regression"), POOL)
