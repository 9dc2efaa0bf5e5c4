"""Numbers and dates as tables hold them where the comma separates decimals."""

from __future__ import annotations

import warnings

import pandas as pd

__all__ = ["read_cells"]

#: A number such as 1.234,5 or 12,5 or 7.
_NUMBER = r"[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?"
#: A comma that may separate thousands as well.
_UNCLEAR = r"[+-]?\d{1,3},\d{3}"
#: Numbers whose commas separate thousands, and those of which there is no doubt.
_GROUPED = r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?"
_CERTAIN = r",\d{3}[,.]"
_DATE = r"(\d{1,2})([./-])(\d{1,2})[./-](\d{4})([ T]\d{1,2}:\d{2}(:\d{2})?)?"


def read_cells(values: pd.DataFrame, delimiter: str) -> pd.DataFrame:
    """Convert columns of text to numbers or dates, if each of their cells is one.

    Parameters
    ----------
    values : DataFrame
        As pandas reads it, by which numbers with a decimal comma, and dates that do not
        begin with the year, are texts.
    delimiter : str
        Of the file. Between commas, a comma within quotes separates thousands, if that
        is certain.

    Returns
    -------
    values : DataFrame

    Warns
    -----
    UserWarning
        If commas may separate thousands, which are read as decimal commas, or stay
        texts between commas; or if dates do not exist, or may begin with the day or the
        month, and stay texts.
    """
    read = values.copy()
    unclear_numbers, unclear_texts, unclear_dates = [], [], []
    for name in values.columns:
        known = values[name].dropna()
        if not len(known) or not known.map(lambda cell: isinstance(cell, str)).all():
            continue
        cells = known.str.strip()
        has_commas = cells.str.contains(",", regex=False).any()
        if delimiter != "," and has_commas:
            if cells.str.fullmatch(_NUMBER).all():
                plain = cells.str.replace(".", "").str.replace(",", ".")
                read[name] = plain.astype(float).reindex(values.index)
                with_comma = cells[cells.str.contains(",", regex=False)]
                if with_comma.str.fullmatch(_UNCLEAR).all():
                    unclear_numbers.append(str(name))
        elif has_commas and cells.str.fullmatch(_GROUPED).all():
            if cells.str.contains(_CERTAIN).any():
                plain = cells.str.replace(",", "")
                read[name] = plain.astype(float).reindex(values.index)
            else:
                unclear_texts.append(str(name))
        elif cells.str.fullmatch(_DATE).all():
            dates = _dates(cells)
            if dates is None:
                unclear_dates.append(str(name))
            else:
                read[name] = dates.reindex(values.index)
    if unclear_numbers:
        warnings.warn(
            f"The commas in the columns {unclear_numbers} are read as decimal commas. "
            "If they separate thousands, remove them.",
            UserWarning,
            stacklevel=2,
        )
    if unclear_texts:
        warnings.warn(
            f"The columns {unclear_texts} are read as texts: their commas may separate "
            "thousands or decimals. Write the numbers without separators of thousands, "
            "and with a decimal point.",
            UserWarning,
            stacklevel=2,
        )
    if unclear_dates:
        warnings.warn(
            f"The columns {unclear_dates} are read as texts: they look like dates, but "
            "do not exist, or may begin with the day or the month. Write them as "
            "2024-12-31.",
            UserWarning,
            stacklevel=2,
        )
    return read


def _dates(cells: pd.Series) -> pd.Series | None:
    """Convert dates; None if one does not exist, or the order is not known."""
    parts = cells.str.extract(_DATE)
    first, second = parts[0].astype(int), parts[2].astype(int)
    day_first = bool((parts[1] == ".").all() or (first > 12).any())
    if not day_first and not (second > 12).any():
        return None
    day, month = (first, second) if day_first else (second, first)
    text = parts[3] + "-" + month.astype(str) + "-" + day.astype(str)
    times = parts[4].fillna(" 00:00").str.replace("T", " ").str.strip()
    times = times.where(times.str.count(":") == 2, times + ":00")
    dates = pd.to_datetime(
        text + " " + times, format="%Y-%m-%d %H:%M:%S", errors="coerce"
    )
    return None if dates.isna().any() else dates
