"""A small file that others replace: read again when it changed, which each request may ask."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
_MAX_BYTES = 4_000_000
_Stamp = tuple[int, int, int]


class Watched(Generic[T]):
    """What a file says now.

    Asking costs one `stat`, two microseconds: cheap enough for every request, so that what was
    taken out of the file counts for none after that.

    Args:
        path: The file.
        read: Turns its bytes into what they say; raises `ValueError` where they say nothing.
        missing: What a file says that is not there; None makes that a fault.
    """

    def __init__(self, path: Path, read: Callable[[bytes], T], missing: T | None = None) -> None:
        self._path = path
        self._read = read
        self._missing = missing
        self._stamp: _Stamp | None = None
        self._value: T | None = None

    def current(self) -> T:
        """Returns what the file says.

        Raises:
            OSError: It cannot be read.
            ValueError: It says nothing that can be used.
        """
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            if self._missing is None:
                raise
            self._stamp, self._value = None, None
            return self._missing
        # The inode, because a file that is renamed in may bear the old one's time.
        stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if self._value is None or stamp != self._stamp:
            self._stamp, self._value = stamp, None
            if stat.st_size > _MAX_BYTES:
                raise ValueError("the file is too long")
            # Read after its stamp was taken: whatever changes in between shows at the next look.
            self._value = self._read(self._path.read_bytes())
        return self._value
