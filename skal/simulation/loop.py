"""The loop of a campaign: query, reveal the labels, teach."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from numbers import Integral
from threading import RLock
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import clone, is_classifier
from tqdm.auto import tqdm

from skal.learners import ActiveLearner
from skal.rng import preserve_global_rng, resolve_rng, seed_from
from skal.rows import take_rows
from skal.simulation.starts import draw_start
from skal.strategies import QueryStrategy

__all__ = [
    "Campaign",
    "RandomStreams",
    "Step",
    "global_rng_lock",
    "set_random_states",
]

#: Rows of the pool on which strategies are tried before a comparison.
_TRIAL_ROWS = 200

#: Campaigns that run in threads of one process share the global generators. Whatever
#: seeds, draws from or restores them holds this lock.
global_rng_lock = RLock()


def set_random_states(
    estimator: Any, rng: torch.Generator, *, keep_ints: bool = False
) -> None:
    """Set every parameter named ``random_state``, at any depth, in place.

    Parameters
    ----------
    estimator : object
        Left unchanged if it has no ``get_params``, such as a function.
    rng : torch.Generator
        Source of the seeds, which are drawn in the order of the parameters' names.
    keep_ints : bool, default=False
        Whether parameters that are an int stay as they are.
    """
    if not hasattr(estimator, "get_params"):
        return
    seeds = {
        name: seed_from(rng)
        for name, value in sorted(estimator.get_params(deep=True).items())
        if (name == "random_state" or name.endswith("__random_state"))
        and not (keep_ints and isinstance(value, Integral))
    }
    if seeds:
        estimator.set_params(**seeds)


@dataclass
class RandomStreams:
    """Independent streams of random numbers, one for each purpose.

    A strategy that draws more numbers than another then changes nothing else: two
    campaigns with the same seed have the same start, the same initial weights of
    nets, and the same candidates.

    Attributes
    ----------
    sampling : numpy.random.Generator
        Draws the start and the candidates.
    estimator, strategy : torch.Generator
        Draw the ``random_state`` parameters of the estimator and of the strategy.
    global_seeds : torch.Generator
        Draws the seeds of the global generators.
    seeded : bool
        Whether these parameters and the global generators are seeded at all.
    """

    sampling: np.random.Generator
    estimator: torch.Generator
    strategy: torch.Generator
    global_seeds: torch.Generator
    seeded: bool

    @classmethod
    def spawn(cls, random_state: Any) -> RandomStreams:
        """Derive the streams from a ``random_state``."""
        rng = resolve_rng(random_state)
        sampling = np.random.default_rng(seed_from(rng))
        estimator, strategy, global_seeds = (
            torch.Generator().manual_seed(seed_from(rng)) for _ in range(3)
        )
        return cls(
            sampling, estimator, strategy, global_seeds, random_state is not None
        )

    @contextmanager
    def global_rng(self) -> Iterator[None]:
        """Hold the global generators; if seeded, seed and afterwards restore them."""
        seeding = (
            preserve_global_rng(seed_from(self.global_seeds))
            if self.seeded
            else nullcontext()
        )
        with global_rng_lock, seeding:
            yield


class Step(NamedTuple):
    """One fit of a campaign.

    Attributes
    ----------
    estimator : estimator
        Fitted. The next step fits the same object again: copy it to keep it.
    labeled : ndarray of shape (n_labeled_in_this_step,), int64
        Positions, in the order queried, of the rows labeled for this fit.
    query_time, fit_time : float
        Seconds; `query_time` is NaN for the start, which is not queried.
    """

    estimator: Any
    labeled: np.ndarray
    query_time: float
    fit_time: float


@dataclass
class Campaign:
    """Data and settings of one campaign, already checked.

    Attributes
    ----------
    X, y : array-likes
        Data, and the labels that the campaign reveals.
    rows : ndarray of shape (n,), int64
        Positions in `X` of the rows that take part. All other positions, those of
        `Step.labeled` included, count within these.
    n_initial, n_instances, n_queries, initial, n_candidates, random_state
        As in `ActiveLearningSimulation`.
    """

    X: Any
    y: Any
    rows: np.ndarray
    n_initial: int
    n_instances: int
    n_queries: int
    initial: Any
    n_candidates: int | None
    random_state: Any

    def run(
        self, estimator: Any, strategy: Any, *, progress: bool = False
    ) -> Iterator[Step]:
        """Fit on the start, then query and teach, and yield after each fit.

        Parameters
        ----------
        estimator, strategy : objects
            Used as they are, and changed: pass clones.
        progress : bool, default=False
            Whether a progress bar is shown.
        """
        learner, streams, first = self._start(estimator, strategy)
        yield first
        unlabeled = np.setdiff1d(np.arange(len(self.rows)), first.labeled)
        description = f"{type(strategy).__name__}: queries"
        for _ in tqdm(range(self.n_queries), desc=description, disable=not progress):
            step = self._query_and_teach(learner, unlabeled, streams)
            unlabeled = np.setdiff1d(unlabeled, step.labeled)
            yield step

    def first_query_errors(
        self, estimator: Any, strategies: Mapping[str, Any]
    ) -> dict[str, Exception]:
        """Fit on the start, and let each strategy query a small part of the pool.

        Parameters
        ----------
        estimator : estimator
            Used as it is, and changed: pass a clone.
        strategies : mapping of str to strategy
            They are cloned.

        Returns
        -------
        errors : dict of str to Exception
            Of the strategies that fail.
        """
        learner, streams, first = self._start(estimator, None)
        unlabeled = np.setdiff1d(np.arange(len(self.rows)), first.labeled)
        pool = self._take(self.X, unlabeled[: max(_TRIAL_ROWS, self.n_instances)])
        errors: dict[str, Exception] = {}
        for name, strategy in strategies.items():
            learner.query_strategy = clone(strategy, safe=False)
            if streams.seeded:
                set_random_states(learner.query_strategy, streams.strategy)
            try:
                with streams.global_rng():
                    picked, _ = learner.query(pool, n_instances=self.n_instances)
                self._check_picked(picked)
            except Exception as error:  # a strategy of the user may raise anything
                errors[name] = error
        return errors

    def _start(
        self, estimator: Any, strategy: Any
    ) -> tuple[ActiveLearner, RandomStreams, Step]:
        streams = RandomStreams.spawn(self.random_state)

        def pick(first: QueryStrategy) -> np.ndarray:
            if streams.seeded:
                seed = int(streams.sampling.integers(2**31))
                set_random_states(first, torch.Generator().manual_seed(seed))
            X = take_rows(self.X, self.rows)
            with streams.global_rng():
                return first.select(estimator, X, self.n_initial).indices

        start = draw_start(
            self.initial,
            take_rows(self.y, self.rows),
            self.n_initial,
            classes=is_classifier(estimator),
            rng=streams.sampling,
            pick=pick,
        )
        if streams.seeded:
            set_random_states(estimator, streams.estimator)
        learner = _as_learner(estimator, strategy)
        X, y = self._take(self.X, start), self._take(self.y, start)
        with streams.global_rng():
            began = perf_counter()
            learner.fit(X, y, bootstrap=learner.bootstrap_init)
            fit_time = perf_counter() - began
        return learner, streams, Step(learner.estimator, start, float("nan"), fit_time)

    def _query_and_teach(
        self, learner: ActiveLearner, unlabeled: np.ndarray, streams: RandomStreams
    ) -> Step:
        candidates = unlabeled
        if self.n_candidates is not None and self.n_candidates < len(unlabeled):
            drawn = streams.sampling.permutation(len(unlabeled))[: self.n_candidates]
            candidates = unlabeled[np.sort(drawn)]
        if streams.seeded:
            set_random_states(learner.query_strategy, streams.strategy)
        pool = self._take(self.X, candidates)
        with streams.global_rng():
            began = perf_counter()
            picked, X = learner.query(pool, n_instances=self.n_instances)
            query_time = perf_counter() - began
        self._check_picked(picked)
        labeled = candidates[picked]
        y = self._take(self.y, labeled)
        with streams.global_rng():
            began = perf_counter()
            learner.teach(X, y)
            fit_time = perf_counter() - began
        return Step(learner.estimator, labeled, query_time, fit_time)

    def _check_picked(self, picked: Any) -> None:
        if len(picked) != self.n_instances:
            raise ValueError(
                f"The strategy was asked for {self.n_instances} rows but returned "
                f"{len(picked)}."
            )

    def _take(self, values: Any, positions: np.ndarray) -> Any:
        return take_rows(values, self.rows[positions])


def _as_learner(estimator: Any, strategy: Any) -> ActiveLearner:
    if isinstance(estimator, ActiveLearner):
        learner = estimator.set_params(query_strategy=strategy)
    else:
        learner = ActiveLearner(estimator, strategy)
    # A campaign whose fit fails is given up: nothing needs to be restored.
    learner._restores_on_error = False
    return learner
