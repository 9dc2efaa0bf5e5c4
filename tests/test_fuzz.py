"""The first random problems of tests/fuzz.py; ``make fuzz`` plays thousands."""

from __future__ import annotations

import pytest

from tests.fuzz import check, problem_of


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(150))
def test_problem(seed):
    assert check(problem_of(seed))
