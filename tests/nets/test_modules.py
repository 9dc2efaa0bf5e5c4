from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skal.nets import MLP, TabularMLP
from skal.nets.modules import ColumnScale, PeriodicEmbedding, make_module, row_size
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


# -- tables -------------------------------------------------------------------------


COLUMNS = [3, 0]


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """Move all parameters away from their initial values."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng))
    return module


def slow_embedding(module: PeriodicEmbedding, X: Tensor) -> Tensor:
    """Values of an embedding, number by number."""
    rows = []
    for x in X.tolist():
        row = list(x)
        for q, j in enumerate(module.columns.tolist()):
            f, p = module.frequency[q].tolist(), module.phase[q].tolist()
            waves = [
                math.cos(2 * math.pi * a * x[j] + b) for a, b in zip(f, p, strict=True)
            ]
            for v in range(module.weight.shape[2]):
                w = module.weight[q, :, v].tolist()
                products = [a * b for a, b in zip(w, waves, strict=True)]
                row.append(sum(products) + module.bias[q, v].item())
        rows.append(row)
    return torch.tensor(rows)


@pytest.mark.parametrize("columns", [None, COLUMNS, []])
def test_an_embedding_equals_its_formula(columns: list[int] | None) -> None:
    module = shaken(PeriodicEmbedding(4, columns, n_frequencies=5, n_values=2))
    X = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    expected = slow_embedding(module, X)
    assert expected.shape == (7, module.n_outputs)
    torch.testing.assert_close(module(X), expected, rtol=1e-4, atol=1e-5)


def test_a_column_scale_multiplies_columns() -> None:
    module = shaken(ColumnScale(4))
    X = torch.randn(7, 4)
    assert torch.equal(module(X), torch.stack([x * module.weight for x in X]))


@pytest.mark.parametrize("periodic", [None, [], COLUMNS])
def test_a_module_is_scale_embedding_layers_and_head(periodic: list[int]) -> None:
    module = shaken(TabularMLP(4, 2, (6, 5), periodic=periodic)).eval()
    X = torch.randn(7, 4)
    parts = dict(module.named_modules())
    hidden, start = X * parts["body.0"].weight, 1
    if periodic:
        hidden, start = slow_embedding(parts["body.1"], hidden), 2
    for i in (start, start + 3):
        layer = parts[f"body.{i}"]
        hidden = nn.functional.silu(hidden @ layer.weight.T + layer.bias)
    expected = hidden @ module.head.weight.T + module.head.bias
    torch.testing.assert_close(module(X), expected, rtol=1e-4, atol=1e-5)
    assert any(isinstance(m, PeriodicEmbedding) for m in parts.values()) == bool(
        periodic
    )
    assert [m.p for m in parts.values() if isinstance(m, nn.Dropout)] == [0.1, 0.1]


@pytest.mark.parametrize(
    "make", [lambda: ColumnScale(4), lambda: PeriodicEmbedding(4, COLUMNS)]
)
def test_a_run_with_a_leading_axis_equals_single_modules(make) -> None:
    modules = [shaken(make(), seed) for seed in range(3)]
    X = torch.randn(3, 7, 4)
    stacked = {
        name: torch.stack([dict(m.named_parameters())[name] for m in modules])
        for name, _ in modules[0].named_parameters()
    }
    found = modules[0].run(X, stacked)
    expected = torch.stack([m(x) for m, x in zip(modules, X, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden_sizes", [(), (6,), (6, 5)])
@pytest.mark.parametrize("periodic", [None, COLUMNS])
def test_each_parameter_has_a_learning_rate(hidden_sizes, periodic) -> None:
    module = TabularMLP(4, 2, hidden_sizes, periodic=periodic)
    factors = module.lr_factors()
    assert factors.keys() == dict(module.named_parameters()).keys()
    assert all(factor > 0 for factor in factors.values())
    assert factors["body.0.weight"] == 6
    assert factors["head.bias"] == 0.1
    width = 4 if periodic is None else 10
    if hidden_sizes:
        first = "body.1.weight" if periodic is None else "body.2.weight"
        assert factors[first] == 1 / math.sqrt(width)
        last = hidden_sizes[-1]
        assert factors["head.weight"] == pytest.approx(1.6 / math.sqrt(last))
    else:
        assert factors["head.weight"] == 1 / math.sqrt(width)
    if periodic:
        assert factors["body.1.frequency"] == factors["body.1.weight"] == 0.1


def test_layers_start_with_values_of_unit_variance() -> None:
    torch.manual_seed(0)
    module = TabularMLP(50, 3, (400, 400, 400), dropout=0.0)
    hidden = torch.randn(500, 50)
    for layer in module.body:
        hidden = layer(hidden).detach()
        if isinstance(layer, nn.Linear):
            assert float(hidden.var()) == pytest.approx(1, abs=0.25)
            assert not layer.bias.any()
    assert not module(torch.randn(9, 50)).any()  # the head


def test_an_embedding_starts_with_frequencies_phases_and_weights_as_stated() -> None:
    torch.manual_seed(0)
    module = PeriodicEmbedding(2000, spread=0.5)
    module.requires_grad_(False)
    assert float(module.frequency.std()) == pytest.approx(0.5, rel=0.03)
    assert float(module.phase.abs().max()) <= math.pi
    assert float(module.phase.var()) == pytest.approx(math.pi**2 / 3, rel=0.03)
    added = module(torch.randn(20, 2000))[:, 2000:]
    assert float(added.var()) == pytest.approx(0.5, rel=0.1)  # as cos has on average
    assert "columns" not in module.state_dict()
