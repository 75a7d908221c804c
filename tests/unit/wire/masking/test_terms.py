"""The numbers of a round: bits that fit the ring, and thresholds that two sets cannot both meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.wire.masking.quantize import levels
from agent.wire.masking.terms import MaskRules, bits_for, most_strangers, threshold


@given(st.integers(1, 128), st.floats(0, 63))
def test_no_sum_leaves_the_ring(silos: int, headroom: float) -> None:
    bits = bits_for(silos, headroom)
    assert 1 <= bits <= 24
    assert silos * (1 + headroom) * levels(bits) < 2**31


def test_up_to_128_silos_have_24_bits() -> None:
    assert [bits_for(n) for n in (1, 20, 100, 128, 129)] == [24, 24, 24, 24, 23]
    assert bits_for(20, 15.0) == 22


def test_thresholds_are_two_thirds_and_one() -> None:
    assert [threshold(n) for n in (3, 5, 6, 9, 12, 20, 100)] == [3, 4, 5, 7, 9, 14, 67]


@given(st.integers(1, 128))
def test_two_sets_are_never_both_acknowledged(silos: int) -> None:
    """With as many strangers as are let in, each of whom acknowledges everything."""
    strangers = most_strangers(silos)
    honest = silos - strangers
    assert 2 * (threshold(silos) - strangers) > honest
    assert 2 * (threshold(silos) - strangers - 1) <= honest - 1


@pytest.mark.parametrize(
    "field", [{"n_min": 2}, {"clip": 0.0}, {"headroom": -1.0}, {"step_s": 0.0}]
)
def test_rules_that_hide_nobody_are_malformed(field: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        MaskRules.model_validate(field)
