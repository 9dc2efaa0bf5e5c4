"""Campaigns: asked, answered, continued, and picked again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.linear_model import BayesianRidge, LogisticRegression

from skal import ActiveLearner
from skal.campaign import Campaign
from skal.campaign.pool import CampaignPool
from skal.exceptions import PoolChangedError
from skal.posteriors import predictive_std
from skal.strategies import LCMD, Margin, Mixture, Random
from tests.campaign.conftest import CLASSIFICATION, N_ROWS, REGRESSION

Make = Callable[..., Campaign]


def events_of(campaign: Campaign) -> list[tuple[Any, ...]]:
    table = campaign.events()[["kind", "id", "annotator", "value"]]
    return [tuple(row) for row in table.itertuples(index=False)]


def why_asked(campaign: Campaign, key: str) -> Any:
    return campaign._ledger.asked[campaign.ids.index(key)][""].value


# -- asking and telling ---------------------------------------------------------------


def test_asking_again_returns_what_is_unanswered(make: Make, y: pd.Series) -> None:
    campaign = make()
    first = campaign.ask(6)
    assert len(set(first.ids)) == 6
    assert campaign.ask(6).ids == first.ids
    assert campaign.ask(4).ids == first.ids[:4]
    campaign.tell(first.ids[:2], y[first.ids[:2]])
    again = campaign.ask(6)
    assert again.ids[:4] == first.ids[2:]
    assert not set(again.ids[4:]) & set(first.ids)
    # The rows keep the name of the batch in which they were picked.
    assert again.batches[:4] == first.batches[2:]
    assert len(set(again.batches)) == 2


def test_annotators_are_not_asked_for_the_same_rows(make: Make) -> None:
    campaign = make()
    ann, bob = campaign.ask(20, "ann"), campaign.ask(20, "bob")
    assert not set(ann.ids) & set(bob.ids)
    cy = campaign.ask(50, "cy")
    assert len(cy) == N_ROWS - 40
    assert len(campaign.ask(3, "dan")) == 0
    assert campaign.status().states == {
        **{"pool": 0, "asked": N_ROWS, "answered": 0, "skipped": 0, "cannot": 0}
    }


def test_reservations_expire(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = make()
    ann = campaign.ask(N_ROWS, "ann", reserve=100)
    assert len(campaign.ask(5, "bob")) == 0
    now = campaign._ledger.asked[0]["ann"].expires
    monkeypatch.setattr("skal.campaign.asking.time", lambda: now + 1)
    bob = campaign.ask(5, "bob")
    assert len(bob) == 5
    # The late answer is kept, and bob is not asked for it any more.
    campaign.tell(bob.ids[0], 1.5, "ann")
    assert campaign.ask(4, "bob").ids == bob.ids[1:]
    assert set(ann.ids) == set(campaign.ids)


def test_picks_are_those_of_the_strategy(
    make: Make, table: pd.DataFrame, y: pd.Series
) -> None:
    campaign = make()
    start = campaign.ask(12)
    campaign.tell(start.ids, y[start.ids])
    batch = campaign.ask(5)
    ids = [key for key in table.index if key in start.ids]  # in the order of the pool
    model = BayesianRidge().fit(table.loc[ids], y[ids])
    pool = table.drop(start.ids)
    # LCMD reads the labeled rows from the learner.
    from skal import ActiveLearner

    learner = ActiveLearner(model, LCMD(), table.loc[ids], y[ids])
    expected = LCMD().select(learner, pool, 5)
    assert batch.ids == pool.index[expected.indices].tolist()
    assert batch.scores == pytest.approx(expected.scores)
    assert batch.rows.equals(table.loc[batch.ids])


def test_first_rows_are_random_until_there_are_labels_of_two_classes(
    make: Make, classes: pd.Series
) -> None:
    campaign = make(classes=["ja", "nein"], n_initial=4)
    only = classes.index[classes == "ja"][:5]
    campaign.tell(only, classes[only])
    first = campaign.ask(3)
    assert {
        e.value
        for e in campaign._ledger.asked[campaign.ids.index(first.ids[0])].values()
    } == {"initial"}
    other = classes.index[classes == "nein"][:1]
    campaign.tell(other, classes[other])
    batch = campaign.ask(6)
    assert why_asked(campaign, batch.ids[-1]) == "strategy"


def test_labels_are_corrected_and_withdrawn_with_their_history(make: Make) -> None:
    campaign = make()
    key = campaign.ids[3]
    assert campaign.tell(key, 1).counts == {"new": 1}
    assert campaign.tell([key], [2.5]).counts == {"corrected": 1}
    assert campaign.tell([key], [2.5]).counts == {"unchanged": 1}
    assert campaign.export().loc[key, "label"] == 2.5
    campaign.withdraw(key)
    assert campaign.withdraw(key).counts == {"unchanged": 1}
    assert pd.isna(campaign.export().loc[key, "label"])
    assert events_of(campaign) == [
        ("answer", key, "", 1.0),
        ("answer", key, "", 2.5),
        ("withdraw", key, "", None),
    ]


def test_skipped_rows_go_to_others_and_impossible_ones_to_nobody(make: Make) -> None:
    campaign = make()
    batch = campaign.ask(N_ROWS, "ann")
    skipped, cannot = batch.ids[0], batch.ids[1]
    campaign.skip(skipped, "ann")
    campaign.cannot_label([cannot], "ann")
    assert campaign.ask(N_ROWS, "ann").ids == batch.ids[2:]
    assert campaign.ask(N_ROWS, "bob").ids == [skipped]
    states = campaign.export()["skal_state"]
    assert states[cannot] == "cannot"
    assert states[skipped] == "asked"  # by bob
    campaign.tell(cannot, 3.0, "ann")  # it could, after all
    assert campaign.status().states["cannot"] == 0


def test_several_annotators_answer_each_row(make: Make) -> None:
    campaign = make(classes=["ja", "nein", "?"], n_answers=2, rule="first")
    ann = campaign.ask(4, "ann")
    campaign.tell(ann.ids, ["ja"] * 4, "ann")
    bob = campaign.ask(6, "bob")
    assert bob.ids[:4] == ann.ids  # first what others began
    assert np.isnan(bob.scores[:4]).all()
    campaign.tell(bob.ids[:2], ["ja", "nein"], "bob")
    # Rows with one answer count as labeled, and are open to others.
    cy = campaign.ask(4, "cy")
    assert cy.ids[0] in bob.ids[4:]
    status = campaign.status()
    assert status.disagreements == [ann.ids[1]]
    assert status.annotators["ann"] == {"answer": 4}
    assert status.annotators["bob"] == {"answer": 2, "waiting": 4}
    assert "1 rows with different labels, resolved by first" in str(status)
    assert campaign.export().loc[ann.ids[1], "label"] == "ja"


@pytest.mark.parametrize(
    ("ids", "y", "error", "words"),
    [
        (["r001", "nobody"], [1.0, 2.0], KeyError, "nobody"),
        (["r001", "r001"], [1.0, 2.0], ValueError, "repeat"),
        (["r001", "r002"], [1.0], ValueError, "2 ids and 1 labels"),
        (["r001", "r002"], [1.0, None], ValueError, "id r002: None is not a label"),
        (["r001", "r002"], [1.0, np.nan], ValueError, "skip"),
        (["r001", "r002"], [1.0, "2"], ValueError, "'2' is not a number"),
        (["r001", "r002"], [1.0, np.inf], ValueError, "not finite"),
        (["r001", "r002"], [1.0, True], ValueError, "not a number"),
        (["r001", "r002"], np.ones((2, 2)), ValueError, "must be of shape"),
    ],
)
def test_nothing_is_recorded_of_wrong_labels(
    ids: Any, y: Any, error: type[Exception], words: str, make: Make
) -> None:
    campaign = make()
    with pytest.raises(error, match=words):
        campaign.tell(ids, y)
    assert len(campaign.events()) == 0


def test_labels_are_matched_by_their_index(make: Make, y: pd.Series) -> None:
    campaign = make()
    batch = campaign.ask(5)
    campaign.tell(batch.ids, y[batch.ids].iloc[::-1])
    assert campaign.export()["label"].dropna().to_dict() == y[batch.ids].to_dict()
    with pytest.raises(ValueError, match="indexes of X and y differ"):
        campaign.tell(batch.ids, y.iloc[:5].rename(lambda key: f"{key}x"))


# -- the start ------------------------------------------------------------------------


def test_known_labels_are_the_start(
    make: Make, table: pd.DataFrame, classes: pd.Series
) -> None:
    known = classes.where(np.arange(N_ROWS) < 15)
    parts = {"model": LogisticRegression(), "strategy": Margin()}
    campaign = make(y=known, **parts)
    assert campaign.labels.classes == ["ja", "nein"]
    assert campaign.status().states["answered"] == 15
    assert campaign.status().labels == known.value_counts()[["ja", "nein"]].to_dict()
    batch = campaign.ask(3)
    fitted = LogisticRegression().fit(table.iloc[:15], known.iloc[:15])
    expected = Margin().select(fitted, table.iloc[15:], 3)
    assert batch.ids == table.index[15 + expected.indices].tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["ja"]}, "two classes"),
        ({"classes": [1, "1"]}, "differ when written"),
        ({"classes": ["skip", "no"]}, "another meaning"),
        ({"classes": ["ja", "nein"], "rule": "mean"}, "no mean"),
        ({"rule": "median"}, "rule must be one of"),
        ({"target": "a"}, "column 'a', which is the target"),
        ({"id_name": "b"}, "pass id_name"),
        ({"ids": [1] * N_ROWS}, "unique"),
        ({"ids": [1]}, "1 ids"),
        ({"y": [1.0]}, "each of 60 rows, got shape"),
        ({"n_answers": 0}, "n_answers"),
        ({"wait": 0.0}, "wait must be a number above 0"),
        ({"task": "ranking"}, "task must be one of"),
        ({"y": ["x"] * N_ROWS}, "'x' is not a number"),
        ({"strategy": Margin()}, "Margin is for classification, and the campaign"),
        ({"strategy": Mixture(Margin())}, "Margin is for classification"),
        ({"target": "skal_state"}, "another name than 'skal_state'"),
        ({"target": " "}, "another name than ' '"),
    ],
)
def test_wrong_arguments_make_no_file(
    options: dict[str, Any], words: str, make: Make, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words):
        make(**options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": LCMD}, r"strategy is the class LCMD: .* LCMD\(\)"),
        ({"strategy": "lcmd"}, "strategy must be a strategy or a function"),
        ({"initial": Random}, "initial is the class Random"),
        ({"model": BayesianRidge}, "model is the class BayesianRidge"),
        ({"model": None}, "model must be an estimator"),
    ],
)
def test_classes_in_place_of_objects(
    options: dict[str, Any], words: str, make: Make, tmp_path: Path, table: pd.DataFrame
) -> None:
    with pytest.raises(TypeError, match=words):
        make(**options)
    assert list(tmp_path.iterdir()) == []
    campaign = make()
    if options != {"model": None}:
        with pytest.raises(TypeError, match=words):
            Campaign.open(tmp_path / "campaign.db", table, **options)
    with pytest.raises(ValueError, match="Margin is for classification"):
        Campaign.open(tmp_path / "campaign.db", table, strategy=Margin())
    assert len(campaign.ask(2)) == 2


def test_ids_that_are_a_mask_are_no_numbers(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="campaigns need the extra `campaign`")
    X = np.arange(20.0).reshape(10, 2)
    campaign = Campaign.create(tmp_path / "c.db", X, model=BayesianRidge())
    for key in (True, np.True_):
        with pytest.raises(KeyError, match="no rows with 1 of 1 ids"):
            campaign.tell([key], [1.0])
    pa = pytest.importorskip("pyarrow")
    campaign.tell(pa.array([1, 2]), pa.array([0.5, 1.5]))
    labels = campaign.export()["label"].dropna()
    assert labels.tolist() == [0.5, 1.5]
    assert list(map(str, labels.index)) == ["1", "2"]


def test_start_does_not_replace_a_campaign(make: Make, tmp_path: Path) -> None:
    make().tell("r001", 1.0)
    before = (tmp_path / "campaign.db").read_bytes()
    with pytest.raises(FileExistsError, match=r"campaign.db holds a campaign already"):
        make()
    assert (tmp_path / "campaign.db").read_bytes() == before


# -- opening --------------------------------------------------------------------------


def test_the_next_batch_follows_from_the_database(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Path
) -> None:
    parts = {"model": BayesianRidge(), "strategy": Random()}  # draws from the seed
    campaign = make(**parts)
    for _ in range(2):
        batch = campaign.ask(8)
        campaign.tell(batch.ids[:6], y[batch.ids[:6]])
        campaign.skip(batch.ids[6])
    np.random.default_rng().random()
    shutil.copy(tmp_path / "campaign.db", tmp_path / "copy.db")
    expected = campaign.ask(9).ids
    copy = Campaign.open(tmp_path / "copy.db", table, **parts)
    assert copy.ask(9).ids == expected
    replayed = copy.replay()
    assert replayed["same"].all()
    assert replayed["same_settings"].all()
    assert replayed["n_picked"].tolist() == [8, 7, 8]
    # Another strategy would have picked others, and is named as the reason.
    other = Campaign.open(tmp_path / "copy.db", table, **REGRESSION)
    assert not other.replay()["same_settings"].any()
    assert not other.replay()["same"].all()


def test_model_is_a_copy_seeded_unless_it_has_a_seed(
    make: Make, table: pd.DataFrame, y: pd.Series
) -> None:
    from sklearn.ensemble import RandomForestRegressor

    for seed in (None, 3):
        model = RandomForestRegressor(n_estimators=3, random_state=seed)
        campaign = make(f"{seed}.db", model=model, strategy=Random())
        campaign.tell(table.index[:20], y.iloc[:20])
        fitted = campaign.fit()
        assert fitted is campaign.fit()
        assert not hasattr(model, "estimators_")
        state = fitted.get_params()["random_state"]
        assert isinstance(state, int)
        assert (state == 3) == (seed == 3)
        expected = clone(fitted).fit(table.iloc[:20], y.iloc[:20]).predict(table)
        assert np.array_equal(campaign.predict().to_numpy(), expected)
        assert campaign.predict(table.iloc[:2]).shape == (2,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X: X.drop("r004"), r"1 of 60 rows are missing \(ids r004\)"),
        (
            lambda X: X.assign(b=X["b"].where(X.index != "r002", 7.0)),
            r"1 rows hold other values \(ids r002\), in the columns \['b'\]",
        ),
        (
            lambda X: X.rename(columns={"a": "z"}),
            r"60 rows .* with new columns \['z'\], without the columns \['a'\]",
        ),
        (lambda X: X.set_axis([*X.index[:-1], "new"]), "missing .*r059.*new.*append"),
        (
            lambda X: pd.concat([X, X.iloc[:2].rename(lambda k: k + "x")]),
            r"2 rows are new \(ids r000x, r001x\); pass append=True",
        ),
    ],
)
def test_a_changed_pool_is_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    words: str,
    make: Make,
    table: pd.DataFrame,
    tmp_path: Path,
) -> None:
    make()
    with pytest.raises(PoolChangedError, match=words):
        Campaign.open(tmp_path / "campaign.db", change(table), **REGRESSION)


def test_reordered_rows_are_the_same_pool(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Path
) -> None:
    campaign = make()
    campaign.tell(table.index[:12], y.iloc[:12])
    expected = campaign.ask(4)
    mixed = table.sample(frac=1, random_state=0)
    again = Campaign.open(tmp_path / "campaign.db", mixed, **REGRESSION)
    assert again.ids == table.index.tolist()
    assert again.ask(4).rows.equals(expected.rows)


def test_rows_are_appended(
    make: Make, table: pd.DataFrame, y: pd.Series, tmp_path: Path
) -> None:
    campaign = make()
    batch = campaign.ask(12)
    campaign.tell(batch.ids, y[batch.ids])
    campaign.ask(2)
    new = table.iloc[:3].rename(lambda key: key.replace("r", "n")) + 10
    path, more = tmp_path / "campaign.db", pd.concat([new, table])
    longer = Campaign.open(path, more, append=True, **REGRESSION)
    assert longer.ids == [*table.index, "n000", "n001", "n002"]
    far = longer.ask(5, "ann")
    assert set(far.ids) & set(new.index)
    assert Campaign.open(path, more, **REGRESSION).replay()["same"].all()
    with pytest.raises(PoolChangedError, match="3 of 63 rows are missing"):
        Campaign.open(path, table)


def test_ids_of_other_containers_are_positions(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    X = sparse.random(20, 4, 0.5, format="csr", random_state=0)
    parts = {"model": BayesianRidge(), "strategy": Random(), "random_state": 0}
    campaign = Campaign.create(tmp_path / "x.db", X, **parts)
    batch = campaign.ask(3)
    assert sparse.issparse(batch.rows)
    assert all(isinstance(key, int) for key in batch.ids)
    assert batch.to_frame().shape == (3, 8)
    campaign.tell(np.array(batch.ids), np.ones(3))
    X = X.copy()
    X.data[0] += 1
    with pytest.raises(PoolChangedError, match="1 rows hold other values"):
        Campaign.open(tmp_path / "x.db", X)


def test_without_rows_labels_are_told_but_not_asked_for(
    make: Make, table: pd.DataFrame, tmp_path: Path
) -> None:
    make()
    campaign = Campaign.open(tmp_path / "campaign.db")
    campaign.tell("r002", 1.0)
    assert campaign.export().loc["r002", "label"] == 1.0
    for method in (campaign.fit, campaign.replay, lambda: campaign.ask(1)):
        with pytest.raises(ValueError, match=r"pass X_pool to Campaign\.open"):
            method()
    rows_only = Campaign.open(tmp_path / "campaign.db", table)
    with pytest.raises(ValueError, match=r"pass it to Campaign\.open"):
        rows_only.ask(1)
    # The strategy that is recommended for a model is the default.
    model_only = Campaign.open(tmp_path / "campaign.db", table, model=BayesianRidge())
    assert isinstance(model_only._picker.strategy, LCMD)


def test_errors_before_the_first_labels(make: Make) -> None:
    campaign = make(classes=["ja", "nein"])
    with pytest.raises(ValueError, match="no labels yet"):
        campaign.fit()
    campaign.tell(["r001", "r002"], ["ja", "ja"])
    with pytest.raises(ValueError, match="All 2 labels are 'ja'"):
        campaign.predict()
    with pytest.raises(ValueError, match="n must be an int"):
        campaign.ask(0)
    with pytest.raises(ValueError, match="reserve must be a number above 0"):
        campaign.ask(1, reserve=0.0)
    assert campaign.waiting().ids == []


# -- looking --------------------------------------------------------------------------


def test_learning_curve_is_that_of_the_labels_before_each_batch(
    make: Make, table: pd.DataFrame, y: pd.Series
) -> None:
    test, noisy = table.index[40:], y + np.random.default_rng(1).normal(size=N_ROWS)
    campaign = make(strategy=Random())
    for _ in range(3):
        batch = campaign.ask(10)
        campaign.tell(batch.ids, noisy[batch.ids])
    curve = campaign.learning_curve(table.loc[test], noisy[test])
    assert curve["n_labels"].tolist() == [10, 20, 30]
    labeled = campaign.export()["label"].dropna()
    last = BayesianRidge().fit(table.loc[labeled.index], labeled)
    assert curve["score"].iloc[-1] == pytest.approx(
        last.score(table.loc[test], noisy[test])
    )
    with pytest.warns(UserWarning, match="not the score on new rows"):
        folds = campaign.learning_curve(cv=3)
    assert list(folds) == ["n_labels", "score", "std"]
    assert folds["n_labels"].tolist() == [10, 20, 30]


def test_learning_curve_begins_with_the_labels_of_the_start(
    make: Make, table: pd.DataFrame, y: pd.Series
) -> None:
    campaign = make(strategy=Random(), y=y.where(np.arange(N_ROWS) < 12))
    for _ in range(2):
        batch = campaign.ask(5)
        campaign.tell(batch.ids, y[batch.ids])
    curve = campaign.learning_curve(table[40:], y[40:])
    assert curve["n_labels"].tolist() == [12, 17, 22]
    first = BayesianRidge().fit(table[:12], y[:12]).score(table[40:], y[40:])
    assert curve["score"].iloc[0] == pytest.approx(first)


def test_two_campaigns_on_one_file_see_each_other(
    make: Make, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make()
    two = Campaign.open(tmp_path / "campaign.db", table, **REGRESSION)
    other = []

    def slow_pick(*args: Any, **kwargs: Any) -> Any:
        """Another process asks while this one is picking."""
        picked = pick(*args, **kwargs)
        if not other:
            other.append(two.ask(10, "bob"))
        return picked

    pick = one._picker.pick
    monkeypatch.setattr(one._picker, "pick", slow_pick)
    ann = one.ask(10, "ann")
    assert len(ann) == len(other[0]) == 10
    assert not set(ann.ids) & set(other[0].ids)
    assert one.replay()["same"].all()
    two.tell(ann.ids[0], 1.0, "ann")
    assert one.status().states["answered"] == 1


def test_a_campaign_that_others_are_faster_in_says_so(
    make: Make, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make()
    two = Campaign.open(tmp_path / "campaign.db", table, **REGRESSION)
    tries = []

    def slow_pick(*args: Any, **kwargs: Any) -> Any:
        picked = pick(*args, **kwargs)
        tries.append(two.ask(1, f"bob {len(tries)}"))
        return picked

    # All rows but those that the others took meanwhile are left.
    pick = one._picker.pick
    monkeypatch.setattr(one._picker, "pick", slow_pick)
    with pytest.raises(RuntimeError, match="20 times in a row"):
        one.ask(N_ROWS, "ann")
    assert len(tries) == 20
    assert one.waiting("ann").ids == []


def test_rows_that_two_processes_append_at_once(
    make: Make, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    path = tmp_path / "campaign.db"
    first = pd.concat([table, table.iloc[:1].rename(lambda key: key + "x")])
    second = pd.concat([table, table.iloc[:1].rename(lambda key: key + "y")])
    check = CampaignPool.check_same

    def meanwhile(pool: Any, *args: Any) -> None:
        check(pool, *args)
        monkeypatch.undo()
        Campaign.open(path, first, append=True)

    monkeypatch.setattr(CampaignPool, "check_same", meanwhile)
    with pytest.raises(ValueError, match="added rows at the same time"):
        Campaign.open(path, second, append=True)
    assert Campaign.open(path, first).ids[-1] == "r000x"


def test_strategies_of_modal_pick(make: Make, table: pd.DataFrame) -> None:
    """They are functions, and return the rows in their own order."""

    def largest(learner: Any, X: Any, n_instances: int = 1) -> Any:
        order = np.argsort(-X["a"].to_numpy())[:n_instances]
        return order, X["a"].to_numpy()[order]

    campaign = make(strategy=largest, initial=largest, n_initial=1)
    batch = campaign.ask(4)
    expected = table["a"].sort_values(ascending=False)[:4]
    assert batch.ids == expected.index.tolist()
    np.testing.assert_allclose(batch.scores, expected)


def test_picks_of_another_number_are_refused(make: Make) -> None:
    def two(learner: Any, X: Any, n_instances: int = 1) -> Any:
        return np.arange(2), np.zeros(2)

    campaign = make(initial=two)
    assert campaign.ask(2).ids == ["r000", "r001"]
    with pytest.raises(ValueError, match="asked for 3 rows but returned 2"):
        campaign.ask(3, "ann")
    assert campaign.waiting("ann").ids == []


def test_what_is_missing_is_asked_for(make: Make, y: pd.Series) -> None:
    campaign = make()
    campaign.tell(y.index[:3], y[:3])
    for part in ({"X_test": y.to_frame()}, {"y_test": y}):
        with pytest.raises(ValueError, match="Pass X_test and y_test together"):
            campaign.learning_curve(**part)
    with pytest.raises(ValueError, match=r"KMeans does not say .* pass task="):
        make("other.db", model=KMeans())


def test_classes_may_be_numbers_or_truth_values(make: Make, tmp_path: Path) -> None:
    for k, classes in enumerate(([0, 1], [False, True], ["0", "1"])):
        campaign = make(f"{k}.db", classes=classes)
        campaign.tell(["r001", "r002"], np.array(classes))
        again = Campaign.open(tmp_path / f"{k}.db").export()["label"].dropna()
        assert again.tolist() == classes
        assert [type(value) for value in again] == [type(c) for c in classes]
        with pytest.raises(ValueError, match="not one of the classes"):
            campaign.tell("r003", "1" if classes[0] != "0" else 1)


def test_events_are_listed_with_their_times(make: Make) -> None:
    campaign = make(**CLASSIFICATION, classes=["ja", "nein"])
    campaign.tell("r001", "ja", "ann")
    (event,) = campaign.events().to_dict("records")
    assert abs(pd.Timestamp.now("UTC") - event["time"]) < pd.Timedelta(minutes=5)
    assert event["annotator"] == "ann"


def test_what_waits_and_what_was_said(
    make: Callable[..., Campaign], y: pd.Series, table: pd.DataFrame
) -> None:
    campaign = make()
    other = campaign.reopen()
    first = campaign.ask(4, "ann")
    assert other.waiting("ann").ids == first.ids
    assert len(other.waiting("bob")) == len(other.waiting()) == 0
    assert other.n_left("ann") == other.n_left("bob") == N_ROWS - 4
    # Further rows, whatever waits.
    second = other.ask(3, "ann", again=False)
    assert len(second) == 3
    assert not set(second.ids) & set(first.ids)
    assert campaign.ask(7, "ann").ids == [*first.ids, *second.ids]
    a, b, c, *_ = first.ids
    campaign.tell([a], [1.0], "ann")
    campaign.skip([b], "ann")
    campaign.cannot_label([c], "ann")
    campaign.tell([a], [2.0], "ann")
    assert other.said("ann") == [
        (a, "answer", 2.0),
        (c, "cannot", None),
        (b, "skip", None),
    ]
    assert other.said("bob") == []
    assert other.waiting("ann").ids == [first.ids[3], *second.ids]
    assert other.n_left("ann") == N_ROWS - 7
    assert other.row(a) == table.loc[a].to_dict()
    with pytest.raises(KeyError, match="no rows"):
        other.row("r999")
    assert campaign.replay()["same"].tolist() == [True, True]


def test_names_of_annotators_are_texts_without_spaces_around(make: Make) -> None:
    campaign = make()
    batch = campaign.ask(3, " ann ")
    assert campaign.ask(3, "ann").ids == batch.ids
    campaign.tell(batch.ids[0], 1.0, "ann\n")
    assert campaign.waiting(" ann").ids == batch.ids[1:]
    assert campaign.said("ann ") == [(batch.ids[0], "answer", 1.0)]
    assert campaign.status().annotators == {"ann": {"answer": 1, "waiting": 2}}
    for call in (campaign.waiting, campaign.said, campaign.n_left):
        with pytest.raises(TypeError, match="annotator must be a str or None, got 5"):
            call(5)
    for ask in (lambda: campaign.ask(1, 5), lambda: campaign.tell("r001", 1.0, 5)):
        with pytest.raises(TypeError, match="annotator must be a str or None, got 5"):
            ask()
    assert len(campaign.events()) == 7


@pytest.mark.parametrize("reserve", [1e12, 1e18])
def test_reservations_without_a_date_are_refused(make: Make, reserve: float) -> None:
    campaign = make()
    with pytest.raises(ValueError, match="reserve must be up to"):
        campaign.ask(2, reserve=reserve)
    assert len(campaign.events()) == 0
    assert campaign.ask(2, reserve=3e9).expires.year > 2100


def test_rows_of_a_batch_are_explained(
    make: Make, table: pd.DataFrame, y: pd.Series
) -> None:
    ids = [f"id {k}" for k in range(N_ROWS)]
    campaign = make(ids=ids, y=y.where(np.arange(N_ROWS) < 12), strategy=LCMD())
    batch = campaign.ask(4)
    found = campaign.explain(batch)
    labeled = table.iloc[:12]
    model = BayesianRidge().fit(labeled, y[:12])
    places = [ids.index(key) for key in batch.ids]
    std = predictive_std(model, table.iloc[places])[:, 0]
    assert found.index.tolist() == batch.ids
    assert found["rank"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(found["score"], batch.scores)
    np.testing.assert_allclose(found["prediction"], model.predict(table.iloc[places]))
    np.testing.assert_allclose(found["uncertainty"], std)
    # The same as of the strategy, of the labeled rows and of these.
    learner = ActiveLearner(BayesianRidge(), LCMD(), labeled, y[:12])
    by_learner = LCMD().explain(learner, table.iloc[places], 4).sort_values("position")
    np.testing.assert_allclose(found["distance"], by_learner["distance"])
    nearest = [labeled.index.get_loc(key) for key in by_learner["nearest_labeled"]]
    assert found["nearest_labeled"].tolist() == [ids[k] for k in nearest]
    assert (
        campaign.explain(batch.ids[1])
        .drop(columns="rank")
        .equals(found.iloc[[1]].drop(columns=["rank", "score"]))
    )
    with pytest.raises(KeyError, match="no rows"):
        campaign.explain(["x"])


def test_without_labels_there_is_little_to_explain(make: Make) -> None:
    campaign = make()
    assert list(campaign.explain(campaign.ask(2)).columns) == ["rank", "score"]
    assert len(campaign.explain([])) == 0


def test_labels_from_the_start_are_matched_by_the_ids(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    X = table.reset_index(drop=True)
    ids = [100 - k for k in range(N_ROWS)]
    known = pd.Series([float(key) for key in ids], index=ids)
    numbers = pd.Series(range(N_ROWS), dtype=float)
    names = list(range(N_ROWS))[::-1]
    parts = {"model": BayesianRidge()}

    def told(name: str, **options: Any) -> list[float]:
        campaign = Campaign.create(tmp_path / name, X, **options, **parts)
        return campaign.export()["label"].tolist()

    assert told("a.db", ids=ids, y=known.sort_index()) == [float(key) for key in ids]
    assert told("b.db", ids=ids, y=known) == [float(key) for key in ids]
    # The index of the rows comes first, and a list has none.
    assert told("c.db", ids=names, y=numbers) == numbers.tolist()
    assert told("d.db", ids=names, y=numbers.tolist()) == numbers.tolist()
    for y in (known.iloc[:5], np.ones((N_ROWS, 1)), np.ones((N_ROWS, 2)), [1.0]):
        with pytest.raises(ValueError, match="a label or None for each of 60 rows"):
            told("e.db", ids=ids, y=y)


def test_a_set_of_classes(make: Make) -> None:
    assert make(classes={"b", "a"}).labels.classes == ["a", "b"]


def test_a_campaign_shows_its_progress(make: Make) -> None:
    assert re.fullmatch(
        r"Campaign\('.*campaign\.db'\): 60 rows: 60 pool; 0 batches", repr(make())
    )
