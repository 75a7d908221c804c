"""Bodies that never end, come too slowly or are too large; and callers who hang up.

Plain ASGI, around everything that reads a body. uvicorn waits for one as long as the caller likes,
and goes on working for a caller who is gone.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.clock import monotonic_s
from agent.serving.bodies import MAX_BODY_BYTES
from agent.serving.connections import LINE, Line
from agent.serving.problems import Problem

_CLOSE = {"Connection": "close"}
_LINGER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What a body may take.

    Attributes:
        most_bytes: Of one body.
        streamed: Other limits, by path, of bodies that are written away as they come: they do not
            count as held.
        held_bytes: Of all bodies that are held in memory at the same time.
        idle_s: Seconds without a byte.
        grace_s: Seconds, from the first on, for which it may be as slow as it likes.
        slowest: Bytes a second that it must come to after that.
        linger_s: Seconds for which what was refused is still read, so that the refusal arrives.
    """

    most_bytes: int = MAX_BODY_BYTES
    streamed: Mapping[str, int] = field(default_factory=dict)
    held_bytes: int = 512 << 20
    idle_s: float = 20.0
    grace_s: float = 30.0
    slowest: int = 8192
    linger_s: float = 5.0


class Patience:
    """Answers 408, 413 or 503 instead of waiting, and cancels what nobody waits for.

    Args:
        app: What answers; it makes an answer of a `Problem` that its `receive` raises.
        terms: What a body may take.
    """

    def __init__(self, app: ASGIApp, terms: Terms | None = None) -> None:
        self._app = app
        self._terms = terms or Terms()
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(self, self._terms, scope, receive)
        line: Line = (scope.get("extensions") or {}).get(LINE) or Line()
        task = asyncio.current_task()
        line.lost = task.cancel if task else None
        try:
            await self._answer(scope, body, _Closing(body, receive, send, self._terms.linger_s))
        except asyncio.CancelledError:
            if not line.is_lost or task is None:
                raise
            task.uncancel()  # there is nobody to tell
        finally:
            line.lost = None
            self._held -= body.held

    async def _answer(self, scope: Scope, body: "_Body", send: "_Closing") -> None:
        try:
            body.check_announced()
            await self._app(scope, body.receive, send)
        except Problem as problem:
            if send.started:
                raise
            await problem.response()(scope, body.receive, send)

    def hold(self, size: int) -> None:
        """Counts what is held.

        Raises:
            Problem: 503 `busy`.
        """
        self._held += size
        if self._held > self._terms.held_bytes:
            sentence = "Too many large bodies come at once; try again in a while."
            raise Problem(503, "busy", sentence, {"Retry-After": "5", **_CLOSE})


class _Body:
    """One request's body as it comes."""

    def __init__(self, patience: Patience, terms: Terms, scope: Scope, receive: Receive) -> None:
        self.held = 0
        self.refused = False
        self._patience, self._terms = patience, terms
        self._receive = receive
        self._headers = scope["headers"]
        own = terms.streamed.get(scope["path"])
        self._is_streamed = own is not None
        self._most = terms.most_bytes if own is None else own
        self._got = 0
        self._complete = False
        self._began_s = monotonic_s()

    def check_announced(self) -> None:
        """Refuses a body that is too large before a byte of it is read.

        Raises:
            Problem: 413 `body_too_large`.
        """
        for name, value in self._headers:
            if name == b"content-length" and int(value) > self._most:
                self._refuse()

    async def receive(self) -> Message:
        """Returns the next part.

        Raises:
            Problem: 408 `too_slow`, 413 `body_too_large`, or 503 `busy`.
        """
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience_s()):
                message = await self._receive()
        except TimeoutError:
            self.refused = True
            sentence = "The body does not come, or too slowly; send it again, or less at once."
            raise Problem(408, "too_slow", sentence, _CLOSE) from None
        self._count(len(message.get("body", b"")))
        self._complete = not message.get("more_body", False)
        return message

    def _patience_s(self) -> float:
        ends_s = self._began_s + self._terms.grace_s + self._got / self._terms.slowest
        return max(min(ends_s - monotonic_s(), self._terms.idle_s), 0.0)

    def _count(self, size: int) -> None:
        self._got += size
        if self._got > self._most:
            self._refuse()
        if not self._is_streamed:
            self.held += size
            try:
                self._patience.hold(size)
            except Problem:
                self.refused = True
                raise

    def _refuse(self) -> None:
        self.refused = True
        limit = f"The body has over {self._most} bytes; send fewer structures at once."
        raise Problem(413, "body_too_large", limit, _CLOSE)


class _Closing:
    """Sends; after a refusal it reads on for a while, or a caller who sends would miss the answer.

    A socket that is closed with something unread in it resets the connection (RFC 9112, 9.6).
    """

    def __init__(self, body: _Body, receive: Receive, send: Send, linger_s: float) -> None:
        self.started = False
        self._body = body
        self._receive, self._send = receive, send
        self._linger_s = linger_s

    async def __call__(self, message: Message) -> None:
        """Sends one part."""
        self.started = True
        if not self._body.refused or message.get("more_body") or "body" not in message:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        await self._read_on()
        await self._send({"type": message["type"], "body": b"", "more_body": False})

    async def _read_on(self) -> None:
        left = _LINGER_BYTES
        try:
            async with asyncio.timeout(self._linger_s):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            return
