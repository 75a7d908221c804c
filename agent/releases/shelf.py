"""The folder `reference/`: what the keeper lays out for predict, each file whole or not there.

A file is named by what it was made from and never changes; `current` is a link, swapped by rename.
The one before stays, for calls that began with it.
"""

import re
from contextlib import suppress
from pathlib import Path

from agent.files import fsync_folder, swap_link

FORMAT = 1
"""Rises with every change of what `agent.assays.reference` writes."""

_CURRENT = "current"
_SUFFIX = ".sqlite3"
_NAME = re.compile(r"[0-9a-f]{64}")
_MODE = 0o640


def path_of(folder: Path, name: str) -> Path:
    """Returns where the reference of a name is, or would be.

    Raises:
        ValueError: It is no name of a reference: it must not lead anywhere else.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("the name of a reference is a SHA-256 in hexadecimal")
    return folder / f"{name}{_SUFFIX}"


def current(folder: Path) -> str:
    """Returns the name of the reference in use, or an empty text; it costs microseconds."""
    # The link is read, never followed: a target elsewhere is no reference.
    try:
        target = str((folder / _CURRENT).readlink())
    except OSError:
        return ""
    name = target.removesuffix(_SUFFIX)
    return name if target.endswith(_SUFFIX) and _NAME.fullmatch(name) else ""


def put(folder: Path, staged: Path, name: str) -> None:
    """Moves a finished file into the folder, points `current` at it, and prunes older ones.

    It may be called again with what it did half-way before a kill: a staged file that is not there
    any more was moved.

    Args:
        folder: The folder, on the file system of `staged`.
        staged: A file that is durable.
        name: Its name.

    Raises:
        OSError: The folder is not writable, or neither file is there.
    """
    final, before = path_of(folder, name), current(folder)
    if staged.exists():
        staged.chmod(_MODE)
        staged.replace(final)
        fsync_folder(folder)
    final.stat()
    swap_link(folder / _CURRENT, final.name)
    if before == name:
        return  # called again: which one was before it, nobody knows any more
    kept = {final.name, f"{before}{_SUFFIX}"}
    for path in folder.glob(f"*{_SUFFIX}"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Removes every reference; whoever has one open keeps it until it is closed."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.name == _CURRENT or path.name.endswith(_SUFFIX):
                path.unlink(missing_ok=True)
