"""The key that follows another, and how it takes its place."""

import os
from datetime import datetime
from itertools import count
from pathlib import Path

from agent.files import fsync_folder
from agent.keys.classic import new_sealing, new_signing
from agent.keys.secret import Purpose

_RETIRED = "retired"


def next_key(path: Path) -> Path:
    """Returns where the key is that shall follow the one at `path`."""
    return path.with_suffix(".next.key")


def prepare_next(path: Path, purpose: Purpose, made: datetime) -> None:
    """Makes the key that shall follow the one at `path`, unless it is there already.

    Raises:
        Stop: It cannot be written.
    """
    following = next_key(path)
    if following.exists():
        return
    fresh = new_sealing(purpose, made) if purpose == "seal" else new_signing(purpose, made)
    fresh.save(following, like=path)


def promote(path: Path, *, keep: bool) -> None:
    """Puts the next key in the place of the one at `path`; harmless where that is done already.

    There is no moment without a key at `path`. A kill leaves either the old one or the new one, and
    doing it again ends the same.

    Args:
        path: The key in use, for example `keys/seal.key`.
        keep: Keeps the old key in `retired/`, for a key that opens what was sealed before. Without
            it the old key is gone, which is right for one that only signs.

    Raises:
        OSError: The folder cannot be written.
    """
    following = next_key(path)
    if not following.exists():
        return
    if keep:
        kept = path.parent / _RETIRED
        kept.mkdir(mode=0o700, exist_ok=True)
        if not any(other.samefile(path) for other in kept.iterdir()):
            names = (kept / f"{path.stem}-{number}.key" for number in count(1))
            os.link(path, next(name for name in names if not name.exists()))
        fsync_folder(kept)
    following.replace(path)
    fsync_folder(path.parent)
