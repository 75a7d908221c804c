import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.assays.censoring import Limit, Pileup, find_pileups, limits

_CHANCE = np.random.default_rng(7)
_SPREAD = np.exp(_CHANCE.normal(3.0, 1.0, 2000))


def test_values_at_a_floor_and_a_ceiling_are_found() -> None:
    values = np.clip(_SPREAD, 6.0, 90.0)
    floor, ceiling = find_pileups(values)
    assert (floor.value, floor.side, floor.count) == (6.0, "floor", int((values == 6.0).sum()))
    assert (ceiling.value, ceiling.side) == (90.0, "ceiling")


def test_a_few_values_beyond_the_limit_hide_nothing() -> None:
    values = [*np.maximum(_SPREAD, 6.0), 4.0, 5.0, 1.0]
    assert [pile.value for pile in find_pileups(values)] == [6.0]


def test_the_logarithm_of_a_limit_is_a_limit() -> None:
    floor = 0.675686709
    assert [p.value for p in find_pileups(np.maximum(np.log10(_SPREAD), floor))] == [floor]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0] * 500,
        [0.0, 1.0] * 500,
        list(_SPREAD),
        list(np.round(_SPREAD)),  # every number repeats
        list(np.round(_CHANCE.uniform(0, 100, 3000))),
        [*_SPREAD, *[20.0] * 400],  # a pile in the middle is no limit
        [*_SPREAD, *[0.1] * 9],  # too few
        [float("nan"), float("inf")],
    ],
)
def test_what_is_no_limit(values: list[float]) -> None:
    assert find_pileups(values) == []


def test_what_has_a_qualifier_is_decided_and_the_rest_proposed() -> None:
    native = np.concatenate([np.maximum(_SPREAD, 6.0), [100.0] * 12, [200.0] * 3])
    signs = np.array(["="] * len(_SPREAD) + [">"] * 15)
    count = int((native == 6.0).sum())
    assert limits("clint", native, signs) == [
        Limit("clint", 6.0, count, "floor", decided=False),
        Limit("clint", 100.0, 12, "ceiling", decided=True),
    ]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200))
def test_any_values_may_be_asked_about(values: list[float]) -> None:
    for pile in find_pileups(values):
        assert isinstance(pile, Pileup)
        assert pile.count == values.count(pile.value)
