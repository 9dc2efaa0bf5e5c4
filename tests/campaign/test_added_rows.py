"""Rows that another process adds to a campaign while this one has it open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skal.campaign import Campaign
from skal.strategies import Random
from tests.campaign.conftest import N_ROWS, REGRESSION
from tests.campaign.test_files import read, write

Make = Callable[..., Campaign]


@pytest.fixture
def longer(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, (table.iloc[:5] + 1).rename(lambda key: key + "x")])


@pytest.fixture
def one(make: Make, y: pd.Series) -> Campaign:
    return make(y=y.where(np.arange(N_ROWS) < 12), test_share=0.1)


@pytest.fixture
def two(one: Campaign, longer: pd.DataFrame, tmp_path: Path) -> Campaign:
    return Campaign.open(tmp_path / "campaign.db", longer, append=True, **REGRESSION)


def test_until_something_is_said_of_them_nothing_changes(
    one: Campaign, two: Campaign
) -> None:
    assert len(one.ask(100, "ann")) == N_ROWS - 12
    assert one.status().n_rows == N_ROWS
    assert one.replay()["same"].all()
    assert two.replay()["same"].all()
    assert len(two.ask(100, "bob")) == 5


def test_what_is_said_of_them_is_known(
    one: Campaign, two: Campaign, tmp_path: Path
) -> None:
    two.tell(["r000x", "r001x"], [1.0, 2.0], "bob")
    assert one.tell(["r020", "r002x"], [3.0, 4.0], "ann").counts == {"new": 2}
    assert one.status().n_rows == N_ROWS + 5
    assert one.status() == two.status()
    assert one.events().equals(two.events())
    assert one.said("bob") == [("r001x", "answer", 2.0), ("r000x", "answer", 1.0)]
    assert one.row("r000x") == {}
    table = one.export()
    pd.testing.assert_series_equal(table["label"], two.export()["label"])
    assert table["a"].isna().tolist() == [False] * N_ROWS + [True] * 5
    path = tmp_path / "a.csv"
    two.ask(3, "eve").to_csv(path)
    rows = read(path)
    place = rows[0].index("label")
    for row in rows[1:]:
        row[place] = "5"
    write(path, [*rows, ["r004x", *[""] * (place - 1), "6", ""]])
    assert one.tell_file(path, "eve").counts == {"new": 4}
    assert len(one.reopen().said("eve")) == 4


def test_an_unknown_id_is_looked_for_in_the_database(
    one: Campaign, two: Campaign
) -> None:
    with pytest.raises(KeyError, match="no rows with 1 of 1 ids"):
        one.tell("r009x", 1.0)
    assert one.reopen().ids == one.ids == two.ids
    one.tell("r003x", 1.0)
    assert two.said() == [("r003x", "answer", 1.0)]


def test_the_model_needs_their_cells(
    one: Campaign, two: Campaign, longer: pd.DataFrame, tmp_path: Path
) -> None:
    batch = one.ask(3)
    two.tell("r000x", 1.0)
    calls = [one.fit, one.predict, one.learning_curve, one.replay]
    for call in [*calls, lambda: one.ask(2), lambda: one.status(fit=True)]:
        with pytest.raises(ValueError, match="5 rows that another process has added"):
            call()
    assert one.n_left() == N_ROWS - 15
    assert one.waiting().ids == batch.ids
    two.ask(100, "bob")
    with pytest.raises(ValueError, match="waiting needs 5 rows"):
        one.waiting("bob")
    again = Campaign.open(tmp_path / "campaign.db", longer, **REGRESSION)
    assert again.ask(100).ids == batch.ids


def test_rows_of_several_levels_are_named_by_tuples(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    index = pd.MultiIndex.from_product([range(6), range(10)], names=["site", "day"])
    X = table.set_axis(index)
    parts = {**REGRESSION, "strategy": Random()}
    campaign = Campaign.create(tmp_path / "a.db", X, n_initial=2, **parts)
    batch = campaign.ask(3)
    campaign.tell(batch.ids, [1.0, 2.0, 3.0])
    assert campaign.export().loc[[batch.ids[0]], "label"].tolist() == [1.0]
    assert len(campaign.predict()) == N_ROWS
    batch.to_csv(tmp_path / "a.csv")
    assert campaign.tell_file(tmp_path / "a.csv").counts == {"empty": 3}
