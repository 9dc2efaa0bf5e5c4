"""Which rows an annotator is asked to label: chosen, and reserved in the database."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from time import time
from typing import Any, NamedTuple

import numpy as np

from skal._version import __version__
from skal.campaign.batch import Batch
from skal.campaign.database import Database
from skal.campaign.history import fit_at
from skal.campaign.ledger import Event, Ledger
from skal.campaign.picking import Picked, Picker
from skal.campaign.pool import CampaignPool
from skal.campaign.recording import Recorder, name_of
from skal.campaign.status import CampaignStatus, Findings
from skal.campaign.watching import Watch, default_loss, error_at
from skal.rows import take_rows
from skal.simulation.describing import describe
from skal.stopping import StoppingRule
from skal.strategies import Random, recommended_strategy
from skal.validation import check_int, check_positive

__all__ = ["Asker", "watch_of"]

_WEEK = 7 * 24 * 3600.0
#: A century: dates after the year 9999 cannot be written.
_LONGEST = 100 * 365 * 24 * 3600.0
#: How often rows are picked again because another process was asked for them meanwhile.
_TRIES = 20


class _Choice(NamedTuple):
    """A row to be asked; `batch` is that in which it was picked before, if it was."""

    position: int
    why: str
    batch: int | None = None
    score: float | None = None
    probability: float | None = None


class Asker(Recorder):
    """A campaign that has a model and a strategy.

    Parameters
    ----------
    database, meta, pool, texts
        As in `Recorder`.
    parts : dict of str to object
        ``model``, ``strategy``, ``initial`` and ``stop``, each of which may be None.
    """

    def __init__(
        self,
        database: Database,
        meta: Mapping[str, Any],
        pool: CampaignPool | None,
        texts: Sequence[str],
        parts: Mapping[str, Any],
    ) -> None:
        super().__init__(database, meta, pool, texts)
        initial, strategy = parts.get("initial"), parts.get("strategy")
        if strategy is None and parts.get("model") is not None:
            strategy = recommended_strategy(parts["model"])
        self._parts = {
            "model": parts.get("model"),
            "strategy": strategy,
            "initial": Random() if initial is None else initial,
            "stop": parts.get("stop"),
        }
        self._watch = watch_of(parts.get("stop"), self.test_share)
        self._picker = Picker(
            model=self._parts["model"],
            strategy=self._parts["strategy"],
            initial=self._parts["initial"],
            n_initial=meta["n_initial"],
            seed=meta["seed"],
            classifies=self.labels.task == "classification",
        )

    # -- asking -----------------------------------------------------------------------

    def ask(
        self,
        n: int,
        annotator: str | None = None,
        *,
        reserve: float = _WEEK,
        again: bool = True,
    ) -> Batch:
        """Ask which rows to label next.

        Parameters
        ----------
        n : int
        annotator : str, optional
            Who will answer. Rows are not asked of two annotators unless `n_answers` is
            more than 1, and never twice of one who answered or skipped.
        reserve : float, default=7 days
            Seconds for which the rows are reserved.
        again : bool, default=True
            Whether rows that the annotator was asked before and has not answered are
            among the n. Without them, answers that arrive while the model is fitted do
            not matter.

        Returns
        -------
        batch : Batch
            Of n rows, or fewer if no more are left. First those that the annotator was
            asked before and has not answered; then those that others have begun and
            that need more answers; then those that the strategy picks, and of a
            `test_share` those that are drawn at random for testing.

        Warns
        -----
        UserWarning
            If the stopping rule says that it is time to stop, or fails. The rows are
            asked nevertheless.
        """
        batch, findings = self._ask(n, annotator, reserve, again)
        if findings is not None and findings.stop is not None:
            warnings.warn(
                f"The stopping rule says that it is time to stop: {findings.stop}. "
                f"{len(batch)} rows were asked nevertheless.",
                UserWarning,
                stacklevel=2,
            )
        if findings is not None and findings.failure is not None:
            warnings.warn(
                f"The stopping rule failed: {findings.failure}. {len(batch)} rows were "
                "asked without it.",
                UserWarning,
                stacklevel=2,
            )
        return batch

    def _ask(
        self,
        n: int,
        annotator: str | None,
        reserve: float = _WEEK,
        again: bool = True,
    ) -> tuple[Batch, Findings | None]:
        """Ask without a warning, which would end in the log of a server."""
        check_int("n", n)
        check_positive("reserve", reserve)
        if reserve > _LONGEST:
            raise ValueError(f"reserve must be up to {_LONGEST:.0f} s, got {reserve}.")
        self._need_pool("ask")
        name = name_of(annotator)
        for _ in range(_TRIES):
            self._sync()
            self._need_added_rows("ask", [*self._ledger.asked, *self._ledger.said])
            now, as_of = time(), self._ledger.seq
            waiting = self._ledger.unanswered(name, now)[:n] if again else []
            # Before the pick, which needs the model of now, the last one of these.
            findings = self._find_out() if len(waiting) < n else None
            chosen, candidates = self._choose(n, name, now, waiting)
            with self._database.writing() as connection:
                self._sync(connection)
                if not self._still_free(chosen, name, now):
                    continue
                if self._ledger.seq > as_of and not np.array_equal(
                    candidates, self._candidates(self._ledger, name, now, self._n_rows)
                ):
                    # Picks of the rows that are gone would have been drawn again.
                    chosen = [choice._replace(probability=None) for choice in chosen]
                settings = {
                    **self._described(),
                    "findings": None if findings is None else findings.to_json(),
                    "n_candidates": len(candidates),
                }
                times = now, now + reserve
                events = self._reserve(connection, chosen, name, times, as_of, settings)
            self._ledger.apply(events)
            return self._batch(events, annotator, now + reserve), findings
        raise RuntimeError(
            f"Other processes asked for the same rows {_TRIES} times in a row. Nothing "
            "was reserved: try again."
        )

    def waiting(self, annotator: str | None = None) -> Batch:
        """Get what an annotator was asked and has not answered, oldest first."""
        self._need_pool("waiting", model=False)
        self._sync()
        events = self._ledger.unanswered(name_of(annotator), time())
        self._need_added_rows("waiting", [event.position for event in events])
        expires = min((e.expires for e in events if e.expires), default=time())
        return self._batch(events, annotator, expires)

    def n_left(self, annotator: str | None = None) -> int:
        """Count the rows that an annotator may be asked, without those that wait."""
        self._sync()
        n_rows = len(self.ids) if self._pool is None else self._n_rows
        return len(self._ledger.candidates(n_rows, name_of(annotator), time()))

    def status(self, *, fit: bool = False) -> CampaignStatus:
        """Count rows by state, answers by annotator, and disagreements.

        Parameters
        ----------
        fit : bool, default=False
            Whether to ask the stopping rule, and to test the model on the rows held
            out, by all labels so far. By default ``last`` of the status holds what was
            found when the last batch was asked.

        Returns
        -------
        status : CampaignStatus
        """
        status = super().status()
        if not fit:
            return status
        self._need_pool("status(fit=True)")
        return replace(status, last=self._find_out())

    def _find_out(self) -> Findings | None:
        """Ask the stopping rule, and test the model of now."""
        n_test = len(self._labeled(self._ledger, test=True)[1])
        if self._watch is None and not n_test:
            return None
        stop, failure, error, loss = None, None, None, ""
        if self._watch is not None:
            try:
                stop = self._watch.reason(self, self._ledger.seq)
            except Exception as found:  # of any rule: rows are needed nevertheless
                failure = f"{type(found).__name__}: {found}"
        if n_test and (model := fit_at(self, self._ledger)) is not None:
            loss = default_loss(self.labels.task)
            error = error_at(self, self._ledger, model, loss)
        return Findings(len(self._ledger.labels()), stop, failure, error, loss)

    def _choose(
        self, n: int, name: str, now: float, waiting: Sequence[Event]
    ) -> tuple[list[_Choice], np.ndarray]:
        """Choose rows; return those as well that the strategy picked from."""
        candidates = np.empty(0, dtype=np.int64)
        chosen = [_Choice(e.position, "again", e.batch, e.score) for e in waiting]
        started = self._ledger.started(name, now)[: n - len(chosen)]
        chosen += [_Choice(position, "started") for position in started]
        n_new = n - len(chosen)
        if n_new:
            free = self._ledger.candidates(self._n_rows, name, now)
            new = np.setdiff1d(free, self._ledger.started(name, now))
            test = self._held_out.next(self._ledger, new.tolist(), n_new)
            n_picked = n_new - len(test)
            picked = self._pick(self._ledger, name, now, self._n_rows, n_picked)
            candidates = picked.candidates
            probabilities = picked.probabilities
            for k, position in enumerate(picked.positions.tolist()):
                q = None if probabilities is None else float(probabilities[k])
                score = float(picked.scores[k])
                chosen.append(_Choice(position, picked.by, None, score, q))
            if n_picked > len(picked.positions):  # only rows for testing are left
                left = n_new - len(picked.positions)
                test = self._held_out.next(self._ledger, new.tolist(), left, all=True)
            chosen += [_Choice(position, "test") for position in test]
        return chosen, candidates

    def _pick(
        self, ledger: Ledger, name: str, now: float, n_rows: int, n: int
    ) -> Picked:
        """Pick up to `n` rows by the strategy, as it would at a time."""
        candidates = self._candidates(ledger, name, now, n_rows)
        n = min(n, len(candidates))
        if n == 0:
            return Picked(candidates[:0], np.empty(0), "strategy", candidates)
        self._need_pool("ask")
        pool: Any = self._pool
        labeled, y = self._labeled(ledger)
        key = ledger.label_seq
        return self._picker.pick(pool.X, labeled, y, candidates, n, key, ledger.seq)

    def _candidates(
        self, ledger: Ledger, name: str, now: float, n_rows: int
    ) -> np.ndarray:
        """Find the rows that the strategy picks from."""
        candidates = ledger.candidates(n_rows, name, now)
        candidates = np.setdiff1d(candidates, ledger.started(name, now))
        return np.setdiff1d(candidates, self._held_out.positions)

    def _still_free(self, chosen: Sequence[_Choice], name: str, now: float) -> bool:
        """Whether nobody else has taken the chosen rows."""
        free = set(self._ledger.candidates(self._n_rows, name, now).tolist())
        waiting = {event.position for event in self._ledger.unanswered(name, now)}
        return all(
            choice.position in (waiting if choice.why == "again" else free)
            for choice in chosen
        )

    def _reserve(
        self,
        connection: Any,
        chosen: Sequence[_Choice],
        name: str,
        times: tuple[float, float],
        as_of: int,
        settings: dict[str, Any],
    ) -> list[Event]:
        now, expires = times
        batch = None
        if any(choice.batch is None for choice in chosen):
            batch = self._database.add_batch(
                connection,
                happened=now,
                annotator=name,
                as_of=as_of,
                n_rows=self._n_rows,
                settings=settings,
            )
        events = [
            Event(
                self._ledger.seq + k,
                now,
                "ask",
                choice.position,
                name,
                choice.why,
                batch if choice.batch is None else choice.batch,
                expires,
                choice.score,
                choice.probability,
            )
            for k, choice in enumerate(chosen, start=1)
        ]
        self._database.add_events(connection, events)
        return events

    def _batch(
        self, events: Sequence[Event], annotator: str | None, expires: float
    ) -> Batch:
        positions = np.array([event.position for event in events], dtype=np.int64)
        pool: Any = self._pool
        scores = [np.nan if e.score is None else e.score for e in events]
        return Batch(
            [self.ids[k] for k in positions],
            take_rows(pool.X, positions),
            np.array(scores, dtype=float),
            [f"{self._prefix}{event.batch}" for event in events],
            annotator,
            datetime.fromtimestamp(expires).astimezone(),
            pool.table(positions),
            self._id_name,
            self.target,
            self.labels.classes,
        )

    def _labeled(
        self, ledger: Ledger, *, test: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Get the rows with a label and their labels, for training or for testing."""
        self._need_added_rows("fit", list(self._ledger.said))
        held_out = set(self._held_out.positions.tolist())
        labels = {k: v for k, v in ledger.labels().items() if (k in held_out) == test}
        y = self.labels.as_array(list(labels.values()))
        return np.array(list(labels), dtype=np.int64), y

    def _described(self) -> dict[str, Any]:
        """Describe what picks depend on."""
        parts = {k: describe(v) for k, v in self._parts.items() if k != "stop"}
        return {"skal": __version__, **parts}

    @property
    def _n_rows(self) -> int:
        """Number of rows that were passed, of those of the campaign."""
        pool: Any = self._pool
        return len(pool.ids)

    def _need_added_rows(self, method: str, positions: Sequence[int]) -> None:
        """Raise if there are rows among some that another process has added."""
        n_added = len(self.ids) - self._n_rows
        if max(positions, default=-1) >= self._n_rows:
            raise ValueError(
                f"{method} needs {n_added} rows that another process has added: open "
                "the campaign again, and pass them in X_pool."
            )

    def _need_pool(self, method: str, model: bool = True) -> None:
        if self._pool is None:
            raise ValueError(f"{method} needs the rows: pass X_pool to Campaign.open.")
        if model and self._parts["model"] is None:
            raise ValueError(f"{method} needs a model: pass it to Campaign.open.")


def watch_of(rule: Any, test_share: float) -> Watch | None:
    """Make what shows models to a rule; raises if it cannot be a campaign's."""
    if rule is None:
        return None
    if not isinstance(rule, StoppingRule):
        raise TypeError(f"stop must be a rule of skal.stopping, got {rule!r}.")
    if rule._reads_scores() and not test_share:
        raise ValueError(
            f"The stopping rule {rule} reads scores on test rows, and the campaign "
            "holds none out: create it with test_share=0.1, or pass rows drawn at "
            "random as X and y to the rule."
        )
    return Watch(rule)
