"""Why the rows of a batch are asked: a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skal.campaign.batch import Batch
from skal.campaign.recording import as_items
from skal.rows import take_rows
from skal.strategies.explaining import explain_rows

if TYPE_CHECKING:
    from skal.campaign.asking import Asker

__all__ = ["explain_batch"]


def explain_batch(campaign: Asker, batch: Any) -> pd.DataFrame:
    """Make the table of `Campaign.explain`."""
    ids = batch.ids if isinstance(batch, Batch) else as_items(batch)
    places = np.array(campaign._find(ids), dtype=np.int64)
    columns: dict[str, Any] = {"rank": np.arange(1, len(ids) + 1)}
    if isinstance(batch, Batch):
        columns["score"] = batch.scores
    space = None
    labeled, y = campaign._labeled(campaign._ledger)
    if campaign._picker.suffices(y) and len(ids):
        pool: Any = campaign._pool
        key = campaign._ledger.label_seq
        learner = campaign._picker.fit(take_rows(pool.X, labeled), y, key)
        rows, strategy = take_rows(pool.X, places), campaign._parts["strategy"]
        found, space = explain_rows(strategy, learner, rows, np.arange(len(ids)))
        if "nearest_labeled" in found:
            nearest = labeled[found["nearest_labeled"]]
            names = pd.Series([campaign.ids[k] for k in nearest], dtype=object)
            found["nearest_labeled"] = names.infer_objects().to_numpy()
        columns |= found
    table = pd.DataFrame(columns, index=campaign._index()[places])
    table.attrs["space"] = space
    return table
