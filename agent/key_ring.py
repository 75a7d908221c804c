"""The key of a key ring: with it the files of a silo's keys rest sealed.

systemd opens it, on this host alone, when it starts the service (`LoadCredentialEncrypted=`); so a
copy of the state folder, or a backup, holds no key that could be used. The files are sealed with it
rather than handed over themselves, for a service takes new keys into use and is not root.

A sealed file is the very line of a plain one in NaCl's secretbox (XSalsa20-Poly1305), purpose and
date included: a file that was put in the place of another is refused by its purpose.
"""

import hashlib
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.utils import random as random_bytes

from agent import log
from agent.errors import Stop
from agent.files import fsync_folder
from agent.key_file import PLAIN, Purpose, Secret, sealed_content

KEY_BYTES = 32
# What the units say where none was made: an empty one is refused by systemd.
NONE = b"none"
_KEYS, _DRAFTS = "*.key", ".*.key.*.tmp"
_log = logging.getLogger(__name__)


class RingKey(Secret):
    """A key that seals the files of other keys.

    Args:
        raw: 32 bytes from a random source.
    """

    __slots__ = ()

    def __init__(self, raw: bytes) -> None:
        super().__init__("ring", raw)

    @property
    def mark(self) -> str:
        """Tells one key of a key ring from another: 16 hexadecimal digits, no part of it."""
        return hashlib.blake2b(self._raw, digest_size=8, person=b"onggi-key-ring").hexdigest()

    def seal(self, line: bytes) -> bytes:
        """Returns the line, sealed under a nonce of its own."""
        return bytes(SecretBox(self._raw).encrypt(line, random_bytes(SecretBox.NONCE_SIZE)))

    def unseal(self, sealed: bytes) -> bytes | None:
        """Returns what was sealed, or None where it was altered or sealed by another key."""
        try:  # nothing is raised: the locals of PyNaCl's frames are the raw key
            return bytes(SecretBox(self._raw).decrypt(sealed))
        except (CryptoError, ValueError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Rings:
    """The keys of a silo's two key rings; None where its files are not sealed, or not opened here.

    Attributes:
        keeper: Of `keys/`.
        courier: Of `courier/`.
    """

    keeper: RingKey | None = None
    courier: RingKey | None = None

    def of(self, purpose: Purpose) -> RingKey | None:
        """Returns what seals a silo's key for this purpose."""
        return self.courier if purpose == "courier" else self.keeper


NO_RINGS = Rings()


def read_ring(path: Path) -> RingKey | None:
    """Reads the key of a key ring, as systemd lays it before a service.

    Returns:
        None where there is no such file, or `none` in it.

    Raises:
        Stop: It cannot be read, or is no such key.
    """
    try:
        size = path.stat().st_size
        if size == KEY_BYTES:
            return RingKey(path.read_bytes())
        if size == len(NONE) and path.read_bytes() == NONE:
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Stop(f"Cannot read the credential {path}: {error.strerror}.") from error
    raise Stop(
        f"The credential {path} has {size} bytes and not {KEY_BYTES}; put back the one that "
        "install.sh made."
    )


def seal_folder(folder: Path, ring: RingKey | None) -> int:
    """Seals every key in a folder, and below it, that still lies plain.

    Each file is replaced by rename: a kill leaves it plain or sealed, and doing it again ends the
    same. What a kill left of a key that was being written goes, for it may be a plain one.

    Args:
        folder: The service's own.
        ring: What seals; without one nothing is done.

    Returns:
        How many were sealed.
    """
    if ring is None:
        return 0
    try:
        for draft in folder.rglob(_DRAFTS):
            draft.unlink(missing_ok=True)
        done = sum(_seal(path, ring) for path in sorted(folder.rglob(_KEYS)))
    except OSError as error:
        # A full disk is no reason to keep the service from its work; the next start tries again.
        log.trouble(_log, "keys not sealed", why=error.strerror)
        return 0
    if done:
        log.event(_log, "keys sealed", keys=done)
    return done


def _seal(path: Path, ring: RingKey) -> Literal[0, 1]:
    content = _sealed(path, ring)
    if content is None:
        return 0
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            if os.geteuid() == 0:  # `onggi run` as root: the file stays its owner's
                owner = path.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            os.fsync(descriptor)
        draft.replace(path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
    fsync_folder(path.parent)
    return 1


def _sealed(path: Path, ring: RingKey) -> bytes | None:
    # Nothing is raised here after the file was read: the local is the secret.
    content = path.read_bytes()
    return sealed_content(content, ring) if content.startswith(PLAIN) else None
