"""Shamir's secret sharing (1979, "How to share a secret") of 32-byte seeds.

The field has the smallest prime above 2^256, so that every seed is an element of it and a share is
33 bytes. A silo's place in the sorted key set, from 1, is the point where its share is taken.
"""

import secrets
from collections.abc import Mapping, Sequence

PRIME = 2**256 + 297
SEED_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, shares: int, needed: int) -> list[bytes]:
    """Splits a seed, so that any `needed` shares give it back and fewer tell nothing.

    Args:
        secret: 32 bytes.
        shares: How many; the first is that of point 1.
        needed: The threshold, from 1 to `shares`.
    """
    polynomial = [int.from_bytes(secret), *(secrets.randbelow(PRIME) for _ in range(needed - 1))]
    return [_value(polynomial, point) for point in range(1, shares + 1)]


def _value(polynomial: Sequence[int], point: int) -> bytes:
    value = 0
    for coefficient in reversed(polynomial):  # Horner's rule
        value = (value * point + coefficient) % PRIME
    return value.to_bytes(SHARE_BYTES)


def weights(points: Sequence[int]) -> dict[int, int]:
    """Returns Lagrange's weight of each point for the value at 0; the same for every secret."""
    found = {}
    for one in points:
        above = below = 1
        for other in points:
            if other != one:
                above = above * other % PRIME
                below = below * (other - one) % PRIME
        found[one] = above * pow(below, -1, PRIME) % PRIME
    return found


def combine(shares: Mapping[int, bytes], by_point: Mapping[int, int]) -> bytes:
    """Gives a seed back; of false shares it makes a false one, which its commitment shows.

    Args:
        shares: Exactly as many as are needed, by point.
        by_point: `weights` of these points.
    """
    total = sum(int.from_bytes(share) * by_point[point] for point, share in shares.items()) % PRIME
    return total.to_bytes(SHARE_BYTES)[1:]  # a true seed's first byte is zero
