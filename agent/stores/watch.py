"""Which files of a store's folder are ready: a sweep is the truth, events only hasten it.

One write gives about six events, so an event says only "look at this store soon"; on NFS and SMB
there are none, and the sweep is the polling. No reader is imported here: the keeper runs this.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from queue import SimpleQueue

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from agent.errors import TryLater
from agent.stores.filesystem import needs_polling

# Reading a file posts "opened" and "closed_no_write": those would make the keeper wake itself.
_CHANGES = frozenset({"created", "modified", "moved", "closed", "deleted"})
_NOT_TEXT = "The name is not valid UTF-8 (often CP949 from a Windows archive); rename the file."
_TEMPORARY = (".*", "~$*", "*~", "*.tmp", "*.temp", "*.part", "*.partial", "*.crdownload", "*.swp")


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as two sweeps compare it.

    Attributes:
        path: Relative to the store's folder, with `/`.
        size: In bytes.
        mtime_ns: Time of the last change, in nanoseconds since the epoch.
        first_seen_s: When a sweep first saw it with this size and time, on the caller's clock.
    """

    path: str
    size: int
    mtime_ns: int
    first_seen_s: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one look at a folder found, each list sorted by path.

    Attributes:
        stable: Unchanged for the settling time: ready to read.
        waiting: Perhaps still being written.
        refused: Path and a sentence, for what is never read.
    """

    stable: list[Seen] = field(default_factory=list)
    waiting: list[Seen] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def seen(self) -> dict[str, Seen]:
        """Returns what the next sweep compares with."""
        return {entry.path: entry for entry in (*self.stable, *self.waiting)}


def sweep(
    folder: Path,
    seen: Mapping[str, Seen],
    now_s: float,
    settle_s: float,
    patterns: Sequence[str] = ("*",),
) -> Sweep:
    """Looks at a store's folder and everything under it.

    Args:
        folder: The store.
        seen: What the last sweep's `seen()` returned; empty for the first.
        now_s: The time, on a clock that never steps back.
        settle_s: How long size and time must stay the same before a file counts as stable.
        patterns: Lower-case name patterns of the files that the store reads; others are passed by.

    Raises:
        TryLater: The folder is not there or cannot be listed.
    """
    if not folder.is_dir():
        raise TryLater(f"The store folder {folder} is gone; mount it again or correct its path.")
    result = Sweep()
    for path in _walk(folder, result.refused):
        name = path.relative_to(folder).as_posix()
        if _temporary(path.name) or not _wanted(path.name, patterns):
            continue
        if not _is_text(name):
            result.refused.append((_shown(name), _NOT_TEXT))
            continue
        fault = _fault(path, folder)
        if fault:
            result.refused.append((name, fault))
            continue
        _compare(path, name, seen.get(name), now_s, settle_s, result)
    result.refused.sort()
    return result


def _is_text(name: str) -> bool:
    # Bytes that are no UTF-8 arrive as lone surrogates, which neither SQLite nor JSON can hold.
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _shown(name: str) -> str:
    raw = name.encode(errors="surrogateescape")
    # With the words behind it, it is the name of no file that is read.
    return f"{raw.decode(errors='backslashreplace')} (not UTF-8)"


def _temporary(name: str) -> bool:
    return any(fnmatch(name.lower(), pattern) for pattern in _TEMPORARY)


def _wanted(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name.lower(), pattern) for pattern in patterns)


def _walk(folder: Path, refused: list[tuple[str, str]]) -> Iterable[Path]:
    def unlistable(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise TryLater(f"The store folder {folder} cannot be listed: {error.strerror}.")
        name = Path(error.filename).relative_to(folder).as_posix()
        refused.append(
            (
                name if _is_text(name) else _shown(name),
                f"The folder cannot be listed: {error.strerror}.",
            )
        )

    paths = []
    for root, folders, files in os.walk(folder, onerror=unlistable):
        folders[:] = [name for name in folders if not _temporary(name)]
        linked = [name for name in folders if (Path(root) / name).is_symlink()]
        # os.walk does not follow links, so a linked folder is judged like a file.
        paths += [Path(root) / name for name in (*files, *linked)]
    return sorted(paths)


def _fault(path: Path, folder: Path) -> str:
    if not path.is_symlink():
        return ""
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(folder)):
        return "The link leaves the store's folder; copy the file into it instead."
    if target.is_dir():
        return "The link leads to a folder; its files are read where they really lie."
    return ""


def _compare(
    path: Path, name: str, before: Seen | None, now_s: float, settle_s: float, result: Sweep
) -> None:
    try:
        found = path.stat()
    except OSError:
        return  # it went away between the listing and now; the next sweep sees what is true then
    if not stat.S_ISREG(found.st_mode):
        result.refused.append((name, "It is not a regular file; move it out of the store."))
        return
    same = before and (before.size, before.mtime_ns) == (found.st_size, found.st_mtime_ns)
    first_s = before.first_seen_s if before and same else now_s
    entry = Seen(name, found.st_size, found.st_mtime_ns, first_s)
    ready = same and now_s - first_s >= settle_s
    (result.stable if ready else result.waiting).append(entry)


class _Post(FileSystemEventHandler):
    def __init__(self, store: str, queue: SimpleQueue[str]) -> None:
        self._store = store
        self._queue = queue

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _CHANGES:
            self._queue.put(self._store)


class FolderWatch:
    """Posts a store's name whenever something changes in its folder, and does nothing else."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        queue: SimpleQueue[str],
        polled: Callable[[Path], bool] = needs_polling,
    ) -> None:
        """Prepares the watch.

        Args:
            folders: Store names and their folders.
            queue: Receives the name of the store to look at.
            polled: Tells of a folder that its file system posts no events.
        """
        self._polled = polled
        self._folders = dict(folders)
        self._queue = queue
        self._observer = Observer()

    def start(self) -> list[str]:
        """Starts watching, once.

        Returns:
            Names of the stores that are not watched, because their file system posts no events
            or the kernel refuses; sweeps alone look after those.
        """
        try:
            self._observer.start()
        except OSError:  # the kernel's inotify instances are used up
            return sorted(self._folders)
        unwatched = []
        for store, folder in self._folders.items():
            if self._polled(folder):
                unwatched.append(store)
                continue
            try:
                self._observer.schedule(_Post(store, self._queue), str(folder), recursive=True)
            except OSError:  # the folder is not there, or the kernel's watches are used up
                unwatched.append(store)
        return unwatched

    def stop(self) -> None:
        """Stops watching and waits for the thread to end."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
