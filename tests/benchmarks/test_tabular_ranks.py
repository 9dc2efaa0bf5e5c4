"""Tables of gains over random sampling, against the same by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import tabular_small
from benchmarks.tabular_ranks import average_table, gains_table, shared_ratio

GAINS = np.array([0.10, 0.04, 0.07, 0.01])


def losses():
    index = pd.MultiIndex.from_product([["a", "b"], range(4)], names=["set", "seed"])
    random = np.arange(8) / 10
    return pd.DataFrame(
        {"Random": random, "LCMD": random - np.tile(GAINS, 2)}, index=index
    )


@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_intervals_are_those_of_nadeau_and_bengio(ratio):
    (cell,) = gains_table(losses(), ratio={"a": ratio, "b": 9.0})["a"]
    error = np.sqrt(GAINS.var(ddof=1) * (1 / 4 + ratio))
    half = stats.t.ppf(0.975, 3) * error
    star = " *" if half < GAINS.mean() else ""
    assert cell == f"{GAINS.mean():+.3f} ± {half:.3f}{star}"
    assert gains_table(losses(), ratio=ratio)["a"].tolist() == [cell]


def test_splits_of_a_large_set_share_fewer_rows():
    assert shared_ratio(1000, 800, 200) == pytest.approx(0.25)
    assert shared_ratio(8000, 800, 200) == pytest.approx(0.25 / 8)
    ratios = tabular_small.ratios()
    assert ratios["yacht"] == pytest.approx(62 / 246)
    assert ratios["cal_housing"] == pytest.approx(4000 / 20640)


def test_the_median_is_over_sets():
    by_set = pd.DataFrame({"Random": [1.0, 1.0, 1.0], "LCMD": [0.9, 0.8, 0.1]})
    line = average_table(by_set, None, "log rmse").loc["LCMD"]
    assert line["gain"] == "+0.400"
    assert line["median gain"] == "+0.200"
    assert line["sets better"] == "3 of 3"
