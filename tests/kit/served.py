"""A masked round's record over HTTP, from a folder as `onggi-aggregator record` writes it.

A real server answers, on loopback, as the aggregator would whose database holds just this round; it
does not ask who is there.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Records(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, *of_base: object) -> None:
        self._folder = folder
        super().__init__(*of_base)  # type: ignore[arg-type] # request, address and server

    def do_GET(self) -> None:
        _, _, kind, *rest = self.path.split("/")
        path = self._folder / (rest[0] if kind == "repository" else f"{rest[2]}.json")
        conflict = path.with_name(f"{path.name}.conflict")
        if conflict.exists():
            self._say(409, json.dumps({"code": "wrong_offset", "detail": "A conflict."}).encode())
        elif path.exists():
            self._say(200, path.read_bytes())
        else:
            self._say(404, json.dumps({"code": "no_sum", "detail": "Not summed."}).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "application/problem+json" if status != 200 else "x/y")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its signature
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a record, and gives the address; whoever puts `NAME.conflict` there gets a 409."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Records, folder)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
