"""Numbers in the ring: never beyond it, right on average, and refused where they are none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Refused
from agent.wire.masking.quantize import Rounding, dequantize, levels, quantize

_SEED = bytes(range(32))
_FLOATS = st.floats(-10, 10, width=32)


def written(values: list[float], limit: float, bits: int) -> tuple[np.ndarray, int]:
    array = np.asarray(values, dtype=np.float32)
    out = np.empty(array.size, dtype=np.uint32)
    cut = quantize(array, limit, bits, Rounding(_SEED), out)
    return out, cut


@settings(deadline=None)
@given(st.lists(_FLOATS, max_size=50), st.integers(1, 24), st.floats(0.1, 5.0))
def test_each_is_within_a_step_of_what_it_was(values: list[float], bits: int, limit: float) -> None:
    words, cut = written(values, limit, bits)
    back = dequantize(words, limit, bits)
    clipped = np.clip(np.asarray(values, np.float32).astype(np.float64), -limit, limit)
    step = limit / levels(bits)
    assert np.all(np.abs(back - clipped) <= step * (1 + 1e-6))
    assert np.all(np.abs(words.view(np.int32)) <= levels(bits))
    assert cut == sum(abs(float(np.float32(v))) > limit for v in values)


def test_rounding_by_chance_is_right_on_average() -> None:
    words, _ = written([0.3] * 200_000, 1.0, 1)
    mean = float(dequantize(words, 1.0, 1).mean())
    assert abs(mean - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 200_000)


def test_a_whole_number_of_steps_is_exact() -> None:
    values = [n / levels(8) for n in range(-255, 256)]
    words, cut = written(values, 1.0, 8)
    assert cut == 0
    assert np.abs(words.view(np.int32) - np.arange(-255, 256)).max() <= 1


def test_another_seed_rounds_otherwise_and_none_is_fresh() -> None:
    assert not np.array_equal(Rounding(_SEED).uniform(100), Rounding().uniform(100))
    assert not np.array_equal(Rounding().uniform(100), Rounding().uniform(100))
    drawn = Rounding(_SEED).uniform(60_000)
    assert 0 <= drawn.min() < drawn.max() < 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(Refused, match="not_finite"):
        written([0.1, value], 1.0, 24)


def test_pieces_join() -> None:
    values = np.linspace(-1, 1, 150_000, dtype=np.float32)
    out = np.empty(values.size, dtype=np.uint32)
    assert quantize(values, 1.0, 24, Rounding(_SEED), out) == 0
    assert np.allclose(dequantize(out, 1.0, 24), values, atol=2**-23)
