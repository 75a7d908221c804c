"""Numbers in the ring: never beyond it, right on average, and refused where they are none."""

import math

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


def test_normal_numbers_are_normal() -> None:
    rounding = Rounding(_SEED)
    drawn = np.sort(np.concatenate([rounding.normal(60_001) for _ in range(4)]))
    assert drawn.size == 240_004
    # Kolmogorov and Smirnov's distance, which exceeds 1.95 / sqrt(n) once in a thousand times.
    law = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in drawn[::7].tolist()])
    assert np.abs(law - np.arange(0, drawn.size, 7) / drawn.size).max() < 1.95 / math.sqrt(240_004)
    assert 4.0 < np.abs(drawn).max() < 7.0


def test_a_word_of_zeros_and_one_of_ones_make_finite_numbers() -> None:
    for byte, largest in ((0x00, 9.5), (0xFF, 1e-3)):
        rounding = Rounding(_SEED)
        rounding._stream = _Constant(byte)  # type: ignore[assignment]
        assert np.all(np.abs(rounding.normal(3)) <= largest)


class _Constant:
    def __init__(self, byte: int) -> None:
        self._byte = byte

    def words(self, count: int) -> np.ndarray:
        return np.frombuffer(bytes([self._byte]) * 4 * count, dtype="<u4")


def test_noise_is_added_after_the_cut_and_may_wrap() -> None:
    values = np.full(60_000, 9.0, dtype=np.float32)
    out = np.empty(values.size, dtype=np.uint32)
    assert quantize(values, 1.0, 8, Rounding(_SEED), out, 300.0) == values.size
    signed = out.view(np.int32).astype(np.float64)
    assert abs(float(signed.mean()) - 255.0) < 4 * 300.0 / np.sqrt(values.size)
    assert float(signed.std()) == pytest.approx(300.0, rel=0.02)
    quantize(values, 1.0, 8, Rounding(_SEED), out, 2.0**31)
    assert out.max() > 2**31  # modulo 2^32, as whatever follows
