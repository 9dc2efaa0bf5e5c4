"""The loop of a campaign: query, reveal, teach."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from threading import RLock
from time import perf_counter
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from skal.learners import ActiveLearner
from skal.learners.rows import take_rows
from skal.rng import preserve_global_rng, seed_from
from skal.rows import n_rows

__all__ = ["Campaign", "Streams", "one_at_a_time", "set_random_states"]

#: Campaigns in threads of one process share the global generators: whatever may seed,
#: draw from or restore them takes this lock.
one_at_a_time = RLock()


def set_random_states(estimator: Any, rng: torch.Generator) -> None:
    """Seed every parameter named ``random_state``, at any depth, in place.

    Parameters
    ----------
    estimator : object
        One without ``get_params``, such as a function, is left as it is.
    rng : torch.Generator
        Where the seeds come from, in the order of the parameters' names.
    """
    if not hasattr(estimator, "get_params"):
        return
    seeds = {
        name: seed_from(rng)
        for name in sorted(estimator.get_params(deep=True))
        if name == "random_state" or name.endswith("__random_state")
    }
    if seeds:
        estimator.set_params(**seeds)


@dataclass
class Streams:
    """Streams of random numbers, one a purpose.

    One strategy drawing more than another then changes nothing for the rest: two
    campaigns of the same seed have the same start, nets and candidates' draws.
    """

    rows: np.random.Generator
    estimator: torch.Generator
    strategy: torch.Generator
    everything: torch.Generator
    seeded: bool

    @classmethod
    def spawn(cls, rng: torch.Generator, seeded: bool) -> Streams:
        """Derive the streams; `seeded` says whether parameters are set from them."""
        rows = np.random.default_rng(seed_from(rng))
        first, second, third = (
            torch.Generator().manual_seed(seed_from(rng)) for _ in range(3)
        )
        return cls(rows, first, second, third, seeded)

    @contextmanager
    def global_rng(self) -> Iterator[None]:
        """Have the global generators alone; seeded inside and restored, if seeded."""
        seeding = (
            preserve_global_rng(seed_from(self.everything))
            if self.seeded
            else nullcontext()
        )
        with one_at_a_time, seeding:
            yield


@dataclass
class Campaign:
    """One campaign, and what it leaves behind.

    Attributes
    ----------
    X, y : array-likes
        All rows and their labels.
    learner_args : tuple
        Estimator and strategy, both already the campaign's own.
    initial : ndarray of int64
        Rows to start with.
    streams : Streams
        Random numbers.
    queried : list of ndarray
        Rows of each query, in the order asked for.
    estimators : list
        A copy of the fitted estimator of each step.
    query_times, fit_times : list of float
        Seconds.
    """

    X: Any
    y: Any
    learner_args: tuple[Any, Any]
    initial: np.ndarray
    streams: Streams
    queried: list[np.ndarray] = field(default_factory=list)
    estimators: list[Any] = field(default_factory=list)
    query_times: list[float] = field(default_factory=list)
    fit_times: list[float] = field(default_factory=list)

    def play(
        self, n_instances: int, n_queries: int, n_candidates: int | None, progress: bool
    ) -> Campaign:
        """Fit on the start, then query and teach `n_queries` times."""
        estimator, strategy = self.learner_args
        if self.streams.seeded:
            set_random_states(estimator, self.streams.estimator)
        learner = self._start(estimator, strategy)
        unlabeled = np.setdiff1d(np.arange(n_rows(self.X)), self.initial)
        bar = tqdm(
            range(n_queries),
            desc=f"{type(strategy).__name__}: queries",
            disable=not progress,
        )
        for _ in bar:
            rows = self._query(learner, unlabeled, n_instances, n_candidates)
            unlabeled = np.setdiff1d(unlabeled, rows)
            self._teach(learner, rows)
        return self

    def _start(self, estimator: Any, strategy: Any) -> ActiveLearner:
        X, y = take_rows(self.X, self.initial), take_rows(self.y, self.initial)
        with self.streams.global_rng():
            start = perf_counter()
            if isinstance(estimator, ActiveLearner):  # a learner that has its own ways
                learner = estimator.set_params(query_strategy=strategy)
                learner.fit(X, y, bootstrap=learner.bootstrap_init)
            else:
                learner = ActiveLearner(estimator, strategy, X_training=X, y_training=y)
            self.fit_times.append(perf_counter() - start)
        self.estimators.append(deepcopy(learner.estimator))
        return learner

    def _query(
        self,
        learner: ActiveLearner,
        unlabeled: np.ndarray,
        n_instances: int,
        n_candidates: int | None,
    ) -> np.ndarray:
        candidates = unlabeled
        if n_candidates is not None and n_candidates < len(unlabeled):
            offered = self.streams.rows.permutation(len(unlabeled))[:n_candidates]
            candidates = unlabeled[np.sort(offered)]
        if self.streams.seeded:
            set_random_states(learner.query_strategy, self.streams.strategy)
        pool = take_rows(self.X, candidates)
        with self.streams.global_rng():
            start = perf_counter()
            picks, _ = learner.query(pool, n_instances=n_instances)
            self.query_times.append(perf_counter() - start)
        rows = candidates[np.asarray(picks)]
        if len(rows) != n_instances:
            raise ValueError(
                f"The strategy was asked for {n_instances} rows and named {len(rows)}."
            )
        self.queried.append(rows)
        return rows

    def _teach(self, learner: ActiveLearner, rows: np.ndarray) -> None:
        X, y = take_rows(self.X, rows), take_rows(self.y, rows)
        with self.streams.global_rng():
            start = perf_counter()
            learner.teach(X, y)
            self.fit_times.append(perf_counter() - start)
        self.estimators.append(deepcopy(learner.estimator))
