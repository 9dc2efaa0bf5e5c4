"""What annotators say of the rows of a campaign: recorded, corrected and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from time import time
from typing import Any

import numpy as np
import pandas as pd
import torch

from skal.campaign.database import Database
from skal.campaign.files import (
    LabelReport,
    Saying,
    check_rows,
    read_label_studio,
    read_rows,
)
from skal.campaign.held_out import HeldOut
from skal.campaign.labels import Labels
from skal.campaign.ledger import Event, Ledger
from skal.campaign.pool import CampaignPool, id_text
from skal.campaign.status import CampaignStatus, Findings
from skal.exceptions import LabelFileError
from skal.learners.checks import align_labels

__all__ = ["Recorder", "as_items", "name_of"]

#: Of what is said, in reports; that of an answer depends on the one before.
_OUTCOMES = {"skip": "skip", "cannot": "cannot label", "withdraw": "withdrawn"}


class Recorder:
    """The part of a campaign that needs neither a model nor, for most, the rows.

    Parameters
    ----------
    database : Database
    meta : dict of str to object
        Settings, as stored.
    pool : CampaignPool or None
    texts : sequence of str
        Ids of the rows.
    """

    def __init__(
        self,
        database: Database,
        meta: Mapping[str, Any],
        pool: CampaignPool | None,
        texts: Sequence[str],
    ) -> None:
        self._database = database
        self._meta = meta
        self._pool = pool
        self._positions = {text: k for k, text in enumerate(texts)}
        self.ids: list[Any] = [] if pool is None else list(pool.ids)
        self.ids += texts[len(self.ids) :]  # which another process has added
        self.labels = Labels(meta["task"], meta["classes"])
        self.target: str = meta["target"]
        self.n_answers: int = meta["n_answers"]
        self.rule: str = meta["rule"]
        self.notes: Any = meta["notes"]
        self._id_name: str = meta["id_name"]
        self._prefix = f"{meta['uid']}-"
        self._held_out = HeldOut(meta, texts)
        self.test_share: float = self._held_out.share
        self._ledger = Ledger(self.n_answers, self.rule)
        self._sync()

    # -- telling ----------------------------------------------------------------------

    def tell(self, ids: Any, y: Any, annotator: str | None = None) -> LabelReport:
        """Record labels; they are on the disk when this returns.

        Parameters
        ----------
        ids : sequence of ids, or one id
            Of any rows, asked or not; each once. Leave out what is not answered yet.
        y : array-like of labels, or one label
            Matched to ids by position, or by index if it is a Series whose index holds
            the ids in another order. A label that the annotator gave before is
            corrected; the former one stays in `events`.
        annotator : str, optional
            Spaces around it do not matter, here and elsewhere.

        Returns
        -------
        report : LabelReport
            Which labels are new, corrected, or were known.

        Raises
        ------
        KeyError
            If an id is unknown.
        ValueError
            If an id repeats, or a label is missing or not one that the campaign
            accepts. Nothing is recorded then.
        """
        ids = as_items(ids)
        if isinstance(y, pd.Series) and len(y) == len(ids):
            y = align_labels(pd.Series(ids, index=ids, dtype=object), y)
        values = as_items(y)
        if len(ids) != len(values):
            raise ValueError(f"There are {len(ids)} ids and {len(values)} labels.")
        sayings, wrong = [], []
        positions = self._find(ids)
        for key, position, value in zip(ids, positions, values, strict=True):
            try:
                sayings.append((position, "answer", self.labels.check(value)))
            except ValueError as error:
                wrong.append(f"id {key}: {error}")
        if wrong:
            more = "" if len(wrong) <= 5 else f" And {len(wrong) - 5} more."
            raise ValueError(
                f"{len(wrong)} of {len(ids)} labels are wrong, and none was recorded. "
                f"{' '.join(wrong[:5])}{more}"
            )
        return self._record(sayings, annotator)

    def skip(self, ids: Any, annotator: str | None = None) -> LabelReport:
        """Record that an annotator does not answer; others may be asked."""
        return self._say("skip", ids, annotator)

    def cannot_label(self, ids: Any, annotator: str | None = None) -> LabelReport:
        """Record that no label can be given; nobody is asked again."""
        return self._say("cannot", ids, annotator)

    def withdraw(self, ids: Any, annotator: str | None = None) -> LabelReport:
        """Take back what an annotator said last, as if it had not been said.

        It stays in `events`.
        """
        return self._say("withdraw", ids, annotator)

    def _say(self, kind: str, ids: Any, annotator: str | None) -> LabelReport:
        positions = self._find(as_items(ids))
        return self._record([(k, kind, None) for k in positions], annotator)

    def tell_file(
        self, path: Any, annotator: str | None = None, *, strict: bool = True
    ) -> LabelReport:
        """Record the labels of a file that `Batch.to_csv` or `to_excel` made.

        Parameters
        ----------
        path : str or path
            A CSV file in UTF-8, separated by commas, semicolons or tabs, or an Excel
            file. Rows may be reordered, deleted or left empty, columns deleted or
            added. In the place of a label, "skip" and "cannot label" are understood,
            and words such as "N/A" are no label unless they are classes. In a CSV file
            that is not separated by commas, numbers may have a decimal comma.
        annotator : str, optional
            By default whom the batch of a row was made for.
        strict : bool, default=True
            Record nothing if any row is wrong; otherwise the right rows.

        Returns
        -------
        report : LabelReport
            What became of each row. Wrong are rows whose id is missing, unknown or
            repeated, whose other columns were changed, which belong to another
            campaign, and whose label is not one that the campaign accepts.

        Raises
        ------
        LabelFileError
            If the file cannot be read, or with `strict` if a row is wrong.
        """
        sayings = read_rows(path, self._id_name, self.target)
        return self._tell_sayings(path, sayings, annotator, strict)

    def from_label_studio(
        self, path: Any, annotator: str | None = None, *, strict: bool = True
    ) -> LabelReport:
        """Record the labels of a JSON export of Label Studio.

        Parameters
        ----------
        path : str or path
            Of tasks that `Batch.to_label_studio` made, exported as JSON.
        annotator : str, optional
            By default each annotation is recorded under the name of who completed it;
            the last one of each counts. Cancelled annotations are skips.
        strict : bool, default=True
            As in `tell_file`, and so is what is returned and raised.
        """
        return self._tell_sayings(path, read_label_studio(path), annotator, strict)

    def _tell_sayings(
        self, path: Any, sayings: list[Saying], annotator: str | None, strict: bool
    ) -> LabelReport:
        with self._database.reading() as connection:
            self._add_ids(connection)
        found, problems = check_rows(
            sayings, self.labels, self._positions, self._prefix, self._shown
        )
        lines = [saying.where for saying in sayings]
        keys = [saying.id for saying in sayings]
        report = LabelReport.of(lines, keys, ["wrong" if p else "" for p in problems])
        report.rows["detail"] = problems
        if strict and any(problems):
            right = report.rows["outcome"] == ""
            report.rows.loc[right, "outcome"] = "not recorded"
            raise LabelFileError(
                f"{str(path)!r}: nothing was recorded, as some rows are wrong. Correct "
                f"them, or pass strict=False to record the others. {report}",
                report,
            )
        kept = [k for k, saying in enumerate(found) if saying is not None]
        with self._database.reading() as connection:
            asked = {
                f"{self._prefix}{batch['batch']}": batch["annotator"]
                for batch in self._database.batches(connection)
            }
        names = [
            annotator or sayings[k].annotator or asked.get(str(sayings[k].batch), "")
            for k in kept
        ]
        told = self._record([found[k] for k in kept], names)
        outcomes = report.rows["outcome"].where(report.rows["outcome"] != "", "empty")
        outcomes.iloc[kept] = told.rows["outcome"].to_numpy()
        report.rows["outcome"] = outcomes
        report.rows.loc[kept, "detail"] = told.rows["detail"].to_numpy()
        return report

    def _shown(self, position: int) -> dict[str, Any]:
        if self._pool is None or position >= len(self._pool.ids):
            return {}
        row = self._pool.table(np.array([position]))
        return {str(name): row.iloc[0, k] for k, name in enumerate(row.columns)}

    def _record(
        self, sayings: Sequence[tuple[int, str, Any]], annotator: Any
    ) -> LabelReport:
        """Add events of what was said, but for what stands already."""
        if isinstance(annotator, list):
            names = [name_of(name) for name in annotator]
        else:
            names = [name_of(annotator)] * len(sayings)
        now = time()
        events: list[Event] = []
        outcomes, details = [], []
        with self._database.writing() as connection:
            self._sync(connection)
            for (position, kind, value), name in zip(sayings, names, strict=True):
                before = self._ledger.said.get(position, {}).get(name)
                same = (
                    before is not None and before.kind == kind and before.value == value
                )
                outcome, detail = _OUTCOMES.get(kind, "new"), ""
                if same or (kind == "withdraw" and before is None):
                    outcome = "unchanged"
                else:
                    if kind == "answer" and before and before.kind == "answer":
                        outcome, detail = "corrected", f"was {before.value!r}"
                    seq = self._ledger.seq + len(events) + 1
                    events.append(Event(seq, now, kind, position, name, value))
                outcomes.append(outcome)
                details.append(detail)
            self._database.add_events(connection, events)
        self._ledger.apply(events)
        keys = [self.ids[position] for position, _, _ in sayings]
        report = LabelReport.of(list(range(len(keys))), keys, outcomes)
        report.rows["detail"] = details
        return report

    # -- looking ----------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"Campaign({self._database.name!r}): {self.status()}"

    def _repr_html_(self) -> str:
        title = escape(f"Campaign {self._database.name}")
        return f"<p>{title}</p><pre>{escape(str(self.status()))}</pre>"

    def status(self) -> CampaignStatus:
        """Count rows by state, answers by annotator, and disagreements."""
        self._sync()
        with self._database.reading() as connection:
            batches = self._database.batches(connection)
        return CampaignStatus.of(
            self._ledger,
            self.ids,
            len(batches),
            self.labels.classes,
            time(),
            self._held_out.positions.tolist(),
            _findings_of(batches),
        )

    def export(self) -> pd.DataFrame:
        """Make a table of all rows.

        Returns
        -------
        table : DataFrame of shape (m, ...)
            By id: the columns of the rows if they were passed, the label, the state,
            and the number of answers and of different answers; and with a `test_share`,
            in ``skal_test``, whether it is held out for testing.
        """
        self._sync()
        labels = self._ledger.labels()
        everything = range(len(self.ids))
        table = pd.DataFrame(index=everything)
        if self._pool is not None:
            known = self._pool.table(np.arange(len(self._pool.ids)))
            table = known.reset_index(drop=True).reindex(everything)
        table.index = self._index()
        answers = [list(self._ledger.answers(k).values()) for k in everything]
        dtype = float if self.labels.task == "regression" else object
        table[self.target] = pd.Series(
            [labels.get(k) for k in everything], table.index, dtype=dtype
        )
        table["skal_state"] = self._ledger.states(len(self.ids), time())
        table["skal_answers"] = [len(values) for values in answers]
        table["skal_different"] = [len(set(values)) for values in answers]
        if self._held_out.share:
            table["skal_test"] = np.isin(everything, self._held_out.positions)
        return table

    def events(self) -> pd.DataFrame:
        """List everything that was asked and said, with former labels.

        Returns
        -------
        events : DataFrame
            Columns ``time`` (UTC), ``kind``, ``id``, ``annotator``, ``value`` and
            ``batch``, in order.
        """
        events, _ = self._read_all()
        times = [event.happened for event in events]
        return pd.DataFrame(
            {
                "time": pd.to_datetime(times, unit="s", utc=True),
                "kind": [e.kind for e in events],
                "id": [self.ids[e.position] for e in events],
                "annotator": [e.annotator for e in events],
                "value": pd.Series([e.value for e in events], dtype=object),
                "batch": pd.array([e.batch for e in events], dtype="Int64"),
            }
        )

    def said(self, annotator: str | None = None) -> list[tuple[Any, str, Any]]:
        """List what an annotator said of rows and has not taken back, last one first.

        Returns
        -------
        said : list of (id, kind, label)
            The kind is "answer", "skip" or "cannot"; the last two have no label.
        """
        self._sync()
        name = name_of(annotator)
        events = [said[name] for said in self._ledger.said.values() if name in said]
        events.sort(key=lambda event: -event.seq)
        return [(self.ids[e.position], e.kind, e.value) for e in events]

    def row(self, key: Any) -> dict[str, Any]:
        """Get the columns of a row as people read them; raises KeyError without it.

        Of rows that are no lines of a table, such as images, their arrays.
        """
        (position,) = self._find([key])
        shown = self._shown(position)
        if shown or self._pool is None or position >= len(self._pool.ids):
            return shown
        return dict(self._pool.arrays(position))

    # -- inside -----------------------------------------------------------------------

    def _sync(self, connection: Any = None) -> None:
        """Apply the events that other processes have added."""
        if connection is None:
            with self._database.reading() as connection:
                self._sync(connection)
            return
        events = self._database.events(connection, self._ledger.seq)
        if any(event.position >= len(self.ids) for event in events):
            self._add_ids(connection)
        self._ledger.apply(events)

    def _add_ids(self, connection: Any) -> None:
        """Know the rows that another process has added, but for their cells."""
        texts, _ = self._database.rows(connection)
        self.ids += texts[len(self.ids) :]
        self._positions = {text: k for k, text in enumerate(texts)}
        self._held_out = HeldOut(self._meta, texts)

    def _read_all(self) -> tuple[list[Event], list[dict[str, Any]]]:
        with self._database.reading() as connection:
            self._sync(connection)
            return self._database.events(connection), self._database.batches(connection)

    def _index(self) -> pd.Index:
        return pd.Index(self.ids, name=self._id_name, tupleize_cols=False)

    def _find(self, ids: Sequence[Any]) -> list[int]:
        texts = [id_text(key) for key in ids]
        if not self._positions.keys() >= set(texts):
            with self._database.reading() as connection:
                self._add_ids(connection)
        unknown = [text for text in texts if text not in self._positions]
        if unknown:
            raise KeyError(
                f"The campaign has no rows with {len(unknown)} of {len(texts)} ids, "
                f"such as {unknown[:3]}. Nothing was recorded."
            )
        if len(set(texts)) < len(texts):
            repeated = pd.Series(texts)
            repeated = repeated[repeated.duplicated()].unique().tolist()
            raise ValueError(f"Ids repeat: {repeated[:5]}. Nothing was recorded.")
        return [self._positions[text] for text in texts]


def _findings_of(batches: Sequence[Mapping[str, Any]]) -> Findings | None:
    """Get what was found of the model of the last batch; None if it was not looked."""
    stored = batches[-1]["settings"].get("findings") if batches else None
    return None if stored is None else Findings.from_json(stored)


def name_of(annotator: Any) -> str:
    """Write the name of an annotator as it is stored: empty for a nameless one."""
    if not isinstance(annotator, str | None):
        raise TypeError(f"annotator must be a str or None, got {annotator!r}.")
    return (annotator or "").strip()


def as_items(values: Any) -> list[Any]:
    """List values, or a single one.

    Raises
    ------
    TypeError
        If they have no order, or several columns with names.
    ValueError
        If they are of more than one dimension.
    """
    if isinstance(values, set | frozenset | Mapping | pd.DataFrame):
        raise TypeError(
            "ids and labels must be lists in the same order, or one value, got a "
            f"{type(values).__name__}. Of a dict, pass list(d) and list(d.values()); "
            "of a DataFrame, a column."
        )
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) > 1:
        raise ValueError(
            f"ids and labels must be of shape (n,), got {tuple(shape)}: use ravel()."
        )
    if isinstance(values, np.ndarray | torch.Tensor) and values.ndim == 0:
        return [values.item()]
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        return list(values) if isinstance(values, Iterator) else [values]
    return [_as_python(value) for value in values]


def _as_python(value: Any) -> Any:
    if hasattr(value, "as_py"):  # of pyarrow
        return value.as_py()
    is_single = isinstance(value, np.generic | torch.Tensor) and value.ndim == 0
    return value.item() if is_single else value
