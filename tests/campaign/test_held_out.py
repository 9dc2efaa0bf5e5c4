"""Rows held out for testing: drawn at random, asked, never trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from skal.campaign import Campaign
from skal.campaign.held_out import HeldOut
from skal.evaluation import mean_loss
from tests.campaign.conftest import N_ROWS, REGRESSION

Make = Callable[..., Campaign]


def _label(campaign: Campaign, y: pd.Series, n: int) -> list[Any]:
    batch = campaign.ask(n)
    campaign.tell(batch.ids, y[batch.ids])
    return batch.ids


def _test_ids(campaign: Campaign) -> set[Any]:
    return {campaign.ids[k] for k in campaign._held_out.positions}


def test_rows_are_drawn_whatever_their_order_and_number() -> None:
    texts = [f"r{k}" for k in range(4000)]
    meta = {"test_share": 0.1, "seed": 3}
    found = [texts[k] for k in HeldOut(meta, texts).positions]
    assert abs(len(found) - 400) < 4 * np.sqrt(4000 * 0.1 * 0.9)
    # In random order: halves of the pool are mixed.
    ranks = np.array([texts.index(t) for t in found])
    assert abs(np.corrcoef(ranks, range(len(ranks)))[0, 1]) < 4 / np.sqrt(len(ranks))
    turned = texts[::-1]
    assert [turned[k] for k in HeldOut(meta, turned).positions] == found
    fewer = [t for t in found if t in texts[:2000]]
    assert [texts[k] for k in HeldOut(meta, texts[:2000]).positions] == fewer
    other = HeldOut({**meta, "seed": 4}, texts).positions
    assert {texts[k] for k in other} != set(found)


def test_every_batch_has_its_share_and_no_fit_sees_it(make: Make, y: pd.Series) -> None:
    campaign = make(test_share=0.25)
    for n in (12, 8, 4):
        _label(campaign, y, n)
    asked = campaign.events().query("kind == 'ask'")
    test = _test_ids(campaign)
    assert asked["id"].isin(test).sum() == 6
    assert (asked["value"] == "test").tolist() == asked["id"].isin(test).tolist()
    table = campaign.export()
    assert set(table.index[table["skal_test"]]) == test
    trained = table[table["label"].notna() & ~table["skal_test"]]
    X = trained[["a", "b", "größe"]]
    model = clone(REGRESSION["model"]).fit(X, trained["label"])
    # The last coefficient is 0 but for the shrinkage.
    np.testing.assert_allclose(campaign.fit().coef_, model.coef_, 1e-10, 1e-14)
    tested = table[table["label"].notna() & table["skal_test"]]
    losses = np.abs(model.predict(tested[X.columns]) - tested["label"])
    np.testing.assert_allclose(campaign.test_error(), mean_loss(losses), rtol=1e-6)
    assert campaign.learning_curve()["n_labels"].iloc[-1] == 18
    assert campaign.replay()["same"].all()
    status = campaign.status()
    assert (status.n_test, status.n_test_answered) == (len(test), 6)
    assert f"test: 6 answered of {len(test)} rows held out" in str(status)


def test_in_the_end_all_rows_are_asked(make: Make, y: pd.Series) -> None:
    campaign = make(test_share=0.5)
    assert len(_label(campaign, y, 20)) == 20
    campaign.ask(N_ROWS)
    assert campaign.status().states["pool"] == 0


def test_rows_labeled_before_are_trained_on(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Any
) -> None:
    known = y.where(np.arange(N_ROWS) < 30)
    campaign = make(y=known, test_share=0.5)
    test = _test_ids(campaign)
    assert test
    assert not test & set(y.index[:30])
    assert len(campaign._labeled(campaign._ledger)[1]) == 30
    batch = campaign.ask(10)
    assert len(test & set(batch.ids)) == 5
    again = Campaign.open(tmp_path / "campaign.db", table, **REGRESSION)
    assert _test_ids(again) == test


def test_error_of_classes_is_the_share_of_wrong_ones(
    make: Make, classes: pd.Series
) -> None:
    campaign = make(classes=["ja", "nein"], test_share=0.5)
    _label(campaign, classes, 40)
    error = campaign.test_error()
    assert error.n == 20
    table = campaign.export().query("skal_test and label.notna()")
    predicted = campaign.predict()[table.index]
    assert error.risk == np.mean(predicted != table["label"])


def test_without_held_out_rows_nothing_changes(make: Make, y: pd.Series) -> None:
    campaign = make()
    _label(campaign, y, 12)
    assert "skal_test" not in campaign.export()
    assert "test" not in str(campaign.status())
    with pytest.raises(ValueError, match="held out"):
        campaign.test_error()


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, "a tenth"])
def test_wrong_shares_are_refused(make: Make, share: Any, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="test_share"):
        make(test_share=share)
    assert not (tmp_path / "campaign.db").exists()
