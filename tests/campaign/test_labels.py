"""What is a label, as a value and as the text of a cell."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skal.campaign import Campaign
from skal.campaign.labels import Labels
from skal.campaign.recording import as_items

NUMBER = Labels("regression")
TEXTS = Labels("classification", ["ja", "nein"])
WHOLE = Labels("classification", [0, 1, 2.5])
TRUTH = Labels("classification", [True, False])
MIXED = Labels("classification", [True, 0])


@pytest.mark.parametrize(
    ("task", "classes", "error", "words"),
    [
        ("regression", ["a", "b"], ValueError, "classes are for classification"),
        ("ranking", [], ValueError, "task must be"),
        ("classification", [], ValueError, "two classes or more"),
        ("classification", ["a"], ValueError, "two classes or more"),
        ("classification", ["a", None], TypeError, "strings or numbers, got None"),
        ("classification", ["1", 1], ValueError, "differ when written as text"),
        ("classification", ["a", "a "], ValueError, "differ when written as text"),
        ("classification", ["a", "Skip"], ValueError, r"\['skip'\] have another"),
        ("classification", ["Cannot Label", "b"], ValueError, "'cannot label'"),
        ("classification", ["", "b"], ValueError, "another meaning"),
    ],
)
def test_classes_that_cannot_be_told_apart(
    task: str, classes: list[Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Labels(task, classes)


@pytest.mark.parametrize(
    ("labels", "value", "label"),
    [
        *((NUMBER, 3, 3.0), (NUMBER, np.float32(0.5), 0.5), (NUMBER, -1e300, -1e300)),
        *((TEXTS, "ja", "ja"), (TEXTS, np.str_("nein"), "nein")),
        *((WHOLE, 1.0, 1), (WHOLE, np.int8(0), 0), (WHOLE, 2.5, 2.5)),
        *((TRUTH, True, True), (TRUTH, np.False_, False), (MIXED, 0, 0)),
    ],
)
def test_labels_are_those_of_python(labels: Labels, value: Any, label: Any) -> None:
    found = labels.check(value)
    assert found == label
    assert type(found) is type(label)


@pytest.mark.parametrize(
    ("labels", "value", "words"),
    [
        *((NUMBER, None, "is not a label"), (NUMBER, np.nan, "is not a label")),
        *((NUMBER, pd.NA, "is not a label"), (NUMBER, [1.0], "is not a label")),
        *((NUMBER, True, "True is not a number"), (NUMBER, "3", "'3' is not a num")),
        *((NUMBER, 1j, "is not a number"), (NUMBER, -np.inf, "-inf is not finite")),
        *((TEXTS, "Ja", "not one of the classes"), (TEXTS, 0, "not one of")),
        *((WHOLE, True, "not one of"), (WHOLE, 2, "not one of"), (TRUTH, 1, "not one")),
        (MIXED, False, "not one of"),
    ],
)
def test_other_values_are_no_labels(labels: Labels, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        labels.check(value)


@pytest.mark.parametrize(
    ("labels", "text", "label"),
    [
        *((NUMBER, " 1e3 ", 1000.0), (NUMBER, "-2", -2.0)),
        *((TEXTS, " ja ", "ja"), (WHOLE, "1", 1), (WHOLE, "1.0", 1)),
        *((WHOLE, "2.50", 2.5), (TRUTH, "TRUE", True), (TRUTH, "false", False)),
        *((MIXED, "true", True), (MIXED, "0.0", 0)),
    ],
)
def test_labels_as_programs_for_tables_write_them(
    labels: Labels, text: str, label: Any
) -> None:
    found = labels.parse(text)
    assert found == label
    assert type(found) is type(label)


@pytest.mark.parametrize(
    ("labels", "text", "words"),
    [
        *((NUMBER, "1,5", "'1,5' is not a number"), (NUMBER, "inf", "not finite")),
        *((TEXTS, "JA", "'JA' is not one of"), (WHOLE, "2", "'2' is not one of")),
        *((WHOLE, "true", "not one of"), (TRUTH, "1", "not one of")),
        (MIXED, "1.0", "not one of"),
    ],
)
def test_other_texts_are_no_labels(labels: Labels, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        labels.parse(text)


def test_labels_for_a_fit() -> None:
    assert NUMBER.from_start([1, None, np.nan, 2.5]) == [1.0, None, None, 2.5]
    assert NUMBER.as_array([1, 2]).dtype == np.float64
    assert TEXTS.as_array(["ja", "nein"]).tolist() == ["ja", "nein"]
    assert WHOLE.as_array([0, 1]).dtype.kind == "i"


def test_texts_for_missing_values_are_no_labels_from_the_start() -> None:
    with pytest.raises(ValueError, match="2 labels of y are texts such as 'N/A'"):
        Labels("regression").from_start([1.0, "N/A", "", None])
    labels = Labels("classification", ["None", "Stone"])
    assert labels.from_start(["None", None]) == ["None", None]


def test_texts_for_missing_values_that_become_classes_are_named(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("sqlalchemy")
    y = ["N/A", "a", "b"] * 20
    parts = {"model": LogisticRegression(), "y": y}
    with pytest.warns(UserWarning, match=r"texts \['N/A'\] in y are taken for classes"):
        Campaign.create(tmp_path / "a.db", table, **parts)
    campaign = Campaign.create(
        tmp_path / "b.db", table, classes=["N/A", "a", "b"], **parts
    )
    assert campaign.status().labels["N/A"] == 20


def test_numbers_of_other_types() -> None:
    assert NUMBER.check(Decimal("1.5")) == 1.5
    for huge in (10**400, Decimal("1e400"), -(10**400)):
        with pytest.raises(ValueError, match=r"is not finite, or too large"):
            NUMBER.check(huge)
    with pytest.raises(ValueError, match="True equals 1"):
        Labels("classification", [1, True, 2])


@pytest.mark.parametrize(
    "values",
    [{"r001": 1.0}, {1.0, 2.0}, frozenset([1.0]), pd.DataFrame({"y": [1.0]})],
)
def test_labels_without_an_order_are_refused(values: Any) -> None:
    with pytest.raises(TypeError, match="must be lists in the same order"):
        as_items(values)


def test_labels_in_columns_are_refused() -> None:
    for values in (np.ones((3, 1)), torch.ones(2, 2)):
        with pytest.raises(ValueError, match=r"must be of shape \(n,\)"):
            as_items(values)


@pytest.mark.parametrize(
    ("values", "items"),
    [
        (torch.tensor([1.0, 2.0]), [1.0, 2.0]),
        (torch.tensor(1.5), [1.5]),
        (np.array(1.5), [1.5]),
        ({"a": 1, "b": 2}.keys(), ["a", "b"]),
        ({"a": 1, "b": 2}.values(), [1, 2]),
        ("ab", ["ab"]),
        (iter([1, 2]), [1, 2]),
        (np.array(["a", "b"]), ["a", "b"]),
    ],
)
def test_labels_of_every_container(values: Any, items: list[Any]) -> None:
    found = as_items(values)
    assert found == items
    assert [type(v) for v in found] == [type(v) for v in items]


def test_labels_of_text_are_told_to_be_converted() -> None:
    with pytest.raises(ValueError, match=r"'1,234' is not a number\. .*to_numeric"):
        NUMBER.from_start(["1,234", None])
    with pytest.raises(
        ValueError, match=r"of y: 'x' is not one of the classes .*\]\.$"
    ):
        TEXTS.from_start(["ja", "x"])
