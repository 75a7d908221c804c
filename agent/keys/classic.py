"""Ed25519 and X25519 keys, and a silo's three of them.

PyNaCl's own classes show the raw key in an f-string, so they stay behind these wrappers.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey

from agent.errors import Refused, Stop
from agent.keys.hybrid import PostQuantumIdentity, load_post_quantum, new_post_quantum
from agent.keys.secret import Purpose, Secret, load_held


class SigningIdentity(Secret):
    """An Ed25519 key that signs for one purpose."""

    __slots__ = ()

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        return bytes(SigningKey(self._raw).verify_key).hex()

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte Ed25519 signature of the message."""
        return bytes(SigningKey(self._raw).sign(message).signature)


class SealingIdentity(Secret):
    """An X25519 key that opens what was sealed for it."""

    __slots__ = ()

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        return bytes(PrivateKey(self._raw).public_key).hex()

    def unseal(self, sealed: bytes) -> bytes:
        """Opens a SealedBox.

        Raises:
            Refused: `not_for_us`.
        """
        opened = self._open(sealed)
        # Raised here, not where PyNaCl raises: the locals of its frames are the raw key.
        if opened is None:
            raise Refused("not_for_us", "This was sealed for another key.")
        return opened

    def _open(self, sealed: bytes) -> bytes | None:
        try:
            return bytes(SealedBox(PrivateKey(self._raw)).decrypt(sealed))
        except (CryptoError, ValueError, TypeError):
            return None


def new_signing(purpose: Purpose, made: datetime | None = None) -> SigningIdentity:
    """Makes a fresh signing key from the system's random source."""
    return SigningIdentity(purpose, bytes(SigningKey.generate()), made)


def new_sealing(purpose: Purpose, made: datetime | None = None) -> SealingIdentity:
    """Makes a fresh sealing key from the system's random source."""
    return SealingIdentity(purpose, bytes(PrivateKey.generate()), made)


def load_signing(path: Path, purpose: Purpose) -> SigningIdentity:
    """Reads a signing key that was saved for this very purpose.

    Raises:
        Stop: The file is missing, open to others, damaged, or for another purpose.
    """
    found = load_held(path, purpose)
    return SigningIdentity(purpose, found.raw, found.made)


def load_sealing(path: Path, purpose: Purpose) -> SealingIdentity:
    """Reads a sealing key that was saved for this very purpose.

    Raises:
        Stop: The file is missing, open to others, damaged, or for another purpose.
    """
    found = load_held(path, purpose)
    return SealingIdentity(purpose, found.raw, found.made)


@dataclass(frozen=True, slots=True)
class Identity:
    """A silo's keys, one for each purpose.

    Attributes:
        post_quantum: For plans with the hybrid profile; None in a silo that enrolled before.
    """

    sign: SigningIdentity
    seal: SealingIdentity
    courier: SigningIdentity
    post_quantum: PostQuantumIdentity | None = None


def make_identity(
    keys_folder: Path, courier_folder: Path, made: datetime | None = None
) -> Identity:
    """Makes those of a silo's keys that are not there yet, and reads all of them.

    A kill in between loses nothing: a key's file is whole or absent, and what exists is kept.

    Args:
        keys_folder: For `sign.key`, `seal.key` and `pq-sign.key`; made with mode 0700 where it is
            missing.
        courier_folder: For `courier.key`, which another user may own; likewise.
        made: The time, which new keys remember.

    Raises:
        Stop: A folder or key cannot be written or read.
    """
    for folder in (keys_folder, courier_folder):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Stop(f"Cannot make the folder {folder}: {error.strerror}.") from error
    if not (path := keys_folder / "sign.key").exists():
        new_signing("sign", made).save(path)
    if not (path := keys_folder / "seal.key").exists():
        new_sealing("seal", made).save(path)
    if not (path := keys_folder / "pq-sign.key").exists():
        new_post_quantum(made).save(path)
    if not (path := courier_folder / "courier.key").exists():
        new_signing("courier", made).save(path)
    return load_identity(keys_folder, courier_folder)


def load_identity(keys_folder: Path, courier_folder: Path) -> Identity:
    """Reads a silo's keys.

    Raises:
        Stop: as `load_signing`.
    """
    path = keys_folder / "pq-sign.key"
    return Identity(
        load_signing(keys_folder / "sign.key", "sign"),
        load_sealing(keys_folder / "seal.key", "seal"),
        load_signing(courier_folder / "courier.key", "courier"),
        load_post_quantum(path) if path.exists() else None,
    )
