"""The membership attack finds members where there is something to find, and only there."""

import numpy as np

from benchmarks.membership import lira

_SHAPE = (12, 2000)


def _attacked(told: float) -> float:
    draws = np.random.default_rng(5)
    halves = draws.random((_SHAPE[0] // 2, _SHAPE[1])) < 0.5
    members = np.stack([side for half in halves for side in (half, ~half)])
    hardness = draws.normal(size=_SHAPE[1])  # which compounds are easy tells nothing by itself
    scores = draws.normal(size=_SHAPE) + hardness + told * members
    return float(np.mean([area for area, _ in lira(scores, members)]))


def test_members_are_found_where_models_tell() -> None:
    assert _attacked(2.0) > 0.85


def test_nobody_is_found_where_they_do_not() -> None:
    assert abs(_attacked(0.0) - 0.5) < 0.02
