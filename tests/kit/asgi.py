"""One request to a plain ASGI app, without a server."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever JSON the app answers
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """Returns the value of a header that is there once."""
        (value,) = [value for key, value in self.headers if key == name]
        return value


def ask(
    app: ASGIApp,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
    method: str = "GET",
    body: bytes = b"",
) -> Answer:
    """Sends a request of HTTP/1.1 on loopback and returns the answer; a fault's, too."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 8600),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    try:
        asyncio.run(_call(app, scope, receive, send))
    except RuntimeError:
        if not sent:  # Starlette answers a fault and raises it again, for the log
            raise
    start = sent[0]
    return Answer(
        start["status"],
        [(name.decode(), value.decode("latin-1")) for name, value in start["headers"]],
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


async def _call(app: ASGIApp, *arguments: Any) -> None:  # noqa: ANN401 - what ASGI hands on
    await app(*arguments)
