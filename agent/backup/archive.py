"""A backup: one tar of the state, made while the services run, with the hash of every file.

SQLite files are copied by SQLite's own online backup: a plain copy of one that is written to is no
database. Everything else in the state is replaced by renaming, or only grows.
"""

import fcntl
import hashlib
import io
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from agent import __version__
from agent.clock import to_text
from agent.errors import Refused, Stop, TryLater
from agent.files import fsync_folder, sha256_bytes
from agent.toml import Section

FORMAT = 1
MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20
_LARGEST_MANIFEST = 64 << 20
# Made anew from what is kept, or meant for processes that run now.
_LEFT_OUT = frozenset({"jobs", "snapshots", "outbox", "inbox", "requests", "lost+found"})
_CACHES = frozenset({"models/features.sqlite3", "models/identities.sqlite3"})
_COPIES = ".backup-"
_COPY = re.compile(rf"{re.escape(_COPIES)}[a-z0-9_]{{8}}")  # as `tempfile` names them
_SIDECARS = ("-wal", "-shm", "-journal", ".lock", ".tmp")


class Manifest(Section):
    """What a backup says of itself.

    Attributes:
        format: Raised when an older program can no longer read it.
        version: The program that wrote it.
        created: When.
        files: The SHA-256 of each regular file, by its name in the archive.
    """

    format: int
    version: str
    created: str
    files: dict[str, str]


def write(state: Path, configuration: list[Path], target: Path, at: datetime) -> Manifest:
    """Writes a backup under a temporary name and renames it when it is whole and durable.

    Args:
        state: The folder of the state.
        configuration: Further files, kept under `etc/` by their paths; those that are missing are
            left out.
        target: The archive; mode 0600, for it holds keys and assays.
        at: The time.

    Raises:
        Stop: The target cannot be written, or the state not be read: run it as root.
        TryLater: Another backup of this state runs.
    """
    try:
        with _alone(state):
            return _write(state, configuration, target, at)
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Stop(
            f"The backup cannot be written ({why}); run it as root, and see that {target.parent} "
            "is there and has room."
        ) from error


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Holds the state's folder against other backups, until this process dies at the latest."""
    descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryLater(f"Another backup of {state} runs; wait until it ends.") from error
        yield
    finally:
        os.close(descriptor)


def _write(state: Path, configuration: list[Path], target: Path, at: datetime) -> Manifest:
    # Named by the host and the state alone, so that the next backup finds what a kill left, and
    # nobody else's where several hosts write into one folder.
    owner = sha256_bytes(f"{os.uname().nodename}:{state.resolve()}".encode())
    temporary = target.with_name(f".onggi-{owner[:16]}.tmp")
    temporary.unlink(missing_ok=True)
    _clear(state)
    try:
        with (
            os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out,
            tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            manifest = _fill(archive, state, configuration, at)
            archive.close()
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
        fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return manifest


def _clear(state: Path) -> None:
    """Removes the copies of databases that a backup left that was killed."""
    for folder, folders, _ in os.walk(state):
        for name in filter(_COPY.fullmatch, folders):
            shutil.rmtree(Path(folder) / name, ignore_errors=True)


def _fill(
    archive: tarfile.TarFile, state: Path, configuration: list[Path], at: datetime
) -> Manifest:
    files: dict[str, str] = {}
    # The ledger first: what the courier's log tells beyond it is found later, the reverse is an
    # alarm (`agent.audit`).
    for path in sorted(_found(state), key=lambda path: path.suffix != ".sqlite3"):
        _add(archive, path, path.relative_to(state).as_posix(), files)
    for path in configuration:
        if path.is_file():
            _add(archive, path, f"etc{path.absolute().as_posix()}", files)
    manifest = Manifest(format=FORMAT, version=__version__, created=to_text(at), files=files)
    content = manifest.model_dump_json(indent=1).encode()
    entry = tarfile.TarInfo(MANIFEST)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))
    return manifest


def _found(state: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(state):
        here = Path(folder)
        if here == state:
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
        # What a backup that was killed left, should it not go.
        folders[:] = [name for name in folders if not name.startswith(_COPIES)]
        for name in [*names, *(name for name in folders if (here / name).is_symlink())]:
            path = here / name
            relative = path.relative_to(state).as_posix()
            if not name.endswith(_SIDECARS) and relative not in _CACHES:
                yield path


def _add(archive: tarfile.TarFile, path: Path, name: str, files: dict[str, str]) -> None:
    try:
        if path.is_symlink():
            archive.add(path, name, recursive=False)
        elif path.suffix == ".sqlite3":
            _add_database(archive, path, name, files)
        elif path.is_file():
            with path.open("rb") as handle:
                files[name] = _add_open(archive, handle, name)
    except FileNotFoundError:
        return  # replaced or cleared away since it was listed: a running service does that


def _add_database(archive: tarfile.TarFile, path: Path, name: str, files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=_COPIES) as folder:
        copy = Path(folder) / path.name
        address = f"{path.absolute().as_uri()}?mode=ro"
        with (
            closing(sqlite3.connect(address, uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        owner = path.stat()
        os.chown(copy, owner.st_uid, owner.st_gid)  # a restore gives it back to its service
        with copy.open("rb") as handle:
            files[name] = _add_open(archive, handle, name)


def _add_open(archive: tarfile.TarFile, handle: IO[bytes], name: str) -> str:
    # A log grows while it is read: its size is taken once, and so much of it is kept.
    entry = archive.gettarinfo(arcname=name, fileobj=handle)
    digest = hashlib.sha256()
    archive.addfile(entry, _Hashed(handle, digest))
    return digest.hexdigest()


class _Hashed(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, handle: IO[bytes], digest: "hashlib._Hash") -> None:
        super().__init__()
        self._handle = handle
        self._digest = digest

    def read(self, size: int = -1, /) -> bytes:
        """Reads on."""
        content = self._handle.read(size)
        self._digest.update(content)
        return content


def check(source: Path) -> Manifest:
    """Reads a backup through: every file must be whole, and none be there that nobody named.

    Raises:
        Refused: `not_a_backup`, `newer_backup`, `damaged_backup`: a file is missing, altered or
            has a name that leads elsewhere.
        TryLater: The file cannot be read.
    """
    found: dict[str, str] = {}
    content = b""
    try:
        with tarfile.open(source, "r:") as archive:
            for entry in archive:
                check_entry(entry)
                if entry.name == MANIFEST and entry.size <= _LARGEST_MANIFEST:
                    content = _read(archive, entry)
                elif entry.isreg():
                    found[entry.name] = _hash(archive, entry)
        manifest = Manifest.model_validate_json(content)
    except (tarfile.TarError, ValidationError) as error:
        raise Refused("not_a_backup", f"{source} is no backup, or was cut short.") from error
    except OSError as error:
        raise TryLater(f"{source} cannot be read: {error.strerror}.") from error
    if manifest.format > FORMAT:
        raise Refused("newer_backup", f"Onggi {manifest.version} wrote {source}; install that.")
    if found != manifest.files:
        raise Refused("damaged_backup", f"{source} has other files than it was made with.")
    return manifest


def check_entry(entry: tarfile.TarInfo) -> None:
    """Lets pass what a backup holds: plain files, and links to a neighbour.

    Raises:
        Refused: `damaged_backup`: it is something else, or its name leads elsewhere.
    """
    parts = Path(entry.name).parts
    fine = entry.isreg() or (entry.issym() and "/" not in entry.linkname and parts[0] != "etc")
    if not fine or Path(entry.name).is_absolute() or ".." in (*parts, entry.linkname):
        raise Refused("damaged_backup", f"An entry of the backup leads elsewhere: {parts[0]}.")


def _hash(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    handle, digest = archive.extractfile(entry), hashlib.sha256()
    while handle is not None and (chunk := handle.read(_CHUNK_BYTES)):
        digest.update(chunk)
    return digest.hexdigest()


def _read(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    handle = archive.extractfile(entry)
    return handle.read() if handle is not None else b""
