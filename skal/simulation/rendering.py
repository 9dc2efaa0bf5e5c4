"""Tables of a comparison for the terminal, for Markdown and for notebooks."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Summary", "as_html", "as_markdown", "as_text"]


class Summary(pd.DataFrame):
    """The table of `StrategyComparison.summary`, shown with all its intervals.

    pandas hides the columns in the middle of a wide table. Results of operations on
    this table, such as a selection of columns, are plain DataFrames.
    """

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def __repr__(self) -> str:
        return as_text(self)


def as_text(summary: pd.DataFrame) -> str:
    """Format a summary for the terminal."""
    rows = _cells(summary)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([_title(summary), *lines])


def as_markdown(summary: pd.DataFrame) -> str:
    """Format a summary as a Markdown table."""
    head, *body = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        for row in _cells(summary)
    ]
    n_columns = len(_cells(summary)[0])
    rule = "| --- |" + " ---: |" * (n_columns - 1)
    return "\n".join([_title(summary), "", head, rule, *body])


def as_html(summary: pd.DataFrame) -> str:
    """Format a summary as an HTML table."""
    head, *body = _cells(summary)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    rows = "".join(
        "<tr>"
        + f"<th>{escape(row[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in body
    )
    return (
        f"<table><caption>{escape(_title(summary))}</caption>"
        f"<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _title(summary: pd.DataFrame) -> str:
    about = summary.attrs
    return f"{about['score']}; gains and labels saved against {about['reference']}"


def _cells(summary: pd.DataFrame) -> list[list[str]]:
    """Format the head and the rows of a summary."""
    level = f"[{100 * summary.attrs['confidence']:.4g}%]"
    head = ["strategy", "final", "area", f"gain {level}", "verdict"]
    head += [f"labels saved {level}", "query [s]"]
    rows = [head]
    for name, row in summary.iterrows():
        has_none = row["verdict"] in ("reference", "no score")
        gain = _interval(row, "gain", _signed)
        saved = _interval(row, "labels_saved", "{:+.0f}".format)
        rows.append(
            [
                " ".join(str(name).split()),  # on one line
                _number(row["final"], 4),
                _number(row["area"], 4),
                "" if has_none else gain,
                row["verdict"],
                "" if has_none else saved,
                f"{row['query_time']:.2g}",
            ]
        )
    return rows


def _number(value: float, digits: int, sign: bool = False) -> str:
    """Format with so many significant digits, and never with an exponent."""
    return np.format_float_positional(
        value, precision=digits, fractional=False, trim="-", sign=sign
    )


def _signed(value: float) -> str:
    return _number(value, 3, sign=True)


def _interval(row: pd.Series, name: str, show: Callable[[float], str]) -> str:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if np.isnan(low):
        bounds = "[one run]"
    else:
        # Minus infinity stands for a score that is not reached within the budget.
        shown = [show(bound) if np.isfinite(bound) else "?" for bound in (low, high)]
        bounds = f"[{', '.join(shown)}]"
    return f"{'not reached' if np.isnan(value) else show(value)} {bounds}"
