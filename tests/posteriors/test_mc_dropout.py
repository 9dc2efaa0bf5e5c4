"""MC dropout against masks that are multiplied in by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn import config_context
from torch import Tensor, nn

from skal.exceptions import UnsuitableLearnerError
from skal.posteriors import MCDropout
from skal.posteriors import mc_dropout as module
from skal.strategies import BALD
from tests.posteriors.helpers import (
    Dropped,
    X,
    collect,
    draw,
    fit,
    unchanged,
)


def bald(proba: Tensor) -> Tensor:
    def entropy(p: Tensor) -> Tensor:
        return -torch.xlogy(p, p).sum(-1)

    return entropy(proba.mean(0)) - entropy(proba).mean(0)


@pytest.mark.on_cpu
def test_rows_are_probabilities_and_draws_differ():
    proba = collect(MCDropout(n_draws=6), fit())
    assert proba.shape == (6, 60, 3)
    assert proba.dtype == torch.float64
    assert torch.allclose(proba.sum(2), torch.ones(6, 60, dtype=torch.float64))
    distances = torch.cdist(proba.flatten(1), proba.flatten(1))
    assert (distances + torch.eye(6)).min() > 1e-3


@pytest.mark.on_cpu
def test_a_draw_is_one_net_with_units_removed():
    # Outputs of a linear net after dropout are linear in its mask: fit the mask of a
    # draw on half of the rows, and it must be a mask, and explain the other half.
    net = fit(Dropped(40), y=np.arange(60) % 40, max_epochs=1)
    module = net.module_.eval()
    with torch.no_grad():
        hidden = module.norm(module.hidden(torch.from_numpy(X))).relu().double()
        weight, bias = module.head.weight.double(), module.head.bias.double()
    for proba in collect(MCDropout(n_draws=4), net):
        logits = proba.log()  # but for a constant in each row
        design = hidden[:, None, :] * (weight - weight.mean(0))
        seen = logits - logits.mean(1, keepdim=True) - (bias - bias.mean())
        first = torch.linalg.lstsq(design[:30].flatten(0, 1), seen[:30].flatten())
        mask = first.solution
        used = hidden[:30].sum(0) > 0
        scaled = torch.isclose(mask, torch.tensor(2.0).double(), atol=1e-3)
        dropped = torch.isclose(mask, torch.tensor(0.0).double(), atol=1e-3)
        assert (scaled | dropped)[used].all()
        assert scaled.any()
        assert dropped.any()
        assert torch.allclose(design[30:] @ mask, seen[30:], atol=1e-3)


def test_identical_rows_get_identical_draws_whatever_the_block_or_batch():
    twice = np.concatenate([X[:1], X, X[:1], X])
    net = fit()
    whole = collect(MCDropout(n_draws=5), net, twice)
    assert torch.allclose(whole[:, 0], whole[:, 61])
    assert torch.allclose(whole[:, 1:61], whole[:, 62:])
    net.set_params(batch_size=7)
    with config_context(working_memory=0.01):  # 16 rows to a block
        draws = draw(MCDropout(n_draws=5), net, twice)
        parts = list(draws.blocks())
        assert len(parts) > 5
        assert torch.allclose(draws.collect(), whole, atol=1e-6)
        assert torch.allclose(torch.cat([p for _, p in parts], dim=1), whole, atol=1e-6)
    net.set_params(batch_size=64)
    alone = collect(MCDropout(n_draws=5), net, X[3:4])
    assert torch.allclose(alone[:, 0], whole[:, 4], atol=1e-6)


def test_reading_again_and_other_rows_is_by_the_same_models():
    net = fit()
    draws = draw(MCDropout(n_draws=5), net)
    first = draws.collect()
    assert torch.equal(draws.collect(), first)
    others = draw(MCDropout(n_draws=5), net, X[::-1].copy())
    rows = others._rows
    assert torch.allclose(draws.collect(rows), first.flip(1), atol=1e-6)
    assert torch.equal(others.collect(), draws.collect(rows))  # by the seed
    assert not torch.equal(collect(MCDropout(n_draws=5), net, seed=1), first)


def test_masks_that_are_not_kept_are_the_same_again(monkeypatch):
    net = fit()
    kept = collect(MCDropout(n_draws=5), net)
    monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    draws = draw(MCDropout(n_draws=5), net)
    assert torch.equal(draws.collect(), kept)
    assert torch.equal(draws.collect(), kept)


@pytest.mark.on_cpu
def test_bald_ranks_as_that_of_masks_multiplied_by_hand():
    net = fit(max_epochs=20)
    estimate = bald(collect(MCDropout(n_draws=1500), net))
    module, rng = net.module_.eval(), np.random.default_rng(5)
    with torch.no_grad():
        hidden = module.norm(module.hidden(torch.from_numpy(X))).relu()
        outputs = []
        for _ in range(1500):
            kept = torch.from_numpy(rng.random(16) < 0.5).float()
            outputs.append(module.head(hidden * kept / 0.5).double().softmax(1))
    expected = bald(torch.stack(outputs))
    assert spearmanr(estimate, expected).statistic > 0.97
    assert torch.allclose(estimate, expected, atol=0.03)


def test_the_net_is_as_before():
    net = fit()
    with unchanged(net):
        collect(MCDropout(n_draws=3), net)


class Kind(nn.Module):
    """A dropout layer of any kind on (rows, channels, ...), and nothing else."""

    def __init__(self, layer: nn.Module, side: int) -> None:
        super().__init__()
        self.layer = layer
        self.shape = (4, *[3] * side)
        self.unused = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.unflatten(1, self.shape)).flatten(1)


CHANNELS = {
    nn.Dropout: 0,
    nn.AlphaDropout: 0,
    nn.Dropout1d: 1,
    nn.Dropout2d: 2,
    nn.Dropout3d: 3,
    nn.FeatureAlphaDropout: 2,
}


@pytest.mark.on_cpu
@pytest.mark.parametrize("kind", CHANNELS)
def test_any_kind_drops_as_torch_does_and_the_same_of_every_row(kind):
    side = CHANNELS[kind] or 2
    shape = (4, *[3] * side)
    size = 4 * 3**side
    rows = np.random.default_rng(1).normal(size=(8, size)).astype(np.float32)
    net = fit(Kind(kind(0.4), side), rows, rows, max_epochs=0)
    out = collect(MCDropout(n_draws=300), net, rows).float()
    torch.manual_seed(0)
    first = torch.tensor(rows[:1]).unflatten(1, shape)
    own = torch.cat([kind(0.4)(first).flatten(1) for _ in range(60)])
    for column in (0, 1, size - 1):  # dropped or not: two values
        values = out[:, 0, column].unique()
        assert len(values) == 2
        assert torch.allclose(values, own[:, column].unique(), atol=1e-5)
    kept = ~torch.isclose(out, own.flatten().mode().values, atol=1e-5)
    assert torch.equal(kept, kept[:, :1].expand_as(kept))
    assert float(kept.float().mean()) == pytest.approx(0.6, abs=0.05)
    share = kept[:, 0].unflatten(1, (4, -1)).float().mean(2)  # of a channel
    whole = bool(((share == 0) | (share == 1)).all())
    assert whole == (kind not in (nn.Dropout, nn.AlphaDropout))


@pytest.mark.parametrize("kind", [nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_alpha_dropout_keeps_mean_and_variance(kind):
    rows = np.random.default_rng(1).normal(size=(400, 36)).astype(np.float32)
    net = fit(Kind(kind(0.3), 2), rows, rows, max_epochs=0)
    out = collect(MCDropout(n_draws=200), net, rows)
    assert float(out.mean()) == pytest.approx(float(rows.mean()), abs=0.05)
    assert float(out.var()) == pytest.approx(1, abs=0.1)


class Twice(nn.Module):
    """Drops the same rows two times side by side, by one layer or by two."""

    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.other = self.drop if layers == 1 else nn.Dropout(0.5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.drop(x), self.other(x)], dim=1)


@pytest.mark.parametrize("layers", [1, 2])
def test_every_run_of_every_layer_has_a_mask_of_its_own(layers):
    out = collect(MCDropout(n_draws=40), fit(Twice(layers), X, X, max_epochs=0))
    kept = out[:, 0] != 0
    assert 0.3 < float((kept[:, :5] == kept[:, 5:]).double().mean()) < 0.7


def test_a_layer_that_drops_all_gives_zeros():
    net = fit(Twice(), X, X, max_epochs=0)
    net.module_.drop.p = 1.0
    assert not collect(MCDropout(n_draws=2), net).any()


def test_rows_first_is_required():
    class TimeFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.head = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            steps = self.drop(x[None].expand(2, -1, -1))
            return self.head(steps[0])

    with pytest.raises(UnsuitableLearnerError, match=r"'drop'.*first dimension"):
        collect(MCDropout(n_draws=2), fit(TimeFirst()))


def test_a_layer_that_is_not_run_is_told():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.head = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.drop(x) if self.training else x)

    net = fit(Unused())
    with unchanged(net), pytest.raises(UnsuitableLearnerError, match="does not run"):
        collect(MCDropout(n_draws=2), net)


@pytest.mark.parametrize("p", [None, 0.0])
def test_a_net_without_dropout_is_told_how_to_add_it(p):
    module = nn.Linear(5, 3) if p is None else Dropped(p=p)
    with pytest.raises(UnsuitableLearnerError, match=r"module__dropout=0\.2"):
        collect(MCDropout(), fit(module))


@pytest.mark.parametrize("n_draws", [0, 2.5])
def test_bad_n_draws(n_draws):
    with pytest.raises(ValueError, match="n_draws must be an int"):
        collect(MCDropout(n_draws=n_draws), fit())


class Louder(nn.Dropout):
    """Drops in eval mode, too, each row by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, self.p, training=True)


class Named(nn.Dropout):
    """Another name for torch's own layer."""


def test_layers_with_a_forward_of_their_own_are_refused():
    def module(drop: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 8), drop, nn.Linear(8, 3))

    for posterior in (MCDropout(n_draws=3), "auto"):
        with pytest.raises(UnsuitableLearnerError, match=r"\{'1': 'Louder'\}"):
            BALD(posterior).select(fit(module(Louder(0.5))), X, 2)
    rows = np.repeat(X[:1], 5, axis=0)
    proba = collect(MCDropout(n_draws=3), fit(module(Named(0.5))), rows)
    torch.testing.assert_close(proba, proba[:, :1].expand_as(proba))
