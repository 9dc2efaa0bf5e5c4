"""The pool of a campaign: its ids, and whether it is still the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from torch.utils.data import Dataset

from skal._tables import as_pandas, is_other_table
from skal.campaign.hashing import hash_columns, hash_rows, hash_texts
from skal.exceptions import PoolChangedError
from skal.rows import as_dense, n_rows, take_rows

__all__ = ["CampaignPool"]


@dataclass
class CampaignPool:
    """Rows with ids.

    Parameters
    ----------
    X : rows of shape (m, ...)
    ids : sequence of length m, optional
        The index of a DataFrame or a Series of pandas, and otherwise the positions.
    display : DataFrame of shape (m, k), optional
        The rows as people read them; `X` itself if it is a table or has 2 dimensions.

    Raises
    ------
    ValueError
        If ids repeat, or their number is not that of the rows.
    """

    X: Any
    ids: Any = None
    display: Any = None

    def __post_init__(self) -> None:
        m = n_rows(self.X)
        if self.ids is None:
            self.ids = self.X.index if hasattr(self.X, "iloc") else range(m)
        self.ids = list(self.ids)
        if len(self.ids) != m:
            raise ValueError(f"There are {m} rows and {len(self.ids)} ids.")
        if self.display is not None and len(self.display) != m:
            raise ValueError(f"There are {m} rows and {len(self.display)} in display.")
        self.texts = [id_text(key) for key in self.ids]
        repeated = pd.Series(self.texts)
        repeated = repeated[repeated.duplicated()].unique().tolist()
        if repeated:
            raise ValueError(
                f"Ids must be unique when written as text; {len(repeated)} are not, "
                f"such as {repeated[:3]}. Pass others as ids=."
            )

    @cached_property
    def hashes(self) -> np.ndarray:
        """Hash of each row, int64."""
        return hash_rows(self.X).view(np.int64)

    def column_hashes(self) -> dict[str, int] | None:
        """Hash of each column, None for rows that are not a table."""
        return hash_columns(self.X, hash_texts(self.texts))

    def ordered(self, texts: Sequence[str]) -> tuple[CampaignPool, list[int]]:
        """Put the rows in the order of a campaign.

        Parameters
        ----------
        texts : sequence of str
            Ids in the order of the campaign.

        Returns
        -------
        pool : CampaignPool
            With the rows of the campaign first, then others as they are.
        missing : list of int
            Places in `texts` of the ids that are not there.
        """
        places = {text: k for k, text in enumerate(self.texts)}
        missing = [k for k, text in enumerate(texts) if text not in places]
        known = [places[text] for text in texts if text in places]
        rest = sorted(set(range(len(self.texts))) - set(known))
        order = np.array([*known, *rest], dtype=np.int64)
        if np.array_equal(order, np.arange(len(order))):
            return self, missing
        ids = [self.ids[k] for k in order]
        display = None if self.display is None else self.display.iloc[order]
        return CampaignPool(take_rows(self.X, order), ids, display), missing

    def check_same(
        self,
        texts: Sequence[str],
        hashes: Sequence[int],
        columns: dict[str, int] | None,
        missing: Sequence[int],
        append: bool,
    ) -> None:
        """Raise if these are not the rows of a campaign, and say what changed.

        Parameters
        ----------
        texts, hashes, columns
            Ids, hashes of the rows and of the columns in the campaign.
        missing : sequence of int
            From `ordered`.
        append : bool
            Whether there may be more rows.
        """
        problems = []
        if missing:
            problems.append(
                f"{len(missing)} of {len(texts)} rows are missing (ids "
                f"{_few([texts[k] for k in missing])})"
            )
        if missing and len(missing) == len(texts):
            raise PoolChangedError(
                f"None of the {len(texts)} ids of the campaign, such as "
                f"{_few(texts[:3])}, is among those of the pool, such as "
                f"{_few(self.texts[:3])}. Pass the same ids= as to Campaign.create."
            )
        n = len(texts) - len(missing)
        kept = np.delete(np.asarray(hashes, dtype=np.int64), np.asarray(missing, int))
        changed = np.flatnonzero(self.hashes[:n] != kept)
        if len(changed):
            where = "" if missing else self._changed_columns(n, columns)
            problems.append(
                f"{len(changed)} rows hold other values (ids "
                f"{_few([self.texts[k] for k in changed])}){where}"
            )
        if len(self.texts) > n and not append:
            problems.append(
                f"{len(self.texts) - n} rows are new (ids {_few(self.texts[n:])}); "
                "pass append=True to add them"
            )
        if problems:
            raise PoolChangedError(
                f"The pool is not that of the campaign: {'; '.join(problems)}. Pass "
                "the same rows, with the same ids."
            )

    def _changed_columns(self, n: int, before: dict[str, int] | None) -> str:
        now = CampaignPool(take_rows(self.X, np.arange(n)), self.ids[:n])
        columns = now.column_hashes()
        if columns is None or before is None:
            return ""
        parts = [
            ("in the columns", [c for c in before if columns.get(c, 0) != before[c]]),
            ("with new columns", [c for c in columns if c not in before]),
            ("without the columns", [c for c in before if c not in columns]),
        ]
        parts[0] = parts[0][0], [c for c in parts[0][1] if c in columns]
        return "".join(f", {what} {names[:10]}" for what, names in parts if names)

    def table(self, positions: np.ndarray) -> pd.DataFrame:
        """Get rows as people read them; without columns for images and the like."""
        source = self.X if self.display is None else self.display
        rows = take_rows(source, positions)
        if isinstance(rows, pd.Series):
            return rows.to_frame()
        if isinstance(rows, pd.DataFrame):
            return rows
        if is_other_table(rows):
            return as_pandas(rows)
        nothing = pd.DataFrame(index=range(len(positions)))
        if isinstance(rows, Mapping | Dataset) and not sparse.issparse(rows):
            return nothing
        cells = as_dense(rows)
        if cells.ndim == 1:
            return pd.DataFrame({"value": cells})
        if cells.ndim > 2:
            return nothing
        return pd.DataFrame(cells, columns=[f"x{k}" for k in range(cells.shape[1])])

    def arrays(self, position: int) -> dict[str, np.ndarray]:
        """Get the arrays of a row that is no line of a table, such as an image.

        Parameters
        ----------
        position : int

        Returns
        -------
        arrays : dict of str to ndarray
            By key, if the rows are those of a dict; otherwise the whole row.
        """
        rows = take_rows(self.X, np.array([position]))
        if sparse.issparse(rows) or hasattr(rows, "iloc") or is_other_table(rows):
            return {}
        parts = rows if isinstance(rows, Mapping) else {"row": rows}
        cells = {str(name): as_dense(part) for name, part in parts.items()}
        return {name: cell[0] for name, cell in cells.items() if cell.ndim > 2}

    def column_names(self) -> list[str]:
        """Names of the columns of `table`."""
        return [str(name) for name in self.table(np.arange(min(1, len(self.ids))))]


def id_text(key: Any) -> str:
    """Write an id as text; raises ValueError if it is missing."""
    if isinstance(key, bool | np.bool_):
        return str(key)  # not that of 1: it may be of a mask
    if isinstance(key, Integral):
        return str(int(key))
    if isinstance(key, float | np.floating) and float(key).is_integer():
        return str(int(key))
    missing = pd.api.types.is_scalar(key) and pd.isna(key)
    if missing or str(key).strip() == "":
        raise ValueError(f"An id is missing: {key!r}.")
    return str(key).strip()


def _few(texts: Sequence[str]) -> str:
    return ", ".join(texts[:5]) + (", ..." if len(texts) > 5 else "")
