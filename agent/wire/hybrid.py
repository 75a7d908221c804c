"""The hybrid profile: an envelope stays shut and signed even if one of its two halves is broken.

The key is wrapped by HPKE (RFC 9180, base mode) with the KEM MLKEM768-X25519 (X-Wing's two halves,
draft-ietf-hpke-pq), HKDF-SHA256 and ChaCha20-Poly1305; the header bears a signature of ML-DSA-65
(FIPS 204) beside that of Ed25519. Both come from `cryptography`; nothing is combined by hand.
"""

from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from agent.errors import Refused

INFO = b"onggi-envelope-v2"
SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
# ML-KEM-768's ciphertext, X25519's ephemeral key, and Poly1305's tag.
OVERHEAD_BYTES = 1088 + 32 + 16
SIGNATURE_BYTES = 3309  # FIPS 204, table 2


class PostQuantumSigner(Protocol):
    """Something that holds an ML-DSA-65 key."""

    def sign(self, message: bytes) -> bytes:
        """Returns the 3309-byte ML-DSA-65 signature of the message."""
        ...


@dataclass(frozen=True, slots=True)
class Hybrid:
    """What the hybrid profile needs beside the classic keys.

    Attributes:
        kem_hex: The round's ML-KEM-768 public key, 1184 bytes in hexadecimal.
        signer: The silo's ML-DSA-65 key.
    """

    kem_hex: str
    signer: PostQuantumSigner


def wrap(content: bytes, x25519_hex: str, kem_hex: str) -> bytes:
    """Seals a few bytes for a round's two keys.

    Raises:
        Refused: `bad_key`: one of them is none.
    """
    try:
        recipient = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(bytes.fromhex(kem_hex)),
            X25519PublicKey.from_public_bytes(bytes.fromhex(x25519_hex)),
        )
    except ValueError as error:
        raise Refused("bad_key", "The round's hybrid key is none; tell the consortium.") from error
    return SUITE.encrypt(content, recipient, INFO)


def check_pq_signature(public_hex: str, message: bytes, signature: bytes) -> None:
    """Checks one ML-DSA-65 signature.

    Raises:
        Refused: `bad_signature`.
    """
    try:
        MLDSA65PublicKey.from_public_bytes(bytes.fromhex(public_hex)).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Refused(
            "bad_signature", "The post-quantum signature does not fit the bytes."
        ) from error
