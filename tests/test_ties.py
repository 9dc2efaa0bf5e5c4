"""Different rows between which a strategy sees no difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from skal import ActiveLearner
from skal.strategies import (
    BAIT,
    LCMD,
    TESSAR,
    CoreSet,
    FrankWolfe,
    GreedySampling,
    KMeansPP,
    KMedoids,
    MaxDet,
    MaxDiag,
    MaxDist,
    MaxHerding,
    ProbCover,
    WiGS,
)

#: A category of many levels, sorted: all rows are equally far from each other.
LEVELS = np.eye(120)
STRATEGIES = [
    *(BAIT("inputs"), CoreSet("inputs"), FrankWolfe("inputs"), KMeansPP("inputs")),
    *(GreedySampling("inputs"), LCMD("inputs"), MaxDet("inputs"), MaxDiag("inputs")),
    *(MaxDist("inputs"), MaxHerding(space="inputs"), ProbCover(space="inputs")),
    *(KMedoids("inputs"), TESSAR(space="inputs"), WiGS(weight=1.0)),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: type(s).__name__)
@pytest.mark.filterwarnings("ignore:.*same score")
def test_ties_are_not_in_pool_order(strategy: Any) -> None:
    strategy.set_params(random_state=0)
    labeled = np.zeros((3, 120))
    learner = ActiveLearner(Ridge(), strategy, labeled, np.array([0.0, 1.0, 2.0]))
    picks = strategy.select(learner, LEVELS, 12).indices
    assert picks.min() < 60 <= picks.max()
    assert (np.diff(picks) < 0).any()
    again = strategy.select(learner, LEVELS, 12).indices
    np.testing.assert_array_equal(again, picks)
