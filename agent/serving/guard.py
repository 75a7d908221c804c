"""The worker's side of the deadline: which structure is being read, and the end if it takes long.

RDKit cannot be interrupted and holds the GIL, so no thread of this process could end it. The
kernel can: a timer of processor time whose signal, left at its default, ends the process. The
parent then reads from a file in memory which structure it was.
"""

import os
import signal
import struct
from collections.abc import Iterable, Iterator
from typing import TypeVar

_NUMBER = struct.Struct("<q")
_NONE = -1
LATE = signal.SIGPROF  # what a worker dies of when a structure had its time

T = TypeVar("T")


class Guard:
    """Watches over structures as they are read, one after the other.

    Args:
        place: A file that the parent reads after this process died.
        deadline_s: Seconds of processor time that one structure may take. Not of the clock's: a
            busy machine must not make a harmless structure look hostile.
    """

    def __init__(self, place: int, deadline_s: float) -> None:
        self._place = place
        self._deadline_s = deadline_s
        signal.signal(LATE, signal.SIG_DFL)
        note(place, None)

    def over(self, structures: Iterable[T], start: int) -> Iterator[T]:
        """Yields each; its time runs until the next is asked for.

        Args:
            structures: What will be read.
            start: The first one's number.
        """
        try:
            for number, structure in enumerate(structures, start):
                note(self._place, number)
                signal.setitimer(signal.ITIMER_PROF, self._deadline_s)
                yield structure
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            note(self._place, None)


def note(place: int, number: int | None) -> None:
    """Writes which structure is being read, or that none is."""
    os.pwrite(place, _NUMBER.pack(_NONE if number is None else number), 0)


def noted(place: int) -> int | None:
    """Returns the number of the structure that was being read, or None."""
    content = os.pread(place, _NUMBER.size, 0)
    number = _NUMBER.unpack(content)[0] if len(content) == _NUMBER.size else _NONE
    return None if number == _NONE else number
