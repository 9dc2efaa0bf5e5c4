"""Learners of NGBoost that need more than numbers to be constructed."""

from __future__ import annotations

from typing import Any

from ngboost import NGBClassifier as _NGBClassifier
from ngboost.distns import k_categorical

__all__ = ["NGBClassifier"]


def NGBClassifier(**parameters: Any) -> Any:
    """Construct a classifier of three classes, which NGBoost does not count itself."""
    return _NGBClassifier(Dist=k_categorical(3), **parameters)
