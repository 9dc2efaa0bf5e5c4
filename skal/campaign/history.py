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
    from skal.campaign.campaign import Campaign

__all__ = [
    "batch_ends",
    "learning_curve",
    "model_at",
    "pick_again",
    "replay",
    "score_at",
]

#: Picks that are found again: the others were waiting from earlier batches, or were
#: chosen since other annotators had begun them.
_PICKED = ("initial", "strategy")


def replay(campaign: Campaign) -> pd.DataFrame:
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
                "same_settings": batch["settings"] == now_settings,
            }
        )
    return pd.DataFrame(rows)


def pick_again(
    campaign: Campaign, events: Sequence[Event], batch: dict[str, Any], n: int
) -> np.ndarray:
    """Pick the rows of a batch from the state that it was picked from."""
    ledger = Ledger(campaign.n_answers, campaign.rule)
    ledger.apply([e for e in events if e.seq <= batch["as_of"]])
    return campaign._pick(
        ledger, batch["annotator"], batch["happened"], batch["n_rows"], n
    ).positions


def learning_curve(
    campaign: Campaign, X_test: Any, y_test: Any, scoring: Any, cv: int
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
    ends = [batch["as_of"] for batch in batches[1:]] + [events[-1].seq if events else 0]
    rows: list[dict[str, Any]] = []
    for end in ends:
        state = _labels_at(campaign, events, end)
        if rows and rows[-1]["n_labels"] == len(state[1]):
            continue
        if X_test is None:
            row = _cross_validated(campaign, *state, scoring, cv)
            rows += [] if row is None else [row]
        elif (model := _fitted(campaign, *state)) is not None:
            score = check_scoring(model, scoring)(model, X_test, y_test)
            rows.append({"n_labels": len(state[1]), "score": float(score)})
    columns = ["n_labels", "score"] if X_test is not None else None
    return pd.DataFrame(rows, columns=columns or ["n_labels", "score", "std"])


def batch_ends(campaign: Campaign) -> list[int]:
    """List the numbers of the events from which batches were picked, but the first."""
    return [batch["as_of"] for batch in campaign._read_all()[1][1:]]


def model_at(campaign: Campaign, end: int) -> tuple[Any, int] | None:
    """Fit the model on the labels after an event.

    Returns
    -------
    found : tuple of (estimator, int) or None
        The model and the number of labels; None if these do not suffice. That of the
        last batch is at hand in the process that asked for it.
    """
    state = _labels_at(campaign, campaign._read_all()[0], end)
    model = _fitted(campaign, *state)
    return None if model is None else (model, len(state[1]))


def score_at(
    campaign: Campaign, end: int, scoring: Any = None, cv: int = 5
) -> dict[str, Any] | None:
    """Cross-validate the model on the labels after an event; None if too few."""
    state = _labels_at(campaign, campaign._read_all()[0], end)
    return _cross_validated(campaign, *state, scoring, cv)


def _labels_at(
    campaign: Campaign, events: Sequence[Event], end: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Get positions and labels after an event, and the event that last changed them."""
    ledger = Ledger(campaign.n_answers, campaign.rule)
    ledger.apply([e for e in events if e.seq <= end])
    return *campaign._labeled(ledger), ledger.label_seq


def _fitted(
    campaign: Campaign, positions: np.ndarray, y: np.ndarray, key: int
) -> Any | None:
    if not campaign._picker.suffices(y):
        return None
    pool: Any = campaign._pool
    return campaign._picker.fit(take_rows(pool.X, positions), y, key).estimator


def _cross_validated(
    campaign: Campaign,
    positions: np.ndarray,
    y: np.ndarray,
    key: int,
    scoring: Any,
    cv: int,
) -> dict[str, Any] | None:
    smallest = len(y)
    if len(y) and campaign.labels.task == "classification":
        smallest = int(np.unique(y, return_counts=True)[1].min())
    if smallest < 2 or (model := _fitted(campaign, positions, y, key)) is None:
        return None
    pool: Any = campaign._pool
    X = take_rows(pool.X, positions)
    scores = cross_val_score(model, X, y, cv=min(cv, smallest), scoring=scoring)
    return {"n_labels": len(y), "score": scores.mean(), "std": scores.std()}
