"""Sums that the aggregator cannot read."""

import sys

import numpy as np
import pytest

from agent.errors import Refused, Stop
from agent.wire.homomorphic import MOST_NUMBERS, SumKey, add, encrypt


@pytest.fixture(scope="module")
def key() -> SumKey:
    return SumKey.fresh()


def _code(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code


def test_a_sum_opens_to_the_sum(key: SumKey) -> None:
    given = np.random.default_rng(1).normal(size=(5, 5_000))
    total = add(key.public, [encrypt(key.public, one) for one in given])
    assert len(total) == 2
    np.testing.assert_allclose(key.open(total, 5_000), given.sum(axis=0), atol=1e-5)


def test_the_public_half_opens_nothing(key: SumKey) -> None:
    pieces = encrypt(key.public, np.array([1.0, 2.0]))
    stranger = SumKey("ckks", key.public)
    assert _code(stranger.open, pieces, 2) == "no_secret"


def test_the_aggregator_refuses_the_secret_key(key: SumKey) -> None:
    pieces = encrypt(key.public, np.array([1.0, 2.0]))
    assert _code(add, key._raw, [pieces]) == "has_secret"


def test_two_ciphertexts_of_one_number_differ(key: SumKey) -> None:
    numbers = np.array([0.5])
    assert encrypt(key.public, numbers) != encrypt(key.public, numbers)


@pytest.mark.parametrize(
    ("code", "numbers"),
    [
        ("too_many_numbers", np.zeros(MOST_NUMBERS + 1)),
        ("too_many_numbers", np.zeros(0)),
        ("not_finite", np.array([np.nan])),
        ("not_finite", np.array([1e9])),
    ],
)
def test_what_cannot_be_summed_is_refused(
    key: SumKey, code: str, numbers: "np.ndarray[tuple[int], np.dtype[np.float64]]"
) -> None:
    assert _code(encrypt, key.public, numbers) == code


def test_ciphertexts_that_do_not_fit_are_refused(key: SumKey) -> None:
    one, two = (encrypt(key.public, np.zeros(count)) for count in (3, 4))
    long = encrypt(key.public, np.zeros(5_000))
    assert _code(add, key.public, [one, two]) == "wrong_length"
    assert _code(add, key.public, [one, long]) == "wrong_length"
    assert _code(add, key.public, [(b"garbage",)]) == "bad_ciphertext"
    assert _code(encrypt, b"garbage", np.zeros(3)) == "bad_ciphertext"
    assert _code(key.open, one, 10_000) == "bad_ciphertext"


def test_without_tenseal_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tenseal", None)
    with pytest.raises(Stop, match=r"pip install onggi\[he\]"):
        SumKey.fresh()


def test_a_key_never_prints(key: SumKey) -> None:
    assert key._raw.hex()[:20] not in repr(key)
    assert len(repr(key)) < 200
