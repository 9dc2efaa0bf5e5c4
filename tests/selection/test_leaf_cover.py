"""Selectors on leaves against plain greedy selection among all pairs of rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from skal.selection import k_medoids, max_cover, max_herding, prob_cover
from skal.selection._herding import spread
from skal.selection._prob_cover import pure_radius
from skal.spaces import Leaves
from tests.numerics.leaves import draw_codes, one_hot
from tests.selection.ends import assert_begins
from tests.selection.ties import first

N_CODES = 48
RADII = (0.3, 0.5**0.5, 0.625**0.5, 0.8, 1.0, 2.0)


def draw(m: int, seed: int) -> tuple[Leaves, Tensor]:
    codes = draw_codes(m, seed=seed)
    return Leaves(torch.from_numpy(codes), N_CODES), one_hot(codes, N_CODES)


def plain_greedy(
    f: Callable[[Tensor], Tensor],
    rows: Tensor,
    n: int,
    labeled: Tensor,
    weights: Tensor,
    candidates: list[int] | None = None,
) -> tuple[list[int], list[float]]:
    """Pick by sums of similarities over all rows, as long as one adds something."""
    similarity = f(torch.cdist(rows, rows).square())
    covered = torch.zeros(len(rows)).double()
    if len(labeled):
        covered = f(torch.cdist(rows, labeled).square()).amax(dim=1)
    picked: list[int] = []
    scores: list[float] = []
    left = set(range(len(rows)) if candidates is None else candidates)
    while len(picked) < n:
        added = (similarity - covered[:, None]).clamp(min=0)
        gain = dict(enumerate((weights @ added).tolist()))
        largest = max(gain[i] for i in left)
        if largest < 1e-10:
            break
        best = first(i for i in left if gain[i] >= largest - 1e-10)
        left.remove(best)
        picked.append(best)
        scores.append(gain[best])
        covered = torch.maximum(covered, similarity[:, best])
    return picked, scores


@pytest.fixture(params=["bounded", "one by one", "listed", "listed late"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Force each of the ways in which gains are found."""
    # Tables of pairs of trees for free, or dear.
    dear = 1e9 * (request.param != "bounded")
    monkeypatch.setattr("skal._numerics.leaf_coverage._PAIRED", dear)
    patience = {"listed": 0.0, "listed late": 0.6}.get(request.param, 1e9)
    monkeypatch.setattr("skal.selection._leaf_cover._PATIENCE", patience)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_labeled", [0, 7])
@pytest.mark.parametrize("bandwidth", [0.3, 0.7, 3.0])
def test_herding(n_labeled: int, bandwidth: float) -> None:
    leaves, rows = draw(90, 0)
    known, labeled = draw(n_labeled, 1) if n_labeled else (None, rows[:0])
    weights = torch.rand(90, generator=torch.Generator().manual_seed(2)).double()
    for given in (None, weights):
        picks = max_herding(leaves, 40, bandwidth, known, given)
        expected, scores = plain_greedy(
            lambda sq_dist: (-sq_dist / bandwidth**2).exp(),
            rows,
            40,
            labeled,
            torch.ones(90).double() if given is None else given,
        )
        assert_begins(picks, expected, 40)
        found = picks.scores[: len(scores)] * 90
        torch.testing.assert_close(found, torch.tensor(scores).double())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("n_labeled", [0, 7])
def test_medoids(n_labeled: int) -> None:
    leaves, rows = draw(90, 0)
    known, labeled = draw(n_labeled, 1) if n_labeled else (None, rows[:0])
    n_trees = leaves.n_trees

    def nearness(sq_dist: Tensor) -> Tensor:
        return largest - ((n_trees * sq_dist).round() / n_trees).sqrt()

    largest = 2 * float((rows - rows.mean(dim=0)).norm(dim=1).max())
    picks = k_medoids(leaves, 40, known)
    ones = torch.ones(90).double()
    expected, scores = plain_greedy(nearness, rows, 40, labeled, ones)
    assert_begins(picks, expected, 40)
    found = picks.scores[: len(scores)] * 90
    torch.testing.assert_close(found, torch.tensor(scores).double())
    vectors = k_medoids(rows, 3, labeled)
    assert torch.equal(vectors.indices, picks.indices[:3])
    torch.testing.assert_close(vectors.scores, picks.scores[:3])


def test_few_rows_are_compared_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound rules most rows out."""
    from skal._numerics.leaf_coverage import LeafCoverage

    rng = torch.Generator().manual_seed(0)
    codes = torch.randint(20, (1500, 30), generator=rng).int()
    codes[100:200, :25] = codes[100, :25]  # a heap
    codes += 20 * torch.arange(30)
    compared = []
    gain = LeafCoverage.gain

    def counting(self, row):
        compared.append(row)
        return gain(self, row)

    monkeypatch.setattr(LeafCoverage, "gain", counting)
    leaves, labeled = (Leaves(c, 600) for c in (codes, codes[:40]))
    assert 100 <= int(max_herding(leaves, 1, 0.5, labeled).indices) < 200
    assert 0 < len(set(compared)) < 1500 / 8


def test_the_spread_is_that_of_the_vectors() -> None:
    leaves, rows = draw(90, 0)
    assert spread(leaves) == pytest.approx(spread(rows))
    default, given = (max_herding(leaves, 5, b) for b in (None, spread(rows)))
    assert torch.equal(default.indices, given.indices)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("some", [False, True])
def test_cover_by_cosines(some: bool) -> None:
    leaves, rows = draw(90, 0)
    candidates = list(range(5, 90, 4)) if some else list(range(90))
    given = torch.tensor(candidates[::-1]) if some else None
    picks = max_cover(leaves, 15, given)
    expected, scores = plain_greedy(
        lambda sq_dist: 2 - sq_dist,
        rows,
        15,
        rows[:0],
        torch.ones(90).double(),
        candidates,
    )
    assert_begins(picks, expected, 15)
    torch.testing.assert_close(
        picks.scores[: len(scores)], torch.tensor(scores).double()
    )


@pytest.mark.parametrize("n_labeled", [0, 7])
@pytest.mark.parametrize("radius", RADII)
def test_cover_by_balls(n_labeled: int, radius: float) -> None:
    leaves, rows = draw(90, 0)
    known, labeled = draw(n_labeled, 1) if n_labeled else (None, rows[:0])
    picks = prob_cover(leaves, 60, radius, known)
    expected = prob_cover(rows, 60, radius, labeled)
    assert torch.equal(picks.scores, expected.scores)
    # Beyond the last ball, the farthest rows; then any that coincide with a center.
    n = int((expected.scores > 0).sum())
    assert picks.indices[:n].tolist() == expected.indices[:n].tolist()
    centers = torch.cat([labeled, rows[expected.indices[:n]]])
    far = torch.cdist(rows, centers).amin(dim=1)
    if n < 60 and far.max() > 1e-6:
        assert picks.indices[n] == expected.indices[n]
    drawn = [
        prob_cover(a, n, radius, b, torch.Generator().manual_seed(5)).indices
        for a, b in ((leaves, known), (rows, labeled))
    ]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("purity", [0.05, 0.5, 0.95, 1.0])
def test_the_radius_of_a_purity(purity: float) -> None:
    leaves, rows = draw(90, 0)
    clusters = torch.arange(90) % 4 // 2
    for some in (None, torch.arange(0, 90, 3)):
        found = pure_radius(leaves, clusters, purity, some)
        assert found == pure_radius(rows, clusters, purity, some)
    assert pure_radius(leaves, torch.zeros(90).long(), purity) == torch.inf
