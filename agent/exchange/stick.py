"""The release repository from a folder, such as a USB stick, into the inbox.

A carrier like the courier: it believes nothing. What it brings is judged by the keeper, from the
same files in the same place. A stick may hold links and endless files, so none is followed and
each is read no further than it may be long.
"""

import os
import re
from pathlib import Path

from agent.boxes import Inbox, copy_regular, read_regular
from agent.errors import Refused, Stop
from agent.files import fsync_folder
from agent.wire import strict_json
from agent.wire.documents import ObjectRef
from agent.wire.repository import CHANNELS, Channel, RepositoryFiles, newest_files

_NUMBERED = re.compile(r"([1-9][0-9]{0,9})\.([a-z]{1,20})\.json")
_MAX_OBJECT_BYTES = 2 << 30
_LAST = 999_999_999  # read after whatever the feed brought: a release needs its plan


def bring_repository(folder: Path, inbox: Inbox, channel: Channel) -> int:
    """Puts an exported repository into the inbox: first what it names, then its state.

    Killed at any point and started again, it ends the same; a full disk leaves nothing under a
    name that the keeper reads.

    Args:
        folder: What `onggi-aggregator release export` wrote.
        inbox: The silo's.
        channel: Which releases to bring.

    Returns:
        How many files the newest releases consist of.

    Raises:
        Refused: `no_repository`, `wrong_object` (a file is missing, or has other bytes than its
            name says), or the metadata cannot be read.
        Stop: The inbox cannot be written.
    """
    files = _read_metadata(folder / "metadata")
    wanted = newest_files(files, channel)
    for reference in wanted:
        _bring(folder / "targets", inbox, reference)
    try:
        inbox.put_published(_LAST, channel, files.to_bytes())
    except OSError as error:
        raise _cannot_write(error) from error
    return len(wanted)


def _read_metadata(folder: Path) -> RepositoryFiles:
    try:
        names = [found for path in folder.iterdir() if (found := _NUMBERED.fullmatch(path.name))]
        newest = {kind: 0 for _, kind in (name.groups() for name in names)}
        for name in names:
            newest[name[2]] = max(newest[name[2]], int(name[1]))
        texts = {kind: _text(folder / f"{n}.{kind}.json") for kind, n in newest.items()}
        roots = [_text(folder / f"{n}.root.json") for n in range(1, newest.get("root", 0) + 1)]
        timestamp = _text(folder / "timestamp.json")
    except OSError as error:
        raise Refused(
            "no_repository",
            f"{folder} holds no release repository ({error.strerror}); name the folder that "
            "`onggi-aggregator release export` wrote.",
        ) from error
    if not roots or not {"snapshot", "targets"} <= texts.keys():
        raise Refused("no_repository", f"{folder} holds only a part of a repository; copy it anew.")
    return RepositoryFiles(
        roots=tuple(roots),
        timestamp=timestamp,
        snapshot=texts["snapshot"],
        targets=texts["targets"],
        channels={name: texts[name] for name in CHANNELS if name in texts},
    )


def _text(path: Path) -> str:
    return read_regular(path, strict_json.MAX_BYTES).decode("utf-8", "replace")


def _bring(targets: Path, inbox: Inbox, wanted: ObjectRef) -> None:
    final = inbox.object_path(wanted.sha256)
    if final.exists():
        os.utime(final)  # the keeper prunes by age
        return
    found = next(iter(sorted(targets.glob(f"releases/*/{wanted.sha256}.*"))), None)
    if found is None or wanted.bytes > _MAX_OBJECT_BYTES:
        raise Refused("wrong_object", f"The folder lacks the file {wanted.sha256[:12]}; copy anew.")
    partial = inbox.partial_path(wanted.sha256)
    try:
        sha256 = copy_regular(found, partial, wanted.bytes)
        if sha256 != wanted.sha256:
            partial.unlink()
            raise Refused("wrong_object", f"The file {found.name[:12]} is damaged; copy it anew.")
        partial.rename(final)
        fsync_folder(final.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _cannot_write(error) from error


def _cannot_write(error: OSError) -> Stop:
    return Stop(f"Cannot copy into the inbox: {error.strerror}; make room, then run this again.")
