from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

from skal.spaces.projection import Projection


def draw(width: int, p: int, seed: int = 0) -> Projection:
    return Projection(width, p, torch.Generator().manual_seed(seed))


def lengths(projection: Projection) -> list[int]:
    return [len(part.second) * part.first.shape[1] for part in projection.parts]


def matrix(projection: Projection, width: int) -> torch.Tensor:
    """Omega, (w, p), from the images of the unit vectors."""
    return projection(torch.eye(width))


@pytest.mark.parametrize("p", [128, 300, 512])
@pytest.mark.parametrize("n", [128, 256, 512, 1024])
def test_columns_are_those_of_hadamard_with_signs(n, p):
    projection = draw(n, p)
    omega = matrix(projection, n).numpy()
    assert (np.abs(omega) == 1).all()
    for part in projection.parts:
        length = len(part.second) * part.first.shape[1]
        # The first row of a symmetric matrix of Hadamard's is of ones.
        signs = part.first[:, 0].reshape(-1, length)
        copies = [hadamard(length) * s[:, None] for s in signs.numpy()]
        expected = np.concatenate(copies, axis=1)[:, part.columns]
        np.testing.assert_array_equal(omega[part.start :][:length], expected)
        assert len(set(part.columns.tolist())) == p
    assert projection.matrix is None


@pytest.mark.parametrize("width", [1, 2, 127, 128, 513, 600, 784, 5000])
def test_rows_are_projected_by_one_matrix(width):
    projection = draw(width, 512)
    rows = torch.randn(7, width, generator=torch.Generator().manual_seed(1))
    expected = rows.double() @ matrix(projection, width).double()
    torch.testing.assert_close(
        projection(rows).double(), expected, rtol=1e-4, atol=1e-3
    )
    rows = rows.double()
    projection = projection.to(rows)
    torch.testing.assert_close(projection(rows)[2:4], projection(rows[2:4]))


def test_long_parts_are_transformed_and_the_rest_is_not():
    assert lengths(draw(784, 512)) == [512, 256]
    assert draw(784, 512).matrix.shape == (16, 512)
    assert lengths(draw(513, 512)) == [512]
    assert set(draw(513, 512).matrix.unique().tolist()) == {-1, 1}
    assert lengths(draw(9000, 512)) == [4096, 4096, 512, 256]
    assert draw(127, 512).parts == []
    assert draw(127, 512).matrix.shape == (127, 512)
    assert draw(512, 16).parts == []  # few numbers: a Gaussian matrix costs less
    assert draw(128, 512).matrix is None


@pytest.mark.parametrize(("width", "p"), [(1, 9), (5, 9), (513, 512), (900, 300)])
def test_size_is_that_of_what_is_kept(width, p):
    projection = draw(width, p)
    kept = [x for part in projection.parts for x in part[1:]]
    kept += [] if projection.matrix is None else [projection.matrix]
    total = sum(x.numel() for x in kept)
    # Copies of signs fill up to whole matrices; the two small ones are not counted.
    assert Projection.size(width, p) == pytest.approx(total, rel=0.6)


@pytest.mark.parametrize(("width", "p"), [(200, 512), (513, 128), (1500, 200)])
def test_products_are_kept_on_average(width, p):
    rng = torch.Generator().manual_seed(5)
    sparse = torch.zeros(2, width)
    sparse[0, [0, 130]], sparse[1, [0, 2]] = 1.0, 1.0
    rows = torch.cat([sparse, torch.randn(2, width, generator=rng) / width**0.5])
    found = torch.stack(
        [(y := draw(width, p, seed)(rows)) @ y.T / p for seed in range(400)]
    )
    error = found.std(dim=0) / 20
    assert ((found.mean(dim=0) - rows @ rows.T).abs() <= 4 * error + 1e-4).all()
    # No worse than Gaussians, whose variance is (|x|²|y|² + <x, y>²) / p.
    sq = rows.square().sum(dim=1)
    gaussian = (sq[:, None] * sq + (rows @ rows.T) ** 2) / p
    assert (found.var(dim=0) < 1.3 * gaussian).all()


def test_parts_do_not_mix():
    # The same number at the same place of two parts: their products must cancel.
    x = torch.zeros(1, 768)
    x[0, 3], x[0, 515] = 1.0, 1.0
    errors = [float(draw(768, 512, s)(x).square().sum()) / 512 - 2 for s in range(300)]
    assert np.std(errors) < 1.2 * (2 * 4 / 512) ** 0.5
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 300**0.5


def test_same_seed_same_projection():
    x = torch.randn(3, 600, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(600, 256)(x), draw(600, 256)(x))
    assert not torch.equal(draw(600, 256)(x), draw(600, 256, 1)(x))


def test_dtype_follows():
    x = torch.ones(2, 600, dtype=torch.float64)
    assert draw(600, 256).to(x)(x).dtype == torch.float64


def test_nothing_to_project():
    assert torch.equal(draw(0, 4)(torch.ones(3, 0)), torch.zeros(3, 4))
