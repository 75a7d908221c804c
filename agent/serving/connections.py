"""Connections that somebody opens and does not use: timed, capped, and never in another's way.

uvicorn waits for a request's head for ever, keeps what it has of one however long that gets, and
accepts until the process has no file descriptor left; then nobody is answered. Here a head has
`head_s` seconds and `head_bytes` bytes, and where too many are connected, whoever has been idle
longest makes room for the next.
"""

import asyncio
import contextlib
import json
import logging
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from agent import log
from agent.serving.problems import MEDIA_TYPE, Problem

LINE = "onggi.line"  # where a request's scope has its `Line`, among the extensions
_LOGGER = logging.getLogger(__name__)
_SWEEP_S = 0.5
_AT_ONCE, _PAUSE_S = 50, 0.02  # ten thousand that end together must not hold up a molecule
_MOST = 12_000
_MOST_FILES = 65_536
_OWN_FILES = 256  # of this process itself: workers, releases, state


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may take.

    Attributes:
        most: Connections at the same time.
        head_s: Seconds for a request's line and headers, and until the first request.
        head_bytes: For the same.
    """

    most: int = _MOST
    head_s: float = 10.0
    head_bytes: int = 65_536


@dataclass(slots=True)
class Line:
    """The caller of one request; `lost` is called if he hangs up before he has his answer."""

    lost: Callable[[], object] | None = None
    is_lost: bool = False


def most_connections() -> int:
    """Lets this process open as many files as the host allows, and returns how many callers fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OWN_FILES)


def protocol(limits: Limits) -> Callable[..., "PatientProtocol"]:
    """Returns what uvicorn makes a connection's protocol with; all of one server share it."""
    return partial(PatientProtocol, Waiting(limits))


@dataclass(slots=True)
class Waiting:
    """The connections of which no request is being answered, each in the order of its arrival.

    Attributes:
        limits: What they may take.
        opening: Those that have not sent a whole head, and when each is to be closed.
        idle: Those that were answered, and may ask again; uvicorn ends them.
    """

    limits: Limits
    opening: dict["PatientProtocol", float] = field(default_factory=dict)
    idle: dict["PatientProtocol", None] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop | None = None
    _sent_away: int = 0

    def begin(self, one: "PatientProtocol", loop: asyncio.AbstractEventLoop) -> None:
        """Starts the time of a head."""
        self.idle.pop(one, None)
        self.opening.pop(one, None)  # or it would keep its place in the order
        self.opening[one] = loop.time() + self.limits.head_s
        if self._loop is None:
            self._loop = loop
            loop.call_later(_SWEEP_S, self._sweep)

    def end(self, one: "PatientProtocol") -> None:
        """Forgets one that asks or is gone."""
        self.opening.pop(one, None)
        self.idle.pop(one, None)

    def make_room(self, besides: "PatientProtocol") -> bool:
        """Sends away whoever has been idle longest; tells whether there was anybody."""
        for waiting in (self.idle, self.opening):
            for one in waiting:
                if one is not besides and not one.is_answering():
                    self.end(one)
                    one.transport.abort()
                    self._sent_away += 1
                    return True
        return False

    def _sweep(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None:
            return
        late = [
            one for one, ends_s in islice(self.opening.items(), _AT_ONCE) if ends_s < loop.time()
        ]
        for one in late:
            self._late(one, loop)
        if self._sent_away:
            log.event(_LOGGER, "too_many_connections", sent_away=self._sent_away)
            self._sent_away = 0
        if self.opening:
            self._loop = loop
            loop.call_later(_SWEEP_S if len(late) < _AT_ONCE else _PAUSE_S, self._sweep)

    def _late(self, one: "PatientProtocol", loop: asyncio.AbstractEventLoop) -> None:
        if one.is_answering():  # the head of its next request may wait until it has its answer
            self.begin(one, loop)
            return
        self.end(one)
        one.refuse(408, "too_slow", "The request's head did not come in time; send it at once.")


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which knows how long it has been waiting and who has hung up."""

    def __init__(self, waiting: Waiting, **given: Any) -> None:  # noqa: ANN401 - passed on
        """Begins one connection; the rest is uvicorn's own."""
        super().__init__(**given)
        self._waiting = waiting
        self._head_bytes = 0
        self._has_begun = False

    def is_answering(self) -> bool:
        """Tells whether a request is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first
        return cycle is not None and not cycle.response_complete

    def refuse(self, status: int, code: str, detail: str) -> None:
        """Answers with a problem document, whatever was sent, and closes."""
        problem = Problem(status, code, detail, {"Retry-After": "5"} if status == 503 else None)
        body = json.dumps(problem.document()).encode()
        given = {"Content-Type": MEDIA_TYPE, "Content-Length": len(body), "Connection": "close"}
        lines = [f"HTTP/1.1 {status} {problem.document()['title']}"]
        lines += [f"{name}: {value}" for name, value in {**given, **problem.headers}.items()]
        if not self.transport.is_closing():
            # To whoever never sent a byte, too: he may be reading.
            self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection, and sends another away where there are too many."""
        super().connection_made(transport)
        self._waiting.begin(self, self.loop)
        too_many = len(self.connections) > self._waiting.limits.most
        if too_many and not self._waiting.make_room(self):
            self._waiting.end(self)
            self.refuse(503, "busy", "Too many are connected; try again in a while.")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells whoever answers that nobody waits any more."""
        self._waiting.end(self)
        line = self._line() if self.is_answering() else None
        super().connection_lost(exc)
        if line is not None:
            line.is_lost = True
            if line.lost is not None:
                line.lost()

    def data_received(self, data: bytes) -> None:
        """Reads, unless a head gets too long."""
        if self.transport.is_closing():
            return  # it was refused: what still comes is not looked at
        super().data_received(data)
        if self._has_begun:
            self._head_bytes += len(data)
            if self._head_bytes > self._waiting.limits.head_bytes:
                self._has_begun = False
                sentence = "The request's headers are too long; send what is large in the body."
                self.refuse(431, "head_too_large", sentence)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - it is no document
        """Answers what is not HTTP."""
        self.refuse(400, "malformed", "That is no HTTP request; see /openapi.json for the routes.")

    def on_message_begin(self) -> None:
        """Notes that a head has begun."""
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {LINE: Line()}
        self._has_begun, self._head_bytes = True, 0
        self._waiting.begin(self, self.loop)

    def on_headers_complete(self) -> None:
        """Notes that it is complete, and starts the request."""
        self._has_begun = False
        self._waiting.end(self)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Goes on reading after a body that was large, or nobody would notice a caller leave."""
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Waits for the next request, which may have begun already."""
        super().on_response_complete()
        if not self.transport.is_closing() and not self.is_answering() and not self._has_begun:
            self._waiting.idle[self] = None

    def _line(self) -> Line | None:
        scope: Mapping[str, Any] = self.cycle.scope
        line: Line | None = scope["extensions"].get(LINE)
        return line
