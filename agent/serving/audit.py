"""The audit log: one line for each call about compounds; structures only where the site says so.

`audit/YYYY-MM.jsonl` in predict's own state folder, in UTC, mode 0640; a new month is a new file. A
line is written with one call when the answer is out, and made durable within a second by another
thread, so that no chemist waits for a disk.
"""

import errno
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent import clock, log
from agent.config import make_folder
from agent.files import fsync_folder
from agent.records import Json
from agent.serving.callers import LOCAL, STATE

_LOGGER = logging.getLogger(__name__)
FOLDER = "audit"
_TOLD = "audit"  # in a request's state: what its route tells of it
_ABOUT_COMPOUNDS = ("/v1/", "/v2/")
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
_TAKES_RESULTS = "/result"  # of a batch: with it the numbers leave
_MOST_BODY_BYTES = 1_000_000
_COMPLAIN_EVERY_S = 60.0


def tell(scope: Scope, **told: str | int | None) -> None:
    """Tells the audit log what a call was about: `structures`, `bad`, `release`, or others.

    Args:
        scope: The request's (`request.scope`).
        told: Counts and ids; never a structure or a value.
    """
    found = scope.get("state", {}).get(_TOLD)
    if found is not None:
        found.update(told)


class AuditLog:
    """Appends lines; one thread writes them, another makes them durable.

    Args:
        folder: `audit` in predict's state folder; made if it is not there.
        structures: Whether lines hold what was asked, too.

    Raises:
        Stop: The folder cannot be made.
    """

    def __init__(self, folder: Path, *, structures: bool = False) -> None:
        make_folder(folder)
        self.structures = structures
        self._folder = folder
        self._lock = threading.Lock()
        self._month = ""
        self._descriptor = -1
        self._dirty = False
        self._complained_s = -_COMPLAIN_EVERY_S

    def write(self, line: Mapping[str, Json], now: datetime) -> None:
        """Appends a line, which gets its time first; a full disk stops no answer."""
        text = json.dumps({"time": clock.to_text(now), **line}, ensure_ascii=False)
        try:
            with self._lock:
                self._turn(now.strftime("%Y-%m"))
                self._append(text.encode("utf-8", "replace") + b"\n")
        except OSError as error:
            self._complain(error)

    def sync(self) -> None:
        """Makes durable what was written since the last time."""
        with self._lock:
            if not self._dirty:
                return
            self._dirty = False
            # A descriptor of its own: the writer may turn to a new month, and never waits for this.
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        except OSError as error:
            self._complain(error)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Ends it, durably."""
        self.sync()
        with self._lock:
            self._shut()

    def _complain(self, error: OSError) -> None:
        now_s = clock.monotonic_s()
        if now_s - self._complained_s >= _COMPLAIN_EVERY_S:
            self._complained_s = now_s
            log.trouble(_LOGGER, "audit_not_written", errno=error.errno)

    def _turn(self, month: str) -> None:
        if month == self._month and self._descriptor >= 0:
            return
        self._shut()
        path = self._folder / f"{month}.jsonl"
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._month = month
        size = os.fstat(self._descriptor).st_size
        if size == 0:
            fsync_folder(self._folder)
        elif os.pread(self._descriptor, 1, size - 1) != b"\n":
            self._append(b"\n")  # a power cut left half a line: the next one stands by itself

    def _append(self, content: bytes) -> None:
        written = os.write(self._descriptor, content)
        if written < len(content):  # the disk is full: no half line
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._dirty = True

    def _shut(self) -> None:
        descriptor, dirty = self._descriptor, self._dirty
        self._descriptor, self._dirty = -1, False
        if descriptor >= 0:
            try:
                if dirty:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)


class Audited:
    """Writes a line for each call about compounds that was let in.

    Args:
        app: What answers.
        lines: Where to write.
    """

    def __init__(self, app: ASGIApp, lines: AuditLog) -> None:
        self._app = app
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request and accounts for it."""
        if scope["type"] != "http" or not _is_audited(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        told: dict[str, Json] = {}
        scope.setdefault("state", {})[_TOLD] = told
        kept = _Kept(receive) if self._lines.structures else None
        status = 0  # stays so where the caller went away, or the app failed, before an answer

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, kept or receive, watched)
        finally:
            line = _line(scope, status, told)
            if kept is not None:
                line["asked"] = kept.text()
            self._lines.write(line, clock.now())


class _Kept:
    """Keeps the beginning of what a caller sends, for sites that say so."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body = bytearray()

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and len(self._body) < _MOST_BODY_BYTES:
            self._body += message.get("body", b"")
        return message

    def text(self) -> str:
        return bytes(self._body[:_MOST_BODY_BYTES]).decode("utf-8", "replace")


def _is_audited(method: str, path: str) -> bool:
    if not path.startswith(_ABOUT_COMPOUNDS):
        return False
    return method not in _LOOKING or (method == "GET" and path.endswith(_TAKES_RESULTS))


def _line(scope: Scope, status: int, told: Mapping[str, Json]) -> dict[str, Json]:
    caller = scope["state"].get(STATE, LOCAL)
    client = scope.get("client")
    # The route's own path, never the one that was called: somebody may put a structure into it.
    route = getattr(scope.get("route"), "path", "other")
    who: dict[str, Json] = {"who": caller.name, "address": client[0] if client else ""}
    return {**who, "method": scope["method"], "route": route, "status": status, **told}


def read(folder: Path, since: str = "") -> Iterator[dict[str, Json]]:
    """Yields the lines of all months, the oldest first; what is no line is passed over.

    Args:
        folder: `audit` in predict's state folder.
        since: A day or a moment, as RFC 3339 in UTC; earlier lines are left out.

    Raises:
        OSError: A file cannot be read.
    """
    for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl")):
        if path.stem < since[:7]:
            continue
        with path.open("rb") as handle:
            for text in handle:
                line = _read_line(text)
                if line is not None and str(line.get("time", "")) >= since:
                    yield line


def _read_line(text: bytes) -> dict[str, Json] | None:
    try:
        line: Json = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
