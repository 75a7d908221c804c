"""Post-quantum keys, which work beside the classic ones and never in their place."""

from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from nacl.public import PrivateKey
from nacl.utils import random as random_bytes

from agent.errors import Refused
from agent.key_file import Purpose, Ring, Secret, load_held

# The very same as in `agent.wire.hybrid`, which may not be imported here; a test opens with the one
# what the other has sealed.
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_INFO = b"onggi-envelope-v2"
_RETIRED = "retired"


class PostQuantumIdentity(Secret):
    """An ML-DSA-65 key (FIPS 204) that signs beside an Ed25519 key; kept as its 32-byte seed."""

    __slots__ = ()

    @property
    def public_hex(self) -> str:
        """The public half, 1952 bytes in hexadecimal."""
        return self._key().public_key().public_bytes_raw().hex()

    def sign(self, message: bytes) -> bytes:
        """Returns the 3309-byte signature of the message."""
        return self._key().sign(message)

    def _key(self) -> MLDSA65PrivateKey:
        return MLDSA65PrivateKey.from_seed_bytes(self._raw)


class HybridSealingIdentity(Secret):
    """An X25519 and an ML-KEM-768 key that together open what was wrapped for both.

    Kept as X25519's 32 bytes and the 64-byte seed of ML-KEM (FIPS 203).
    """

    __slots__ = ()

    @property
    def public_hex(self) -> str:
        """The public half of the X25519 key, 32 bytes in hexadecimal."""
        return bytes(PrivateKey(self._raw[:32]).public_key).hex()

    @property
    def kem_hex(self) -> str:
        """The public half of the ML-KEM-768 key, 1184 bytes in hexadecimal."""
        return (
            MLKEM768PrivateKey.from_seed_bytes(self._raw[32:]).public_key().public_bytes_raw().hex()
        )

    def unseal(self, sealed: bytes) -> bytes:
        """Opens what `agent.wire.hybrid.wrap` has sealed.

        Raises:
            Refused: `not_for_us`.
        """
        opened = self._open(sealed)
        if opened is None:  # as in `SealingIdentity`: no frame with the raw key is left behind
            raise Refused("not_for_us", "This was sealed for another key.")
        return opened

    def _open(self, sealed: bytes) -> bytes | None:
        key = hpke.MLKEM768X25519PrivateKey(
            MLKEM768PrivateKey.from_seed_bytes(self._raw[32:]),
            X25519PrivateKey.from_private_bytes(self._raw[:32]),
        )
        try:
            return _SUITE.decrypt(sealed, key, _INFO)
        except (InvalidTag, ValueError):
            return None


def new_post_quantum(made: datetime | None = None) -> PostQuantumIdentity:
    """Makes a fresh ML-DSA-65 key from the system's random source."""
    return PostQuantumIdentity("pq-sign", random_bytes(32), made)


def new_hybrid(purpose: Purpose, made: datetime | None = None) -> HybridSealingIdentity:
    """Makes a fresh pair of an X25519 and an ML-KEM-768 key from the system's random source."""
    return HybridSealingIdentity(purpose, random_bytes(32 + 64), made)


def load_post_quantum(path: Path, ring: Ring | None = None) -> PostQuantumIdentity:
    """Reads an ML-DSA-65 key.

    Raises:
        Stop: as `agent.key_file.load_held`.
    """
    found = load_held(path, "pq-sign", ring=ring)
    return PostQuantumIdentity("pq-sign", found.raw, found.made)


def load_hybrid(path: Path, purpose: Purpose) -> HybridSealingIdentity:
    """Reads a pair of an X25519 and an ML-KEM-768 key.

    Raises:
        Stop: The file is missing, open to others, damaged, or for another purpose.
    """
    found = load_held(path, purpose, 32 + 64)
    return HybridSealingIdentity(purpose, found.raw, found.made)
