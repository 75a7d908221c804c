"""A small app behind predict's guards, over real sockets, with limits that a test can wait for."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import Receive, Scope, Send

from agent.serving import connections
from agent.serving.connections import Limits
from agent.serving.patience import Patience, Terms


@dataclass
class Echo:
    """Answers the number of bytes that it was sent; `/long` never answers by itself."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        total, more = 0, True
        while more:
            message = await receive()
            total += len(message.get("body", b""))
            more = message.get("more_body", False)
        self.asked.set()
        if scope["path"] == "/long":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        body = str(total).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def guarded(echo: Echo, limits: Limits, terms: Terms | None = None) -> Iterator[int]:
    """Runs it; yields its port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(
        Patience(echo, terms),
        http=connections.protocol(limits),  # type: ignore[arg-type]  # called like the class
        log_config=None,
        lifespan="off",
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def caller(port: int, sent: bytes = b"") -> socket.socket:
    """Returns a connection that has sent this much."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(sent)
    return made


def answers(connection: socket.socket, count: int = 1) -> bytes:
    """Returns what comes until so many of them said that they were sent nothing."""
    got = bytearray()
    while got.count(b"\r\n\r\n0") < count:
        part = connection.recv(65_536)
        assert part, bytes(got)
        got += part
    return bytes(got)


def rest(connection: socket.socket) -> bytes:
    """Returns all that comes until the other end closes."""
    got = bytearray()
    try:
        while part := connection.recv(65_536):
            got += part
    except ConnectionResetError:
        pass
    connection.close()
    return bytes(got)
