"""Comparisons that go on from a folder, and those of which campaigns fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from joblib import parallel_config
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from torch import nn
from torch.utils.data import TensorDataset

from skal.exceptions import CampaignError, UnsuitableLearnerError
from skal.nets import NetRegressor
from skal.simulation.describing import describe
from skal.strategies import BALD, Margin, Random
from tests.simulation.helpers import Data, FirstColumn, Shuffled, Untouchable, compare

TIMES = ["query_time", "fit_time"]


class Failing(BaseEstimator):
    """Takes the first rows, and fails when few are left."""

    def __init__(self, least: int = 0, error: type[BaseException] = KeyError) -> None:
        self.least = least
        self.error = error

    def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        if len(X_pool) < self.least:
            raise self.error("gone wrong")
        return np.arange(n_instances)


# -- failures -------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failure_names_its_place_and_keeps_the_others(
    regression: Data, n_jobs: int
) -> None:
    # 60 rows train: 52, 47 and 42 are in the pool of the three queries.
    strategies = {"Random": Shuffled(), "Bad": Failing(45), "Late": Failing(50)}
    with pytest.raises(CampaignError, match="8 of 12 campaigns failed") as caught:
        compare(regression, strategies=strategies, n_jobs=n_jobs)
    error = caught.value
    assert (
        "strategy 'Bad', fold 0, repeat 0, step 3 (after 18 labels): KeyError: "
        "'gone wrong'"
    ) in str(error)
    assert [f.fold for f in error.failures] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert {f.strategy: (f.step, len(f.rows)) for f in error.failures} == {
        "Bad": (3, 3),
        "Late": (2, 2),
    }
    alone = compare(regression, strategies={"Random": Shuffled()})
    pd.testing.assert_frame_equal(
        error.comparison.data.drop(columns=TIMES), alone.data.drop(columns=TIMES)
    )
    if n_jobs == 1:
        assert isinstance(error.__cause__, KeyError)


def test_a_strategy_that_failed_in_some_runs_is_compared_in_the_others(
    regression: Data,
) -> None:
    X, y = regression
    splits = [(np.arange(60), np.arange(60, 80)), (np.arange(20, 80), np.arange(20))]
    splits.append((np.arange(52), np.arange(60, 80)))  # 39 rows before the last query
    strategies = {"Random": Shuffled(), "Bad": Failing(37)}
    with pytest.raises(CampaignError, match="1 of 6 campaigns") as caught:
        compare((X, y), strategies=strategies, cv=splits, n_repeats=1)
    summary = caught.value.comparison.summary()
    whole = compare((X, y), strategies={**strategies, "Bad": Failing()}, cv=splits[:2])
    for column in ("gain", "gain_low", "labels_saved"):
        assert summary.loc["Bad", column] == pytest.approx(
            whole.summary().loc["Bad", column], nan_ok=True
        )


def test_strategies_are_tried_with_the_seed(regression: Data) -> None:
    seen: list[Any] = []

    class Noting(Shuffled):
        def __call__(self, learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
            seen.append(self.random_state)
            raise KeyError("only tried")

    with pytest.raises(CampaignError, match="only tried"):
        compare(regression, strategies={"n": Noting()}, random_state=0)
    (given,) = seen
    assert given is not None


def test_all_strategies_are_tried_before_anything_is_played(
    classification: Data,
) -> None:
    steps: list[Any] = []
    strategies = {
        "Random": Random(),
        "Margin": Margin(),
        "net": BALD(),
        "broken": Failing(10_000),
    }
    settings = {
        "estimator": LogisticRegression(),
        "initial": "stratified",
        "callback": steps.append,
    }
    with pytest.raises(CampaignError, match=r"2 of 4 strategies cannot") as caught:
        compare(classification, strategies=strategies, **settings)
    assert "'net': UnsuitableLearnerError: " in str(caught.value)
    assert "'broken': KeyError: 'gone wrong'" in str(caught.value)
    assert caught.value.comparison is None
    assert not steps
    del strategies["broken"]
    with pytest.raises(UnsuitableLearnerError, match=r"1 of 3 strategies.*\n'net'"):
        compare(classification, strategies=strategies, **settings)
    compare(classification, strategies=strategies, n_queries=0, **settings)


def test_an_error_that_cannot_be_sent(regression: Data) -> None:
    class Local(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__("mine")

    def fail(learner: Any, X_pool: Any, n_instances: int = 1) -> Any:
        if len(X_pool) < 50:
            raise Local(1, 2)
        return np.arange(n_instances)

    with pytest.raises(CampaignError, match="Local: mine"):
        compare(regression, strategies={"R": Shuffled(), "x": fail}, n_jobs=2)


# -- a folder -------------------------------------------------------------------------


def test_a_comparison_goes_on_after_a_crash(regression: Data, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"n_repeats": 2, "cv": ShuffleSplit(3, random_state=1)}
    expected = compare(regression, **settings).data
    crashing = {**settings, "store": tmp_path / "folder"}
    steps = []

    def crash(step: Any) -> None:
        steps.append(step)
        if len(steps) == 18:  # in the fifth of twelve campaigns
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(regression, callback=crash, **crashing)
    assert len(list((tmp_path / "folder").glob("*fold*.json"))) == 4
    before = len(steps)
    result = compare(regression, callback=steps.append, **crashing)
    assert len(steps) - before == 8 * 4
    pd.testing.assert_frame_equal(
        result.data.drop(columns=TIMES), expected.drop(columns=TIMES), check_exact=True
    )
    again = compare(regression, estimator=Ridge(), **crashing)
    pd.testing.assert_frame_equal(again.data, result.data, check_exact=True)
    pd.testing.assert_frame_equal(again.summary(), result.summary(), check_exact=True)
    rows = json.loads(next((tmp_path / "folder").glob("Random*")).read_text())
    assert [len(positions) for positions in rows["labeled"]] == [8, 5, 5, 5]


def test_finished_campaigns_are_not_fitted_again(
    regression: Data, tmp_path: Path
) -> None:
    first = compare(regression, store=tmp_path)
    plan = json.loads((tmp_path / "comparison.json").read_text())
    plan["settings"]["estimator"] = describe(Untouchable())
    (tmp_path / "comparison.json").write_text(json.dumps(plan))
    again = compare(regression, store=tmp_path, estimator=Untouchable())
    pd.testing.assert_frame_equal(again.data, first.data, check_exact=True)


def test_progress_bar_counts_finished_campaigns(
    regression: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare(regression, store=tmp_path)
    compare(regression, store=tmp_path, verbose=1)
    assert "8/8" in capsys.readouterr().err
    next(tmp_path.glob("Random*")).unlink()
    compare(regression, store=tmp_path, verbose=1)
    assert "8/8" in capsys.readouterr().err


def test_a_killed_process_leaves_whole_files(tmp_path: Path) -> None:
    program = f"""
import os
import numpy as np
from sklearn.linear_model import Ridge
from skal.simulation import compare_strategies
from skal.strategies import Random
X = np.random.default_rng(0).normal(size=(60, 2))
seen = []
def callback(step):
    seen.append(step)
    if len(seen) == KILL:
        os.kill(os.getpid(), 9)
result = compare_strategies(
    Ridge(), {{"Random": Random(), "Again": Random()}}, X, X[:, 0], cv=3, n_initial=5,
    n_instances=3, n_queries=2, store={str(tmp_path / "folder")!r}, callback=callback,
)
result.data.to_csv({str(tmp_path / "result.csv")!r})
print(len(seen))
"""
    for kill, expected in [(8, None), (5, None), (0, "9\n")]:
        done = subprocess.run(
            [sys.executable, "-c", program.replace("KILL", str(kill))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == (-9 if expected is None else 0), done.stderr
        assert expected is None or done.stdout == expected
    # No random_state: folds and seeds are those that the first call drew.
    data = pd.read_csv(tmp_path / "result.csv")
    start = data.query("step == 0").pivot(
        index="fold", columns="strategy", values="score"
    )
    assert (start["Random"] == start["Again"]).all()


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_campaigns_in_parallel_are_kept(
    regression: Data, tmp_path: Path, backend: str
) -> None:
    with parallel_config(backend=backend, n_jobs=2):
        result = compare(regression, store=tmp_path)
    assert len(list(tmp_path.glob("*fold*.json"))) == 8
    again = compare(regression, store=tmp_path)
    pd.testing.assert_frame_equal(again.data, result.data, check_exact=True)


def test_other_groups_are_other_folds(regression: Data, tmp_path: Path) -> None:
    groups = np.arange(len(regression[0])) % 5
    settings: dict[str, Any] = {"cv": GroupKFold(2), "store": tmp_path}
    compare(regression, groups=groups, **settings)
    compare(regression, groups=groups, **settings)
    with pytest.raises(ValueError, match="groups was"):
        compare(regression, groups=np.sort(groups), **settings)


def test_damaged_files_and_other_versions_are_named(
    regression: Data, tmp_path: Path
) -> None:
    result = compare(regression, store=tmp_path)
    plan = tmp_path / "comparison.json"
    content = json.loads(plan.read_text())
    content["versions"]["sklearn"] = "0.9"
    plan.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"sklearn 0\.9, now"):
        again = compare(regression, store=tmp_path)
    pd.testing.assert_frame_equal(again.data, result.data)
    plan.unlink()
    compare(regression, store=tmp_path)
    for path in (next(tmp_path.glob("Random*")), plan):
        whole = path.read_text()
        path.write_text(whole[:-2])
        with pytest.raises(ValueError, match=f"{path.name}' is damaged"):
            compare(regression, store=tmp_path)
        path.write_text(whole)


def test_strategies_can_be_added(regression: Data, tmp_path: Path) -> None:
    compare(regression, store=tmp_path, strategies={"Random": Shuffled()})
    both = compare(regression, store=tmp_path)
    pd.testing.assert_frame_equal(
        both.data.drop(columns=TIMES), compare(regression).data.drop(columns=TIMES)
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_queries": 2}, "n_queries was 3, and is 2"),
        ({"estimator": Ridge(alpha=2.0)}, r"estimator.*alpha.*1\.0.*2\.0"),
        ({"strategies": {"Random": FirstColumn()}}, "Random was .*Shuffled"),
        ({"cv": 3}, "cv was "),
        ({"random_state": 1}, "random_state was 0, and is 1"),
        ({"scoring": "r2"}, 'scoring was null, and is "r2"'),
    ],
)
def test_another_comparison_needs_another_folder(
    regression: Data, tmp_path: Path, changed: Any, message: str
) -> None:
    compare(regression, store=tmp_path)
    with pytest.raises(ValueError, match=message):
        compare(regression, store=tmp_path, **changed)
    X, y = regression
    with pytest.raises(ValueError, match="data was"):
        compare((X, y + 1), store=tmp_path)


def test_descriptions_are_the_same_in_another_process() -> None:
    things = """[
    Ridge(alpha=2.0), NetRegressor(module__hidden_sizes=(3,)), KFold(3), np.int64(3),
    pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]}), np.arange(5), torch.arange(3),
    sparse.csr_array(np.eye(3)), {"a": None, "b": (1, 2)}, partial(len),
    list(range(200)), len, make_pipeline(StandardScaler(), Ridge()), object(),
]"""
    imports = """
import json
from functools import partial
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skal.nets import NetRegressor
from skal.simulation.describing import describe
"""
    program = f"{imports}\nprint(json.dumps(describe({things})))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(outputs) == 1
    described = json.loads(outputs.pop())
    assert len({json.dumps(one) for one in described}) == len(described)


def test_a_comparison_goes_on_with_missing_values_among_its_parameters(
    regression: Data, tmp_path: Path
) -> None:
    # NaN does not equal itself.
    model = make_pipeline(SimpleImputer(), Ridge())
    first, again = (
        compare(regression, estimator=model, store=tmp_path) for _ in range(2)
    )
    assert first.table().equals(again.table())


def test_names_that_differ_by_type_alone_need_other_files(
    regression: Data, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="must differ as text"):
        compare(regression, strategies={1: Random(), "1": Random()}, store=tmp_path)


def test_weights_of_a_module_count() -> None:
    one, other = nn.Linear(2, 1), nn.Linear(2, 1)
    assert describe(NetRegressor(one)) != describe(NetRegressor(other))
    other.load_state_dict(one.state_dict())
    assert describe(NetRegressor(one)) == describe(NetRegressor(other))
    assert describe(torch.zeros(2)) != describe(torch.ones(2))


@pytest.mark.parametrize(
    "made_of",
    [
        np.array,
        torch.tensor,
        list,
        pd.Series,
        lambda values: pd.DataFrame({"a": values}),
        lambda values: sparse.csr_array(np.array([values])),
        lambda values: {"a": [tuple(values)]},
        lambda values: torch.tensor(values).bfloat16(),
        lambda values: TensorDataset(torch.tensor(values)),
        lambda values: pl.DataFrame({"a": values}),
        lambda values: pl.Series(values),
        lambda values: pa.table({"a": values}),
        lambda values: pa.chunked_array([values]),
        pd.array,
        pd.Index,
        pd.Categorical,
        lambda values: pd.DataFrame({"a": [np.array([v]) for v in values]}),
    ],
)
def test_one_cell_of_many_counts(made_of: Any) -> None:
    """The repr of long data leaves out what is in the middle."""
    values = [float(1 + i % 7) for i in range(3000)]
    first, again = describe(made_of(values)), describe(made_of(list(values)))
    values[1500] = 0.5
    assert first == again
    assert first != describe(made_of(values))
