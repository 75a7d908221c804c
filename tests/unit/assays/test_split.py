from collections import Counter

from agent.assays.split import fold_group, fold_of

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
