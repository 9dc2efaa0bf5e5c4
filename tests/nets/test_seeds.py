"""What is drawn comes from random_state; the global generators are left alone."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch.utils.data import DataLoader

from skal.nets import NetClassifier, NetRegressor
from tests.nets.data import Unsized, blobs, states_equal

X, Y = blobs()
DROPOUT = {"module__dropout": 0.5, "module__hidden_sizes": (8,), "max_epochs": 3}

PROGRAM = """
from tests.nets.test_seeds import fit_and_predict
print(fit_and_predict())
"""


def fit_and_predict() -> list[float]:
    net = NetClassifier(**DROPOUT, batch_size=8, random_state=5).fit(X, Y)
    return net.predict_proba(X).ravel().tolist()


def numpy_state() -> Any:
    return np.random.get_state()[1].tolist()  # noqa: NPY002


def test_two_fits_are_the_same() -> None:
    a = NetClassifier(**DROPOUT, batch_size=7, random_state=3).fit(X, Y)
    b = clone(a).fit(X, Y)
    assert states_equal(a.module_, b.module_)
    again = a.fit(X, Y)
    assert states_equal(again.module_, b.module_)
    other = clone(a).set_params(random_state=4).fit(X, Y)
    assert not states_equal(other.module_, b.module_)


def test_another_process_gives_the_same() -> None:
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **threads},
    )
    assert there.stdout.strip() == str(fit_and_predict())


@pytest.mark.parametrize("part", ["weights", "order", "dropout"])
def test_each_thing_drawn_follows_the_seed(part: str) -> None:
    options: dict[str, Any] = {"max_epochs": 2, "module__hidden_sizes": (8,)}
    if part == "weights":
        options["max_epochs"] = 0
    elif part == "order":
        options.update(module=Unsized().double().float(), batch_size=7)
        options.pop("module__hidden_sizes")
    else:
        options.update(module__dropout=0.5, iterator_train__shuffle=False)
    fits = [NetClassifier(random_state=s, **options).fit(X, Y) for s in (1, 1, 2)]
    assert states_equal(fits[0].module_, fits[1].module_)
    assert not states_equal(fits[0].module_, fits[2].module_)


def test_numpy_generators_move_on() -> None:
    for make in (np.random.RandomState, np.random.default_rng):
        net = NetClassifier(max_epochs=1, random_state=make(0))
        first = net.fit(X, Y).module_
        second = net.fit(X, Y).module_
        same = NetClassifier(max_epochs=1, random_state=make(0)).fit(X, Y).module_
        assert states_equal(first, same)
        assert not states_equal(first, second)


def test_none_is_fresh_even_when_the_user_seeds_the_global_ones() -> None:
    fits = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        fits.append(NetClassifier(max_epochs=1).fit(X, Y))
    assert not states_equal(fits[0].module_, fits[1].module_)


def test_partial_fit_goes_on_drawing() -> None:
    def run() -> Any:
        net = NetClassifier(**DROPOUT, batch_size=7, random_state=0)
        seeds = []
        for _ in range(3):
            net.partial_fit(X, Y)
            seeds.append(net.seed_)
        assert len(set(seeds)) == 3
        return net

    assert states_equal(run().module_, run().module_)


@pytest.mark.parametrize("loader", ["slices", "skorch's DataLoader"])
@pytest.mark.parametrize(
    "act",
    [
        lambda net: net.fit(X, Y),
        lambda net: net.partial_fit(X, Y),
        lambda net: net.initialize(),
        lambda net: net.predict(X),
        lambda net: net.forward(X),
        lambda net: net.set_params(module__hidden_sizes=(3,)),
    ],
    ids=["fit", "partial_fit", "initialize", "predict", "forward", "set_params"],
)
def test_global_generators_are_left_alone(
    act: Callable[[Any], Any], loader: str
) -> None:
    options = {} if loader == "slices" else {"iterator_train__num_workers": 0}
    if options:
        options["iterator_valid__num_workers"] = 0
    net = NetRegressor(**DROPOUT, **options, random_state=0).fit(X, Y)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    before = torch.get_rng_state(), numpy_state(), random.getstate()
    act(net)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert numpy_state() == before[1]
    assert random.getstate() == before[2]


def test_a_loaders_order_follows_the_seed() -> None:
    def fit(seed: int) -> Any:
        net = NetClassifier(
            Unsized(), random_state=seed, batch_size=7, max_epochs=2, iterator_train=Own
        )
        return net.set_params(module=INSTANCE).fit(X, Y).module_

    assert states_equal(fit(0), fit(0))
    assert not states_equal(fit(0), fit(1))


INSTANCE = Unsized()


class Own(DataLoader):
    """A user's own loader, which shuffles."""

    def __init__(self, dataset: Any, batch_size: int) -> None:
        super().__init__(dataset, batch_size=batch_size, shuffle=True)


def test_bad_random_state() -> None:
    with pytest.raises(ValueError, match="random_state"):
        NetClassifier(random_state="seed").fit(X, Y)
