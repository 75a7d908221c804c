"""What hides a key, and the file that keeps it: one line, whose first word is its version.

Version 3 is a line of version 1 or 2 that `agent.key_ring` has sealed: `onggi-key-v3 MARK HEX`.
"""

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Literal, NoReturn, Protocol

from agent.clock import from_text, to_text
from agent.errors import Stop
from agent.files import fsync_folder

Purpose = Literal[
    "sign",
    "seal",
    "courier",
    "pq-sign",
    "officer",
    "root",
    "aggregator",
    "round",
    "masking",
    "ckks",
    "ring",
    # Of the release repository: its four top roles, and the two channels.
    "tuf-root",
    "tuf-targets",
    "tuf-snapshot",
    "tuf-timestamp",
    "tuf-stable",
    "tuf-canary",
]

_MARK = "onggi-key-v"
_KEY_BYTES = 32
PLAIN = (b"onggi-key-v1 ", b"onggi-key-v2 ")
_SEALED = b"onggi-key-v3 "
# To the letter: whatever byte is altered, nothing is opened.
_SEALED_LINE = re.compile(rb"onggi-key-v3 ([0-9a-f]{16}) ((?:[0-9a-f]{2})+)\n")


class Ring(Protocol):
    """What seals the files of a key ring and opens them again."""

    @property
    def mark(self) -> str:
        """Tells one key of a key ring from another: 16 hexadecimal digits, no part of it."""
        ...

    def seal(self, line: bytes) -> bytes:
        """Returns the line, sealed."""
        ...

    def unseal(self, sealed: bytes) -> bytes | None:
        """Returns what was sealed, or None where it was altered or sealed by another key."""
        ...


class Secret:
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

    def _content(self, ring: Ring | None) -> bytes:
        line = self._line().encode()
        return line if ring is None else sealed_content(line, ring)

    def save(self, path: Path, like: Path | None = None, ring: Ring | None = None) -> None:
        """Writes the key to a new file that only its owner can read (mode 0400).

        Args:
            path: The file.
            like: A file whose owner the new one gets; only root can give one away.
            ring: Seals what is written; None leaves it plain.

        Raises:
            Stop: A file is there already, for keys are never overwritten; or the folder cannot
                be written.
        """
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        draft.unlink(missing_ok=True)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(self._content(ring))
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


class Held(Secret):
    """What a key's file holds; hidden like any key, so that no frame of a traceback shows it."""

    __slots__ = ()

    @property
    def raw(self) -> bytes:
        """The secret itself."""
        return self._raw


def sealed_content(line: bytes, ring: Ring) -> bytes:
    """Returns what the file of a sealed key holds, from what its plain file does."""
    return _SEALED + f"{ring.mark} {ring.seal(line).hex()}\n".encode()


def is_sealed(content: bytes) -> bool:
    """Tells whether this is a sealed key's file, whole or damaged."""
    return content.startswith(_SEALED)


def rests_sealed(path: Path, ring: Ring | None) -> bool:
    """Tells whether a key's file is sealed.

    Raises:
        Stop: It cannot be read, or it is sealed and `ring` does not open it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Stop(f"Cannot read the key {path}: {error.strerror}.") from error
    if not is_sealed(content):
        return False
    if reason := _closed(content, ring):
        raise Stop(f"{path} {reason}")
    return True


def load_held(
    path: Path, purpose: Purpose, length: int | None = _KEY_BYTES, ring: Ring | None = None
) -> Held:
    """Reads the file of a key that was saved for this very purpose.

    Args:
        path: The file.
        purpose: What the key must be for.
        length: How many bytes the key has; None for one whose length says nothing.
        ring: Opens the file if it is sealed.

    Raises:
        Stop: The file is missing, open to others, damaged, for another purpose, or sealed and
            `ring` is not what sealed it.
    """
    try:
        mode = path.stat().st_mode
        found = _read(path, purpose, length, ring)
    except OSError as error:
        raise Stop(f"Cannot read the key {path}; run `onggi keygen` or restore it.") from error
    if mode & 0o007:
        raise Stop(f"Others can read the key {path}; run `chmod 0400 {path}`.")
    if isinstance(found, str):
        raise Stop(f"{path} {found}")
    return found


def _read(path: Path, purpose: Purpose, length: int | None, ring: Ring | None) -> Held | str:
    # Says what is wrong instead of raising it: the locals of this frame are the secret.
    content = path.read_bytes()
    if not is_sealed(content):
        return _parsed(content, purpose, length)
    opened = _opened(content, ring)
    return opened if isinstance(opened, str) else _parsed(opened, purpose, length)


def _closed(content: bytes, ring: Ring | None) -> str:
    opened = _opened(content, ring)
    return opened if isinstance(opened, str) else ""


def _opened(content: bytes, ring: Ring | None) -> bytes | str:
    found = _SEALED_LINE.fullmatch(content)
    if found is None:
        return "is damaged; enrol this silo anew, under another name."
    if ring is None:
        return (
            "is sealed, and what opens it is not here: run this as root, or let systemd start the "
            "service (docs/operations.md, Keys of a silo)."
        )
    if found[1].decode() != ring.mark:
        return (
            "was sealed by another key than this host has: put the file back that was in "
            "/etc/onggi/credentials then, or enrol this silo anew, under another name."
        )
    opened = ring.unseal(bytes.fromhex(found[2].decode()))
    return "is damaged; enrol this silo anew, under another name." if opened is None else opened


def _parsed(content: bytes, purpose: Purpose, length: int | None) -> Held | str:
    words = content.decode("ascii", "replace").split()
    version = words[0].removeprefix(_MARK) if words else ""
    if words and words[0].startswith(_MARK) and version.isdigit() and version not in {"1", "2"}:
        return "was written by a newer Onggi; install that version again."
    whole = len(words) == {"1": 3, "2": 4}.get(version)
    if not whole or (length is not None and len(words[2]) != 2 * length):
        return "is damaged or no Onggi key; restore it from a backup."
    if words[1] != purpose:
        return f"is a key to {words[1]}, and a key to {purpose} is needed here."
    try:
        made = from_text(words[3]) if version == "2" else None
        return Held(purpose, bytes.fromhex(words[2]), made)
    except ValueError:
        return "is damaged; restore it from a backup."
