"""Stopping rules that the command line can name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skal.campaign.watching import stable_predictions
from skal.stopping import Budget, SmallGain, StoppingRule, TargetScore

__all__ = ["make_rule"]

_SYNTAX = (
    "rules are budget=LABELS, stable, stable=CHANGE, score=SCORE and gain=GAIN_PER_"
    "LABEL; 'a & b' stops when both say so, and 'a | b' when one does"
)


def make_rule(text: str | None, X: Any, seed: int) -> StoppingRule | None:
    """Make a rule from its text, such as ``"budget=200 | stable & score=0.9"``.

    Parameters
    ----------
    text : str or None
        ``&`` binds closer than ``|``.
    X : rows
        The pool, on which predictions are compared.
    seed : int
        Of the rows drawn from it.

    Raises
    ------
    ValueError
        If the text is not a rule.
    """
    if text is None:
        return None
    either = [_all_of(part, X, seed) for part in text.split("|")]
    rule = either[0]
    for other in either[1:]:
        rule = rule | other
    return rule


def _all_of(text: str, X: Any, seed: int) -> StoppingRule:
    first, *others = [_one(part, X, seed) for part in text.split("&")]
    for other in others:
        first = first & other
    return first


def _one(text: str, X: Any, seed: int) -> StoppingRule:
    name, has_value, value = (part.strip() for part in text.partition("="))
    made: dict[str, Callable[[str], StoppingRule]] = {
        "budget": lambda n: Budget(_positive(int(n))),
        "stable": lambda tol: stable_predictions(X, seed, _positive(float(tol))),
        "score": lambda score: TargetScore(float(score)),
        "gain": lambda gain: SmallGain(_positive(float(gain))),
    }
    if name == "stable" and not has_value:
        value = "0.01"
    try:
        return made[name](value)
    except (KeyError, ValueError):
        raise ValueError(
            f"{text.strip()!r} is not a stopping rule: {_SYNTAX}."
        ) from None


def _positive(value: Any) -> Any:
    if not value > 0:
        raise ValueError(value)
    return value
