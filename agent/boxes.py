"""The folders that join keeper and courier: a sealed envelope out, a signed file in.

The keeper writes the outbox and empties the inbox; the courier reads the one and writes the other.
Both may be killed at any moment: a name that is there is whole, and a second writing is the same.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from agent.files import publish_folder, sha256_bytes, sha256_file, write_atomic

_STAGED = ".staged-"
_GONE = ".gone-"


@dataclass(frozen=True, slots=True)
class Parcel:
    """One envelope in the outbox."""

    envelope_id: str
    header_path: Path
    blob_path: Path


class Outbox:
    """Sealed envelopes that wait for a receipt."""

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

    def post(self, envelope_id: str) -> None:
        """Shows a staged envelope to the courier; harmless when it is there already."""
        staged = self._folder / f"{_STAGED}{envelope_id}"
        if staged.exists():
            publish_folder(staged, self._folder / envelope_id)

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
        kind: `root`, `roster`, `catalogue`, `plan`, `round`, `release`, `receipt`, `refusal`,
            or `delivered` (the courier's unsigned note that an upload is complete).
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
        """Yields the waiting letters in order: the feed by number, then answers."""
        for path in sorted(self._folder.iterdir()):
            parts = path.name.split("-")
            if path.is_file() and parts[0] in {"1", "2"} and len(parts) == 4:
                yield Letter(path.name, parts[2], path.read_bytes())

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

        Args:
            keep: Objects that the ledger or a waiting letter refers to.
            before: Only objects that arrived earlier: an object comes before the letter which
                names it, so the newest may be about to be referred to.
        """
        for path in self._objects.iterdir():
            if path.name not in keep and path.stat().st_mtime < before.timestamp():
                path.unlink()
