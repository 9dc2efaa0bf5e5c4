from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skal.tabular.levels import Ranks, Texts, as_texts


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, 2, None]),  # floats
        pd.Series([1, 2, None], dtype="Int64"),
        pd.Series([1, 2, None], dtype=object),
        pd.Series(["1", "2", None]),
        pd.Series(["1", "2", None], dtype="string"),
        pd.Series(pd.Categorical([1, 2, None])),
        pd.Series(pd.Categorical([1.0, 2.0, None])),
    ],
    ids=lambda values: str(values.dtype),
)
def test_a_level_has_one_name_in_every_type(values: pd.Series) -> None:
    texts = as_texts(values)
    assert texts[:2].tolist() == ["1", "2"]
    assert pd.isna(texts[2])


def test_other_cells_become_texts() -> None:
    cells = pd.Series([True, 1.5, [3], None, "a"], dtype=object)
    assert as_texts(cells)[:3].tolist() == ["True", "1.5", "[3]"]
    assert pd.isna(as_texts(cells)[3])
    table = pd.DataFrame({"a": ["x", None], "b": [True, False]})
    out = Texts().fit_transform(table)
    assert out.tolist() == [["x", "True"], ["missing", "False"]]


def test_ranks_are_those_of_the_declared_levels() -> None:
    levels = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    table = pd.DataFrame({"a": pd.Series(["high", "low", None], dtype=levels)})
    ranks = Ranks().fit(table)
    np.testing.assert_array_equal(ranks.transform(table)[:, 0], [2, 0, np.nan])
    # Strings, or other levels declared: those of `fit` count.
    for dtype in (object, pd.CategoricalDtype(["huge", "mid"], ordered=True)):
        new = pd.DataFrame({"a": pd.Series(["mid", "huge"], dtype=dtype)})
        np.testing.assert_array_equal(ranks.transform(new)[:, 0], [1, np.nan])


def test_ranks_of_levels_without_order_are_those_of_the_alphabet() -> None:
    table = pd.DataFrame({"a": ["wood", None, "brick"], "b": [True, False, True]})
    ranks = Ranks().fit_transform(table)
    np.testing.assert_array_equal(ranks, [[1, 1], [np.nan, 0], [0, 1]])


def test_true_is_not_1_among_other_cells() -> None:
    cells = [True, 1, 0, False, 1.0, None]
    for order in (cells, cells[::-1]):
        texts = pd.Series(as_texts(pd.Series(order, dtype=object))).fillna("?")
        found = texts.tolist() if order is cells else texts.tolist()[::-1]
        assert found == ["True", "1", "0", "False", "1", "?"]


@pytest.mark.parametrize("dtype", [int, float, object, "Int64", str, bool])
def test_true_and_false_may_be_stored_as_1_and_0(dtype: Any) -> None:
    ranks = Ranks().fit(pd.DataFrame({"a": [False, True], "b": ["0", "1"]}))
    new = pd.DataFrame({"a": pd.Series([1, 0]).astype(dtype), "b": ["1", "True"]})
    np.testing.assert_array_equal(ranks.transform(new), [[1, 1], [0, np.nan]])


def test_true_and_false_may_be_written_in_other_letters() -> None:
    ranks = Ranks().fit(pd.DataFrame({"a": [False, True], "b": ["no", "yes"]}))
    new = pd.DataFrame({"a": ["TRUE", "false"], "b": ["YES", "yes"]})
    np.testing.assert_array_equal(ranks.transform(new), [[1, np.nan], [0, 1]])


@pytest.mark.parametrize("part", [Texts, Ranks])
def test_many_unknown_levels_are_reported(part: Any) -> None:
    levels = [*"abc"] * 10
    table = pd.DataFrame({"x": levels, "y": levels[::-1]})
    fitted = part().fit(table)
    new = pd.DataFrame({"x": [*"vwxyz", *"abca", None], "y": [*"xxxx", *"aaaa", *"bb"]})
    message = "5 of 9 cells of column 'x' .* such as 'v', 'w', 'x', and are encoded as"
    with pytest.warns(UserWarning, match=message) as warned:
        fitted.transform(new)
    assert len(warned) == 1
    with warnings.catch_warnings():  # the odd one, and missing values
        warnings.simplefilter("error")
        fitted.transform(new[:4])
        fitted.transform(new.assign(x=[*"vwxyz", *"abcab"])[1:])
        fitted.transform(new.assign(x=None, y=None))
        fitted.transform(table)


@pytest.mark.parametrize("transformer", [Texts(), Ranks()])
@pytest.mark.parametrize("levels", [["yes", "Yes"], ["a b", "a b ", "c"]])
def test_levels_that_are_spelled_in_two_ways(transformer, levels):
    table = pd.DataFrame({"answer": levels * 3})
    with pytest.warns(UserWarning, match=r"Column 'answer' has the levels .* and"):
        transformer.fit(table)


@pytest.mark.parametrize("transformer", [Texts(), Ranks()])
def test_levels_of_letters_and_words_do_not_warn(transformer, recwarn):
    transformer.fit(pd.DataFrame({"a": ["a", "A", "b"], "b": ["low", "lower", None]}))
    assert not recwarn
