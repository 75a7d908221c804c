from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.split import fold_group, fold_of, newest

_KEY = "ab" * 32
_KNOWN = [3, 4, 4, 4]


def test_fold_is_fixed_forever() -> None:
    # A known answer: every silo, in every release, must come to the same folds.
    assert [fold_of(group, _KEY, 5) for group in ("C1CCCCC1", "C1CCNCC1", "", "x")] == _KNOWN


def test_another_key_gives_other_folds() -> None:
    groups = [str(number) for number in range(200)]
    one = [fold_of(group, _KEY, 5) for group in groups]
    other = [fold_of(group, "cd" * 32, 5) for group in groups]
    assert one != other


def test_folds_are_about_even() -> None:
    counts = Counter(fold_of(str(number), _KEY, 5) for number in range(5000))
    assert set(counts) == set(range(5))
    assert min(counts.values()) > 900


def test_compound_without_ring_is_its_own_group() -> None:
    assert fold_group("", "flat") == "flat"
    assert fold_group("C1CC1", "flat") == "C1CC1"


def test_the_newest_share_is_marked() -> None:
    dates = np.array([f"2026-01-{day:02}" for day in range(1, 11)])
    assert newest(dates, 0.2).tolist() == [False] * 8 + [True] * 2
    assert newest(dates[::-1], 0.2).tolist() == [True] * 2 + [False] * 8


def test_what_has_no_date_is_never_new() -> None:
    assert newest(np.array(["", "2026-01-01", "", "2026-02-01"]), 0.9).tolist() == [
        *(False, False, False, True)
    ]
    assert not newest(np.array(["", ""]), 0.5).any()
    assert not newest(np.array([], dtype="<U10"), 0.5).any()


def test_one_day_is_not_divided() -> None:
    dates = np.array(["2026-01-01"] * 5 + ["2026-01-02"] * 5)
    assert newest(dates, 0.1).sum() == 5
    assert not newest(np.array(["2026-01-01"] * 5), 0.2).any()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_is_a_part(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        newest(np.array(["2026-01-01"]), share)


@given(
    st.lists(st.sampled_from(["", "2025-12-31", "2026-01-01", "2026-01-02", "2026-03-01"])),
    st.floats(0.01, 0.99),
)
def test_every_marked_date_is_later_than_every_other(dates: list[str], share: float) -> None:
    mask = newest(np.array(dates, dtype="<U10"), share)
    new = [date for date, marked in zip(dates, mask, strict=True) if marked]
    old = [date for date, marked in zip(dates, mask, strict=True) if date and not marked]
    assert "" not in new
    assert not new or (old and max(old) < min(new))
