import numpy as np
import numpy.typing as npt
import pytest

from agent.demo.held import changed, randomness
from agent.wire.update import encode

_CHANCE = np.random.default_rng(1)
_CHANGE = _CHANCE.normal(0.0, 0.01, 50_000)


def _tested(words: npt.NDArray[np.int32]) -> bool:
    content = words.astype("<i4").tobytes()
    return randomness(content, words.astype(np.float64), _CHANGE).looks_uniform


def test_a_uniform_vector_looks_uniform() -> None:
    assert _tested(_CHANCE.integers(-(2**31), 2**31, _CHANGE.size + 3, dtype=np.int32))


def test_an_update_under_no_masks_does_not() -> None:
    assert not _tested((_CHANGE * 2**24).astype(np.int32))


def test_a_mask_through_which_some_of_the_update_shows_does_not() -> None:
    mask = _CHANCE.integers(-(2**31), 2**31, _CHANGE.size).astype(np.float64)
    leaking = 0.8 * mask + 2.0**27 * np.clip(_CHANGE / 0.01, -2, 2)
    assert not _tested(leaking.astype(np.int32))


def test_a_repeated_mask_does_not() -> None:
    part = _CHANCE.integers(-(2**31), 2**31, 1_000, dtype=np.int32)
    assert not _tested(np.tile(part, 50))


def test_what_a_round_changed_leaves_out_what_nobody_trained() -> None:
    base = {"trunk.b": np.ones((2, 2), np.float32), "head.a.bias": np.zeros(1, np.float32)}
    after = {**base, "trunk.b": np.full((2, 2), 1.5, np.float32)}
    assert changed(encode(base), encode(after)) == pytest.approx([0.5] * 4)
