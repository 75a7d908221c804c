"""A folder that a person carries between two hosts, say on a USB stick; nothing in it is believed.

Whoever had the stick may have put links, pipes or endless files on it. So every step below its
root is opened without following links, only regular files count, every reading has a limit, and
no name that was found is used before it fits a pattern. A name that is there is whole: files are
written under a hidden name, fsynced and renamed. What is damaged is set aside with a sentence.
"""

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from agent.errors import Refused, TryLater

_FOLDER_ONLY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not hold anybody up
_MOST_NAMES = 10_000
_CHUNK_BYTES = 1 << 20
_DAMAGED = ".damaged"
_HIDDEN = re.compile(r"\.[0-9a-f]{16}\.tmp")  # what is being written, or was when a kill came

Place = tuple[str, ...]
"""Folders below the root, outermost first."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Something on the stick that was not used, and the sentence that says why."""

    name: str
    reason: str


class Stick:
    """Reads and writes a carried folder.

    Args:
        root: The folder; whoever names it may name a link.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._asides: dict[str, Aside] = {}

    @property
    def asides(self) -> list[Aside]:
        """What was not used so far, each once."""
        return list(self._asides.values())

    def names(self, place: Place, pattern: re.Pattern[str]) -> list[str]:
        """Lists what fits the pattern, by name; everything else that shows is set aside by name.

        Raises:
            TryLater: The stick is not there.
        """
        try:
            with self._opened(place) as folder, os.scandir(folder) as entries:
                found = sorted(entry.name for entry in islice(entries, _MOST_NAMES))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.note(place, "", f"It is no folder to look into ({error.strerror}); take it away.")
            return []
        fitting = []
        for name in found:
            if pattern.fullmatch(name):
                fitting.append(name)
            elif not name.startswith(".") and not name.endswith(_DAMAGED):
                self.note(place, name, "It is nothing of Onggi's; it stays where it is.")
        return fitting

    def read(self, place: Place, name: str, limit: int) -> bytes:
        """Reads a small file.

        Raises:
            Refused: `missing`, `strange_file` (a link, a pipe, a folder) or `too_large`.
            TryLater: The stick is not there.
        """
        with self.opened(place, name) as handle:
            content = handle.read(limit + 1)
        if len(content) > limit:
            raise Refused("too_large", f"{name} has over {limit} bytes; it is set aside.")
        return content

    @contextmanager
    def opened(self, place: Place, name: str) -> Iterator[BinaryIO]:
        """Opens a regular file.

        Raises:
            Refused: `missing` or `strange_file`.
            TryLater: The stick is not there, or was pulled while it was read.
        """
        try:
            with self._opened(place) as folder:
                descriptor = os.open(name, _FILE_ONLY, dir_fd=folder)
        except FileNotFoundError as error:
            raise Refused("missing", f"{name} is not on the stick.") from error
        except OSError as error:
            reason = f"{name} is a link or cannot be read ({error.strerror}); take it away."
            raise Refused("strange_file", reason) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Refused("strange_file", f"{name} is no regular file; take it away.")
        with os.fdopen(descriptor, "rb") as handle:
            try:
                yield handle
            except OSError as error:
                raise TryLater(
                    f"The stick cannot be read ({error.strerror}); carry again."
                ) from error

    def size(self, place: Place, name: str) -> int | None:
        """Returns how long a regular file is, in bytes; None where there is none."""
        try:
            with self.opened(place, name) as handle:
                return os.fstat(handle.fileno()).st_size
        except Refused:
            return None

    def write(self, place: Place, name: str, content: bytes) -> None:
        """Writes a small file, or does nothing where it is there already with these bytes.

        Raises:
            TryLater: The stick is full, write-protected or away.
        """
        with suppress(Refused):
            if self.read(place, name, len(content)) == content:
                return
        self.put(place, name, lambda sink: sink.write(content))

    def put(self, place: Place, name: str, fill: Callable[[BinaryIO], object]) -> None:
        """Writes a file whole, whatever is there under its name.

        Args:
            place: Its folder, which is made.
            name: Its name.
            fill: Writes the content.

        Raises:
            TryLater: The stick is full, write-protected or away.
        """
        try:
            with self._opened(place, make=True) as folder:
                # What a kill left may be what the room is lacking for; each folder has one writer.
                _remove(folder, _HIDDEN.fullmatch)
                _put(folder, name, fill)
        except OSError as error:
            raise TryLater(
                f"Cannot write to the stick {self._root} ({error.strerror}); free space on it or "
                "lift its write protection, and carry again."
            ) from error

    def keep_only(self, place: Place, pattern: re.Pattern[str], keep: frozenset[str]) -> None:
        """Removes what fits the pattern and is not to be kept; a write-protected stick keeps all.

        What a kill left half-written goes as well. Names are removed without looking behind them,
        so a link goes and what it names stays.
        """

        def goes(name: str) -> object:
            return _HIDDEN.fullmatch(name) or (pattern.fullmatch(name) and name not in keep)

        with suppress(OSError, TryLater), self._opened(place) as folder:
            _remove(folder, goes)

    def damaged(self, place: Place, name: str, reason: str) -> None:
        """Sets a damaged file aside under another name, so that the next carrying writes it anew.

        On a write-protected stick it is only named.
        """
        with suppress(OSError, TryLater), self._opened(place) as folder:
            os.rename(name, name + _DAMAGED, src_dir_fd=folder, dst_dir_fd=folder)
        self.note(place, name, reason)

    def note(self, place: Place, name: str, reason: str) -> None:
        """Notes that something was not used."""
        where = "/".join((*place, name)).rstrip("/")
        shown = "".join(c if c.isprintable() else "?" for c in where)[:200]
        if len(self._asides) < _MOST_NAMES:
            self._asides.setdefault(where, Aside(shown, reason))

    @contextmanager
    def _opened(self, place: Place, *, make: bool = False) -> Iterator[int]:
        try:
            folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise TryLater(
                f"The folder {self._root} is not there ({error.strerror}); plug the stick in, or "
                "name another."
            ) from error
        try:
            for part in place:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o770, dir_fd=folder)
                inner = os.open(part, _FOLDER_ONLY, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)


def sha256_of(handle: BinaryIO) -> str:
    """Hashes what is left of an open file, in 1 MiB pieces."""
    digest = hashlib.sha256()
    while chunk := handle.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def copy_bytes(source: BinaryIO, sink: BinaryIO) -> int:
    """Copies what is left of an open file, in 1 MiB pieces, and returns how many bytes it was."""
    copied = 0
    while chunk := source.read(_CHUNK_BYTES):
        sink.write(chunk)
        copied += len(chunk)
    return copied


def _remove(folder: int, goes: Callable[[str], object]) -> None:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    for name in names:
        if goes(name):
            with suppress(OSError):  # a folder of that name
                os.unlink(name, dir_fd=folder)


def _put(folder: int, name: str, fill: Callable[[BinaryIO], object]) -> None:
    # A fresh name, so that nothing which waits under it is written through.
    hidden = f".{secrets.token_hex(8)}.tmp"
    descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o660, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            fill(handle)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(hidden, dir_fd=folder)
        raise
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what some drivers of FAT say
            raise
