"""A silo's keys of one round, the seeds that they make with each other silo, and sealed shares.

Seeds and share keys are HKDF-SHA256 (RFC 5869) of an X25519 secret, bound to the round, to K1 (the
hash of the key set), to the base weights and to both names: silos that were handed different ones
get different seeds, whose masks do not cancel.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.errors import Refused
from agent.key_file import Secret

_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
SEAL_BYTES = _NONCE_BYTES + _TAG_BYTES


@dataclass(frozen=True, slots=True)
class Binding:
    """What every seed of a round is bound to.

    Attributes:
        round_id: The round's.
        key_set_sha256: K1.
        base_sha256: The weights that training started from.
    """

    round_id: str
    key_set_sha256: str
    base_sha256: str

    def info(self, label: str, *silos: str) -> bytes:
        """Returns what is derived for; no two lists of fields give the same bytes."""
        fields = [
            b"onggi-sa1",
            label.encode(),
            self.round_id.encode(),
            bytes.fromhex(self.key_set_sha256),
            bytes.fromhex(self.base_sha256),
            *(silo.encode() for silo in silos),
        ]
        return b"".join(len(field).to_bytes(2) + field for field in fields)


class RoundSecrets(Secret):
    """Two X25519 keys of one silo for one round: one makes masks, the other seals shares."""

    __slots__ = ()

    def __init__(self, raw: bytes, made: datetime | None = None) -> None:
        super().__init__("masking", raw, made)

    @classmethod
    def fresh(cls) -> "RoundSecrets":
        """Makes both from the system's random source."""
        return cls(secrets.token_bytes(2 * _KEY_BYTES))

    @property
    def raw(self) -> bytes:
        """Both keys, 64 bytes: for the row that survives a restart."""
        return self._raw

    @property
    def mask_key(self) -> str:
        """The public half of the key that makes masks, in hexadecimal."""
        return _private(self._raw[:_KEY_BYTES]).public_key().public_bytes_raw().hex()

    @property
    def share_key(self) -> str:
        """The public half of the key that seals shares, in hexadecimal."""
        return _private(self._raw[_KEY_BYTES:]).public_key().public_bytes_raw().hex()

    def pair_seed(self, peer_hex: str, binding: Binding, silo: str, peer: str) -> bytes:
        """Returns the seed that this silo shares with a peer; both get the same.

        Raises:
            Refused: `bad_key`.
        """
        info = binding.info("mask", *sorted((silo, peer)))
        return _derived(self._raw[:_KEY_BYTES], peer_hex, info)

    def seal(self, shares: bytes, peer_hex: str, binding: Binding, silo: str, peer: str) -> bytes:
        """Seals this silo's shares for a peer.

        Raises:
            Refused: `bad_key`.
        """
        info = binding.info("shares", silo, peer)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key = _derived(self._raw[_KEY_BYTES:], peer_hex, info)
        return nonce + ChaCha20Poly1305(key).encrypt(nonce, shares, info)

    def unseal(self, sealed: bytes, peer_hex: str, binding: Binding, silo: str, peer: str) -> bytes:
        """Opens the shares that a peer sealed for this silo.

        Raises:
            Refused: `bad_key`, or `bad_shares`: altered, or sealed for another round or silo.
        """
        info = binding.info("shares", peer, silo)
        key = _derived(self._raw[_KEY_BYTES:], peer_hex, info)
        try:
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return ChaCha20Poly1305(key).decrypt(nonce, rest, info)
        except (InvalidTag, ValueError) as error:
            raise Refused("bad_shares", f"The shares that {peer} sealed do not open.") from error


def commitment(seed: bytes) -> str:
    """Returns what an upload says of a seed, so that no other one can be published in its place.

    Seeds are random or derived, so their hash tells nothing.
    """
    return hashlib.sha256(b"onggi-sa1 seed" + seed).hexdigest()


def check_public(key_hex: str) -> None:
    """Checks that an X25519 key is none with which every secret is zero.

    Raises:
        Refused: `bad_key`.
    """
    _derived(b"\x01" * _KEY_BYTES, key_hex, b"")


def _private(raw: bytes) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(raw)


def _derived(raw: bytes, peer_hex: str, info: bytes) -> bytes:
    try:
        peer = X25519PublicKey.from_public_bytes(bytes.fromhex(peer_hex))
        secret = _private(raw).exchange(peer)
    except ValueError as error:  # a point of small order
        raise Refused("bad_key", "A key of this round is none; take part anew.") from error
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=info).derive(secret)
