"""Batches of a campaign picked again, and scores along its labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import check_scoring
from sklearn.model_selection import cross_val_score

from skal.campaign.ledger import Event, Ledger
from skal.rows import take_rows

if TYPE_CHECKING:
    from skal.campaign.asking import Asker

__all__ = [
    "batch_ends",
    "fit_at",
    "learning_curve",
    "ledger_at",
    "pick_again",
    "replay",
    "score_at",
]

#: Picks that are found again: the others were waiting from earlier batches, or were
#: chosen since other annotators had begun them.
_PICKED = ("initial", "strategy")


def replay(campaign: Asker) -> pd.DataFrame:
    """Pick each batch again; see `Campaign.replay`."""
    events, batches = campaign._read_all()
    now_settings = campaign._described()
    rows = []
    for batch in batches:
        asked = [e for e in events if e.batch == batch["batch"] and e.kind == "ask"]
        picked = [e.position for e in asked if e.value in _PICKED]
        again: Any = pick_again(campaign, events, batch, len(picked)) if picked else []
        rows.append(
            {
                "batch": batch["batch"],
                "annotator": batch["annotator"],
                "n_picked": len(picked),
                "n_same": len(set(picked) & set(again)),
                "same": picked == list(again),
                "same_settings": batch["settings"] | now_settings == batch["settings"],
            }
        )
    return pd.DataFrame(rows)


def pick_again(
    campaign: Asker, events: Sequence[Event], batch: dict[str, Any], n: int
) -> np.ndarray:
    """Pick the rows of a batch from the state that it was picked from."""
    ledger = _replayed(campaign, events, batch["as_of"])
    return campaign._pick(
        ledger, batch["annotator"], batch["happened"], batch["n_rows"], n
    ).positions


def learning_curve(
    campaign: Asker, X_test: Any, y_test: Any, scoring: Any, cv: int
) -> pd.DataFrame:
    """Score the model after each batch; see `Campaign.learning_curve`."""
    events, batches = campaign._read_all()
    if X_test is None:
        warnings.warn(
            "Without test rows, the labeled rows are scored by cross-validation. They "
            "were chosen because they are difficult or unusual, so this is not the "
            "score on new rows. Pass X_test and y_test, drawn at random.",
            UserWarning,
            stacklevel=3,
        )
    ends = [batch["as_of"] for batch in batches] + [events[-1].seq if events else 0]
    rows: list[dict[str, Any]] = []
    for end in ends:
        ledger = _replayed(campaign, events, end)
        n_labels = len(campaign._labeled(ledger)[1])
        if rows and rows[-1]["n_labels"] == n_labels:
            continue
        if X_test is None:
            row = _cross_validated(campaign, ledger, scoring, cv)
            rows += [] if row is None else [row]
        elif (model := fit_at(campaign, ledger)) is not None:
            score = check_scoring(model, scoring)(model, X_test, y_test)
            rows.append({"n_labels": n_labels, "score": float(score)})
    columns = ["n_labels", "score"] if X_test is not None else None
    return pd.DataFrame(rows, columns=columns or ["n_labels", "score", "std"])


def batch_ends(campaign: Asker) -> list[int]:
    """List the numbers of the events from which batches were picked."""
    return [batch["as_of"] for batch in campaign._read_all()[1]]


def ledger_at(campaign: Asker, end: int) -> Ledger:
    """Derive the state after an event."""
    return _replayed(campaign, campaign._read_all()[0], end)


def fit_at(campaign: Asker, ledger: Ledger) -> Any | None:
    """Fit the model on the labels of a state; None if these do not suffice.

    That of the last batch is at hand in the process that asked for it.
    """
    positions, y = campaign._labeled(ledger)
    if not campaign._picker.suffices(y):
        return None
    pool: Any = campaign._pool
    X = take_rows(pool.X, positions)
    return campaign._picker.fit(X, y, ledger.label_seq).estimator


def score_at(
    campaign: Asker, end: int, scoring: Any = None, cv: int = 5
) -> dict[str, Any] | None:
    """Cross-validate the model on the labels after an event; None if too few."""
    return _cross_validated(campaign, ledger_at(campaign, end), scoring, cv)


def _replayed(campaign: Asker, events: Sequence[Event], end: int) -> Ledger:
    ledger = Ledger(campaign.n_answers, campaign.rule)
    ledger.apply([e for e in events if e.seq <= end])
    return ledger


def _cross_validated(
    campaign: Asker, ledger: Ledger, scoring: Any, cv: int
) -> dict[str, Any] | None:
    positions, y = campaign._labeled(ledger)
    smallest = len(y)
    if len(y) and campaign.labels.task == "classification":
        smallest = int(np.unique(y, return_counts=True)[1].min())
    if smallest < 2 or (model := fit_at(campaign, ledger)) is None:
        return None
    pool: Any = campaign._pool
    X = take_rows(pool.X, positions)
    scores = cross_val_score(model, X, y, cv=min(cv, smallest), scoring=scoring)
    return {"n_labels": len(y), "score": scores.mean(), "std": scores.std()}
