"""Masks: the key stream of ChaCha20 (RFC 8439, counter from 0, nonce of zeros) as ring elements.

`cryptography`'s is four times as fast as PyNaCl's, which gives the same bytes. A seed is used for
one stream only, so the nonce may be constant.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms

Words = npt.NDArray[np.uint32]

# Half a second-level cache: the vector's piece stays there while every stream is added to it.
_PIECE_WORDS = 1 << 16
_ZEROS = bytes(4 * _PIECE_WORDS)
_NONCE = bytes(16)  # RFC 8439's block counter and nonce


class Stream:
    """The key stream of one seed, piece by piece."""

    __slots__ = ("_buffer", "_cipher")

    def __init__(self, seed: bytes) -> None:
        self._cipher: CipherContext = Cipher(algorithms.ChaCha20(seed, _NONCE), None).encryptor()
        self._buffer = bytearray(4 * _PIECE_WORDS)

    def words(self, count: int) -> Words:
        """Returns the next words, at most 65,536; they are overwritten by the next call."""
        self._cipher.update_into(memoryview(_ZEROS)[: 4 * count], self._buffer)
        return np.frombuffer(self._buffer, dtype="<u4", count=count)


def add_masks(vector: Words, plus: Iterable[bytes], minus: Iterable[bytes]) -> None:
    """Adds the streams of some seeds to a vector, and takes those of others off, modulo 2^32.

    Args:
        vector: Changed in place.
        plus: Seeds of 32 bytes.
        minus: Likewise.
    """
    added = [Stream(seed) for seed in plus]
    taken = [Stream(seed) for seed in minus]
    for start in range(0, vector.size, _PIECE_WORDS):
        piece = vector[start : start + _PIECE_WORDS]
        for stream in added:
            np.add(piece, stream.words(piece.size), out=piece)
        for stream in taken:
            np.subtract(piece, stream.words(piece.size), out=piece)
