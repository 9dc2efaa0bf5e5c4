from __future__ import annotations

import pandas as pd
import pytest

from benchmarks import stopping


@pytest.mark.slow
def test_quick_run_says_where_each_rule_stops(tmp_path, capsys):
    assert stopping.main(["--quick", "--output", str(tmp_path)]) == 0
    data = pd.read_csv(tmp_path / "stopping_quick.csv")
    assert set(data["rule"]) == {
        *("budget of 60", "budget of 120", "stable predictions"),
        *("confident predictions", "small gain"),
    }
    budget = data[data["rule"] == "budget of 60"]
    assert (budget["labels"] == 60).all()
    assert budget["stopped"].all()
    late = data[data["rule"] == "budget of 120"]  # beyond the end
    assert (late["labels"] == 80).all()
    assert not late["stopped"].any()
    assert (late["error"] == 1).all()
    assert (data["excess"] >= 0).all()
    assert "| budget of 60 | 60 |" in capsys.readouterr().out
