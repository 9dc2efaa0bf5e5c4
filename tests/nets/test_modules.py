from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from skal.nets import MLP
from skal.nets.modules import make_module, row_size
from tests.nets.helpers import Unsized, states_equal


def test_mlp_is_the_layers_it_names() -> None:
    mlp = MLP(3, 2, hidden_sizes=(5, 4), dropout=0.5, activation=nn.Tanh)
    kinds = [type(layer) for layer in mlp.body]
    assert kinds == [nn.Linear, nn.Tanh, nn.Dropout] * 2
    widths = [
        (m.in_features, m.out_features) for m in mlp.modules() if type(m) is nn.Linear
    ]
    assert widths == [(3, 5), (5, 4), (4, 2)]


def test_mlp_computes_by_hand() -> None:
    mlp = MLP(3, 2, hidden_sizes=(5,)).eval()
    X = torch.randn(7, 3)
    first, head = mlp.body[0], mlp.head
    by_hand = torch.relu(X @ first.weight.T + first.bias) @ head.weight.T + head.bias
    torch.testing.assert_close(mlp(X), by_hand)


def test_mlp_without_hidden_layers_is_linear_and_flattens() -> None:
    mlp = MLP(6, 2, hidden_sizes=())
    assert len(list(mlp.parameters())) == 2
    assert mlp(torch.randn(4, 2, 3)).shape == (4, 2)


def test_no_dropout_module_without_dropout() -> None:
    assert not any(isinstance(m, nn.Dropout) for m in MLP(3, 2).modules())


def test_only_sizes_asked_for_are_given() -> None:
    sizes = {"n_features": 4, "n_outputs": 3}
    assert make_module(MLP, {}, sizes).head.out_features == 3
    assert make_module(Unsized, {"width": 5}, sizes).layers[0].out_features == 5
    assert make_module(partial(nn.Linear, 4, 2), {}, sizes).out_features == 2


def test_user_set_sizes_come_first() -> None:
    made = make_module(MLP, {"n_outputs": 7}, {"n_features": 4, "n_outputs": 3})
    assert made.head.out_features == 7


def test_instances_are_copied() -> None:
    instance = Unsized()
    made = make_module(instance, {}, {})
    assert made is not instance
    assert states_equal(made, instance)
    assert make_module(instance, {"width": 5}, {}).layers[0].out_features == 5


def test_unknown_size_is_named() -> None:
    with pytest.raises(ValueError, match="module__n_features"):
        make_module(MLP, {}, {"n_outputs": 3})


def test_row_size() -> None:
    assert row_size(np.zeros((5, 4))) == {"n_features": 4}
    assert row_size(np.zeros((5, 2, 3))) == {"n_features": 6}
    assert row_size({"a": np.zeros((5, 2))}) == {}
    dataset = torch.utils.data.TensorDataset(torch.zeros(5, 4), torch.zeros(5))
    assert row_size(dataset) == {"n_features": 4}
