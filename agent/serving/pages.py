"""The chemists' page: files of our own, from memory, compressed once; nothing from elsewhere."""

import asyncio
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from fastapi import FastAPI, Request, Response

from agent.serving.app import Room
from agent.serving.problems import Problem

INDEX = "index.html"
_SILO = b"{{silo}}"  # the one word of the page that is the site's own
_WHERE = "/static/{path:path}"
# Asked anew each time and answered 304: after an update no browser mixes old modules with new ones.
_CACHE = "no-cache"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it is sent.

    Attributes:
        content: Its bytes.
        packed: The same, compressed.
        media_type: By its ending.
        tag: Names the content; the two forms have a tag each (RFC 9110, 8.8.3.3).
    """

    content: bytes
    packed: bytes
    media_type: str
    tag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> "Page":
        """Makes a page of a file's content."""
        packed = gzip.compress(content, 9, mtime=0)
        media_type = _TYPES[PurePosixPath(name).suffix]
        return cls(content, packed, media_type, hashlib.sha256(content).hexdigest()[:32])


class Shelf:
    """The files of the page, each read and compressed when it is first asked for.

    Args:
        silo: The company's name, shown at the top; empty for none.
    """

    def __init__(self, silo: str) -> None:
        root = files("agent.serving") / "static"
        self._sources = dict(_walk(root, PurePosixPath()))
        self._silo = escape(silo, quote=True).encode()
        self._pages: dict[str, Page] = {}

    def names(self) -> list[str]:
        """Returns the paths of all files below `static`, sorted."""
        return sorted(self._sources)

    def page(self, name: str) -> Page:
        """Returns one file.

        Raises:
            Problem: 404 `no_such_page`.
        """
        page = self._pages.get(name)
        if page is None:
            source = self._sources.get(name)
            if source is None:
                raise Problem(404, "no_such_page", "There is no such file; the page is at /.")
            content = source.read_bytes()
            if name == INDEX:
                content = content.replace(_SILO, self._silo)
            self._pages[name] = page = Page.of(name, content)
        return page


def room(silo: str = "") -> Room:
    """Returns what adds the page's routes, `/` and `/static/...`, to the app.

    Args:
        silo: The company's name, shown at the top; empty for none.
    """
    return partial(_add, shelf=Shelf(silo))


def _add(app: FastAPI, shelf: Shelf) -> None:
    methods = ["GET", "HEAD"]

    @app.api_route("/", methods=methods, include_in_schema=False, response_model=None)
    async def index(request: Request) -> Response:
        return await _answer(request, shelf, INDEX)

    @app.api_route(_WHERE, methods=methods, include_in_schema=False, response_model=None)
    async def static(request: Request, path: str) -> Response:
        return await _answer(request, shelf, path)


async def _answer(request: Request, shelf: Shelf, name: str) -> Response:
    # In a thread: compressing the editor takes 0.1 s, and zlib lets go of the GIL meanwhile.
    page = await asyncio.to_thread(shelf.page, name)
    packed = _takes_gzip(request.headers.get("accept-encoding", ""))
    tag = f'"{page.tag}-gz"' if packed else f'"{page.tag}"'
    headers = {"ETag": tag, "Cache-Control": _CACHE, "Vary": "Accept-Encoding"}
    known = request.headers.get("if-none-match", "")
    if tag in (entry.strip().removeprefix("W/") for entry in known.split(",")):
        return Response(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    content = page.packed if packed else page.content
    return Response(content, headers=headers, media_type=page.media_type)


def _takes_gzip(accepted: str) -> bool:
    for entry in accepted.split(","):
        coding, _, weight = entry.partition(";")
        if coding.strip().lower() == "gzip":
            return weight.replace(" ", "").rstrip("0.") not in ("q=",)
    return False


def _walk(folder: Traversable, at: PurePosixPath) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, at / entry.name)
        elif PurePosixPath(entry.name).suffix in _TYPES:
            yield str(at / entry.name), entry
