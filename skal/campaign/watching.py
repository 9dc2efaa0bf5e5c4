"""What is found of the models of a campaign: whether to stop, and their error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring

from skal.campaign import history
from skal.campaign.ledger import Ledger
from skal.evaluation import RiskEstimate, mean_loss, row_losses
from skal.rng import resolve_rng, seed_from
from skal.rows import n_rows, take_rows
from skal.stopping import StablePredictions, StoppingRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from skal.campaign.asking import Asker

__all__ = ["Watch", "default_loss", "error_at", "stable_predictions"]

#: Rows of the pool on which successive models are compared.
_COMPARED = 2000


class Watch:
    """Shows the models of a campaign to its stopping rule.

    Parameters
    ----------
    rule : StoppingRule
        A copy of it is used.

    Notes
    -----
    The rule sees the model of each batch, and the one of now; batches that were picked
    by the same labels count once.  What it has seen follows from the events.  In a new
    process, as many of the last models are fitted again as the rule looks at: none for
    `Budget`, ``window + 1`` for `StablePredictions`, and all for a rule that does not
    say.
    """

    def __init__(self, rule: StoppingRule) -> None:
        self._given = rule
        self._rule = clone(rule)
        self._shown: list[int] = []
        self._reason: str | None = None

    def reason(self, campaign: Asker, now: int) -> str | None:
        """Say why to stop after an event, or None."""
        states = _states(campaign, now)
        keys = [key for key, _ in states]
        n_fits = self._given._n_fits()
        known = bool(self._shown) and self._shown[-1] in keys
        n_done = keys.index(self._shown[-1]) + 1 if known else 0
        # A model of a former now, by which no batch was picked, is forgotten.
        if not known or self._shown != keys[n_done - len(self._shown) : n_done]:
            self._rule, self._shown = clone(self._given), []
            n_done = 0 if n_fits is None else max(len(states) - max(n_fits, 1), 0)
        states = states[n_done:]
        try:
            for key, end in states:
                self._show(campaign, end, fits=n_fits != 0)
                self._shown.append(key)
        except Exception:
            self._shown = []  # the rule may have seen half of it
            raise
        return self._reason

    def _show(self, campaign: Asker, end: int, fits: bool) -> None:
        ledger = history.ledger_at(campaign, end)
        n_labels = len(ledger.labels())
        model = None
        if fits:
            model = history.fit_at(campaign, ledger)
            if model is None:
                self._reason = None
                return
        scores = _scores(campaign, ledger, model) if self._given._reads_scores() else {}
        self._rule.update(model, n_labels, scores)
        self._reason = self._rule.reason_


def _states(campaign: Asker, now: int) -> list[tuple[int, int]]:
    """List the events that last changed labels before each batch, and the ends."""
    events, batches = campaign._read_all()
    ends = [batch["as_of"] for batch in batches if batch["as_of"] < now] + [now]
    ledger = Ledger(campaign.n_answers, campaign.rule)
    found: list[tuple[int, int]] = []
    done = 0
    for end in ends:
        upto = next((k for k in range(done, len(events)) if events[k].seq > end), None)
        upto = len(events) if upto is None else upto
        ledger.apply(events[done:upto])
        done = upto
        if not found or found[-1][0] != ledger.label_seq:
            found.append((ledger.label_seq, end))
    return found


def _scores(campaign: Asker, ledger: Ledger, model: Any) -> dict[str, float]:
    """Score a model on the rows held out; NaN while fewer than two have a label."""
    positions, y = campaign._labeled(ledger, test=True)
    if len(y) < 2:
        return {"score": float("nan")}
    pool: Any = campaign._pool
    scorer = check_scoring(model)
    return {"score": float(scorer(model, take_rows(pool.X, positions), y))}


def error_at(
    campaign: Asker,
    ledger: Ledger,
    model: Any,
    loss: str | Callable[..., Any],
    confidence: float = 0.95,
) -> RiskEstimate | None:
    """Estimate the error of a model from the rows held out; None without labels."""
    positions, y = campaign._labeled(ledger, test=True)
    if not len(y):
        return None
    pool: Any = campaign._pool
    predicted = model.predict(take_rows(pool.X, positions))
    losses = row_losses(y, np.reshape(predicted, y.shape), loss)
    return mean_loss(losses, confidence=confidence)


def default_loss(task: str) -> str:
    """Name the loss of a task."""
    return "zero_one" if task == "classification" else "absolute"


def stable_predictions(X: Any, random_state: Any, tol: float = 0.01) -> StoppingRule:
    """Make the rule `StablePredictions` on up to 2000 rows of a pool."""
    m = n_rows(X)
    rows = np.arange(m)
    if m > _COMPARED:
        rng = np.random.default_rng(seed_from(resolve_rng(random_state)))
        rows = np.sort(rng.choice(m, _COMPARED, replace=False))
    return StablePredictions(take_rows(X, rows), tol)
