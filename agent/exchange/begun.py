"""Requests with a body that are on their way: on the disk before their first byte leaves.

A request's line in the transport log says what became of it, so it is written afterwards. A kill in
between would leave bytes that left and stand nowhere, which an audit takes for a lie of the
courier's. Whoever opens the log next finds here what was begun and writes the line itself; a line
too many is harmless, as what is sent again is the same bytes.
"""

import logging
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent import log
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.files import write_atomic
from agent.wire import strict_json

if TYPE_CHECKING:
    from agent.records import Json

_logger = logging.getLogger(__name__)
_Key = tuple[str, str]


class Begun:
    """The file of what was begun; whoever uses it lets one thread in at a time.

    Args:
        path: The file; it is there only while something is on its way.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[_Key, tuple[int, str]] = {}

    def add(self, method: str, target: str, size: int, now: datetime) -> None:
        """Notes what is about to leave; it is on the disk when this returns.

        Raises:
            OSError: The disk is full or gone, so nothing may leave.
        """
        self._write({**self._known, (method, target): (size, to_text(now))})

    def remove(self, method: str, target: str) -> None:
        """Forgets what has its line by now; a file that stays makes a line too many."""
        if (method, target) in self._known:
            known = {key: one for key, one in self._known.items() if key != (method, target)}
            with suppress(OSError):
                self._write(known)

    def left(self) -> list[tuple[str, str, int, datetime]]:
        """Returns what a process that was killed had begun: method, target, bytes, when.

        Raises:
            OSError: The file cannot be read.
        """
        try:
            content = strict_json.loads(self._path.read_bytes())
            lines = content if isinstance(content, list) else [content]
            return [_read(line) for line in lines]
        except FileNotFoundError:
            return []
        except (Refused, ValueError):  # no kill leaves half a file: somebody else wrote it
            log.trouble(_logger, "what_was_begun_is_unreadable", file=self._path.name)
            return []

    def clear(self) -> None:
        """Forgets everything.

        Raises:
            OSError: The folder is not writable.
        """
        self._known = {}
        self._path.unlink(missing_ok=True)

    def _write(self, known: dict[_Key, tuple[int, str]]) -> None:
        if known:
            lines: Json = [[*key, *one] for key, one in known.items()]
            write_atomic(self._path, strict_json.dumps(lines))
        else:
            self._path.unlink(missing_ok=True)
        self._known = known


def _read(line: "Json") -> tuple[str, str, int, datetime]:
    match line:
        case [str(method), str(target), int(size), str(at)] if size >= 0:
            return method, target, size, from_text(at)
        case _:
            raise ValueError("no line of what was begun")
