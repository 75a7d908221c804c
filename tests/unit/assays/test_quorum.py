import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.censoring import Numbers
from agent.assays.quorum import Quorum, drift, ks_distance, pooled_sd, standing

_RULE = Quorum()


@pytest.mark.parametrize(
    ("exact", "censored", "missing"),
    [
        (50, 0, {}),
        (25, 25, {}),
        (24, 26, {"uncensored": 1}),
        (30, 8, {"labels": 12}),
        (0, 0, {"labels": 50, "uncensored": 25}),
    ],
)
def test_a_regression_needs_values_and_uncensored_ones(
    exact: int, censored: int, missing: dict[str, int]
) -> None:
    signs = np.array([0] * exact + [1] * censored, dtype=np.int8)
    found = standing("regression", np.zeros(len(signs)), signs, _RULE)
    assert (found.n, found.censored) == (exact + censored, censored)
    assert found.missing == missing
    assert found.met == (not missing)


def test_a_class_needs_both() -> None:
    values = np.array([1.0] * 20 + [0.0] * 300)
    found = standing("classification", values, np.zeros(320), _RULE)
    assert (found.positives, found.missing) == (20, {"positives": 5})
    assert found.sentence == "waits for 5 more actives"
    both = standing("classification", np.array([1.0] * 25 + [0.0] * 25), np.zeros(50), _RULE)
    assert (both.met, both.sentence) == (True, "")


def test_distance_of_known_samples() -> None:
    assert ks_distance(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.0
    assert ks_distance(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert ks_distance(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0])) == 0.5
    assert ks_distance(np.array([]), np.array([1.0])) == 0.0


_VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(np.array)


@given(_VALUES, _VALUES)
def test_distance_is_between_zero_and_one_and_has_no_side(one: Numbers, other: Numbers) -> None:
    assert 0.0 <= ks_distance(one, other) <= 1.0
    assert ks_distance(one, other) == pytest.approx(ks_distance(other, one))


def test_a_shift_is_drift_and_chance_is_none() -> None:
    chance = np.random.default_rng(3)
    before = chance.normal(0, 1, 800)
    assert not drift(before, chance.normal(0, 1, 800)).drifted
    assert drift(before, chance.normal(0.6, 1, 800)).drifted
    few = drift(before[:10], before[:10] + 0.5)
    assert few.threshold > 0.8
    assert not few.drifted


def test_replicate_noise_is_pooled_over_compounds() -> None:
    assert pooled_sd(np.array([0.0, 0.0]), np.array([1, 1])) is None
    assert pooled_sd(np.array([0.3, 0.4, 0.0]), np.array([2, 2, 1])) == pytest.approx(0.125**0.5)
    assert pooled_sd(np.array([0.1, 0.5]), np.array([11, 2])) == pytest.approx(
        ((10 * 0.01 + 0.25) / 11) ** 0.5
    )
