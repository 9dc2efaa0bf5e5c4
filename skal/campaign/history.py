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

__all__ = ["learning_curve", "pick_again", "replay"]

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
    pool: Any = campaign._pool
    rows: list[dict[str, Any]] = []
    for end in ends:
        ledger = Ledger(campaign.n_answers, campaign.rule)
        ledger.apply([e for e in events if e.seq <= end])
        positions, y = campaign._labeled(ledger)
        known = rows and rows[-1]["n_labels"] == len(y)
        if known or not campaign._picker.suffices(y):
            continue
        X = take_rows(pool.X, positions)
        if X_test is None:
            smallest = len(y)
            if campaign.labels.task == "classification":
                smallest = int(np.unique(y, return_counts=True)[1].min())
            if smallest < 2:
                continue
            model = campaign._picker.fit(X, y, ledger.label_seq).estimator
            scores = cross_val_score(model, X, y, cv=min(cv, smallest), scoring=scoring)
            rows.append(
                {"n_labels": len(y), "score": scores.mean(), "std": scores.std()}
            )
        else:
            learner = campaign._picker.fit(X, y, ledger.label_seq)
            score = check_scoring(learner.estimator, scoring)(
                learner.estimator, X_test, y_test
            )
            rows.append({"n_labels": len(y), "score": float(score)})
    columns = ["n_labels", "score"] if X_test is not None else None
    return pd.DataFrame(rows, columns=columns or ["n_labels", "score", "std"])
