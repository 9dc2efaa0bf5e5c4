"""Asks for rows, and fits the model for it, while people label others."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any

import numpy as np

from skal.campaign import Campaign
from skal.campaign.batch import Batch, cell_text
from skal.campaign.explaining import explain_batch
from skal.campaign.history import batch_ends, score_at
from skal.campaign.pool import id_text
from skal.validation import check_int

__all__ = ["Progress", "Worker"]

_log = logging.getLogger(__name__)
#: Folds of the learning curve: each is a fit, for which those who wait for rows wait.
_FOLDS = 3
#: Columns of `Campaign.explain` that are shown; the prediction could bias annotators.
_REASONS = {
    "rank": "rank in its batch",
    "score": "score of the strategy",
    "uncertainty": "uncertainty of the model",
    "distance": "distance to the nearest row with a label",
    "nearest_labeled": "that row",
}


@dataclass(frozen=True)
class Progress:
    """What the worker is doing for an annotator.

    Attributes
    ----------
    choosing : bool
        Whether rows are on their way.
    error : str or None
        Why the last attempt failed.
    """

    choosing: bool
    error: str | None


class Worker:
    """One thread that asks for rows; nobody waits for it.

    Parameters
    ----------
    campaign : Campaign
        Used by this thread alone.
    n : int
        Rows of a batch.
    explain : bool
        Whether to find out why rows were picked.

    Attributes
    ----------
    curve_error : str or None
        Why the last score of the curve failed.

    Notes
    -----
    Who waits for rows comes first, and the reasons for these rows follow, by the model
    that picked them. In idle time, the learning curve is completed, one number of
    labels at a time and the last one first, by 3-fold cross-validation.
    """

    def __init__(self, campaign: Campaign, n: int = 10, explain: bool = False) -> None:
        check_int("n", n)
        campaign._need_pool("labeling")
        self.n = n
        self.curve_error: str | None = None
        self._campaign, self._explain = campaign, explain
        self._reasons: dict[str, list[tuple[str, str]]] = {}
        self._changed = Condition()
        self._wanted: list[str] = []
        self._busy_for: str | None = None
        self._errors: dict[str, str] = {}
        self._curve: dict[int, dict[str, Any] | None] = {}
        self._closed = False
        self._thread = Thread(target=self._run, name="skal-labeling", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self, timeout: float = 2.0) -> None:
        """Begin nothing more, and wait some seconds for what is being done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout)

    def want(self, annotator: str) -> None:
        """Ask for further rows, unless that is being done."""
        with self._changed:
            if annotator not in (*self._wanted, self._busy_for):
                self._wanted.append(annotator)
                self._errors.pop(annotator, None)
                self._changed.notify_all()

    def progress(self, annotator: str) -> Progress:
        """Say what is being done for an annotator."""
        with self._changed:
            choosing = annotator in (*self._wanted, self._busy_for)
            return Progress(choosing, self._errors.get(annotator))

    def curve(self) -> list[dict[str, Any]]:
        """Get the learning curve so far: ``n_labels``, ``score`` and ``std``."""
        with self._changed:
            rows = [row for row in self._curve.values() if row is not None]
        by_count = {row["n_labels"]: row for row in rows}
        return [by_count[count] for count in sorted(by_count)]

    def reasons(self, row: str) -> list[tuple[str, str]]:
        """Say why a row was picked, in names and values; empty if that is unknown."""
        with self._changed:
            return self._reasons.get(row, [])

    # -- in the thread ----------------------------------------------------------------

    def _run(self) -> None:
        unscored: list[int] | None = None
        while True:
            with self._changed:
                while not (self._closed or self._wanted or unscored != []):
                    self._changed.wait()
                if self._closed:
                    return
                name = self._wanted.pop(0) if self._wanted else None
                self._busy_for = name
            if name is not None:
                self._ask(name)
                unscored = None
            elif unscored is None:
                unscored = self._find_unscored()
            else:
                self._score(unscored.pop())

    def _ask(self, name: str) -> None:
        error, batch = None, None
        try:
            batch, _ = self._campaign._ask(self.n, name, again=False)
        except Exception as found:  # of any model or strategy: shown on the page
            _log.warning("Rows could not be chosen.", exc_info=True)
            error = f"{type(found).__name__}: {found}"
        with self._changed:
            # Rows are there before it is said that nobody is choosing any more.
            self._busy_for = None
            if error is not None:
                self._errors[name] = error
        if self._explain and batch is not None:
            self._find_reasons(batch)

    def _find_reasons(self, batch: Batch) -> None:
        try:
            # Before the labels of now are read, which ask for another fit.
            table = explain_batch(self._campaign, batch)
        except Exception:  # of any model; the rows are there, and can be labeled
            _log.warning("The picks could not be explained.", exc_info=True)
            return
        shown = table[[name for name in _REASONS if name in table]]
        if shown.columns.tolist() == ["rank", "score"]:
            return  # picked before there was a model
        found = {
            id_text(key): [
                (_REASONS[name], f"{x:.4g}" if isinstance(x, float) else cell_text(x))
                for name, x in zip(shown.columns, row, strict=True)
                if not (isinstance(x, float) and np.isnan(x))
            ]
            for key, row in zip(
                shown.index, shown.itertuples(index=False, name=None), strict=True
            )
        }
        with self._changed:
            self._reasons |= found

    def _find_unscored(self) -> list[int]:
        try:
            return [end for end in batch_ends(self._campaign) if end not in self._curve]
        except Exception as error:
            _log.warning("The learning curve failed.", exc_info=True)
            self.curve_error = f"{type(error).__name__}: {error}"
            return []

    def _score(self, end: int) -> None:
        row, failure = None, None
        try:
            row = score_at(self._campaign, end, cv=_FOLDS)
            if row is not None and not np.isfinite(row["score"]):
                row = None  # such as that of R2 on folds of one row
        except Exception as error:
            _log.warning("The learning curve failed.", exc_info=True)
            failure = f"{type(error).__name__}: {error}"
        with self._changed:
            # Until the next score is known, pages still show why the last one failed.
            self._curve[end], self.curve_error = row, failure
