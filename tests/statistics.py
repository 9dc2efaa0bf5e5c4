"""One statistical check for whatever draws at random."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from scipy.stats import chisquare


def assert_follows(
    draws: Sequence[Hashable],
    law: Mapping[Hashable, float],
    *,
    level: float = 1e-3,
    least: float = 5.0,
) -> None:
    """Chi-square test that draws at a fixed seed follow a law given exactly.

    Outcomes expected fewer than `least` times are pooled; one of probability 0 must
    not occur at all.
    """
    total = sum(law.values())
    assert abs(total - 1) < 1e-9, f"the law sums to {total}"
    counts = dict.fromkeys(law, 0)
    for outcome in draws:
        assert law.get(outcome, 0.0) > 0, f"{outcome!r} is impossible"
        counts[outcome] += 1
    expected = np.array([law[key] * len(draws) for key in law])
    observed = np.array([counts[key] for key in law], dtype=float)
    rare = expected < least
    if rare.any():
        expected = np.append(expected[~rare], expected[rare].sum())
        observed = np.append(observed[~rare], observed[rare].sum())
    kept = expected > 0
    p_value = chisquare(observed[kept], expected[kept]).pvalue
    assert p_value > level, f"p = {p_value:.2g}"
