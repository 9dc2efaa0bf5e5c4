"""The study of strategies for classification, on a table of a few rows."""

import pandas as pd
import pytest

from benchmarks import tabular_classification as study
from skal.nets.ensembles import FoldEnsembleClassifier


def campaigns(name, strategy, seed, scores):
    return pd.DataFrame(
        {
            "set": name,
            "learner": "net",
            "strategy": strategy,
            "seed": seed,
            "step": range(len(scores)),
            "score": scores,
        }
    )


def test_loss_is_the_mean_error_after_the_start():
    data = campaigns("glass", "Random", 0, [0.0, 0.5, 0.7, 0.9])
    assert study.losses(data).loc[("glass", 0), "Random"] == pytest.approx(30)
    first = study.losses(data, 0, 1 / 3).loc[("glass", 0), "Random"]
    assert first == pytest.approx(50)
    last = study.losses(data, 2 / 3, 1).loc[("glass", 0), "Random"]
    assert last == pytest.approx(10)


def test_only_what_all_have_played_is_compared():
    scores = [0.5, 0.6]
    data = pd.concat(
        [
            campaigns("glass", "Random", 0, scores),
            campaigns("glass", "Random", 1, scores),
            campaigns("car", "Random", 0, scores),
            campaigns("glass", "Margin", 0, scores),
            campaigns("car", "Margin", 0, scores),
            campaigns("glass", "BALD", 1, scores),  # not on car
            campaigns("car", "LCMD", 0, scores),  # not on glass
            campaigns("nursery", "Random", 0, scores),  # not finished
        ]
    )
    kept, left_out = study.whole(data)
    assert left_out == ["BALD", "LCMD"]
    assert set(kept["strategy"]) == {"Random", "Margin"}
    assert set(zip(kept["set"], kept["seed"], strict=True)) == {
        ("glass", 0),
        ("car", 0),
    }


def test_strategies_with_fewer_seeds_are_reported_apart():
    scores = [0.5, 0.6]
    names = {"Random": 3, "Margin": 3, "CAL": 1}
    data = pd.concat(
        campaigns(name, strategy, seed, scores)
        for name in ("glass", "car")
        for strategy, seeds in names.items()
        for seed in range(seeds)
    )
    (title, first, _), (other, everything, left_out) = study.groups(data)
    assert (title.format("net"), other.format("net")) == ("net", "All strategies, net")
    assert set(first["strategy"]) == {"Random", "Margin"}
    assert first["seed"].nunique() == 3
    assert set(everything["strategy"]) == set(names)
    assert everything["seed"].nunique() == 1
    assert left_out == []

    ((title, first, _),) = study.groups(data[data["strategy"] != "CAL"])
    assert title.format("net") == "net"
    assert first["seed"].nunique() == 3


def test_learners_are_asked_with_all_strategies_that_they_can_answer():
    found = {
        learner: study.strategies(learner) for learner in (study.NET, study.FOREST)
    }
    assert {"CAL", "EGL", "MeanStd", "DiverseMiniBatch"} <= set(found[study.NET])
    assert {"MeanStd", "KMedoids"} <= set(found[study.FOREST])
    assert not {"BADGE", "CAL", "LabelDispersion"} & set(found[study.FOREST])
    assert study.strategies(study.LINEAR)["BALD"].posterior.n_estimators == 5
    assert not hasattr(study.strategies(study.CATBOOST)["Margin"], "posterior")
    assert "BALD" not in study.strategies(study.CATBOOST)


def test_a_cut_leaves_the_first_strategies_ahead():
    tasks = study.ordered_tasks(["glass", "car"], ["net"], None, 5)
    seeds = {}
    for _, _, strategy, seed in tasks:
        seeds.setdefault((strategy, seed), len(seeds))
    assert seeds["Margin", 2] < seeds["VoteEntropy", 0] < seeds["Margin", 4]
    assert not any(task[2] in study.SLOW for task in tasks)


def test_a_quick_run_reports_and_resumes(tables, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--quick", "--sets", "glass", "--strategies", "Random", "Margin"]
    arguments += ["LabelDispersion", "--learners", "net", "logistic regression"]
    arguments += ["--work", str(tmp_path), "--output", str(out)]
    assert study.main(arguments) == 0
    kept = (tmp_path / "tabular_classification_quick.csv").read_text()
    assert kept.count("\n") == 1 + 5 * 3
    text = (out / "tabular_classification.md").read_text()
    assert "## Net: 1 sets, 1 seeds" in text
    assert "## Logistic regression: 1 sets" in text
    assert study.main(arguments) == 0
    assert (tmp_path / "tabular_classification_quick.csv").read_text() == kept


def test_the_recommended_learner_is_played_if_it_is_named():
    learner = study.make(study.ENSEMBLE, 3)
    assert isinstance(learner, FoldEnsembleClassifier)
    assert learner.random_state == 3
    assert set(study.strategies(study.ENSEMBLE)) == set(study.strategies(study.FOREST))
    tasks = study.ordered_tasks(["glass"], [study.ENSEMBLE], ["Random", "Margin"], 2)
    assert [t[2:] for t in tasks] == [
        ("Random", 0),
        ("Margin", 0),
        ("Random", 1),
        ("Margin", 1),
    ]
