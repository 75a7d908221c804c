"""What hides a key, and the file that keeps it: one line, whose first word is its version."""

import os
from datetime import datetime
from pathlib import Path
from typing import Literal, NoReturn

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


class Held(Secret):
    """What a key's file holds; hidden like any key, so that no frame of a traceback shows it."""

    __slots__ = ()

    @property
    def raw(self) -> bytes:
        """The secret itself."""
        return self._raw


def load_held(path: Path, purpose: Purpose, length: int | None = _KEY_BYTES) -> Held:
    """Reads the file of a key that was saved for this very purpose.

    Args:
        path: The file.
        purpose: What the key must be for.
        length: How many bytes the key has; None for one whose length says nothing.

    Raises:
        Stop: The file is missing, open to others, damaged, or for another purpose.
    """
    try:
        mode = path.stat().st_mode
        found = _read(path, purpose, length)
    except OSError as error:
        raise Stop(f"Cannot read the key {path}; run `onggi keygen` or restore it.") from error
    if mode & 0o007:
        raise Stop(f"Others can read the key {path}; run `chmod 0400 {path}`.")
    if isinstance(found, str):
        raise Stop(f"{path} {found}")
    return found


def _read(path: Path, purpose: Purpose, length: int | None) -> Held | str:
    # Says what is wrong instead of raising it: the locals of this frame are the secret.
    words = path.read_bytes().decode("ascii", "replace").split()
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
