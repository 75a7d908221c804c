import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.learning.recency import ages, recency


def test_age_is_the_share_of_the_newer() -> None:
    found = ages(["2026-01-03", "2026-01-01", "2026-01-02", "2026-01-02"])
    assert found.tolist() == [0.0, 0.75, 0.25, 0.25]


def test_what_has_no_date_is_as_old_as_the_oldest() -> None:
    assert ages(["", "2", "1", ""]).tolist() == [0.5, 0.0, 0.5, 0.5]


def test_without_any_date_all_are_new() -> None:
    assert ages(["", ""]).tolist() == [0.0, 0.0]
    assert len(ages([])) == 0


@given(st.lists(st.integers(0, 99), min_size=1))
def test_newer_is_never_older(days: list[int]) -> None:
    found = ages([f"{day:02d}" for day in days])
    assert found.min() == 0.0
    assert found.max() < 1.0
    for one, its in zip(days, found, strict=True):
        assert its == pytest.approx(sum(other > one for other in days) / len(days))


def test_the_newest_count_in_full_and_a_rate_of_nothing_changes_nothing() -> None:
    age = np.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(recency(age, 1.5), [1.0, np.exp(-0.75), np.exp(-1.5)])
    np.testing.assert_array_equal(recency(age, 0.0), 1.0)
