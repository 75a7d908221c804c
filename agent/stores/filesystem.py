"""Which kind of file system a folder lies on, for inotify tells nothing of what others write.

Format: proc(5), `/proc/[pid]/mountinfo`.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_MIN_FIELDS = 5

# Another host writes there, and the kernel here is not told of it.
_SHARED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "ncpfs", "9p", "virtiofs"),
        *("ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2", "vboxsf", "drvfs"),
    }
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo: where something is mounted, and the type of its file system."""

    point: str
    kind: str


def parse_mounts(text: str) -> list[Mount]:
    """Reads mountinfo; lines that do not fit the format are passed by.

    Args:
        text: As the kernel gives it, in the order of mounting.
    """
    mounts = []
    for line in text.split("\n"):
        # Optional fields of any number end with a hyphen of its own; the type follows it.
        before, separator, after = line.partition(" - ")
        fields, behind = before.split(" "), after.split(" ")
        if separator and len(fields) >= _MIN_FIELDS and fields[4].startswith("/"):
            mounts.append(Mount(_unescaped(fields[4]), behind[0]))
    return mounts


def _unescaped(text: str) -> str:
    # Blank, tab, line feed and backslash are written in octal.
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)


def kind_at(path: str, mounts: Sequence[Mount]) -> str:
    """Returns the type of the file system that holds an absolute path, or an empty text.

    The deepest mount wins; of two at one point, the later hides the earlier.
    """
    best = Mount("", "")
    for mount in mounts:
        inside = mount.point == "/" or f"{path}/".startswith(f"{mount.point}/")
        if inside and len(mount.point) >= len(best.point):
            best = mount
    return best.kind


def is_shared(kind: str) -> bool:
    """Tells whether other hosts may write there without an event here.

    FUSE (sshfs, s3fs and their like) counts as shared: what is behind it is not known.
    """
    return kind.lower() in _SHARED or kind.lower().startswith("fuse.")


def needs_polling(folder: Path, mountinfo: Path = _MOUNTINFO) -> bool:
    """Tells whether only looking again shows what changed in a folder.

    Args:
        folder: Followed through links.
        mountinfo: The kernel's list; one that cannot be read means an ordinary local disk.
    """
    try:
        text = mountinfo.read_bytes().decode(errors="surrogateescape")
    except OSError:
        return False
    return is_shared(kind_at(os.path.realpath(folder), parse_mounts(text)))
