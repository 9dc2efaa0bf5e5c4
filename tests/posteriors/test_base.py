"""What all draws share: blocks, other rows, and checks of what is read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from skal import ActiveLearner
from skal.exceptions import UnsuitableLearnerError
from skal.nets import NetClassifier
from skal.posteriors import MCDropout, Members, Posterior, WeightNoise
from skal.reading.pool import Pool
from skal.strategies import QueryStrategy
from tests.posteriors.helpers import Dropped, X, Y, collect, draw, fit
from tests.posteriors.test_members import committee


def test_blocks_are_consecutive_and_bounded_by_working_memory():
    net = fit(Dropped(30), y=np.arange(60) % 30)
    with config_context(working_memory=0.6):  # 37 KiB of outputs: 8 rows of 20 x 30
        blocks = [
            (block, outputs.shape) for block, outputs in draw(MCDropout(), net).blocks()
        ]
    assert [block.start for block, _ in blocks] == [
        0,
        *[block.stop for block, _ in blocks[:-1]],
    ]
    assert blocks[-1][0].stop == 60
    assert max(shape[1] for _, shape in blocks) == 8
    assert all(shape[1] == b.stop - b.start for b, shape in blocks)


def test_rows_of_members_are_read_side_by_side():
    nets = [fit(lr=0.3), fit(lr=0.1)]
    draws = draw(MCDropout(n_draws=3), committee(*nets))
    assert draws.n_draws == 6
    others = Pool(committee(*nets), X[10:20])
    part = draws.collect([member.rows for member in others.members])
    assert torch.allclose(part, draws.collect()[:, 10:20], atol=1e-6)
    with pytest.raises(ValueError, match=r"Rows for 1 members were given.*has 2"):
        draws.collect([others.members[0].rows])


def test_labeled_rows_may_be_read():
    learner = ActiveLearner(NetClassifier(module__dropout=0.5, max_epochs=1))
    learner.fit(X[:20], Y[:20])
    pool = Pool(learner, X[20:])
    draws = MCDropout(n_draws=3).draw(pool, torch.Generator())
    labeled = draws.collect([member.labeled for member in pool.members])
    assert labeled.shape == (3, 20, 3)


def test_logits_are_not_taken_for_probabilities():
    net = fit(nn.Linear(5, 3), criterion=nn.NLLLoss, lr=1e-6)
    with pytest.raises(UnsuitableLearnerError, match="not probabilities"):
        collect(WeightNoise(), net)
    scores = fit(nn.Sequential(nn.Linear(5, 3), nn.Sigmoid()), criterion=nn.NLLLoss)
    with pytest.raises(UnsuitableLearnerError, match="sum differs from 1 by"):
        collect(WeightNoise(), scores)


def test_an_unfitted_learner_is_told():
    for posterior in (MCDropout(), Members()):
        with pytest.raises(NotFittedError):
            draw(posterior, NetClassifier())


def test_a_posterior_is_a_parameter_of_a_strategy():
    class Strategy(QueryStrategy):
        def __init__(self, posterior: Posterior | str = "auto") -> None:
            self.posterior = posterior

        def _select(self, pool, n, rng):
            raise NotImplementedError

    strategy = clone(Strategy(MCDropout())).set_params(posterior__n_draws=3)
    assert strategy.posterior.n_draws == 3
    assert strategy.get_params()["posterior__n_draws"] == 3


def test_pools_of_other_kinds_than_tables():
    images = np.random.default_rng(0).normal(size=(30, 1, 4, 4)).astype(np.float32)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Dropout2d(0.4), nn.Flatten(), nn.Linear(16, 3)
    )
    net = fit(module, images, Y[:30])
    for pool in (images, torch.from_numpy(images)):
        assert collect(MCDropout(n_draws=2), net, pool).shape == (2, 30, 3)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(images), torch.zeros(30))
    expected = collect(MCDropout(n_draws=2), net, images)
    assert torch.allclose(collect(MCDropout(n_draws=2), net, dataset), expected)


@pytest.mark.on_cpu
def test_other_devices_do_as_the_cpu_does(device):
    net = fit()
    expected = collect(MCDropout(n_draws=3), net)
    net.set_params(device=device)
    net.module_.to(device)
    outputs = collect(MCDropout(n_draws=3), net)
    assert outputs.device.type == torch.device(device).type
    assert torch.allclose(outputs.cpu(), expected, atol=1e-5)
