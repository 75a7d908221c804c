"""The release repository as a folder: what a USB stick carries to a silo without a network.

Laid out as TUF's consistent snapshots are (`metadata/3.root.json`,
`targets/releases/ID/HASH.NAME`), so that python-tuf's own client reads it too.
"""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.errors import Refused, Stop
from agent.files import publish_folder, write_atomic
from agent.wire.repository import CHANNELS
from consortium import metadata
from consortium.objects import get_object
from consortium.repository import current
from consortium.tables import MetadataRow

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile, Targets

_NUMBERED = ("targets", "snapshot", *CHANNELS)


def export(session: Session, objects: Path, out: Path) -> int:
    """Writes the repository in force to a new folder; all of it appears at once, or nothing.

    Args:
        session: A transaction that sees one state.
        objects: Where published objects are.
        out: The folder to make.

    Returns:
        How many releases it holds.

    Raises:
        Stop: The folder exists.
        Refused: `unknown_object` or `damaged_object`: the disk lost a file.
        OSError: The disk is full or the folder is not writable.
    """
    if out.exists():
        raise Stop(f"{out} exists; name a new folder.")
    staged = out.with_name(f".{out.name}.{os.getpid()}.export")
    shutil.rmtree(staged, ignore_errors=True)
    try:
        _write_metadata(session, staged / "metadata")
        releases = _write_targets(session, objects, staged / "targets")
    except (OSError, Refused):
        shutil.rmtree(staged, ignore_errors=True)
        raise
    publish_folder(staged, out)
    return releases


def _write_metadata(session: Session, folder: Path) -> None:
    folder.mkdir(parents=True)
    for row in session.scalars(select(MetadataRow).where(MetadataRow.role == "root")).all():
        write_atomic(folder / f"{row.version}.root.json", row.content)
    for role in _NUMBERED:
        content = current(session, role)
        write_atomic(folder / f"{metadata.read(content).version}.{role}.json", content)
    write_atomic(folder / "timestamp.json", current(session, "timestamp"))


def _write_targets(session: Session, objects: Path, folder: Path) -> int:
    listed: dict[str, TargetFile] = {}
    for name in CHANNELS:
        listed |= cast("Targets", metadata.read(current(session, name))).targets
    folder.mkdir()
    for path, file in listed.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        sha256 = file.hashes["sha256"]
        write_atomic(target.with_name(f"{sha256}.{target.name}"), get_object(objects, sha256))
    return len({path.split("/")[1] for path in listed})
