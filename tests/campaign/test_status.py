"""What the status of a campaign says."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from skal.campaign.status import CampaignStatus


def _status(**parts: Any) -> CampaignStatus:
    none: dict[str, Any] = {"labels": {}, "annotators": {}, "disagreements": []}
    states = {"pool": 7, "asked": 0, "answered": 3, "skipped": 0, "cannot": 1}
    kept = {"n_rows": 11, "states": states, "n_batches": 2, "rule": "majority"}
    return CampaignStatus(**kept, **{**none, **parts})


def test_states_without_rows_are_left_out() -> None:
    assert str(_status()) == "11 rows: 7 pool, 3 answered, 1 cannot; 2 batches"


def test_classes_and_annotators_have_a_line_each() -> None:
    annotators = {"": {"answer": 1}, "ann": {"answer": 2, "waiting": 4}}
    status = _status(labels={"yes": 3, "no": 0}, annotators=annotators)
    assert str(status).splitlines()[1:] == [
        "labels: 3 yes, 0 no",
        "annotator without a name: 1 answer",
        "ann: 2 answer, 4 waiting",
    ]


@pytest.mark.parametrize(("n", "more"), [(1, ""), (10, ""), (11, ", ...")])
def test_ten_rows_with_different_labels_are_named(n: int, more: str) -> None:
    (line,) = str(_status(disagreements=list(range(n)))).splitlines()[1:]
    named = ", ".join(map(str, range(min(n, 10))))
    said = f"{n} rows with different labels, resolved by majority: {named}{more}"
    assert line == said
