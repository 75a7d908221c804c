"""A company's proxy: it opens tunnels for those who give the password, and notes them."""

import asyncio
import base64
import threading
from contextlib import suppress
from typing import Self

_WORD = base64.b64encode(b"onggi:let-me-out").decode()


class Proxy:
    """Listens until it is left; `tunnels` names where each led to."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.port = 0
        self.tunnels: list[str] = []
        self.refused = 0
        self._server: asyncio.Server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """What HTTPS_PROXY is set to."""
        return f"http://onggi:let-me-out@{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._serve, self.host, 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, ValueError):
            head = (await near.readuntil(b"\r\n\r\n")).decode()
            if f"Basic {_WORD}" not in head:
                self.refused += 1
                out.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                await out.drain()
                return
            where = head.split(" ")[1]
            self.tunnels.append(where)
            host, port = where.rsplit(":", 1)
            far, onward = await asyncio.open_connection(host, int(port))
            out.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_carry(near, onward), _carry(far, out))
        out.close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(65_536):
            target.write(piece)
            await target.drain()
    with suppress(OSError):
        target.close()
