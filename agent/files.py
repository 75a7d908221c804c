"""Files that survive a power cut: temporary name, fsync, rename, fsync of the folder."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import TryLater

_CHUNK_BYTES = 1 << 20


def fsync_folder(folder: Path) -> None:
    """Makes the folder's own entries durable; a rename without it can be lost."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: bytes, mode: int = 0o640) -> None:
    """Writes a file so that a reader, or a restart, sees all of it or nothing.

    Args:
        path: The final name; its folder must exist.
        content: What to write.
        mode: Permission bits, in force before the content is there.

    Raises:
        OSError: The disk is full or the folder is not writable; the old file is intact.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb"
        ) as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def fsync_file(path: Path) -> None:
    """Makes the content of a file durable that somebody else wrote; its name is its folder's."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def fsync_tree(folder: Path) -> None:
    """Makes a folder and everything below it durable; links, as entries of their folders."""
    for path in folder.rglob("*"):
        if path.is_symlink():
            continue
        if path.is_file():
            fsync_file(path)
        elif path.is_dir():
            fsync_folder(path)
    fsync_folder(folder)


def clear_drafts(folder: Path, names: str = "*") -> None:
    """Removes what a kill inside `write_atomic` left; what such a file was to hold may be secret.

    Args:
        folder: One into which nobody else writes, or the draft of another process would go, too.
        names: A pattern of the final names.

    Raises:
        OSError: The folder is not writable.
    """
    for draft in folder.glob(f".{names}.*.tmp"):
        draft.unlink(missing_ok=True)


def publish_folder(staged: Path, final: Path) -> None:
    """Renames a finished folder into place after making every file in it durable.

    An existing final folder wins: names are content hashes, so it holds the same.
    """
    fsync_tree(staged)
    if final.exists():
        shutil.rmtree(staged)
        return
    staged.rename(final)
    fsync_folder(final.parent)


def swap_link(link: Path, target: str) -> None:
    """Points a symbolic link elsewhere in one rename, so that it always resolves."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    fsync_folder(link.parent)


def sha256_bytes(content: bytes) -> str:
    """Returns the SHA-256 of the bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_file(path: Path) -> str:
    """Returns the SHA-256 of the file's content, in hexadecimal, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def exclusive(lock_path: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds an advisory lock that the kernel frees when this process dies.

    Args:
        lock_path: The lock's file.
        wait: Until the other process lets go, rather than say that it holds it.

    Raises:
        TryLater: Another process holds it.
    """
    with lock_path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise TryLater(
                f"Another process holds {lock_path}; stop it, or wait until it ends."
            ) from error
        yield
