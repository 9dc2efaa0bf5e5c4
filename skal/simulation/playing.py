"""One campaign of a comparison: it is run, scored, reported and saved."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skal.rows import array_if_tensor, copied_rows, take_rows
from skal.simulation.loop import Campaign, global_rng_lock
from skal.simulation.store import CampaignStore

__all__ = ["CampaignFailure", "PlayedStep", "Run", "ends_campaign", "play"]


class PlayedStep(NamedTuple):
    """One step of a campaign, as a callback sees it.

    Attributes
    ----------
    strategy : str
        Name of the strategy; in a single simulation, of its class.
    fold, repeat : int
        The run; 0 in a single simulation.
    step : int
        0 for the start, then the number of the query.
    labeled : ndarray of int
        Positions in `X` of the rows labeled in this step, in the order queried.
    n_labeled : int
        Number of labels so far.
    estimator : estimator
        Fitted on them. The next step fits the same object again: copy it to keep it.
    scores : dict of str to float
        By the name of the scorer; empty in a single simulation.
    query_time, fit_time : float
        In seconds.
    """

    strategy: str
    fold: int
    repeat: int
    step: int
    labeled: np.ndarray
    n_labeled: int
    estimator: Any
    scores: dict[str, float]
    query_time: float
    fit_time: float


class CampaignFailure(NamedTuple):
    """A campaign that failed.

    Attributes
    ----------
    strategy : str
    fold, repeat : int
    step : int
        The step that failed: 0 for the start, then the number of the query.
    n_labeled : int
        Number of labels before it.
    error : Exception
    rows : list of dict
        The steps before it, as in ``StrategyComparison.data``.
    """

    strategy: str
    fold: int
    repeat: int
    step: int
    n_labeled: int
    error: Exception
    rows: list[dict[str, Any]]

    def __str__(self) -> str:
        return (
            f"strategy {self.strategy!r}, fold {self.fold}, repeat {self.repeat}, "
            f"step {self.step} (after {self.n_labeled} labels): "
            f"{type(self.error).__name__}: {self.error}"
        )


@dataclass(frozen=True)
class Run:
    """Names a campaign.

    Attributes
    ----------
    strategy : str
    fold, repeat, seed : int
    """

    strategy: str
    fold: int
    repeat: int
    seed: int


def play(
    run: Run,
    campaign: Campaign,
    estimator: Any,
    strategy: Any,
    test: np.ndarray,
    scorers: Mapping[str, Any],
    callback: Callable[[PlayedStep], Any] | None,
    store: CampaignStore | None,
) -> list[dict[str, Any]] | CampaignFailure:
    """Run a campaign and score each step on the test rows.

    Parameters
    ----------
    run : Run
    campaign : Campaign
    estimator, strategy : objects
        Clones, which are changed.
    test : ndarray of int
        Positions in `campaign.X` of the test rows.
    scorers : mapping of str to scorer
        The first gives the column ``score``.
    callback : callable, optional
        Called after each step; the campaign ends if it returns True.
    store : CampaignStore, optional
        Keeps the result.

    Returns
    -------
    rows : list of dict, or CampaignFailure
        One row per step.
    """
    X_test = take_rows(campaign.X, test)
    # scikit-learn before 1.7 cannot compare tensors with arrays.
    y_test = array_if_tensor(take_rows(campaign.y, test))
    rows: list[dict[str, Any]] = []
    labeled: list[list[int]] = []
    n_labeled = 0
    try:
        for step in campaign.run(estimator, strategy):
            with global_rng_lock:
                scores = {
                    name: float(scorer(step.estimator, copied_rows(X_test), y_test))
                    for name, scorer in scorers.items()
                }
            positions = campaign.rows[step.labeled]
            n_labeled += len(positions)
            first, *others = scores
            rows.append(
                {
                    **vars(run),
                    "step": len(rows),
                    "n_labeled": n_labeled,
                    "score": scores[first],
                    **({name: scores[name] for name in scores} if others else {}),
                    "query_time": step.query_time,
                    "fit_time": step.fit_time,
                }
            )
            labeled.append(positions.tolist())
            if callback is not None and ends_campaign(
                callback,
                PlayedStep(
                    strategy=run.strategy,
                    fold=run.fold,
                    repeat=run.repeat,
                    step=len(rows) - 1,
                    labeled=positions,
                    n_labeled=n_labeled,
                    estimator=step.estimator,
                    scores=scores,
                    query_time=step.query_time,
                    fit_time=step.fit_time,
                ),
            ):
                break
    # Estimators, strategies and callbacks may raise anything. The other campaigns are
    # worth as much as before.
    except Exception as error:
        at = run.strategy, run.fold, run.repeat, len(rows), n_labeled
        return CampaignFailure(*at, _portable(error), rows)
    if store is not None:
        store.save(run.strategy, run.fold, run.repeat, rows, labeled)
    return rows


def ends_campaign(callback: Callable[[PlayedStep], Any], step: PlayedStep) -> bool:
    """Call a callback; return whether it said True, and not just anything."""
    answer = callback(step)
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _portable(error: Exception) -> Exception:
    """Return an error that another process can read."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever an error refers to
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
