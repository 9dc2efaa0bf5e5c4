"""A warning where a strategy cannot tell the rows of a pool apart."""

from __future__ import annotations

import warnings

from sklearn.base import is_classifier
from torch import Tensor

from skal.reading.pool import Pool

__all__ = ["warn_if_alike"]


def warn_if_alike(
    name: str, scores: Tensor, pool: Pool, cause: str | None = None
) -> None:
    """Warn if all scores are equal, with the likely cause.

    Parameters
    ----------
    name : str
        Name of the strategy.
    scores : Tensor of shape (m,)
    pool : Pool
    cause : str, optional
        Sentences for the warning, unless the outputs of the models tell the cause.
    """
    if len(scores) > 0 and bool((scores == scores[0]).all()):
        found = _cause(pool)
        if found is None and cause is None:
            found = (
                "To this model the rows of the pool are alike, or like those that are "
                "labeled."
            )
        start = f"{name} gives all rows the same score, {float(scores[0]):.4g}"
        warnings.warn(
            f"{start}. {cause}"
            if found is None
            else f"{start}, so that its picks are arbitrary. {found}",
            UserWarning,
            stacklevel=2,
        )


def _cause(pool: Pool) -> str | None:
    """Look for the cause in the outputs of the models."""
    saturated = False
    if pool.is_fitted and all(member.nets() for member in pool.members):
        for member, access in pool.nets():
            outputs = access.outputs(member.rows).flatten(1)
            if bool((outputs == outputs[0]).all()):
                return (
                    f"The outputs of {type(access.module).__name__} are the same for "
                    "all of them: its hidden units may be dead (a lower lr and scaled "
                    "inputs help), or the rows are equal."
                )
            if is_classifier(access.net):
                proba = access.to_proba(outputs)
                saturated |= bool((proba.amax(dim=1) == 1).all())
    if saturated:
        return (
            "The net is saturated: all its probabilities are 0 or 1 (scaled inputs, "
            "fewer epochs and weight decay help)."
        )
    return None
