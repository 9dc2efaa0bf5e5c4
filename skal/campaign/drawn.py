"""The error of models by the rows that a strategy drew with known probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skal.campaign import history
from skal.campaign.ledger import Event
from skal.evaluation import RiskEstimate, lure, row_losses
from skal.rows import take_rows

if TYPE_CHECKING:
    from skal.campaign.asking import Asker

__all__ = ["drawn_errors"]


def drawn_errors(
    campaign: Asker, loss: str | Callable[..., Any], confidence: float
) -> pd.DataFrame:
    """Estimate the error of the model of each batch; see `Campaign.drawn_errors`."""
    events, batches = campaign._read_all()
    labels = campaign._ledger.labels()
    rows = []
    for batch in batches:
        drawn = [e for e in events if e.batch == batch["batch"] and _is_drawn(e)]
        if not drawn:
            continue
        n_missing = sum(e.position not in labels for e in drawn)
        ledger = history.ledger_at(campaign, batch["as_of"])
        n_pool = batch["settings"]["n_candidates"]
        nan = float("nan")
        error = RiskEstimate(nan, nan, nan, nan, len(drawn))
        if not n_missing:
            # Of the model by which they were drawn, which has not seen their labels.
            model: Any = history.fit_at(campaign, ledger)
            positions = np.array([e.position for e in drawn])
            y = campaign.labels.as_array([labels[k] for k in positions.tolist()])
            pool: Any = campaign._pool
            predicted = model.predict(take_rows(pool.X, positions))
            losses = row_losses(y, np.reshape(predicted, y.shape), loss)
            probabilities = [e.probability for e in drawn]
            error = lure(losses, probabilities, n_pool, confidence=confidence)
        n_labels = len(campaign._labeled(ledger)[1])
        head = {"batch": batch["batch"], "n_labels": n_labels, "n_pool": n_pool}
        rows.append({**head, "n_missing": n_missing, **error._asdict()})
    if not rows:
        raise ValueError(
            "No batch was drawn by the model with known probabilities. Strategies that "
            "give every row a chance do so, such as Mixture(strategy, share=0.2) and "
            "Random(); or hold rows out by test_share=0.1."
        )
    return pd.DataFrame(rows)


def _is_drawn(event: Event) -> bool:
    by_model = event.kind == "ask" and event.value == "strategy"
    return by_model and event.probability is not None
