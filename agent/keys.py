"""Identity: one key, one purpose. Secrets never print.

PyNaCl's own classes show the raw key in an f-string, so they stay behind these wrappers.

A key is one line in a file: `onggi-key-v2 PURPOSE HEX MADE`. The first word is the format's
version; `onggi-key-v1 PURPOSE HEX`, which did not say when the key was made, is read for ever,
because an identity outlives the program that made it. Beside `sign.key`, `sign.next.key` is a key
that waits for the roster to name it.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Literal, NoReturn

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox
from nacl.signing import SigningKey

from agent.clock import from_text, to_text
from agent.errors import Refused, Stop
from agent.files import fsync_folder

Purpose = Literal[
    "sign",
    "seal",
    "courier",
    "officer",
    "root",
    "aggregator",
    "round",
    # Of the release repository: its four top roles, and the two channels.
    "tuf-root",
    "tuf-targets",
    "tuf-snapshot",
    "tuf-timestamp",
    "tuf-stable",
    "tuf-canary",
]
_MARK = "onggi-key-v"
_HEX_DIGITS = 64
_RETIRED = "retired"


class _Secret:
    """Hides what it holds from repr, str, format, pickle and comparison."""

    __slots__ = ("_raw", "made", "purpose")

    def __init__(self, purpose: Purpose, raw: bytes, made: datetime | None = None) -> None:
        self._raw = raw
        self.purpose = purpose
        self.made = made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} for {self.purpose}, hidden>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a key is never pickled")

    def _line(self) -> str:
        if self.made is None:
            return f"{_MARK}1 {self.purpose} {self._raw.hex()}\n"
        return f"{_MARK}2 {self.purpose} {self._raw.hex()} {to_text(self.made)}\n"

    def save(self, path: Path, like: Path | None = None) -> None:
        """Writes the key to a new file that only its owner can read (mode 0400).

        Args:
            path: The file.
            like: A file whose owner the new one gets; only root can give one away.

        Raises:
            Stop: A file is there already, for keys are never overwritten; or the folder cannot
                be written.
        """
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        draft.unlink(missing_ok=True)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with os.fdopen(descriptor, "w") as handle:
                handle.write(self._line())
                handle.flush()
                if like is not None and os.geteuid() == 0:
                    owner = like.stat()
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
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
    found = _load(path, purpose)
    return SigningIdentity(purpose, found.raw, found.made)


def load_sealing(path: Path, purpose: Purpose) -> SealingIdentity:
    """Reads a sealing key that was saved for this very purpose.

    Raises:
        Stop: The file is missing, open to others, damaged, or for another purpose.
    """
    found = _load(path, purpose)
    return SealingIdentity(purpose, found.raw, found.made)


@dataclass(frozen=True, slots=True)
class Identity:
    """A silo's three keys, one for each purpose."""

    sign: SigningIdentity
    seal: SealingIdentity
    courier: SigningIdentity


def make_identity(
    keys_folder: Path, courier_folder: Path, made: datetime | None = None
) -> Identity:
    """Makes those of a silo's keys that are not there yet, and reads all of them.

    A kill in between loses nothing: a key's file is whole or absent, and what exists is kept.

    Args:
        keys_folder: For `sign.key` and `seal.key`; made with mode 0700 where it is missing.
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
    if not (path := courier_folder / "courier.key").exists():
        new_signing("courier", made).save(path)
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


def next_key(path: Path) -> Path:
    """Returns where the key is that shall follow the one at `path`."""
    return path.with_suffix(".next.key")


def prepare_next(path: Path, purpose: Purpose, made: datetime) -> None:
    """Makes the key that shall follow the one at `path`, unless it is there already.

    Raises:
        Stop: It cannot be written.
    """
    following = next_key(path)
    if following.exists():
        return
    fresh = new_sealing(purpose, made) if purpose == "seal" else new_signing(purpose, made)
    fresh.save(following, like=path)


def promote(path: Path, *, keep: bool) -> None:
    """Puts the next key in the place of the one at `path`; harmless where that is done already.

    There is no moment without a key at `path`. A kill leaves either the old one or the new one, and
    doing it again ends the same.

    Args:
        path: The key in use, for example `keys/seal.key`.
        keep: Keeps the old key in `retired/`, for a key that opens what was sealed before. Without
            it the old key is gone, which is right for one that only signs.

    Raises:
        OSError: The folder cannot be written.
    """
    following = next_key(path)
    if not following.exists():
        return
    if keep:
        kept = path.parent / _RETIRED
        kept.mkdir(mode=0o700, exist_ok=True)
        if not any(other.samefile(path) for other in kept.iterdir()):
            names = (kept / f"{path.stem}-{number}.key" for number in count(1))
            os.link(path, next(name for name in names if not name.exists()))
        fsync_folder(kept)
    following.replace(path)
    fsync_folder(path.parent)


class Held(_Secret):
    """What a key's file holds; hidden like any key, so that no frame of a traceback shows it."""

    __slots__ = ()

    @property
    def raw(self) -> bytes:
        """The secret itself."""
        return self._raw


def _load(path: Path, purpose: Purpose) -> Held:
    try:
        mode = path.stat().st_mode
        found = _read(path, purpose)
    except OSError as error:
        raise Stop(f"Cannot read the key {path}; run `onggi keygen` or restore it.") from error
    if mode & 0o007:
        raise Stop(f"Others can read the key {path}; run `chmod 0400 {path}`.")
    if isinstance(found, str):
        raise Stop(f"{path} {found}")
    return found


def _read(path: Path, purpose: Purpose) -> Held | str:
    # Says what is wrong instead of raising it: the locals of this frame are the secret.
    words = path.read_bytes().decode("ascii", "replace").split()
    version = words[0].removeprefix(_MARK) if words else ""
    if words and words[0].startswith(_MARK) and version.isdigit() and version not in {"1", "2"}:
        return "was written by a newer Onggi; install that version again."
    if len(words) != {"1": 3, "2": 4}.get(version) or len(words[2]) != _HEX_DIGITS:
        return "is damaged or no Onggi key; restore it from a backup."
    if words[1] != purpose:
        return f"is a key to {words[1]}, and a key to {purpose} is needed here."
    try:
        made = from_text(words[3]) if version == "2" else None
        return Held(purpose, bytes.fromhex(words[2]), made)
    except ValueError:
        return "is damaged; restore it from a backup."
