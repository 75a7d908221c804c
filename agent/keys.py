"""Identity: one key, one purpose. Secrets never print.

PyNaCl's own classes show the raw key in an f-string, so they stay behind these wrappers.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey

from agent.errors import Refused, Stop
from agent.files import fsync_folder

Purpose = Literal["sign", "seal", "courier", "root", "release", "aggregator", "round", "officer"]
_MARK = "onggi-key-v1"


class _Secret:
    """Hides what it holds from repr, str, format, pickle and comparison."""

    __slots__ = ("_raw", "purpose")

    def __init__(self, purpose: Purpose, raw: bytes) -> None:
        self._raw = raw
        self.purpose = purpose

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self.purpose}, hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled")

    def save(self, path: Path) -> None:
        """Writes the key to a new file that only its owner can read (mode 0400).

        Raises:
            Stop: A file is there already, for keys are never overwritten; or the folder cannot
                be written.
        """
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        draft.unlink(missing_ok=True)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with os.fdopen(descriptor, "w") as handle:
                handle.write(f"{_MARK} {self.purpose} {self._raw.hex()}\n")
                handle.flush()
                os.fsync(handle.fileno())
            os.link(draft, path)  # unlike a rename, it refuses to replace what is there
        except FileExistsError as error:
            raise Stop(f"{path} exists; keys are never overwritten. Move it away first.") from error
        except OSError as error:
            raise Stop(f"Cannot write the key {path}: {error.strerror}.") from error
        finally:
            draft.unlink(missing_ok=True)
        fsync_folder(path.parent)


class SigningIdentity(_Secret):
    """An Ed25519 key that signs for one purpose."""

    __slots__ = ()

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        return bytes(SigningKey(self._raw).verify_key).hex()

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte Ed25519 signature of the message."""
        return bytes(SigningKey(self._raw).sign(message).signature)


class SealingIdentity(_Secret):
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
        try:
            return bytes(SealedBox(PrivateKey(self._raw)).decrypt(sealed))
        except (CryptoError, ValueError, TypeError) as error:
            raise Refused("not_for_us", "This was sealed for another key.") from error


def new_signing(purpose: Purpose) -> SigningIdentity:
    """Makes a fresh signing key from the system's random source."""
    return SigningIdentity(purpose, bytes(SigningKey.generate()))


def new_sealing(purpose: Purpose) -> SealingIdentity:
    """Makes a fresh sealing key from the system's random source."""
    return SealingIdentity(purpose, bytes(PrivateKey.generate()))


def load_signing(path: Path, purpose: Purpose) -> SigningIdentity:
    """Reads a signing key that was saved for this very purpose.

    Raises:
        Stop: The file is missing, open to others, damaged, or for another purpose.
    """
    return SigningIdentity(purpose, _load(path, purpose))


def load_sealing(path: Path, purpose: Purpose) -> SealingIdentity:
    """Reads a sealing key that was saved for this very purpose.

    Raises:
        Stop: The file is missing, open to others, damaged, or for another purpose.
    """
    return SealingIdentity(purpose, _load(path, purpose))


@dataclass(frozen=True, slots=True)
class Identity:
    """A silo's three keys, one for each purpose."""

    sign: SigningIdentity
    seal: SealingIdentity
    courier: SigningIdentity


def make_identity(keys_folder: Path, courier_folder: Path) -> Identity:
    """Makes those of a silo's keys that are not there yet, and reads all of them.

    A kill in between loses nothing: a key's file is whole or absent, and what exists is kept.

    Args:
        keys_folder: For `sign.key` and `seal.key`; made with mode 0700 where it is missing.
        courier_folder: For `courier.key`, which another user may own; likewise.

    Raises:
        Stop: A folder or key cannot be written or read.
    """
    for folder in (keys_folder, courier_folder):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Stop(f"Cannot make the folder {folder}: {error.strerror}.") from error
    if not (path := keys_folder / "sign.key").exists():
        new_signing("sign").save(path)
    if not (path := keys_folder / "seal.key").exists():
        new_sealing("seal").save(path)
    if not (path := courier_folder / "courier.key").exists():
        new_signing("courier").save(path)
    return load_identity(keys_folder, courier_folder)


def load_identity(keys_folder: Path, courier_folder: Path) -> Identity:
    """Reads a silo's three keys.

    Raises:
        Stop: as `load_signing`.
    """
    return Identity(
        load_signing(keys_folder / "sign.key", "sign"),
        load_sealing(keys_folder / "seal.key", "seal"),
        load_signing(courier_folder / "courier.key", "courier"),
    )


def _load(path: Path, purpose: Purpose) -> bytes:
    try:
        mode = path.stat().st_mode
        words = path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"Cannot read the key {path}; run `onggi keygen` or restore it.") from error
    if mode & 0o007:
        raise Stop(f"Others can read the key {path}; run `chmod 0400 {path}`.")
    if len(words) != 3 or words[0] != _MARK or len(words[2]) != 64:
        raise Stop(f"{path} is damaged or no Onggi key; restore it from a backup.")
    if words[1] != purpose:
        raise Stop(f"{path} is a key to {words[1]}, and a key to {purpose} is needed here.")
    try:
        return bytes.fromhex(words[2])
    except ValueError as error:
        raise Stop(f"{path} is damaged; restore it from a backup.") from error
