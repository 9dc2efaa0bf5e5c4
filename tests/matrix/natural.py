"""Learners of NGBoost that need more than numbers to be constructed."""

from __future__ import annotations

from typing import Any

import pytest

ngboost = pytest.importorskip("ngboost")

__all__ = ["NGBClassifier"]


def NGBClassifier(**parameters: Any) -> Any:
    """Construct a classifier of three classes, which NGBoost does not count itself."""
    classes = ngboost.distns.k_categorical(3)
    return ngboost.NGBClassifier(Dist=classes, **parameters)
