"""From float32 to the ring of 2^32 and back: clipped, with noise if any, and rounded by chance.

Rounding by chance keeps the sum's expectation that of the plain sum. The chance is cryptographic: a
guessable one would tell, with the sum, more of a summand than its rounded value.
"""

import secrets

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.wire.masking.prg import Stream, Words

_PIECE = 1 << 16


class Rounding:
    """A source of chance for one silo's vector: the key stream of a fresh seed.

    Args:
        seed: 32 bytes; given only where the same bytes must come again, in tests and vectors.
    """

    __slots__ = ("_stream",)

    def __init__(self, seed: bytes | None = None) -> None:
        self._stream = Stream(secrets.token_bytes(32) if seed is None else seed)

    def uniform(self, count: int) -> npt.NDArray[np.float64]:
        """Returns numbers in [0, 1), at most 65,536."""
        drawn = self._stream.words(count).astype(np.float64)
        drawn *= 2.0**-32
        return drawn

    def normal(self, count: int) -> npt.NDArray[np.float64]:
        """Returns standard normal numbers, at most 65,536 (Box and Muller 1958).

        They end at 9.4 deviations, beyond which one in 10**20 would lie.
        """
        half = (count + 1) // 2
        radius = self._stream.words(half).astype(np.float64)
        radius *= 2.0**32
        radius += self._stream.words(half)
        radius += 0.5
        radius *= 2.0**-64
        np.sqrt(np.multiply(np.log(radius, out=radius), -2.0, out=radius), out=radius)
        angle = self.uniform(half)
        angle *= 2 * np.pi
        return np.concatenate((radius * np.cos(angle), radius * np.sin(angle)))[:count]


def levels(bits: int) -> int:
    """Returns the largest magnitude of a summand."""
    return (1 << bits) - 1


def quantize(
    values: npt.NDArray[np.float32],
    limit: float,
    bits: int,
    chance: Rounding,
    out: Words,
    noise: float = 0.0,
) -> int:
    """Writes values as signed ring elements; what lies beyond the limit is cut to it.

    Args:
        values: float32 (n,).
        limit: What becomes the largest magnitude.
        bits: Of the magnitude.
        chance: Decides what is rounded up.
        out: Words (n,), overwritten.
        noise: Standard deviation of what is added to each after it was cut, in ring elements.

    Returns:
        How many values were cut.

    Raises:
        Refused: `not_finite`.
    """
    top = float(levels(bits))
    cut = 0
    for start in range(0, values.size, _PIECE):
        scaled = values[start : start + _PIECE].astype(np.float64)
        scaled *= top / limit
        if not bool(np.isfinite(scaled).all()):
            raise Refused("not_finite", "The update holds a number that is not finite.")
        cut += int(np.count_nonzero(np.abs(scaled) > top))
        np.clip(scaled, -top, top, out=scaled)
        if noise:
            scaled += noise * chance.normal(scaled.size)
        scaled += chance.uniform(scaled.size)
        np.floor(scaled, out=scaled)
        out[start : start + _PIECE] = scaled.astype(np.int64).astype(np.uint32)
    return cut


def dequantize(words: Words, limit: float, bits: int) -> npt.NDArray[np.float64]:
    """Reads a sum of ring elements, float64 (n,)."""
    signed: npt.NDArray[np.float64] = words.view(np.int32).astype(np.float64)
    signed *= limit / levels(bits)
    return signed
