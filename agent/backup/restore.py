"""Restores a backup into an empty state, without its identity and without its trust.

A restored ledger knows less than what really happened. So the silo that it belonged to ends: its
keys and what it had pinned are not brought back, and it enrols under a new name with new keys. The
old one's rounds, receipts and roots can then never be answered a second time.
"""

import grp
import os
import pwd
import shutil
import tarfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from agent.backup.archive import MANIFEST, Manifest, check, check_entry
from agent.backup.unwind import unwind
from agent.clock import from_text
from agent.config import Paths
from agent.errors import Stop
from agent.files import fsync_folder, fsync_tree
from agent.ledger.book import Ledger

# The identity, what it had pinned, and where its courier stood: of the silo that has ended.
_ENDED = ("keys/", "trust/", "etc/", "courier/")
# The account of what left goes on: the keeper holds it against the egress log.
_USERS = "onggi-"
_RESTORING = "ledger.restoring"
_CHUNK_BYTES = 1 << 20
_KEPT = frozenset({"courier/transport.ndjson"})


def restore(source: Path, paths: Paths, now: datetime) -> Manifest:
    """Restores a backup; the services wait until the silo has enrolled again.

    Args:
        source: The archive.
        paths: An empty state: nothing is ever written over.
        now: The time; what had expired by it stays expired.

    Raises:
        Stop: There is a state already, or it cannot be written.
        Refused: The backup is damaged; see `archive.check`.
        TryLater: The backup cannot be read.
    """
    for path in (paths.ledger, paths.trust / "enrolment.json"):
        if path.exists():
            raise Stop(f"There is a state already ({path}); move {paths.state} away first.")
    manifest = check(source)
    try:
        paths.create()
        for left in paths.state.glob(f"{_RESTORING}*"):  # a log of changes beside it, too
            left.unlink()
        _extract(source, paths.state)
    except OSError as error:
        raise _cannot_write(paths, error) from error
    with Ledger(paths.state / _RESTORING) as ledger:
        unwind(ledger, from_text(manifest.created), now)
    try:
        _finish(paths)
    except OSError as error:
        raise _cannot_write(paths, error) from error
    return manifest


def _finish(paths: Paths) -> None:
    # Last: until here a second attempt is not held up by what a kill left of the first. And all
    # the rest is durable by then: a ledger without the parts that it names is no state.
    fsync_tree(paths.state)
    (paths.state / _RESTORING).rename(paths.ledger)
    fsync_folder(paths.state)


def _cannot_write(paths: Paths, error: OSError) -> Stop:
    return Stop(
        f"{paths.state} cannot be written ({error.strerror}); free space, empty it, and "
        "restore as root."
    )


def _extract(source: Path, state: Path) -> None:
    with tarfile.open(source, "r:") as archive:
        for entry in archive:
            check_entry(entry)
            if entry.name == MANIFEST or (
                entry.name.startswith(_ENDED) and entry.name not in _KEPT
            ):
                continue
            path = state / (_RESTORING if entry.name == "ledger.sqlite3" else entry.name)
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            _put(archive, entry, path)
            _give_back(state, entry, path)


def _put(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    # By hand: the Python of Debian 12 is 3.11.2, whose tarfile has no filter yet (PEP 706).
    path.unlink(missing_ok=True)
    handle = archive.extractfile(entry) if entry.isreg() else None
    if handle is None:
        path.symlink_to(entry.linkname)
        return
    with path.open("xb") as target:
        shutil.copyfileobj(handle, target, _CHUNK_BYTES)
    path.chmod(0o640)


def _give_back(state: Path, entry: tarfile.TarInfo, path: Path) -> None:
    """Gives a file and the folders above it to the service that had it, if root restores."""
    if os.geteuid() != 0 or not entry.uname.startswith(_USERS):
        return
    # By name, for the numbers of another host are others'; the topmost folders are tmpfiles.d's.
    with suppress(LookupError):
        os.chown(path, *_owner(entry), follow_symlinks=False)
        for folder in path.relative_to(state).parents[:-2]:
            os.chown(state / folder, *_owner(entry), follow_symlinks=False)


def _owner(entry: tarfile.TarInfo) -> tuple[int, int]:
    group = grp.getgrnam(entry.gname).gr_gid if entry.gname.startswith(_USERS) else -1
    return pwd.getpwnam(entry.uname).pw_uid, group
