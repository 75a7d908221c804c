"""Shamir's sharing: t shares give a seed back, fewer tell nothing."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.wire.masking.shamir import PRIME, SHARE_BYTES, combine, split, weights

_SEEDS = st.binary(min_size=32, max_size=32)


def test_the_field_is_the_smallest_prime_above_256_bits() -> None:
    """Fermat's test for many bases finds no witness for it, and one for each number below it."""
    bases = range(2, 40)
    assert all(pow(base, PRIME - 1, PRIME) == 1 for base in bases)
    for number in range(2**256, PRIME):
        assert any(pow(base, number - 1, number) != 1 for base in bases)
    assert PRIME < 1 << (8 * SHARE_BYTES)


@settings(max_examples=60, deadline=None)
@given(_SEEDS, st.data())
def test_any_t_shares_give_the_seed_back(seed: bytes, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    needed = data.draw(st.integers(1, n))
    shares = split(seed, n, needed)
    assert all(len(share) == SHARE_BYTES for share in shares)
    order = data.draw(st.permutations(range(1, n + 1)))
    points = order[:needed]
    assert combine({p: shares[p - 1] for p in points}, weights(points)) == seed


@given(_SEEDS, _SEEDS)
def test_fewer_shares_fit_every_seed(seed: bytes, other: bytes) -> None:
    """For t - 1 shares and any other seed there is a last share that gives that seed."""
    shares = split(seed, 3, 3)
    by_point = weights([1, 2, 3])
    two = sum(by_point[p] * int.from_bytes(shares[p - 1]) for p in (1, 2))
    third = (int.from_bytes(other) - two) * pow(by_point[3], -1, PRIME) % PRIME
    made = {1: shares[0], 2: shares[1], 3: third.to_bytes(SHARE_BYTES)}
    assert combine(made, by_point) == other


def test_the_same_seed_is_split_otherwise_each_time() -> None:
    assert split(bytes(32), 3, 2)[0] != split(bytes(32), 3, 2)[0]


def test_a_known_sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.wire.masking.shamir.secrets.randbelow", lambda _: 3)
    shares = split((5).to_bytes(32), 3, 3)  # 5 + 3x + 3x^2
    assert [int.from_bytes(share) for share in shares] == [11, 23, 41]


def test_false_shares_make_a_false_seed() -> None:
    top = (PRIME - 1).to_bytes(SHARE_BYTES)
    assert combine({1: top}, weights([1])) == (296).to_bytes(32)


def test_weights_sum_a_polynomial_at_zero() -> None:
    for points in itertools.combinations(range(1, 6), 3):
        assert sum(weights(points).values()) % PRIME == 1
