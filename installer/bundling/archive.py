"""One file from many, the same bytes from the same input."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

_EXECUTABLE, _PLAIN = 0o755, 0o644


def write(target: Path, parts: Mapping[str, bytes | Path], epoch_s: int, first: str) -> None:
    """Writes a tar archive: sorted, owned by nobody, all of one time.

    It is not compressed: wheels are already, and a reader finds the manifest at its beginning.

    Args:
        target: The file to write.
        parts: What it holds, by the name there; a path's content is copied.
        epoch_s: The time of every entry, seconds since 1970.
        first: The name that comes before all others.
    """
    order = sorted(parts, key=lambda name: (name != first, name))
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        for name in order:
            _add(archive, name, parts[name], epoch_s)


def _add(archive: tarfile.TarFile, name: str, part: bytes | Path, epoch_s: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode = epoch_s, _EXECUTABLE if name.endswith(".sh") else _PLAIN
    if isinstance(part, bytes):
        entry.size = len(part)
        archive.addfile(entry, io.BytesIO(part))
        return
    entry.size = part.stat().st_size
    with part.open("rb") as content:
        archive.addfile(entry, content)
