"""The folders that join keeper and courier: a sealed envelope out, a signed file in.

The keeper writes the outbox and empties the inbox; the courier reads the one and writes the other.
Both may be killed at any moment: a name that is there is whole, and a second writing is the same.

The inbox belongs to the courier, which talks to the network: whoever owns it may put a link where
a file or a folder is expected. So the keeper follows none there; it would read or remove its own.
"""

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from agent.errors import Refused
from agent.files import publish_folder, sha256_bytes, sha256_file, write_atomic

_STAGED = ".staged-"
_GONE = ".gone-"
_LETTER = re.compile(r"[12]-[0-9a-f]{1,64}-[a-z]{1,32}-[0-9a-f]{1,64}")
_ROOT = re.compile(r"root\.([1-9][0-9]{0,8})\.json")
_OBJECT = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.part")
_PIECE_BYTES = 1 << 20
_LETTER_BYTES = 4 << 20  # no signed document may be larger
_FOLDER_ONLY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not hold the keeper up


@dataclass(frozen=True, slots=True)
class Parcel:
    """One envelope in the outbox."""

    envelope_id: str
    header_path: Path
    blob_path: Path


class Outbox:
    """Sealed envelopes that wait for a receipt; a statement is one with an empty blob."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stage(self, write: Callable[[BinaryIO], bytes]) -> str:
        """Writes an envelope durably under a hidden name that no courier looks at.

        Args:
            write: Writes the blob and returns the signed header's bytes.

        Returns:
            The envelope's id.
        """
        draft = self._folder / ".draft"
        shutil.rmtree(draft, ignore_errors=True)  # left by a kill: nothing refers to it
        draft.mkdir()
        with (draft / "blob").open("wb") as blob:
            header = write(blob)
        (draft / "header").write_bytes(header)
        envelope_id = sha256_bytes(header)
        publish_folder(draft, self._folder / f"{_STAGED}{envelope_id}")
        return envelope_id

    def staged(self, envelope_id: str) -> tuple[int, str]:
        """Returns how many bytes will leave for a staged envelope, and its blob's SHA-256."""
        folder = self._folder / f"{_STAGED}{envelope_id}"
        size = sum(path.stat().st_size for path in folder.iterdir())
        return size, sha256_file(folder / "blob")

    def staged_header(self, envelope_id: str) -> bytes:
        """Returns the signed header of a staged envelope."""
        return (self._folder / f"{_STAGED}{envelope_id}" / "header").read_bytes()

    def post(self, envelope_id: str) -> None:
        """Shows a staged envelope to the courier; harmless when it is there already."""
        staged = self._folder / f"{_STAGED}{envelope_id}"
        if staged.exists():
            publish_folder(staged, self._folder / envelope_id)

    def withhold(self, envelope_id: str) -> None:
        """Hides an envelope from the courier; harmless when it is hidden already.

        An upload that has begun goes on to its end: the courier has the file open.
        """
        shown = self._folder / envelope_id
        if shown.exists():
            publish_folder(shown, self._folder / f"{_STAGED}{envelope_id}")

    def discard_staged(self, keep: frozenset[str]) -> None:
        """Removes staged envelopes that no transaction has booked, and what a kill left behind."""
        for folder in self._folder.glob(f"{_STAGED}*"):
            if folder.name.removeprefix(_STAGED) not in keep:
                shutil.rmtree(folder)
        for folder in self._folder.glob(f"{_GONE}*"):
            shutil.rmtree(folder)

    def parcels(self) -> list[Parcel]:
        """Lists what waits to be delivered, by id."""
        return [
            Parcel(folder.name, folder / "header", folder / "blob")
            for folder in sorted(self._folder.iterdir())
            if folder.is_dir() and not folder.name.startswith(".")
        ]

    def remove(self, envelope_id: str) -> None:
        """Takes an envelope out: it has its receipt or refusal, or it has expired."""
        folder = self._folder / envelope_id
        if folder.exists():
            gone = self._folder / f"{_GONE}{envelope_id}"
            shutil.rmtree(gone, ignore_errors=True)  # left by a kill: a rename would not replace it
            folder.rename(gone)
            shutil.rmtree(gone)


@dataclass(frozen=True, slots=True)
class Letter:
    """One signed document in the inbox, not yet believed.

    Attributes:
        name: File name; letters are read in the order of their names.
        kind: `root`, `roster`, `catalogue`, `plan`, `round`, `stable` and `canary` (states of the
            release repository), `receipt`, `refusal`, or `delivered` (the courier's unsigned note
            that an upload is complete).
    """

    name: str
    kind: str
    content: bytes


class Inbox:
    """Signed documents and the objects they name, as the courier brought them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._objects = folder / "objects"

    def put_published(self, number: int, kind: str, content: bytes) -> None:
        """Stores item `number` of the feed; objects it names must be there before."""
        self._put(f"1-{number:09d}-{kind}-{sha256_bytes(content)[:16]}", content)

    def put_answer(self, envelope_id: str, kind: str, content: bytes) -> None:
        """Stores what the aggregator answered to an envelope."""
        self._put(f"2-{envelope_id}-{kind}-{sha256_bytes(content)[:16]}", content)

    def _put(self, name: str, content: bytes) -> None:
        write_atomic(self._folder / name, content)

    def letters(self) -> Iterator[Letter]:
        """Yields the waiting letters in order: the feed by number, then answers.

        Only regular files count. One that is longer than a letter may be is cut just behind that
        limit, so that whoever reads it refuses it by name.
        """
        for path in sorted(self._folder.iterdir()):
            if not _LETTER.fullmatch(path.name):
                continue
            try:
                content = read_regular(path, _LETTER_BYTES + 1)
            except OSError:  # a link, a pipe; what may pass is read another time
                continue
            yield Letter(path.name, path.name.split("-")[2], content)

    def done(self, name: str) -> None:
        """Removes a letter whose effect is committed."""
        (self._folder / name).unlink(missing_ok=True)

    def object_path(self, sha256: str) -> Path:
        """Returns where the object is, or is to be, stored."""
        return self._objects / sha256

    def partial_path(self, sha256: str) -> Path:
        """Returns where an object that is still arriving is kept."""
        return self._objects / f".{sha256}.part"

    def prune_objects(self, keep: frozenset[str], before: datetime) -> None:
        """Removes objects, whole or partial, that nothing refers to any more.

        Nothing is removed where the folder is a link, nor what is not named like an object.

        Args:
            keep: Objects that the ledger or a waiting letter refers to.
            before: Only objects that arrived earlier: an object comes before the letter which
                names it, so the newest may be about to be referred to.
        """
        try:
            folder = os.open(self._objects, _FOLDER_ONLY)
        except OSError:
            return
        try:
            with os.scandir(folder) as entries:
                old = [e.name for e in entries if e.name not in keep and _OBJECT.fullmatch(e.name)]
            for name in old:
                _remove_old(name, folder, before)
        finally:
            os.close(folder)


def read_object(path: Path, sha256: str, size: int) -> bytes:
    """Reads an object of the inbox, without believing the courier's word for what it is.

    Args:
        path: What `Inbox.object_path` returned.
        sha256: What the signed document says of its content.
        size: What it says of its length, in bytes.

    Raises:
        Refused: `wrong_object`: it is a link, in a linked folder, no regular file, or has other
            bytes than the signed document names.
    """
    with _opened_object(path) as handle:
        # One byte more than it may have tells a longer one, however long it is.
        content = handle.read(size + 1)
    if len(content) != size or sha256_bytes(content) != sha256:
        raise _other_bytes(path)
    return content


def check_object(path: Path, sha256: str, size: int) -> None:
    """Checks an object of the inbox as `read_object` does, and holds a piece of it at a time.

    Args:
        path: What `Inbox.object_path` returned.
        sha256: What the signed document says of its content.
        size: What it says of its length, in bytes; no more than that is ever read, and one byte.

    Raises:
        Refused: `wrong_object`, as `read_object`.
    """
    digest, left = hashlib.sha256(), size + 1
    piece = memoryview(bytearray(_PIECE_BYTES))
    with _opened_object(path) as handle:
        while left and (count := handle.readinto(piece[:left])):
            digest.update(piece[:count])
            left -= count
    if left != 1 or digest.hexdigest() != sha256:
        raise _other_bytes(path)


@contextmanager
def _opened_object(path: Path) -> Iterator[FileIO]:
    try:
        folder = os.open(path.parent, _FOLDER_ONLY)
        try:
            with _open_regular(path.name, folder) as handle:
                yield handle
        finally:
            os.close(folder)
    except OSError as error:
        reason = f"The object {path.name[:12]} cannot be read from the inbox: {error.strerror}."
        raise Refused("wrong_object", reason) from error


def _other_bytes(path: Path) -> Refused:
    return Refused(
        "wrong_object",
        f"The object {path.name[:12]} in the inbox has other bytes than were published; "
        "look at what the courier brought.",
    )


def later_roots(trust: Path) -> dict[int, bytes]:
    """Returns the signed roots that an enrolment wrote down after the pinned one, by version.

    Raises:
        OSError: One cannot be read.
    """
    found = (_ROOT.fullmatch(path.name) for path in trust.iterdir())
    versions = sorted(int(name[1]) for name in found if name)
    return {version: (trust / f"root.{version}.json").read_bytes() for version in versions}


def rotation_path(outbox: Path, purpose: str) -> Path:
    """Returns where a request for a new key waits; hidden, for it is no envelope."""
    return outbox / f".rotation-{purpose}.json"


def rotation_requests(outbox: Path) -> list[bytes]:
    """Returns the signed requests for new keys that wait, in a stable order.

    Raises:
        OSError: The folder or a file cannot be read.
    """
    found = []
    for path in sorted(outbox.glob(".rotation-*.json")):
        with suppress(FileNotFoundError):  # the keeper has just taken it out
            found.append(path.read_bytes())
    return found


def read_regular(path: Path, limit: int) -> bytes:
    """Reads the first bytes of a regular file that somebody else may have put there.

    Raises:
        OSError: It is a link, a pipe or a folder, or cannot be read.
    """
    with _open_regular(path) as handle:
        return handle.read(limit)


def copy_regular(source: Path, draft: Path, limit: int) -> str:
    """Copies a regular file durably, byte for byte; one longer than `limit` is cut behind it.

    Returns:
        SHA-256 of what was copied.

    Raises:
        OSError: As `read_regular`, or the disk is full.
    """
    digest, left = hashlib.sha256(), limit + 1
    piece = memoryview(bytearray(_PIECE_BYTES))
    with _open_regular(source) as handle, draft.open("wb") as sink:
        while left and (count := handle.readinto(piece[:left])):
            digest.update(piece[:count])
            sink.write(piece[:count])
            left -= count
        sink.flush()
        os.fsync(sink.fileno())
    return digest.hexdigest()


def _open_regular(path: str | Path, folder: int | None = None) -> FileIO:
    """Opens a regular file, unbuffered; a link, a pipe or a folder is an OSError."""
    descriptor = os.open(path, _FILE_ONLY, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "It is no regular file", str(path))
    return FileIO(descriptor, "rb")


def _remove_old(name: str, folder: int, before: datetime) -> None:
    with suppress(FileNotFoundError):  # a partial one has just become whole
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode) and found.st_mtime < before.timestamp():
            os.unlink(name, dir_fd=folder)
