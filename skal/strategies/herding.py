"""MaxHerding and UHerding: rows that cover the pool, or its uncertain part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from skal._numerics.products import blocks
from skal.measures import margin, not_negative
from skal.reading.fitting import fit_copy
from skal.reading.pool import Pool
from skal.reading.unwrapping import estimator_of, learners_of
from skal.rng import seed_from
from skal.rows import n_rows, take_rows
from skal.selection import Picks, max_herding
from skal.spaces import Leaves
from skal.strategies.base import QueryStrategy, ScoreStrategy
from skal.strategies.space import ReadsSpace
from skal.strategies.wrapping import WrappingStrategy
from skal.validation import check_positive

__all__ = ["MaxHerding", "UHerding", "calibration_error", "tempered"]

#: Share of the labeled rows that judges a temperature, and bins of its error.
_HELD_OUT, _N_BINS = 0.3, 15
#: Temperatures that are tried.
_TEMPERATURES = np.arange(10, 200) / 10


class MaxHerding(ReadsSpace, QueryStrategy):
    r"""MaxHerding [1]_: rows that are similar to as many uncovered rows as possible.

    Parameters
    ----------
    bandwidth : float or "auto", default="auto"
        Width :math:`\sigma` of the kernel, in units of the space; ``"auto"``: the root
        of half the mean squared distance between rows of the pool.
    space : str, Posterior or callable, default="auto"
        Space in which rows are compared, as in `LCMD`; ``"auto"``: the penultimate
        features of nets, otherwise as in `LCMD`.
    head : str, optional
        Name of the module whose inputs are the features; by default the last Linear
        on the way to the outputs.
    random_state : int, RandomState, Generator or None
        Used where the space is drawn, as in `LCMD`.

    Notes
    -----
    With the kernel :math:`k(u, s) = e^{-\lVert z_u - z_s \rVert^2 / \sigma^2}`, the
    coverage of a set S of labeled and picked rows is :math:`\frac1m \sum_u \max_{s \in
    S} k(u, s)` over the rows u of the pool.  Each pick is the row that adds the most to
    it, which is its score.  `ProbCover` is the same with a kernel that is 1 within a
    radius and 0 beyond it; a smooth kernel depends much less on its width.  `KMedoids`
    is the same with distances, which need no width.

    The paper uses features that were learned without labels, on the unit sphere, with
    :math:`\sigma = 1`, which is what ``"auto"`` gives there: pass such features as
    inputs, with ``space="inputs"``.  This implementation follows the abstract of the
    paper and independent programs that follow the authors'; it has neither the other
    kernels of the paper nor its variant of k-medoids.

    The cost is one forward pass over the pool and the labeled rows, whose vectors are
    kept twice, (m + L) × d elements each, and about 3·m² × d multiply-adds and 3·m²
    exponentials: coverage is computed in blocks, and again only where it may decide a
    pick.  Picking 100 of 20,000 rows with 64 elements takes 6 seconds on one core, and
    70 MB.  The time grows with the square of m: for larger pools, use `Subsample`.
    ``"leaves"`` are compared as they are: each row is compared with all others, and the
    pairs that matter are listed.  Picking 100 of 50,000 rows by 100 trees takes some 10
    seconds with 300 labeled rows, and 280 MB; with far fewer labeled rows the pairs are
    too many for a list, and it takes longer.

    References
    ----------
    .. [1] Bae, Noh and Sutherland, "Generalized coverage for more robust low-budget
       active learning", ECCV 2024. https://arxiv.org/abs/2407.12212

    Examples
    --------
    Two heaps of rows, and a row of the middle of each:

    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skal.strategies import MaxHerding
    >>> heap = np.array([0.0, 1, 2, 3, 3.5, 4, 5, 6, 7])
    >>> X = np.concatenate([heap, 100 + heap])[:, None]
    >>> model = LinearRegression().fit(X, X[:, 0])
    >>> sorted(MaxHerding(bandwidth=5.0).select(model, X, 2).indices.tolist())
    [4, 13]
    """

    _task: ClassVar[str] = "any"
    _any_of_equal: ClassVar[bool] = True

    def __init__(
        self,
        bandwidth: float | str = "auto",
        space: Any = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.bandwidth = bandwidth
        self.space = space
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        bandwidth = _given("bandwidth", self.bandwidth)
        rows, labeled = self._read_space(pool, rng).leaves_or_vectors()
        return max_herding(rows, n, bandwidth, labeled)


class UHerding(ReadsSpace, WrappingStrategy):
    r"""Uncertainty herding [1]_: rows similar to many that are uncertain and uncovered.

    Parameters
    ----------
    strategy : ScoreStrategy, optional
        Scores the uncertainty of the rows, which is their weight; if any score is
        negative, the lowest one of the pool is subtracted first.  By default one plus
        the score of `Margin` for classifiers, after calibration, and
        `PredictiveVariance` for regressors.
    bandwidth : float or "auto", default="auto"
        Width :math:`\sigma` of the kernel, in units of the space; ``"auto"``: the
        smallest distance between two labeled rows that differ, or that of `MaxHerding`
        if there are no two.
    temperature : float or "auto", default="auto"
        Temperature :math:`\tau` that calibrates the probabilities of a classifier if
        `strategy` is None; above 1 they become less certain.  ``"auto"``: chosen by
        labeled rows, which takes one fit; 1 means no calibration.
    space, head
        As in `MaxHerding`.
    random_state : int, RandomState, Generator or None
        Used to hold out labeled rows, and by `strategy` if its own `random_state` is
        None.

    Notes
    -----
    As `MaxHerding`, with the uncertainty U of each row as its weight: the score of a
    pick is what it adds to :math:`\frac1m \sum_u U(u) \max_{s \in S} k(u, s)`.  Two
    parameters adapt to the number of labels, as in the paper.  With few labels, the
    kernel is wide, and calibrated probabilities are similar, so that the picks are
    those of `MaxHerding`.  With many labels, the kernel is narrow, and the picks are
    the most uncertain rows.

    With ``temperature="auto"``, a clone of the learner's estimator is fitted on 70 % of
    the labeled rows, drawn by class.  Probabilities :math:`p^{1/\tau}`, scaled to a sum
    of 1, of the other 30 % are compared with their labels: of :math:`\tau` = 1, 1.1,
    ..., 19.9, the one of the lowest expected calibration error, in 15 bins, is used.
    It is 1 for a committee, for several outputs, and if a class has fewer than two
    labels.  If all uncertainties are 0, all weights are 1.

    This implementation follows parts of the paper, and for the two adaptations and the
    temperatures independent programs that cite the authors'.  The paper is about
    classifiers; uncertainties of regressors are an extension.

    The cost is that of `MaxHerding` and of `strategy`, and the fit.  The fit of a net
    draws from the global generators: in threads, set ``temperature=1``.

    References
    ----------
    .. [1] Bae, Oliveira and Sutherland, "Uncertainty herding: one active learning
       method for all label budgets", ICLR 2025. https://arxiv.org/abs/2412.20644

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skal import ActiveLearner
    >>> from skal.strategies import UHerding
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=500)
    >>> learner = ActiveLearner(model, X_training=X[::5], y_training=y[::5])
    >>> UHerding(random_state=0).select(learner, X, 4).indices.shape
    (4,)
    """

    _wraps: ClassVar[Mapping[str, type[Any]]] = {"strategy": ScoreStrategy}

    def __init__(
        self,
        strategy: ScoreStrategy | None = None,
        bandwidth: float | str = "auto",
        temperature: float | str = "auto",
        space: Any = "auto",
        head: str | None = None,
        random_state: Any = None,
    ) -> None:
        self.strategy = strategy
        self.bandwidth = bandwidth
        self.temperature = temperature
        self.space = space
        self.head = head
        self.random_state = random_state

    def _select(self, pool: Pool, n: int, rng: torch.Generator) -> Picks:
        bandwidth = _given("bandwidth", self.bandwidth)
        temperature = _given("temperature", self.temperature)
        seed = seed_from(rng)  # drawn in any case, so that it changes nothing else
        if self.strategy is None and _has_proba(pool):
            if temperature is None:
                temperature = _calibrated(pool, seed)
            margins = [margin(tempered(p, temperature)) for p in pool.proba()]
            weights = 1 + torch.stack(margins).mean(dim=0)
        else:
            weights = not_negative(self._wrapped_scores("strategy", pool, rng))
        rows, labeled = self._read_space(pool, rng).leaves_or_vectors()
        if bandwidth is None:
            bandwidth = smallest_distance(labeled)
        weights = weights.double().to(rows.device).clamp(min=0)
        if not bool((weights > 0).any()):
            weights = torch.ones_like(weights)
        return max_herding(rows, n, bandwidth, labeled, weights)


def _given(name: str, value: Any) -> float | None:
    """Check a positive number or ``"auto"``, which is None."""
    if isinstance(value, str) and value == "auto":
        return None
    if isinstance(value, str):
        raise ValueError(f'{name} must be a number above 0 or "auto", got {value!r}.')
    check_positive(name, value)
    return float(value)


def smallest_distance(rows: Tensor | Leaves) -> float | None:
    """Return the smallest distance above 0 between two rows; None if there is none."""
    least = torch.inf
    if isinstance(rows, Leaves):
        for i in range(len(rows)):
            sq_dist = rows.sq_dist(i)
            least = min(least, float(sq_dist.where(sq_dist > 0, torch.inf).min()))
        return least**0.5 if least < torch.inf else None
    for part in blocks(len(rows), max(rows.shape)):
        apart = torch.cdist(
            rows[part].double(),
            rows.double(),
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        if bool((apart > 0).any()):
            least = min(least, float(apart[apart > 0].min()))
    return least if least < torch.inf else None


# -- calibration -----------------------------------------------------------------------


def tempered(probs: Tensor, temperature: float) -> Tensor:
    """Return probabilities to the power of 1 / temperature, scaled to a sum of 1."""
    return (probs.double().log() / temperature).softmax(dim=1)


def calibration_error(probs: Tensor, correct: Tensor, n_bins: int = _N_BINS) -> float:
    """Compute the expected calibration error of the most probable classes.

    Parameters
    ----------
    probs : Tensor of shape (m, C)
    correct : Tensor of shape (m,), bool
        Whether the most probable class is that of the label.
    n_bins : int
        Number of bins of equal width for the largest probability of a row.

    Returns
    -------
    error : float
        Mean, over the rows, of the distance between the share of correct rows and the
        mean largest probability in the bin of the row.
    """
    sure = probs.amax(dim=1)
    bins = (sure * n_bins).ceil().long().clamp(1, n_bins) - 1
    apart = torch.zeros(n_bins, dtype=torch.float64, device=probs.device)
    apart.index_add_(0, bins, correct.double() - sure.double())
    return float(apart.abs().sum()) / max(1, len(probs))


def _has_proba(pool: Pool) -> bool:
    return pool.task == "classification" and all(
        hasattr(member.estimator, "predict_proba") for member in pool.members
    )


def _calibrated(pool: Pool, seed: int) -> float:
    """Choose the temperature of a learner by some of its labeled rows."""
    learners = learners_of(pool.learner)
    if len(learners) != 1 or len(pool.labeled) != 1:
        return 1.0
    ((X, y),) = pool.labeled
    labels = None if y is None else np.asarray(y)
    if labels is None or labels.ndim != 1:
        return 1.0
    classes, counts = np.unique(labels, return_counts=True)
    n_held_out = round(_HELD_OUT * len(labels))
    if counts.min() < 2 or len(classes) > min(n_held_out, len(labels) - n_held_out):
        return 1.0
    known, held_out = train_test_split(
        np.arange(n_rows(X)), test_size=n_held_out, random_state=seed, stratify=labels
    )
    estimator = fit_copy(
        estimator_of(learners[0]),
        take_rows(X, known),
        labels[known],
        torch.Generator().manual_seed(seed),
        "UHerding's copy of",
        "set temperature=1.0",
    )
    judged = Pool(estimator, take_rows(X, held_out), "the labeled data")
    (probs,) = judged.proba()
    member = judged.members[0]
    (seen,) = member.classes([probs])
    predicted = member.decode(seen)[probs.argmax(dim=1).cpu().numpy()]
    right = torch.from_numpy(predicted == labels[held_out]).to(probs.device)
    errors = [calibration_error(tempered(probs, t), right) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(errors))])
