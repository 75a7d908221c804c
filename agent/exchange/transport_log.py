"""Every request that left this host, in a log whose lines are chained by their hashes.

One JSON object a line. `hash` is the SHA-256 of the line without it, and `prev` is the hash of
the line before, so that no line can be altered, removed or put in without breaking the chain (the
end can be cut off; `total_up` and the aggregator's own log show that). What has a body is noted
before it leaves, so that a kill leaves no byte without a line (`begun.py`).
"""

import errno
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from agent.audit.transport import GENESIS, MAX_LINE_BYTES, Totals, check_line
from agent.clock import to_text
from agent.errors import Refused, Stop, TryLater
from agent.exchange.begun import Begun
from agent.files import fsync_folder, sha256_bytes
from agent.wire import strict_json

if TYPE_CHECKING:
    from agent.records import Json


@dataclass(frozen=True, slots=True)
class Trip:
    """One request and what became of it.

    Attributes:
        method: In capitals.
        target: Path with query; no query of the protocol carries a secret.
        status: The HTTP status, or 0 where no answer came.
        bytes_up: Bytes of the body that was sent, or begun to be sent.
        bytes_down: Bytes of the answer's body that were read.
    """

    method: str
    target: str
    status: int
    bytes_up: int
    bytes_down: int


class TransportLog:
    """Appends trips durably; one process writes it, from any of its threads.

    Args:
        path: The log's file; it is made where it is missing. A last line that a power cut left
            unfinished is cut off; what a killed process had begun to send gets its line.

    Raises:
        Stop: The file cannot be opened, or its last line does not fit its own hash.
        TryLater: The disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._owed = b""
        self._begun = Begun(path.with_name(f"{path.name}.begun"))
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
            fsync_folder(path.parent)
            last = _mend(self._descriptor)
            self._totals, self._head = _last_state(last)
            self._take_up()
        except OSError as error:
            raise Stop(f"Cannot write the transport log {path}: {error.strerror}.") from error
        except Refused as error:
            raise Stop(
                f"The transport log {path} was altered: its last line does not fit its hash. "
                "Move it away, keep it as evidence, and start again."
            ) from error

    def _take_up(self) -> None:
        try:
            for method, target, size, at in self._begun.left():
                self.record(Trip(method, target, 0, size, 0), at)
            self._begun.clear()
        except (OSError, TryLater):
            self.close()
            raise

    def record(self, trip: Trip, now: datetime) -> None:
        """Appends one trip; it is on the disk when this returns.

        Raises:
            TryLater: The disk is full or gone; the line is owed, see `settle`.
            Stop: The log is closed.
        """
        with self._lock:
            self._totals = Totals(
                self._totals.requests + 1,
                self._totals.bytes_up + trip.bytes_up,
                self._totals.bytes_down + trip.bytes_down,
            )
            line, self._head = _line(trip, self._totals, self._head, now)
            self._owed += line
            self._write_owed()
            self._begun.remove(trip.method, trip.target)

    def begin(self, trip: Trip, now: datetime) -> None:
        """Notes what is about to leave, as `settle` does before what has no body.

        Args:
            trip: As far as it is known; `record` tells the rest.
            now: The time.

        Raises:
            TryLater: The disk is full or gone, so nothing may leave.
            Stop: The log is closed.
        """
        with self._lock:
            self._write_owed()
            try:
                self._begun.add(trip.method, trip.target, trip.bytes_up, now)
            except OSError as error:
                raise _no_room(error) from error

    def settle(self) -> None:
        """Writes what is owed; call it before a request, for none leaves unaccounted for.

        Raises:
            TryLater: The disk is still full or gone.
            Stop: The log is closed.
        """
        with self._lock:
            self._write_owed()

    def _write_owed(self) -> None:
        if self._descriptor < 0:
            raise Stop("The transport log is closed: the courier is stopping.")
        if not self._owed:
            return
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            _write_all(self._descriptor, self._owed)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, end)  # so that no line follows half a one
            raise _no_room(error) from error
        self._owed = b""

    @property
    def totals(self) -> Totals:
        """What the log adds up to so far."""
        return self._totals

    def close(self) -> None:
        """Closes the file; a thread that is late finds it closed, not another file's number."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def _no_room(error: OSError) -> TryLater:
    return TryLater(
        f"Cannot write the transport log: {error.strerror}. Free disk space; nothing is "
        "sent without its account."
    )


def _write_all(descriptor: int, line: bytes) -> None:
    if os.write(descriptor, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)


def verify(path: Path) -> Totals:
    """Checks every line of a transport log.

    Returns:
        What its lines add up to.

    Raises:
        Refused: `broken_log`: a line is altered, missing or put in; or `torn_log`: the last line
            is unfinished.
        OSError: The file cannot be read.
    """
    head, totals = GENESIS, Totals()
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.endswith(b"\n"):
                raise Refused("torn_log", f"Line {number} is unfinished; the courier will mend it.")
            try:
                _, head, totals = check_line(line, head, totals)
            except Refused as error:
                raise Refused("broken_log", f"Line {number} does not follow the one before.") from (
                    error
                )
    return totals


def _line(trip: Trip, totals: Totals, previous: str, now: datetime) -> tuple[bytes, str]:
    content: dict[str, Json] = {
        "n": totals.requests,
        "t": to_text(now),
        "method": trip.method,
        "target": trip.target,
        "status": trip.status,
        "up": trip.bytes_up,
        "down": trip.bytes_down,
        "total_up": totals.bytes_up,
        "total_down": totals.bytes_down,
        "prev": previous,
    }
    head = sha256_bytes(strict_json.dumps(content))
    return strict_json.dumps({**content, "hash": head}) + b"\n", head


def _last_state(line: bytes) -> tuple[Totals, str]:
    if not line:
        return Totals(), GENESIS
    _, head, totals = check_line(line, None, None)
    return totals, head


def _mend(descriptor: int) -> bytes:
    """Cuts off an unfinished last line and returns the last whole one, or no bytes."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - 2 * MAX_LINE_BYTES)
    tail = os.pread(descriptor, size - start, start)
    whole = tail.rfind(b"\n") + 1
    if whole == 0 and start > 0:
        raise Refused("broken_log", "No line ends near the end of the log.")
    if whole < len(tail):
        os.ftruncate(descriptor, start + whole)
        os.fsync(descriptor)
    start_of_last = tail.rfind(b"\n", 0, max(0, whole - 1)) + 1
    return tail[start_of_last:whole]
