"""The progress of a campaign in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skal.campaign.ledger import STATES, Ledger
from skal.evaluation import RiskEstimate

__all__ = ["CampaignStatus", "Findings"]

_LOSSES = {"zero_one": "share of wrong classes", "absolute": "mean absolute error"}


@dataclass(frozen=True)
class Findings:
    """What was found of the model by which a batch was picked.

    Attributes
    ----------
    n_labels : int
        Number of rows with a label then, those for testing included.
    stop : str or None
        Why the stopping rule said that it is time to stop.
    failure : str or None
        The error that the stopping rule raised.
    test_error : RiskEstimate or None
        By the rows held out for testing, at a confidence level of 0.95.
    loss : str, default=""
        Of `test_error`.
    """

    n_labels: int
    stop: str | None = None
    failure: str | None = None
    test_error: RiskEstimate | None = None
    loss: str = ""

    def to_json(self) -> dict[str, Any]:
        """Make what JSON can hold."""
        error = None if self.test_error is None else list(self.test_error)
        return {**asdict(self), "test_error": error}

    def error_text(self) -> str:
        """Write the error with its interval."""
        if self.test_error is None:
            return ""
        risk, _, low, high, n = self.test_error
        return (
            f"{risk:.4g} [{max(low, 0):.4g}, {high:.4g}] ({_LOSSES[self.loss]}, 95% "
            f"interval, {n} rows)"  # neither loss is ever negative
        )

    def lines(self) -> list[str]:
        """Write it in lines."""
        lines = []
        if self.test_error is not None:
            lines.append(f"test error with {self.n_labels} labels: {self.error_text()}")
        if self.stop is not None:
            lines.append(f"time to stop? with {self.n_labels} labels: {self.stop}")
        if self.failure is not None:
            lines.append(
                f"stopping rule failed with {self.n_labels} labels: {self.failure}"
            )
        return lines

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Findings:
        """Read what `to_json` made."""
        error = stored["test_error"]
        return cls(
            **{**stored, "test_error": None if error is None else RiskEstimate(*error)}
        )


@dataclass(frozen=True)
class CampaignStatus:
    """How far a campaign is.

    Attributes
    ----------
    n_rows : int
    states : dict of str to int
        Number of rows in each state: "pool", "asked", "answered", "skipped", "cannot".
    n_batches : int
    labels : dict of label to int
        Number of rows by class; empty for regression.
    annotators : dict of str to dict of str to int
        Answers, skips and the like of each annotator, and the rows that they are still
        to answer ("waiting").
    disagreements : list of ids
        Rows whose annotators gave different labels.
    rule : str
        How their label is found.
    n_test, n_test_answered : int, default=0
        Rows that are held out for testing, and those of them that have a label.
    last : Findings or None, default=None
        What the stopping rule said, and the error on the rows held out, of the model by
        which the last batch was picked; None without either.
    """

    n_rows: int
    states: dict[str, int]
    n_batches: int
    labels: dict[Any, int]
    annotators: dict[str, dict[str, int]]
    disagreements: list[Any]
    rule: str
    n_test: int = 0
    n_test_answered: int = 0
    last: Findings | None = None

    @classmethod
    def of(
        cls,
        ledger: Ledger,
        ids: list[Any],
        n_batches: int,
        classes: list[Any],
        now: Any,
        held_out: Sequence[int] = (),
        last: Findings | None = None,
    ) -> CampaignStatus:
        """Count the states of a ledger at a time."""
        counts = Counter(ledger.states(len(ids), now))
        labels = Counter(ledger.labels().values()) if classes else Counter()
        return cls(
            len(ids),
            {state: counts[state] for state in STATES},
            n_batches,
            {c: labels[c] for c in classes},
            _by_annotator(ledger, now),
            [ids[k] for k in ledger.disagreements()],
            ledger.rule,
            len(held_out),
            sum(bool(ledger.answers(k)) for k in held_out),
            last,
        )

    def __str__(self) -> str:
        states = ", ".join(f"{n} {state}" for state, n in self.states.items() if n)
        lines = [f"{self.n_rows} rows: {states}; {self.n_batches} batches"]
        if self.labels:
            classes = ", ".join(f"{n} {label}" for label, n in self.labels.items())
            lines.append(f"labels: {classes}")
        if self.n_test:
            lines.append(
                f"test: {self.n_test_answered} answered of {self.n_test} rows held out"
            )
        lines += [] if self.last is None else self.last.lines()
        for name, counts in self.annotators.items():
            said = ", ".join(f"{n} {kind}" for kind, n in counts.items())
            lines.append(f"{name or 'annotator without a name'}: {said}")
        if self.disagreements:
            few = ", ".join(str(key) for key in self.disagreements[:10])
            more = ", ..." if len(self.disagreements) > 10 else ""
            lines.append(
                f"{len(self.disagreements)} rows with different labels, resolved by "
                f"{self.rule}: {few}{more}"
            )
        return "\n".join(lines)


def _by_annotator(ledger: Ledger, now: float) -> dict[str, dict[str, int]]:
    said: dict[str, Counter[str]] = {}
    for by_name in ledger.said.values():
        for name, event in by_name.items():
            said.setdefault(name, Counter())[event.kind] += 1
    asked = {name for by_name in ledger.asked.values() for name in by_name}
    for name in asked:
        n_waiting = len(ledger.unanswered(name, now))
        if n_waiting:
            said.setdefault(name, Counter())["waiting"] = n_waiting
    return {name: dict(said[name]) for name in sorted(said)}
