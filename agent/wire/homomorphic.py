"""Sums of numbers that the aggregator cannot read: CKKS, for metrics and heads of few numbers.

Cheon et al. 2017 ("Homomorphic Encryption for Arithmetic of Approximate Numbers"), by TenSEAL. The
secret key stays with those who may read the sum; the aggregator gets the public half (`public`),
adds ciphertexts and cannot open one. What it cannot do is written in docs/privacy.md: whoever holds
the secret key opens a single silo's ciphertext just as well as the sum, so he must not be
given one, and nothing here shows that a silo's numbers are honest. Models go under masks instead.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from agent.errors import Refused, Stop
from agent.key_file import Secret

if TYPE_CHECKING:
    import tenseal

MOST_NUMBERS = 100_000
_DEGREE = 8192
_MODULI = (60, 40, 60)  # 160 bits of at most 218 at this degree for 128-bit security
_SCALE = 2.0**40
_SLOTS = _DEGREE // 2
_LARGEST = 1e4

Doubles = npt.NDArray[np.float64]


class SumKey(Secret):
    """The key that opens sums; it never goes to the aggregator."""

    __slots__ = ()

    @classmethod
    def fresh(cls) -> Self:
        """Makes a key.

        Raises:
            Stop: TenSEAL is not installed.
        """
        library = _library()
        context = library.context(
            library.SCHEME_TYPE.CKKS, _DEGREE, coeff_mod_bit_sizes=list(_MODULI)
        )
        context.global_scale = _SCALE
        return cls("ckks", context.serialize(save_secret_key=True))

    @property
    def public(self) -> bytes:
        """What silos encrypt with and the aggregator adds with; nothing can be opened with it."""
        return bytes(_context(self._raw).serialize(save_secret_key=False))

    def open(self, pieces: Sequence[bytes], count: int) -> Doubles:
        """Opens a sum.

        Args:
            pieces: As `add` returned them.
            count: How many numbers they hold.

        Returns:
            float64 (count,); each is off by about 1e-7 of the largest summand.

        Raises:
            Refused: `bad_ciphertext`, or `no_secret`: this is the public half.
        """
        context = _context(self._raw)
        if not context.has_secret_key():
            raise Refused("no_secret", "The public half opens nothing; take the key itself.")
        found = [_vector(context, piece).decrypt() for piece in pieces]
        numbers = np.array([number for piece in found for number in piece], dtype=np.float64)
        if numbers.size < count:
            raise Refused("bad_ciphertext", "The sum holds fewer numbers than were asked for.")
        return numbers[:count]


def encrypt(public: bytes, numbers: Doubles) -> tuple[bytes, ...]:
    """Encrypts one silo's numbers, 4,096 a piece.

    Raises:
        Refused: `too_many_numbers`, `not_finite`, or `bad_ciphertext`: the key is none.
        Stop: TenSEAL is not installed.
    """
    if not 0 < numbers.size <= MOST_NUMBERS:
        raise Refused(
            "too_many_numbers",
            f"Encrypted sums hold 1 to {MOST_NUMBERS:,} numbers; a model goes under masks.",
        )
    if not bool(np.isfinite(numbers).all()) or float(np.abs(numbers).max()) > _LARGEST:
        raise Refused("not_finite", f"A number is not finite, or beyond {_LARGEST:g}.")
    library, context = _library(), _context(public)
    flat = numbers.reshape(-1)
    return tuple(
        bytes(library.ckks_vector(context, flat[at : at + _SLOTS].tolist()).serialize())
        for at in range(0, flat.size, _SLOTS)
    )


def add(public: bytes, given: Sequence[Sequence[bytes]]) -> tuple[bytes, ...]:
    """Adds what silos encrypted, without a key to open any of it.

    Args:
        public: `SumKey.public`.
        given: Each silo's pieces.

    Raises:
        Refused: `has_secret` (the aggregator was handed the key), `bad_ciphertext`, or
            `wrong_length`: silos sent different numbers of pieces.
        Stop: TenSEAL is not installed.
    """
    context = _context(public)
    if context.has_secret_key():
        raise Refused("has_secret", "This is the secret key; give the aggregator the public half.")
    if len({len(pieces) for pieces in given}) != 1:
        raise Refused("wrong_length", "The silos' ciphertexts differ in their number of pieces.")
    sums = []
    for column in zip(*given, strict=True):
        total = _vector(context, column[0])
        for piece in column[1:]:
            other = _vector(context, piece)
            if other.size() != total.size():
                raise Refused("wrong_length", "The silos' ciphertexts differ in their length.")
            total += other
        sums.append(bytes(total.serialize()))
    return tuple(sums)


def _library() -> "tenseal":
    try:
        import tenseal
    except ImportError as error:
        raise Stop("Encrypted sums need TenSEAL; run `pip install onggi[he]`.") from error
    return tenseal


def _context(content: bytes) -> "tenseal.Context":
    try:
        return _library().context_from(content)
    except (ValueError, RuntimeError, TypeError) as error:
        raise Refused("bad_ciphertext", "This is no CKKS key.") from error


def _vector(context: "tenseal.Context", content: bytes) -> "tenseal.CKKSVector":
    try:
        return _library().ckks_vector_from(context, content)
    except (ValueError, RuntimeError, TypeError) as error:
        raise Refused("bad_ciphertext", "A ciphertext was not made with this key.") from error
