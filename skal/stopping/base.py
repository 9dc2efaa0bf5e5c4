"""Stopping rules, and how they are combined."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from sklearn.base import BaseEstimator

from skal.validation import check_int

__all__ = ["AllOf", "AnyOf", "Seen", "StoppingRule"]


class Seen(NamedTuple):
    """What a rule sees after a fit.

    Attributes
    ----------
    estimator : estimator
        Fitted on the labels so far.
    n_labeled : int
    scores : dict of str to float
        On test rows, by the name of the scorer; may be empty.
    """

    estimator: Any
    n_labeled: int
    scores: dict[str, float]


class StoppingRule(BaseEstimator, ABC):
    """Base class of stopping rules, which are combined by ``|`` and ``&``.

    A rule is called after each fit, by one of the following.

    - `update`, in your own loop.
    - ``callback=rule`` of `skal.ActiveLearningSimulation` and
      `skal.compare_strategies`, which end a campaign when the rule says so. Each
      campaign has its own state.
    - ``stop=rule`` of `skal.campaign.Campaign`, which shows and warns.

    A subclass implements `_check`.

    Attributes
    ----------
    reason_ : str or None
        Why the rule said that it is time to stop at its last call; None if it did not.
        A comparison in several processes leaves it in these.
    """

    def update(
        self,
        estimator: Any,
        n_labeled: int,
        scores: Any = None,
        *,
        campaign: Any = None,
    ) -> bool:
        """Look at the model after a fit.

        Parameters
        ----------
        estimator : estimator
            Fitted on the labels so far.
        n_labeled : int
            Number of labels so far.  If it is less than at the last call, another
            campaign has begun, and what was seen before is forgotten.
        scores : float or dict of str to float, optional
            Scores on test rows; higher is better.
        campaign : hashable, optional
            Tells campaigns apart that take turns.

        Returns
        -------
        stop : bool
        """
        check_int("n_labeled", n_labeled, minimum=0)
        if scores is None:
            scores = {}
        elif not isinstance(scores, dict):
            scores = {"score": float(scores)}
        seen = Seen(estimator, n_labeled, scores)
        histories = self.__dict__.setdefault("_histories", {})
        last, history = histories.get(campaign, (n_labeled, {}))
        if n_labeled < last:
            history = {}
        histories[campaign] = n_labeled, history
        self.reason_ = self._check(seen, history)
        return self.reason_ is not None

    def __call__(self, step: Any) -> bool:
        """Look at a `skal.simulation.PlayedStep`; whether its campaign should end."""
        campaign = (step.strategy, step.fold, step.repeat)
        if step.step == 0:
            self.__dict__.get("_histories", {}).pop(campaign, None)
        return self.update(
            step.estimator, step.n_labeled, step.scores, campaign=campaign
        )

    def reset(self) -> None:
        """Forget the campaigns seen so far."""
        self.__dict__.pop("_histories", None)
        self.reason_ = None

    @abstractmethod
    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        """Say why to stop, or None; `history` is kept within a campaign."""

    def _n_fits(self) -> int | None:
        """Say how many of the last fits decide; None for all of them.

        `skal.campaign.Campaign` repeats them in a new process. 0 says that the
        estimator is not looked at.
        """
        return None

    def _reads_scores(self) -> bool:
        """Whether scores on test rows must be passed to `update`."""
        return False

    def __or__(self, other: Any) -> AnyOf:
        if not isinstance(other, StoppingRule):
            return NotImplemented
        return AnyOf([*_parts(self, AnyOf), *_parts(other, AnyOf)])

    def __and__(self, other: Any) -> AllOf:
        if not isinstance(other, StoppingRule):
            return NotImplemented
        return AllOf([*_parts(self, AllOf), *_parts(other, AllOf)])


def _parts(rule: StoppingRule, kind: type) -> list[Any]:
    return list(rule.rules) if type(rule) is kind else [rule]


class _Several(StoppingRule):
    def __init__(self, rules: Any) -> None:
        self.rules = rules

    def _reasons(self, seen: Seen, history: dict[str, Any]) -> list[str | None]:
        # Each rule sees each step, whatever the others say.
        return [
            rule._check(seen, history.setdefault(str(k), {}))
            for k, rule in enumerate(self.rules)
        ]

    def _n_fits(self) -> int | None:
        found = [rule._n_fits() for rule in self.rules]
        return None if None in found else max(found, default=0)

    def _reads_scores(self) -> bool:
        return any(rule._reads_scores() for rule in self.rules)


class AnyOf(_Several):
    """Stop when one of several rules says so; the same as ``first | second``.

    Parameters
    ----------
    rules : list of StoppingRule
    """

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        reasons = [r for r in self._reasons(seen, history) if r is not None]
        return "; ".join(reasons) or None


class AllOf(_Several):
    """Stop when several rules say so at the same step, as ``first & second``.

    Parameters
    ----------
    rules : list of StoppingRule
    """

    def _check(self, seen: Seen, history: dict[str, Any]) -> str | None:
        reasons = self._reasons(seen, history)
        if not reasons or None in reasons:
            return None
        return "; ".join(str(r) for r in reasons)
