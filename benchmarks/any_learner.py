"""Strategies on learners that are not nets: forests, boosted trees, processes, SVMs.

Run as ``python -m benchmarks.any_learner --seeds 5 --jobs 2`` with SKAL_DATA set;
CatBoost takes part where it is installed.  Each finished campaign is kept in the work
folder, and a second run continues from there.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from benchmarks.campaigns import (
    collect,
    command_of,
    kept,
    play_simulation,
    study_parser,
    work_file,
)
from benchmarks.learners_models import LEARNERS, encoded
from benchmarks.report import markdown, write_report
from benchmarks.sets import TABLES, draw_table
from skal.strategies import (
    BAIT,
    EPIG,
    LCMD,
    ClusterMargin,
    CoreSet,
    Margin,
    MaxHerding,
    PredictiveVariance,
    Random,
    Stochastic,
    UHerding,
    WiGS,
)

N_INITIAL, N_INSTANCES, N_QUERIES = 20, 20, 8
KEYS = ["set", "learner", "strategy", "seed"]
#: In turns, so that a run that is cut has played both tasks.
SETS = (
    *("concrete", "vehicle", "energy", "car", "yacht", "waveform5000"),
    *("kin8nm", "credit_a", "power_plant", "pendigits", "cpu_act"),
)
#: A strategy that picks for a net, whose labels the learner is then fitted to.
BY_NET = " by a net"
#: Trees of CatBoost, fewer than in the benchmark of learners, for time.
N_TREES = 200
SCORING = {"regression": "neg_root_mean_squared_error", "classification": "accuracy"}
TEXT = (
    f"A campaign: {N_INITIAL} random labels, then {N_QUERIES} times {N_INSTANCES}. "
    "Gain: of the mean log RMSE (regression) or of the mean accuracy in percentage "
    "points (classification) over all steps but the first, over Random with the same "
    "learner, set and seed; higher is better. The interval is that of the t-test over "
    "sets, not corrected for the number of strategies. Spaces are 'auto' unless named: "
    "predictions for forests, leaves for boosted trees, the kernel for a Gaussian "
    "process, otherwise inputs. 'by a net': the strategy picks for a default net, "
    f"which is fitted to the same labels (as ViaProxy does). CatBoost has {N_TREES} "
    "trees. A learner counts on a set if all its strategies were played there: "
    "CatBoost on sets without categories, which the space of inputs refuses."
)


def models(task: str, seed: int) -> dict[str, Any]:
    """Make the learners of a task."""
    if task == "regression":
        made = {"extra trees": ExtraTreesRegressor(random_state=seed)}
    else:
        made = {
            "random forest": RandomForestClassifier(random_state=seed),
            "logistic regression": LogisticRegression(max_iter=1000),
            "SVM": SVC(C=10.0),
        }
    return {name: make_pipeline(encoded(), model) for name, model in made.items()}


def learner(task: str, name: str, seed: int, X: Any, y: Any) -> Any:
    """Make one learner; some depend on the number of columns."""
    found = models(task, seed)
    if name in found:
        return found[name]
    made = LEARNERS[name].make(task, seed, X, y)
    if name == "CatBoost":
        made[-1].set_params(iterations=N_TREES)
    return made


def learner_names(task: str) -> list[str]:
    """List the learners of a task that can be had."""
    names = [*models(task, 0)]
    if task == "regression":
        names.append("Gaussian process")
    if importlib.util.find_spec("catboost") is not None:
        names.append("CatBoost")
    return names


def strategies(task: str, name: str, seed: int) -> dict[str, Any]:
    """Make the strategies that a learner is asked with."""
    found: dict[str, Any] = {
        "Random": Random(),
        "LCMD": LCMD(),
        "CoreSet": CoreSet(),
        "MaxHerding": MaxHerding(),
        f"LCMD{BY_NET}": LCMD(),
        f"BAIT{BY_NET}": BAIT(),
    }
    if name not in ("logistic regression", "SVM"):  # whose "auto" is inputs
        found["LCMD, inputs"] = LCMD(space="inputs")
    if task == "classification":
        found["Margin"] = Margin()
        found["Margin, stochastic"] = Stochastic(Margin())
        found["ClusterMargin"] = ClusterMargin()
        found["UHerding"] = UHerding()
    else:
        found["BAIT"] = BAIT()
        found["WiGS"] = WiGS()
        if name != "CatBoost":
            found["PredictiveVariance"] = PredictiveVariance()
            found["PredictiveVariance, stochastic"] = Stochastic(PredictiveVariance())
    if name in ("extra trees", "Gaussian process", "random forest"):
        found["EPIG"] = EPIG()
        found["EPIG, stochastic"] = Stochastic(EPIG())
    return {key: made.set_params(random_state=seed) for key, made in found.items()}


def play(name: str, model: str, strategy: str, seed: int) -> pd.DataFrame:
    """Play one campaign; a row a step."""
    X, y, X_test, y_test, task = draw_table(name, seed)
    X, y = X[:1000], y[:1000]
    made = learner(task, model, seed, X[:N_INITIAL], y[:N_INITIAL])
    if strategy.endswith(BY_NET):
        return _follow(made, _picks_of_net(name, strategy, seed), X, y, X_test, y_test)
    chosen = strategies(task, model, seed)[strategy]
    table, _ = _simulate(made, chosen, (X, X_test, y, y_test), seed, task)
    return table.drop(columns=["repeat", "seed"])


def _simulate(model: Any, strategy: Any, data: Any, seed: int, task: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return play_simulation(
            model,
            strategy,
            data,
            seed,
            n_initial=N_INITIAL,
            n_instances=N_INSTANCES,
            n_queries=N_QUERIES,
            initial="random" if task == "regression" else "stratified",
            scoring=SCORING[task],
        )


@cache
def _picks_of_net(name: str, strategy: str, seed: int) -> np.ndarray:
    """Play a net's campaign; return rows in the order labeled, for all learners."""
    X, y, X_test, y_test, task = draw_table(name, seed)
    X, y = X[:1000], y[:1000]
    net = LEARNERS["skal: NetRegressor / NetClassifier"].make(task, seed, X, y)
    chosen = strategies(task, "a net", seed)[strategy]
    _, played = _simulate(net, chosen, (X, X_test, y, y_test), seed, task)
    return np.concatenate([played.initial_indices_, played.queried_indices_.ravel()])


def _follow(
    model: Any, order: np.ndarray, X: Any, y: Any, X_test: Any, y_test: Any
) -> pd.DataFrame:
    """Fit a learner to the labels in a given order; a row a step."""
    task = "regression" if np.issubdtype(y.dtype, np.floating) else "classification"
    n_labeled = np.arange(N_INITIAL, len(order) + 1, N_INSTANCES)
    scores = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in n_labeled:
            fitted = clone(model).fit(X.iloc[order[:n]], y[order[:n]])
            scores.append(get_scorer(SCORING[task])(fitted, X_test, y_test))
    times = {"query_time": np.nan, "fit_time": np.nan}
    table = {"step": np.arange(len(scores)), "n_labeled": n_labeled, "score": scores}
    return pd.DataFrame({**table, **times})


def gains(data: pd.DataFrame) -> pd.DataFrame:
    """Compute the gain of each campaign over Random's; a row a campaign."""
    data = data[data["step"] > 0].copy()
    is_regression = data["set"].map(TABLES) == "regression"
    error = np.log((-data["score"]).where(is_regression))
    data["value"] = np.where(is_regression, -error, 100 * data["score"])
    means = data.groupby(KEYS)["value"].mean().unstack("strategy")
    found = means.sub(means["Random"], axis=0).drop(columns="Random")
    # Not every learner is asked with every strategy.
    return found.stack().dropna().rename("gain").reset_index()


def gains_table(found: pd.DataFrame) -> pd.DataFrame:
    """Average the gains over sets, with intervals."""
    rows = []
    of_sets = found.groupby(["learner", "strategy", "set"])["gain"].mean()
    for (model, strategy), part in of_sets.groupby(["learner", "strategy"]):
        n, mean = len(part), part.mean()
        half = np.nan
        if n > 1:
            half = stats.t.ppf(0.975, n - 1) * part.std(ddof=1) / np.sqrt(n)
        rows.append(
            {
                "learner": model,
                "strategy": strategy,
                "gain": f"{mean:+.3f}",
                "95 % over sets": f"{mean - half:+.3f} to {mean + half:+.3f}",
                "sets better": f"{int((part > 0).sum())} of {n}",
                "order": -mean,
            }
        )
    table = pd.DataFrame(rows).sort_values(["learner", "order"])
    return table.drop(columns="order").set_index("learner")


def report(data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV and Markdown; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    data.to_csv(folder / "any_learner.csv", index=False, float_format="%.6g")
    parts = [TEXT]
    for task in ("regression", "classification"):
        part = data[data["set"].map(TABLES) == task]
        if part.empty:
            continue
        found = gains(part)
        seeds = part.groupby(["learner", "set"])["seed"].nunique()
        unit = "log RMSE" if task == "regression" else "accuracy, percentage points"
        parts += [
            f"## {task.capitalize()}: gain over Random, {unit}",
            f"Sets: {', '.join(part['set'].unique())}; seeds: {seeds.min()} to "
            f"{seeds.max()}.",
            markdown(gains_table(found)),
        ]
    text = "\n\n".join(parts)
    write_report(folder / "any_learner.md", "Any learner", command, text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Play what is missing, and report; return 1 if something failed."""
    parser = study_parser(__doc__, n_jobs=2)
    sets = list(SETS)
    parser.add_argument("--sets", nargs="+", choices=list(TABLES), default=sets)
    parser.add_argument("--learners", nargs="+", help="by default all")
    args = parser.parse_args(argv)
    tasks = [
        (name, model, strategy, seed)
        for seed in range(args.seeds)
        for name in args.sets
        for model in learner_names(TABLES[name])
        if args.learners is None or model in args.learners
        for strategy in strategies(TABLES[name], model, seed)
    ]
    file, n_failed = work_file(args, "any_learner"), 0
    if not args.report_only:
        n_failed = collect(play, tasks, KEYS, args.n_jobs, file)
    data = kept(file, KEYS)
    complete = data.groupby(["set", "learner", "seed"])["strategy"].transform("nunique")
    wanted = [
        len(strategies(TABLES[n], m, 0))
        for n, m in zip(data["set"], data["learner"], strict=True)
    ]
    data = data[complete == wanted].reset_index(drop=True)
    command = command_of("benchmarks.any_learner", argv)
    print(report(data, command, args.output))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
