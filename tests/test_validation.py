from __future__ import annotations

import math

import numpy as np
import pytest

from skal import validation
from skal.exceptions import UnsuitableLearnerError

FALSE_NUMBERS = (True, "1", None, math.nan)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ("check_bool", (True, np.False_), (0, "no", None)),
        ("check_int", (1, np.int64(7)), (0, 1.0, True, "1")),
        ("check_positive", (1e-9, 3), (0, -1, math.inf, *FALSE_NUMBERS)),
        ("check_not_negative", (0, 3.5), (-1e-9, math.inf, *FALSE_NUMBERS)),
        ("check_share", (0, 0.5, 1), (-0.1, 1.1, *FALSE_NUMBERS)),
        ("check_sizes", ((), [8], np.array([8, 4])), (8, None, "8", (0,), (8.5,))),
    ],
)
def test_values_are_checked_and_named(check, good, bad):
    for value in good:
        getattr(validation, check)("size", value)
    for value in bad:
        with pytest.raises(ValueError, match=r"size must be .*, got") as error:
            getattr(validation, check)("size", value)
        assert str(error.value).endswith(f"got {value!r}.")


def test_the_minimum_of_an_int():
    validation.check_int("size", 0, minimum=0)
    with pytest.raises(ValueError, match="size must be an int of at least 3, got 2"):
        validation.check_int("size", 2, minimum=3)


@pytest.mark.parametrize("value", ["c", 1, None, ["a"]])
def test_options(value):
    validation.check_option("kind", "a", ["a", "b"])
    message = r"kind must be one of \['a', 'b'\], got"
    with pytest.raises(ValueError, match=message):
        validation.check_option("kind", value, ["a", "b"])


def test_an_unsuitable_learner_is_a_wrong_type_and_a_wrong_value():
    assert issubclass(UnsuitableLearnerError, TypeError)
    assert issubclass(UnsuitableLearnerError, ValueError)
