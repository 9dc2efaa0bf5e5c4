from __future__ import annotations

import pytest
from modAL.uncertainty import margin_sampling
from sklearn import config_context
from sklearn.linear_model import LogisticRegression

from skal.learners import ActiveLearner, Committee
from skal.strategies import Entropy


def test_diagram_shows_labeled_rows_and_strategy(data):
    X, y = data
    learner = ActiveLearner(LogisticRegression(C=2), Entropy())
    for n in (0, 9, 20):
        if n:
            learner.fit(X[:n], y[:n])
        for html in (learner._repr_html_(), learner._repr_mimebundle_()["text/html"]):
            assert f"ActiveLearner: {n} labeled rows" in html
            assert "query strategy <code>Entropy()</code>" in html
            assert "LogisticRegression" in html
    learner.set_params(query_strategy=margin_sampling)
    assert "<code>margin_sampling</code>" in learner._repr_html_()
    learner.set_params(query_strategy=lambda learner, X: [0])
    assert "<code>&lt;lambda&gt;</code>" in learner._repr_html_()


def test_diagram_of_a_committee(data):
    X, y = data
    members = [
        ActiveLearner(LogisticRegression(), X_training=X[:n], y_training=y[:n])
        for n in (9, 20)
    ]
    committee = Committee(members)
    assert "Committee: 9 to 20 labeled rows" in committee._repr_html_()
    assert "60 labeled rows" in committee.fit(X, y)._repr_html_()
    assert "0 labeled rows" in Committee([])._repr_html_()


def test_text_if_scikit_learn_is_configured_so():
    learner = ActiveLearner(LogisticRegression())
    with config_context(display="text"):
        assert list(learner._repr_mimebundle_()) == ["text/plain"]
        with pytest.raises(AttributeError, match="display='diagram'"):
            learner._repr_html_  # noqa: B018
    assert "labeled" not in repr(learner)
