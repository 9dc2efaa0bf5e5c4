"""Area under the curve, mini-batches, and when the training ends."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from skal.adversarial import Batches, DivergedError, train
from skal.adversarial.training import auc, discrimination_loss, hiding_loss

values = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(values, values)
@settings(max_examples=60, deadline=None)
def test_auc_counts_pairs(labeled, unlabeled):
    pairs = [(a > b) + (a == b) / 2 for a in labeled for b in unlabeled]
    found = auc(torch.tensor(labeled, dtype=torch.float32), torch.tensor(unlabeled))
    assert found == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize("place", [0, 1])
def test_auc_of_nan_is_nan_so_that_the_training_is_known_to_have_diverged(place):
    scores = [torch.tensor([1.0, 2.0]), torch.tensor([0.0, 3.0])]
    scores[place][1] = torch.nan
    assert math.isnan(auc(*scores))
    with pytest.raises(DivergedError, match="auc is nan in epoch 1"):
        train(lambda: {"loss": 0.0, "auc": auc(*scores)}, range(3), 5)


def test_losses_are_the_cross_entropies_of_the_paper():
    torch.manual_seed(1)
    net = torch.nn.Linear(3, 1)
    a, b = torch.randn(5, 3), torch.randn(7, 3)
    one, zero = torch.ones(5, 1), torch.zeros(7, 1)
    cross = F.binary_cross_entropy_with_logits
    expected = cross(net(a), one) + cross(net(b), zero)
    torch.testing.assert_close(discrimination_loss(net, a, b), expected)
    expected = cross(net(a), one) + cross(net(b), 1 - zero)
    torch.testing.assert_close(hiding_loss(net, a, b), expected)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_an_epoch_has_every_unlabeled_row_once_and_as_many_labeled():
    batches = Batches(3, 10, 4, 100, rng())
    for _ in range(2):
        known, unknown = zip(*batches.epoch(), strict=True)
        assert sorted(torch.cat(unknown).tolist()) == list(range(10))
        assert [len(k) for k in known] == [4, 4, 4]
        assert [len(u) for u in unknown] == [4, 4, 2]
        assert set(torch.cat(known).tolist()) <= {0, 1, 2}


def test_a_last_row_joins_the_batch_before_it():
    sizes = [len(unknown) for _, unknown in Batches(3, 9, 4, 100, rng()).epoch()]
    assert sizes == [4, 5]
    assert [len(unknown) for _, unknown in Batches(3, 1, 4, 100, rng()).epoch()] == [1]


def test_a_large_pool_is_seen_part_by_part():
    batches = Batches(3, 100, 4, 10, rng())
    epochs = [torch.cat([u for _, u in batches.epoch()]) for _ in range(40)]
    assert all(len(set(e.tolist())) == len(e) == 10 for e in epochs)
    assert len(set(torch.cat(epochs).tolist())) > 90


def test_same_seed_same_batches():
    one, two, other = (list(Batches(5, 9, 2, 9, rng(s)).epoch()) for s in (0, 0, 1))
    flat = [torch.cat([torch.cat(pair) for pair in e]).tolist() for e in (one, two)]
    assert flat[0] == flat[1] != torch.cat([torch.cat(pair) for pair in other]).tolist()


def test_it_ends_when_the_area_no_longer_grows():
    areas = [0.5, 0.6, 0.7, 0.701, 0.69, 0.7, 0.9]
    feed = iter(areas)
    history = train(lambda: {"auc": next(feed)}, range(100), patience=3)
    assert [epoch["auc"] for epoch in history] == areas[:6]
    assert len(train(lambda: {"auc": 0.5}, range(4), patience=10)) == 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_it_with_an_error(value):
    feed = iter([1.0, value])
    with pytest.raises(DivergedError, match=r"some_loss is -?(nan|inf) in epoch 2"):
        train(lambda: {"some_loss": next(feed), "auc": 0.5}, range(9), patience=9)
