"""What may be a label of a campaign, and how it is read from a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from skal.campaign.cells import MISSING, plain_number
from skal.validation import check_option

__all__ = ["CANNOT", "SKIP", "Labels"]

#: Words in the place of a label in files.
SKIP, CANNOT = "skip", "cannot label"


@dataclass(frozen=True)
class Labels:
    """The labels that a campaign accepts.

    Parameters
    ----------
    task : {"classification", "regression"}
    classes : list of str, int, float or bool
        The labels that may occur; empty for regression.
    """

    task: str
    classes: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_option("task", self.task, ["classification", "regression"])
        if self.task == "regression":
            if self.classes:
                raise ValueError("classes are for classification.")
            return
        if len(self.classes) < 2:
            raise ValueError(
                f"A classification needs two classes or more, got {self.classes}: pass "
                "all labels that may occur as classes=."
            )
        wrong = [c for c in self.classes if not isinstance(c, str | bool | int | float)]
        if wrong:
            raise TypeError(f"Classes must be strings or numbers, got {wrong[0]!r}.")
        texts = {_text(c) for c in self.classes}
        if len(texts) < len(self.classes):
            raise ValueError(
                f"Classes must differ when written as text, got {self.classes}."
            )
        if len(set(self.classes)) < len(self.classes):
            raise ValueError(
                f"Classes must differ, and True equals 1, got {self.classes}."
            )
        words = {text.casefold() for text in texts} & {SKIP, CANNOT, ""}
        if words:
            raise ValueError(
                f"The classes {sorted(words)} have another meaning in files: rename "
                "them."
            )

    def check(self, value: Any) -> Any:
        """Convert a label to a str, bool, int or float.

        Raises
        ------
        ValueError
            If it is missing, not a finite number, or not one of the classes.
        """
        value = value.item() if isinstance(value, np.generic) else value
        single = np.isscalar(value) or isinstance(value, Decimal)
        if not single or pd.isna(value) or self._is_gap(value):
            raise ValueError(
                f"{value!r} is not a label. Leave such rows out; skip() and "
                "cannot_label() say more."
            )
        if self.task == "classification":
            for known in self.classes:
                # True equals 1, but is another class.
                same_kind = isinstance(value, bool) == isinstance(known, bool)
                if value == known and same_kind:
                    return known
            raise ValueError(f"{value!r} is not one of the classes {self.classes}.")
        if isinstance(value, bool) or not isinstance(value, Real | Decimal):
            raise ValueError(f"{value!r} is not a number.")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"{str(value)[:30]} is not finite, or too large.")
        return number

    def has(self, text: str) -> bool:
        """Whether a text is one of the classes."""
        return text.strip() in {_text(c) for c in self.classes}

    def parse(self, text: str) -> Any:
        """Read a label from a cell of a file; raises as `check` does."""
        text = text.strip()
        if self.task == "regression":
            return self.check(_number(text))
        by_text = {_text(c): c for c in self.classes}
        if text in by_text:
            return by_text[text]
        # Programs for tables write 1 as 1.0, and True as TRUE.
        for known in self.classes:
            if isinstance(known, bool) and text.casefold() == str(known).casefold():
                return known
            if isinstance(known, int | float) and not isinstance(known, bool):
                try:
                    if _number(text) == known:
                        return known
                except ValueError:
                    continue
        raise ValueError(f"{text!r} is not one of the classes {self.classes}.")

    def as_array(self, values: Sequence[Any]) -> np.ndarray:
        """Make the `y` of a fit."""
        dtype = np.float64 if self.task == "regression" else None
        return np.asarray(list(values), dtype=dtype)

    def from_start(self, values: Any) -> list[Any]:
        """Check the labels that are known from the start; None where there is none."""
        cells = np.asarray(values, dtype=object)
        gaps = [cell for cell in cells if self._is_gap(cell)]
        if gaps:
            raise ValueError(
                f"{len(gaps)} labels of y are texts such as {gaps[0]!r}. Where there "
                "is no label, pass None or NaN; if it is a class, list it in classes=."
            )
        try:
            return [None if pd.isna(cell) else self.check(cell) for cell in cells]
        except ValueError as error:
            hint = (
                " Convert them, for example by pandas.to_numeric."
                if self.task == "regression" and any(isinstance(c, str) for c in cells)
                else ""
            )
            raise ValueError(f"Labels of y: {error}{hint}") from None

    def _is_gap(self, value: Any) -> bool:
        """Whether a text stands for a missing value."""
        gap = isinstance(value, str) and value.strip().casefold() in MISSING
        return gap and not self.has(value)


def _number(text: str) -> float:
    number = plain_number(text)
    if number is None:
        raise ValueError(f"{text!r} is not a number.")
    return number


def _text(value: Any) -> str:
    return str(value).strip()
