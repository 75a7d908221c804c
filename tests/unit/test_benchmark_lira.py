"""The membership attack finds members where there is something to find, and only there."""

import numpy as np
import pytest

from benchmarks.lira import halves, lira


def _attacked(told: float) -> tuple[float, float]:
    members = halves(12, 2_000, 4)
    draws = np.random.default_rng(5)
    hardness = draws.normal(size=2_000)  # which compounds are easy tells nothing by itself
    scores = draws.normal(size=members.shape) + hardness + told * members
    found = lira(scores, members, scores)
    return float(np.mean(found.areas)), float(np.mean(found.plain))


def test_each_compound_is_in_half_of_the_models() -> None:
    assert halves(16, 401, 2).sum(axis=0).tolist() == [8] * 401
    with pytest.raises(ValueError, match="even"):
        halves(5, 10, 1)


def test_members_are_found_where_models_tell() -> None:
    area, plain = _attacked(2.0)
    assert area > 0.85
    assert area > plain + 0.03  # by shadows, what makes a compound easy is taken off


def test_nobody_is_found_where_they_do_not() -> None:
    assert abs(_attacked(0.0)[0] - 0.5) < 0.02
