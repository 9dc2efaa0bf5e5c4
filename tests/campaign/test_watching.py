"""What a stopping rule says of a campaign: that of a loop by hand, in any process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import BayesianRidge

from skal.campaign import Campaign
from skal.stopping import (
    Budget,
    SmallGain,
    StablePredictions,
    StoppingRule,
    TargetScore,
)
from tests.campaign.conftest import REGRESSION

Make = Callable[..., Campaign]


class Recording(StoppingRule):
    """Says what it has seen, and whether that was said to be all."""

    def __init__(self, n_fits: int | None = None) -> None:
        self.n_fits = n_fits

    def _n_fits(self) -> int | None:
        return self.n_fits

    def _check(self, seen: Any, history: dict[str, Any]) -> str:
        found = history.setdefault("found", [])
        found.append(seen.n_labeled)
        return str(found)


class Counting(BayesianRidge):
    """Counts its fits."""

    n_fits = 0

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        Counting.n_fits += 1
        return super().fit(X, y)


def _label(campaign: Campaign, y: pd.Series, n: int) -> None:
    batch = campaign.ask(n)
    campaign.tell(batch.ids, y[batch.ids])


@pytest.mark.filterwarnings("ignore:The stopping rule says")
@pytest.mark.parametrize("kind", ["any", "all"])
def test_reasons_are_those_of_a_loop_by_hand(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Path, kind: str
) -> None:
    noisy = y + np.random.default_rng(1).normal(size=len(y))
    stable, small = StablePredictions(table, tol=0.1, window=2), SmallGain(0.003, 5, 4)
    rule = (stable & small) if kind == "all" else (stable | small | Budget(49))
    campaign = make(stop=rule, test_share=0.3)
    by_hand, reasons, found, again = clone(rule), [], [], []
    for n in (16, 6, 6, 6, 6, 6, 6):
        _label(campaign, noisy, n)
        done = campaign.export().query("label.notna()")
        train, test = done[~done["skal_test"]], done[done["skal_test"]]
        model = clone(REGRESSION["model"]).fit(train[table.columns], train["label"])
        score = model.score(test[table.columns], test["label"])
        by_hand.update(model, len(done), score)
        reasons.append(by_hand.reason_)
        found.append(campaign.stop_reason())
        path = tmp_path / "campaign.db"
        other = Campaign.open(path, table, stop=rule, **REGRESSION)
        again.append(other.stop_reason())
        assert other.stop_reason() == again[-1]  # looking twice changes nothing
    assert found == again == reasons
    assert reasons[0] is None
    assert any(reasons)


@pytest.mark.filterwarnings("ignore:The stopping rule says")
def test_a_new_process_fits_no_more_than_the_rule_looks_at(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Path
) -> None:
    campaign = make(model=Counting(), strategy=None)
    for _ in range(5):
        _label(campaign, y, 10)
    path = tmp_path / "campaign.db"
    for rule, n_fits, seen in [
        (Recording(None), 5, "[10, 20, 30, 40, 50]"),
        (Recording(2), 2, "[40, 50]"),
        (Budget(50), 0, "50 labels of a budget of 50"),
        (Budget(50) | Recording(1), 1, "50 labels of a budget of 50; [50]"),
    ]:
        Counting.n_fits = 0
        other = Campaign.open(path, table, model=Counting(), stop=rule)
        assert other.stop_reason() == seen
        assert other.stop_reason() == seen
        assert Counting.n_fits == n_fits
    # Between batches it looks at now, which is no step later.
    other = Campaign.open(path, table, model=Counting(), stop=Recording(None))
    batch = other.ask(4, reserve=1e-3)
    assert other.status().last.stop == "[10, 20, 30, 40, 50]"  # type: ignore[union-attr]
    other.tell(batch.ids[:1], y[batch.ids[:1]])
    assert other.stop_reason() == "[10, 20, 30, 40, 50, 51]"
    other.tell(batch.ids[1:2], y[batch.ids[1:2]])
    assert other.stop_reason() == "[10, 20, 30, 40, 50, 52]"


@pytest.mark.filterwarnings("error")
def test_asking_warns_and_the_reason_is_kept(make: Make, y: pd.Series) -> None:
    campaign = make(stop=Budget(12))
    _label(campaign, y, 12)
    assert campaign.status().last is not None
    assert campaign.status().last.stop is None  # type: ignore[union-attr]
    with pytest.warns(UserWarning, match="12 labels of a budget of 12. 5 rows"):
        batch = campaign.ask(5)
    assert len(batch) == 5
    again = campaign.ask(5)  # the same rows, of which nothing new is to be said
    assert again.ids == batch.ids
    # From the database alone, without rows, model and rule:
    status = Campaign.open(campaign._database.file).status()
    line = "time to stop? with 12 labels: 12 labels of a budget of 12"
    assert line in str(status).splitlines()
    assert campaign.replay()["same_settings"].all()
    assert campaign.replay()["same"].all()


def test_a_failing_rule_is_named_and_rows_are_asked(make: Make, y: pd.Series) -> None:
    class Failing(StoppingRule):
        def _check(self, seen: Any, history: Any) -> None:
            raise RuntimeError("no idea")

    campaign = make(stop=Failing())
    _label(campaign, y, 12)
    with pytest.warns(UserWarning, match="rule failed: RuntimeError: no idea. 5 rows"):
        assert len(campaign.ask(5)) == 5
    assert "failed with 12 labels: RuntimeError: no idea" in str(campaign.status())
    with pytest.raises(RuntimeError, match="no idea"):
        campaign.stop_reason()


def test_rules_that_cannot_be_asked_are_refused_at_the_start(
    make: Make, y: pd.Series, table: pd.DataFrame, tmp_path: Path
) -> None:
    for rule in (TargetScore(0.9), Budget(5) | SmallGain(0.1)):
        with pytest.raises(ValueError, match="test_share="):
            make(stop=rule)
    with pytest.raises(TypeError, match=r"stop must be a rule of skal\.stopping"):
        make(stop=100)
    assert not (tmp_path / "campaign.db").exists()
    campaign = make(stop=TargetScore(0.5, X=table, y=y))
    assert campaign.stop_reason() is None  # no label, no model
    with pytest.raises(ValueError, match="no stopping rule"):
        Campaign.open(tmp_path / "campaign.db", table, **REGRESSION).stop_reason()


def test_the_error_of_the_last_batch_is_shown(make: Make, y: pd.Series) -> None:
    campaign = make(test_share=0.3)
    _label(campaign, y + 1.0 * (y > 0), 20)
    error = campaign.test_error()
    assert campaign.status().last is None  # the first batch had no model
    campaign.ask(5)
    last = campaign.status().last
    assert last is not None
    assert (last.test_error, last.n_labels) == (error, 20)
    assert f"test error with 20 labels: {error.risk:.4g} [" in str(campaign.status())
