"""The state of every row of a campaign, derived from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = ["KINDS", "RULES", "STATES", "Event", "Ledger"]

#: What may happen to a row; see `Event`.
KINDS = ("ask", "answer", "skip", "cannot", "withdraw")
#: What a row may be; see `Ledger.states`.
STATES = ("pool", "asked", "answered", "skipped", "cannot")


class Event(NamedTuple):
    """Something that happened to a row. Events are only added, never changed.

    Attributes
    ----------
    seq : int
        Place in the order of events, from 1.
    happened : float
        Seconds since the epoch.
    kind : {"ask", "answer", "skip", "cannot", "withdraw"}
    position : int
        Of the row.
    annotator : str
        Empty for a nameless one.
    value : object
        The label of an answer; why a row was asked.
    batch : int or None
    expires : float or None
        When the reservation of an asked row ends, in seconds since the epoch.
    score : float or None
        Of the strategy.
    probability : float or None
        With which an asked row was drawn next, if that is known.
    """

    seq: int
    happened: float
    kind: str
    position: int
    annotator: str
    value: Any = None
    batch: int | None = None
    expires: float | None = None
    score: float | None = None
    probability: float | None = None


def _first(values: list[Any]) -> Any:
    return values[0]


def _majority(values: list[Any]) -> Any:
    # A Counter keeps the order of insertion: of labels with equal votes, the first.
    return Counter(values).most_common(1)[0][0]


def _mean(values: list[Any]) -> Any:
    return float(np.mean(values))


#: The label of a row from the answers of several annotators, in the order in which
#: they first answered.
RULES: dict[str, Callable[[list[Any]], Any]] = {
    "first": _first,
    "majority": _majority,
    "mean": _mean,
}


@dataclass
class Ledger:
    """What is asked and what was said of each row, as of the last event applied.

    Parameters
    ----------
    n_answers : int
        Answers that a row needs, each from another annotator.
    rule : {"first", "majority", "mean"}

    Attributes
    ----------
    seq : int
        Of the last event; 0 before the first one.
    label_seq : int
        Of the last event that changed a label.
    asked : dict of int to dict of str to Event
        Reservations that are not answered, by row and annotator; some have expired.
    said : dict of int to dict of str to Event
        The last answer, skip or "cannot" of each annotator, in the order in which the
        annotators first spoke.
    """

    n_answers: int = 1
    rule: str = "first"
    seq: int = 0
    label_seq: int = 0
    asked: dict[int, dict[str, Event]] = field(default_factory=dict)
    said: dict[int, dict[str, Event]] = field(default_factory=dict)

    def apply(self, events: Iterable[Event]) -> None:
        """Follow events in their order."""
        for event in events:
            said = self.said.setdefault(event.position, {})
            before = said.get(event.annotator)
            if event.kind == "ask":
                asked = self.asked.setdefault(event.position, {})
                held = asked.get(event.annotator)
                # A row that is asked again keeps its place among the others.
                again = held is not None and held.batch == event.batch
                asked[event.annotator] = event._replace(
                    seq=held.seq if again and held else event.seq
                )
            else:
                self.asked.get(event.position, {}).pop(event.annotator, None)
                if event.kind == "withdraw":
                    said.pop(event.annotator, None)
                else:
                    said[event.annotator] = event
                if "answer" in (event.kind, before and before.kind):
                    self.label_seq = event.seq
            self.seq = event.seq

    def answers(self, position: int) -> dict[str, Any]:
        """Get the standing answers of a row, by annotator."""
        said = self.said.get(position, {})
        return {name: e.value for name, e in said.items() if e.kind == "answer"}

    def labels(self) -> dict[int, Any]:
        """Get the label of each row that has an answer, in the order of the pool."""
        found = {k: list(self.answers(k).values()) for k in sorted(self.said)}
        rule = RULES[self.rule]
        return {k: rule(values) for k, values in found.items() if values}

    def disagreements(self) -> list[int]:
        """List the rows whose annotators gave different labels."""
        return [k for k in sorted(self.said) if len(set(self.answers(k).values())) > 1]

    def unanswered(self, annotator: str, now: float) -> list[Event]:
        """List what an annotator was asked and has not answered, oldest first."""
        waiting = [
            by_name[annotator]
            for position, by_name in self.asked.items()
            if annotator in by_name
            and by_name[annotator].expires > now  # type: ignore[operator]
            and self._needed(position, annotator, now) > 0
        ]
        return sorted(waiting, key=lambda e: (e.batch, e.seq))

    def candidates(self, n_rows: int, annotator: str, now: float) -> np.ndarray:
        """Find the rows that may be asked of an annotator, in the order of the pool."""
        free = np.ones(n_rows, dtype=bool)
        for position in {*self.asked, *self.said}:
            if position < n_rows:
                free[position] = self._is_free(position, annotator, now)
        return np.flatnonzero(free)

    def started(self, annotator: str, now: float) -> list[int]:
        """List the candidates that others were asked or answered, oldest first."""
        # A skip is not a start: the row competes with the others.
        return [
            k
            for k in self.said
            if (self.answers(k) or self._live(k, annotator, now))
            and self._is_free(k, annotator, now)
        ]

    def _is_free(self, position: int, annotator: str, now: float) -> bool:
        if annotator in self.said.get(position, {}):
            return False
        own = self.asked.get(position, {}).get(annotator)
        if own is not None and own.expires > now:  # type: ignore[operator]
            return False
        return self._needed(position, annotator, now) > 0

    def _needed(self, position: int, annotator: str, now: float) -> int:
        """Count the answers that are still to be asked for, apart from one's own."""
        said = self.said.get(position, {})
        if any(event.kind == "cannot" for event in said.values()):
            return 0
        expected = len(self.answers(position)) + self._live(position, annotator, now)
        return self.n_answers - expected

    def _live(self, position: int, annotator: str, now: float) -> int:
        """Count the reservations of other annotators that have not expired."""
        asked = self.asked.get(position, {})
        return sum(
            event.expires > now  # type: ignore[operator]
            for name, event in asked.items()
            if name != annotator
        )

    def states(self, n_rows: int, now: float) -> list[str]:
        """Name the state of each row.

        Parameters
        ----------
        n_rows : int
            Of the pool.
        now : float
            Seconds since the epoch; reservations that end before count no more.

        Returns
        -------
        states : list of str
            "answered" with at least one label; otherwise "cannot" if somebody said that
            no label can be given; otherwise "asked" while somebody is to answer;
            otherwise "skipped" if somebody skipped it; otherwise "pool".
        """
        found = ["pool"] * n_rows
        for position in {*self.asked, *self.said}:
            kinds = {event.kind for event in self.said.get(position, {}).values()}
            live = any(
                event.expires > now  # type: ignore[operator]
                for event in self.asked.get(position, {}).values()
            )
            if "answer" in kinds:
                found[position] = "answered"
            elif "cannot" in kinds:
                found[position] = "cannot"
            elif live:
                found[position] = "asked"
            elif kinds:
                found[position] = "skipped"
        return found
