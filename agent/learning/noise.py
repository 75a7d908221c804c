"""Random numbers that nobody can foresee, for what must hide a compound.

torch's own generators are Mersenne Twister and Philox with 64 bits of seed: whoever sees enough of
their output, or guesses the seed, can take the noise away again.
"""

import math
import secrets

import numpy as np
import numpy.typing as npt
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

_KEY_BYTES = 32
_PIECE = 1 << 15


class Unforeseen:
    """Draws from ChaCha20 (RFC 8439) under a key of the kernel's, which is never kept."""

    def __init__(self, key: bytes | None = None) -> None:
        """Takes a key for tests; none draws one."""
        self._key = secrets.token_bytes(_KEY_BYTES) if key is None else key
        self._drawn = 0

    def __repr__(self) -> str:
        return "Unforeseen(...)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret source is never copied")

    def normal(self, size: int) -> torch.Tensor:
        """Returns standard normal numbers, float32 (size,), on the CPU (Box and Muller 1958).

        They end at 6.7 deviations, beyond which one in 10**10 would lie.
        """
        stream, drawn = self._stream(), torch.empty(size)
        for piece in torch.split(drawn, _PIECE):  # small enough to stay in the cache
            half = (len(piece) + 1) // 2
            words = torch.from_numpy(_words(stream, 2 * half).view(np.int32))
            # Near 0 a float32 keeps every bit of the word, so the tail is as fine as 32 bits are.
            radius = words[:half].float().abs_().add_(0.5).mul_(2.0**-31).clamp_(max=1.0)
            radius = radius.log_().mul_(-2).sqrt_()
            angle = words[half:].float().mul_(math.pi * 2.0**-31)
            torch.mul(radius, angle.cos(), out=piece[:half])
            rest = len(piece) - half
            torch.mul(radius[:rest], angle.sin_()[:rest], out=piece[half:])
        return drawn

    def sampled(self, size: int, rate: float) -> npt.NDArray[np.int64]:
        """Returns which of so many things are chosen, each by itself with this probability.

        The probability is rounded down to a multiple of 2**-32.
        """
        return np.flatnonzero(_words(self._stream(), size) < np.uint64(math.floor(rate * 2**32)))

    def seed(self) -> int:
        """Returns a seed of 63 bits for what need only be unknown, such as dropout."""
        return int(_words(self._stream(), 2).view(np.uint64)[0] >> np.uint64(1))

    def _stream(self) -> CipherContext:
        # Each call has a nonce of its own; the first four bytes count blocks within the call.
        nonce = bytes(4) + self._drawn.to_bytes(12, "little")
        self._drawn += 1
        return Cipher(ChaCha20(self._key, nonce), mode=None).encryptor()


def _words(stream: CipherContext, size: int) -> npt.NDArray[np.uint32]:
    return np.frombuffer(stream.update(bytes(4 * size)), np.uint32).copy()
