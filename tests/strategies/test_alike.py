"""Strategies warn where no row differs from another."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import Lasso, RidgeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from skal.nets import MLP
from skal.strategies import (
    BADGE,
    BAIT,
    CAL,
    EGL,
    LCMD,
    LDM,
    CoreSet,
    DiverseMiniBatch,
    Entropy,
    FrankWolfe,
    GreedySampling,
    KMeansPP,
    LDMSeeding,
    Margin,
    MaxDet,
    MaxDiag,
    MaxDist,
    NoiseStability,
    ProbCover,
    Random,
    ScoreStrategy,
    Subsample,
    TypiClust,
)
from tests.models import cases, make_data, make_net, make_strategy, with_labeled

POOL = make_data("classification", 40, seed=1)[0]


def learner(change: str | None):
    X, y = make_data("classification")
    options = {"module__hidden_sizes": (16, 12), "module__dropout": 0.2}
    net = make_net("classification", module=MLP, **options).fit(X, y)
    first, *_, last = [m for m in net.module_.modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        if change == "dead":
            first.weight.zero_()
            first.bias.fill_(-1)
        elif change == "saturated":
            last.weight.mul_(1e6)
    return with_labeled(net, X, y)


@pytest.mark.parametrize(
    ("change", "message", "strategies"),
    [
        (
            "dead",
            "outputs of MLP are the same",
            [
                *(Entropy, CAL, EGL, LCMD, LDM, CoreSet, KMeansPP, LDMSeeding),
                *(MaxDist, NoiseStability, TypiClust, Subsample, DiverseMiniBatch),
            ],
        ),
        (
            "saturated",
            "net is saturated",
            [Margin, CAL, BADGE, BAIT, EGL, LCMD, KMeansPP, NoiseStability],
        ),
    ],
)
def test_the_cause_of_equal_scores_is_named(change, message, strategies):
    asked = learner(change)
    for cls in strategies:
        with pytest.warns(UserWarning, match=message) as caught:
            make_strategy(cls).select(asked, POOL, 4)
        assert len(caught) == 1


@pytest.mark.parametrize("n", [1, 5])
def test_usual_nets_bring_no_warning(n):
    asked = learner(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for cls, task in cases():
            if task == "classification" and cls.__name__ != "LossPrediction":
                make_strategy(cls).select(asked, POOL, n)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("cls", [MaxDet, MaxDiag, BAIT, FrankWolfe])
@pytest.mark.parametrize("space", ["leaves", "predictions", "inputs"])
def test_covariances_of_rows_that_are_all_alike(cls, space, n):
    """A forest of trees with a single leaf, as small leaves and few labels give."""
    X, y = make_data("regression")
    forest = RandomForestRegressor(5, min_samples_leaf=60, random_state=0).fit(X, y)
    pool = np.repeat(POOL[:1], 40, axis=0) if space == "inputs" else POOL
    strategy = cls(space=space, random_state=0)
    with pytest.warns(UserWarning, match="so that its picks are arbitrary") as caught:
        picks = strategy.select(with_labeled(forest, X, y), pool, n)
    told = [w for w in caught if w.category is UserWarning]
    assert len(told) == 1
    assert len(set(picks.indices.tolist())) == n


HISTOGRAM = HistGradientBoostingClassifier()
LOWER = r"too few labels \(then lower {}\)"


@pytest.mark.parametrize(
    ("model", "strategy", "message"),
    [
        (HISTOGRAM, Margin(), LOWER.format("min_samples_leaf=20")),
        (HISTOGRAM, Entropy(), LOWER.format("min_samples_leaf=20")),
        (
            make_pipeline(StandardScaler(), HISTOGRAM),
            Margin(),
            "HistGradientBoostingClassifier predicts the same for all rows",
        ),
        (
            BaggingClassifier(HISTOGRAM, 3, random_state=0),
            Margin(),
            LOWER.format("estimator__min_samples_leaf=20"),
        ),
        (
            RandomForestClassifier(5, min_samples_leaf=30, random_state=0),
            LCMD(),
            LOWER.format("min_samples_leaf=30"),
        ),
        (MultiOutputClassifier(HISTOGRAM), Margin(), "predicts the same for all"),
        (DummyClassifier(), Margin(), "too few labels or too strong a penalty"),
        (
            HistGradientBoostingRegressor(),
            GreedySampling("outputs"),
            LOWER.format("min_samples_leaf=20"),
        ),
        (Lasso(1e6), GreedySampling("outputs"), "Lasso predicts the same for all rows"),
    ],
    ids=str,
)
def test_a_model_that_predicts_the_same_for_all_rows_is_named(model, strategy, message):
    task = "regression" if isinstance(strategy, GreedySampling) else "classification"
    X, y = make_data(task, 30)
    y = np.stack([y, y[::-1]], axis=1) if "Multi" in str(model) else y
    asked = with_labeled(model.fit(X, y), X, y)
    with pytest.warns(UserWarning, match=message) as caught:
        strategy.select(asked, POOL, 4)
    assert len(caught) == 1
    assert "are alike" not in str(caught[0].message)


def test_a_model_that_tells_rows_apart_is_not_said_to_be_constant():
    X, y = make_data("classification", 30)
    asked = with_labeled(RidgeClassifier().fit(X, y), X, y)
    with pytest.warns(UserWarning, match="the rows of the pool are alike"):
        Constant().select(asked, POOL, 4)
    with pytest.warns(UserWarning, match="predicts the same .* or the rows are equal"):
        Constant().select(asked, np.repeat(POOL[:1], 5, axis=0), 4)
    histogram = HistGradientBoostingClassifier(min_samples_leaf=3).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Margin().select(with_labeled(histogram, X, y), POOL, 4)


class Constant(ScoreStrategy):
    """A strategy of one's own whose scores are equal."""

    def _score(self, pool, rng: torch.Generator) -> Tensor:
        return torch.full((len(pool),), 0.5)


def test_equal_scores_of_a_strategy_of_ones_own_are_returned():
    asked = learner(None)
    with pytest.warns(UserWarning, match="Constant gives all rows the same score, 0.5"):
        picked = Constant().select(asked, POOL, 4)
    assert len(set(picked.indices.tolist())) == 4
    with pytest.warns(
        UserWarning, match="To this model the rows of the pool are alike"
    ):
        scores = Constant().score_samples(asked, POOL)
    np.testing.assert_array_equal(scores, np.full(40, 0.5))
    Constant().select(asked, POOL[:1], 1)  # of one row nothing can differ


def test_random_picks_bring_no_warning():
    asked = learner("dead")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Random(random_state=0).select(asked, POOL, 4)


@pytest.mark.parametrize("strategy", [TypiClust(), ProbCover(), CoreSet()], ids=str)
@pytest.mark.parametrize("n", [1, 3])
def test_where_all_rows_are_picked_none_is_preferred(strategy, n):
    known = learner(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(strategy.select(known, POOL[:n], n).indices) == n


def test_clusters_of_single_rows():
    known, rows = learner(None), POOL[:10]
    with pytest.warns(UserWarning, match=r"score, 0\. Its clusters are single rows"):
        TypiClust(random_state=0).select(known, rows, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TypiClust(n_clusters=2, random_state=0).select(known, rows, 1)


def test_rows_that_labeled_rows_cover():
    known = learner(None)
    with pytest.warns(UserWarning, match="Labeled rows cover all others") as caught:
        found = ProbCover(radius=1e6).select(known, POOL, 3)
    assert "arbitrary" not in str(caught[0].message)
    expected = CoreSet().select(known, POOL, 3)
    assert found.indices.tolist() == expected.indices.tolist()
    with pytest.warns(UserWarning, match="outputs of MLP are the same"):
        ProbCover(radius=1e6).select(learner("dead"), POOL, 3)
    with pytest.warns(UserWarning, match="or like those that are labeled"):
        CoreSet().select(known, known.X_training, 3)
