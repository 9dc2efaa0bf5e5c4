"""The states of rows, against definitions that look at one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skal.campaign.ledger import Event, Ledger

N_ROWS, NAMES = 4, ["", "ann", "bob"]
KINDS = ["ask", "answer", "skip", "cannot", "withdraw"]


def make_events(steps: list[tuple[str, int, str, int]]) -> list[Event]:
    return [
        Event(
            seq,
            float(seq),
            kind,
            position,
            name,
            value if kind == "answer" else None,
            1 if kind == "ask" else None,
            # every other reservation ends before the others
            float(seq + 2 + 100 * (value % 2)) if kind == "ask" else None,
        )
        for seq, (kind, position, name, value) in enumerate(steps, start=1)
    ]


steps = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, N_ROWS - 1),
        st.sampled_from(NAMES),
        st.integers(0, 2),
    ),
    max_size=25,
)


class Slow:
    """Finds what holds for a row by reading all its events anew."""

    def __init__(self, events: list[Event], n_answers: int) -> None:
        self.events, self.n_answers = events, n_answers

    def last(self, row: int, name: str) -> Event | None:
        said = [
            e
            for e in self.events
            if (e.position, e.annotator) == (row, name) and e.kind != "ask"
        ]
        return said[-1] if said and said[-1].kind != "withdraw" else None

    def is_waiting(self, row: int, name: str, now: float) -> bool:
        own = [e for e in self.events if (e.position, e.annotator) == (row, name)]
        return bool(own) and own[-1].kind == "ask" and own[-1].expires > now

    def needed(self, row: int, name: str, now: float) -> int:
        last = [self.last(row, other) for other in NAMES]
        kinds = [event.kind for event in last if event]
        if "cannot" in kinds:
            return 0
        others = sum(self.is_waiting(row, o, now) for o in NAMES if o != name)
        return self.n_answers - kinds.count("answer") - others

    def candidates(self, name: str, now: float) -> list[int]:
        return [
            row
            for row in range(N_ROWS)
            if self.last(row, name) is None
            and not self.is_waiting(row, name, now)
            and self.needed(row, name, now) > 0
        ]

    def label_seq(self) -> int:
        """The last event before or after which another answer stood; else 0."""
        changes = [0]
        for k, event in enumerate(self.events):
            place = event.position, event.annotator
            ends = (Slow(self.events[:n], 1).last(*place) for n in (k, k + 1))
            before, after = (e if e and e.kind == "answer" else None for e in ends)
            if before != after:
                changes.append(event.seq)
        return changes[-1]

    def state(self, row: int, now: float) -> str:
        kinds = {event.kind for n in NAMES if (event := self.last(row, n))}
        if "answer" in kinds:
            return "answered"
        if "cannot" in kinds:
            return "cannot"
        if any(self.is_waiting(row, name, now) for name in NAMES):
            return "asked"
        return "skipped" if kinds else "pool"


@given(steps, st.integers(1, 2), st.integers(0, 30))
@settings(max_examples=200, deadline=None)
def test_ledger_is_that_of_the_definitions(
    steps: list[tuple[str, int, str, int]], n_answers: int, later: int
) -> None:
    events = make_events(steps)
    now = float(len(events) + later)
    ledger = Ledger(n_answers)
    ledger.apply(events)
    slow = Slow(events, n_answers)
    assert ledger.states(N_ROWS, now) == [slow.state(k, now) for k in range(N_ROWS)]
    for name in NAMES:
        assert ledger.candidates(N_ROWS, name, now).tolist() == slow.candidates(
            name, now
        )
        waiting = {e.position for e in ledger.unanswered(name, now)}
        assert waiting == {
            row
            for row in range(N_ROWS)
            if slow.is_waiting(row, name, now) and slow.needed(row, name, now) > 0
        }
        assert set(ledger.started(name, now)) <= set(slow.candidates(name, now))
    assert ledger.label_seq == slow.label_seq()
    # What stands does not depend on how many events are applied at a time.
    halves = Ledger(n_answers)
    halves.apply(events[: len(events) // 2])
    halves.apply(events[len(events) // 2 :])
    assert (halves.labels(), halves.seq) == (ledger.labels(), ledger.seq)
    assert halves.label_seq == ledger.label_seq


def answers(rule: str, *said: tuple[str, object]) -> object:
    ledger = Ledger(3, rule)
    ledger.apply(
        Event(k, 0.0, "answer", 0, name, value)
        for k, (name, value) in enumerate(said, start=1)
    )
    return ledger.labels()[0]


def test_rules_of_disagreement() -> None:
    said = [("ann", "dog"), ("bob", "cat"), ("cy", "cat")]
    assert answers("first", *said) == "dog"
    assert answers("majority", *said) == "cat"
    assert answers("majority", *said[:2]) == "dog"  # of equals, the first
    assert answers("mean", ("ann", 1.0), ("bob", 2.0), ("cy", 6.0)) == 3.0
    # A correction keeps its place.
    assert answers("first", *said[:2], ("ann", "fox")) == "fox"


def test_started_rows_are_those_that_need_more_answers() -> None:
    ledger = Ledger(n_answers=2)
    ledger.apply(
        [
            Event(1, 0.0, "ask", 3, "ann", None, 1, 10.0),
            Event(2, 0.0, "answer", 1, "ann", 5),
            Event(3, 0.0, "skip", 2, "ann"),
        ]
    )
    assert ledger.started("bob", 5.0) == [3, 1]
    assert ledger.started("bob", 11.0) == [1]
    assert ledger.started("ann", 5.0) == []
    assert ledger.candidates(4, "ann", 5.0).tolist() == [0]


def test_labels_are_those_of_the_last_answer_only() -> None:
    ledger = Ledger()
    ledger.apply([Event(1, 0.0, "answer", 0, "", 1), Event(2, 0.0, "answer", 0, "", 2)])
    assert (ledger.labels(), ledger.label_seq) == ({0: 2}, 2)
    ledger.apply([Event(3, 0.0, "ask", 1, "", None, 1, 9.0)])
    assert ledger.label_seq == 2  # a question changes no label
    ledger.apply([Event(4, 0.0, "withdraw", 0, "")])
    assert (ledger.labels(), ledger.label_seq) == ({}, 4)
    assert np.array_equal(ledger.candidates(2, "", 0.0), [0])


@pytest.mark.parametrize("n_answers", [1, 2])
def test_disagreements_are_of_standing_answers(n_answers: int) -> None:
    ledger = Ledger(n_answers)
    ledger.apply(
        [Event(1, 0.0, "answer", 0, "a", 1), Event(2, 0.0, "answer", 0, "b", 2)]
    )
    assert ledger.disagreements() == [0]
    ledger.apply([Event(3, 0.0, "answer", 0, "b", 1)])
    assert ledger.disagreements() == []
