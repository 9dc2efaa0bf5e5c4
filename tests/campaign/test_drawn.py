"""Errors by rows that were drawn with known probabilities."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge

from skal.campaign import Campaign
from skal.evaluation import lure
from skal.selection import Picks
from skal.strategies import LCMD, Margin, Mixture, Random, Stochastic
from skal.strategies.drawing import WeightedStrategy
from tests.campaign.conftest import N_ROWS

Make = Callable[..., Campaign]


class Given(WeightedStrategy):
    """Draws given rows, which it would draw by weights."""

    def __init__(self, order: Any, weights: Any) -> None:
        self.order = order
        self.weights = weights

    def _weighted(self, pool: Any, n: int, rng: Any) -> tuple[Picks, torch.Tensor]:
        logs = torch.tensor(self.weights, dtype=torch.float64).log()
        return Picks(torch.tensor(self.order), torch.zeros(n)), logs


def test_estimates_are_right_on_average_over_all_draws(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    rng = np.random.default_rng(0)
    n_start, n_pool, n = 3, 5, 2
    X = pd.DataFrame(rng.normal(size=(n_start + n_pool, 2)), columns=["a", "b"])
    y = rng.normal(size=len(X))
    weights = [1.0, 2.0, 0.5, 4.0, 3.0]
    model = Ridge().fit(X[:n_start], y[:n_start])
    truth = np.abs(model.predict(X[n_start:]) - y[n_start:]).mean()
    mean, total = 0.0, 0.0
    for order in permutations(range(n_pool), n):
        first, second = (weights[k] for k in order)
        chance = first / sum(weights) * second / (sum(weights) - first)
        campaign = Campaign.create(
            tmp_path / f"{order}.db",
            X,
            model=Ridge(),
            strategy=Given(list(order), weights),
            y=np.where(np.arange(len(X)) < n_start, y, np.nan),
            n_initial=n_start,
        )
        batch = campaign.ask(n)
        assert batch.ids == [n_start + k for k in order]
        campaign.tell(batch.ids, y[batch.ids])
        (error,) = campaign.drawn_errors().to_dict("records")
        assert (error["n_labels"], error["n_pool"], error["n"]) == (n_start, n_pool, n)
        mean += chance * error["risk"]
        total += chance
    assert total == pytest.approx(1)
    assert mean == pytest.approx(truth, rel=1e-12)


def test_each_batch_is_judged_by_the_model_that_drew_it(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Path
) -> None:
    strategy = Mixture(LCMD(), Random(), share=0.5)
    known = y.where(np.arange(N_ROWS) < 10)
    campaign = make(strategy=strategy, y=known, test_share=0.2)
    plain = make("other.db", strategy=strategy, y=known, test_share=0.2)
    n_test = campaign.status().n_test
    expected = []
    seen = known.dropna().index.tolist()
    for _ in range(3):
        batch = campaign.ask(6, "ann")
        assert plain.ask(6, "ann").ids == batch.ids
        model = BayesianRidge().fit(table.loc[seen], y[seen])
        with closing(sqlite3.connect(tmp_path / "campaign.db")) as connection:
            found = connection.execute(
                "SELECT id, probability FROM skal_events "
                "JOIN skal_rows USING (position) "
                f"WHERE kind = 'ask' AND batch = {batch.batches[0].split('-')[1]} "
                "AND skal_events.value = '\"strategy\"' ORDER BY seq"
            ).fetchall()
        ids, q = zip(*found, strict=True)
        losses = np.abs(model.predict(table.loc[list(ids)]) - y[list(ids)])
        n_pool = N_ROWS - n_test - len(seen)
        expected.append([len(seen), n_pool, *lure(losses, q, n_pool)])
        for one in (campaign, plain):
            one.tell(batch.ids, y[batch.ids], "ann")
        seen = [key for key in table.index if key in {*seen, *ids}]
    errors = campaign.drawn_errors()
    assert errors["batch"].tolist() == [1, 2, 3]
    assert errors["n_missing"].tolist() == [0, 0, 0]
    columns = ["n_labels", "n_pool", "risk", "std_error", "low", "high", "n"]
    # Losses are differences of numbers near 1, with their rounding.
    np.testing.assert_allclose(errors[columns], expected, rtol=1e-9, atol=1e-13)
    squared = campaign.drawn_errors("squared", confidence=0.5)
    assert (squared["risk"] != errors["risk"]).all()
    assert campaign.replay()["same"].all()


def test_batches_without_all_labels_are_listed(
    make: Make, y: pd.Series, tmp_path: Path, table: pd.DataFrame
) -> None:
    campaign = make(strategy=Random(), y=y.where(np.arange(N_ROWS) < 10))
    first, second = campaign.ask(4, "ann"), campaign.ask(4, "bob")
    campaign.tell(first.ids, y[first.ids], "ann")
    campaign.tell(second.ids[:2], y[second.ids[:2]], "bob")
    campaign.skip(second.ids[2], "bob")
    errors = campaign.drawn_errors()
    assert errors["n_missing"].tolist() == [0, 2]
    assert errors["risk"].isna().tolist() == [False, True]
    # Rows that are asked again are no further draws.
    campaign.ask(4, "bob")
    campaign.tell(second.ids[2:], y[second.ids[2:]], "eve")
    again = Campaign.open(
        tmp_path / "campaign.db", table, model=BayesianRidge(), strategy=LCMD()
    )
    errors = again.drawn_errors()
    assert errors["n"].tolist()[:2] == [4, 4]
    assert errors["risk"].notna().tolist()[:2] == [True, True]


@pytest.mark.parametrize(
    ("strategy", "classes"),
    [(LCMD(), False), (Stochastic(Margin()), True), (Margin(), True)],
)
def test_strategies_without_known_probabilities(
    strategy: Any, classes: bool, make: Make, y: pd.Series
) -> None:
    """LCMD and Margin draw nothing, and Stochastic gives a row of Margin no chance."""
    parts: dict[str, Any] = {"model": BayesianRidge()}
    labels: Any = y
    if classes:
        labels = y.gt(0).map({True: "ja", False: "nein"})
        parts = {"model": LogisticRegression(), "classes": ["ja", "nein"]}
    campaign = make(strategy=strategy, initial=Random(), **parts)
    for _ in range(3):  # the first one by Random, of which no model knows
        batch = campaign.ask(10)
        campaign.tell(batch.ids, labels[batch.ids])
    with pytest.raises(ValueError, match=r"No batch was drawn .* test_share=0\.1"):
        campaign.drawn_errors()


def test_rows_that_others_took_meanwhile_make_probabilities_unknown(
    make: Make, y: pd.Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = make(strategy=Random(), y=y.where(np.arange(N_ROWS) < 10))
    other = campaign.reopen()
    waiting = other.ask(3, "bob")
    pick = campaign._picker.pick
    told: list[Any] = []

    def slow(*args: Any) -> Any:
        picked = pick(*args)
        # What was asked before, and then what could have been picked.
        free = np.setdiff1d(picked.candidates, picked.positions)
        told.append(waiting.ids[0] if not told else campaign.ids[free[0]])
        other.tell(told[-1], 1.0, "bob")
        return picked

    monkeypatch.setattr(campaign._picker, "pick", slow)
    for _ in range(2):
        batch = campaign.ask(2, "ann")
        campaign.tell(batch.ids, y[batch.ids], "ann")
    assert len(told) == 2
    other.tell(waiting.ids, [1.0, 2.0, 3.0], "bob")
    errors = campaign.drawn_errors()
    assert errors["batch"].tolist() == [1, 2]  # of three
    assert errors["risk"].notna().all()


def test_a_campaign_of_the_first_version_is_migrated(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Path
) -> None:
    campaign = make(strategy=Random(), y=y.where(np.arange(N_ROWS) < 10))
    batch = campaign.ask(3)
    campaign.tell(batch.ids, y[batch.ids])
    events = campaign.events()
    path = tmp_path / "campaign.db"
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE skal_events DROP COLUMN probability")
    connection.execute("UPDATE skal_meta SET value = '1' WHERE name = 'schema_version'")
    connection.commit()
    connection.close()
    again = Campaign.open(path, table, model=BayesianRidge(), strategy=Random())
    assert again.events().equals(events)
    assert again.replay()["same"].all()
    with pytest.raises(ValueError, match="No batch was drawn"):
        again.drawn_errors()
    batch = again.ask(3)
    again.tell(batch.ids, y[batch.ids])
    assert again.drawn_errors()["batch"].tolist() == [2]
