"""The clerk's process, as the process that answers HTTP sees it."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from agent.errors import Refused
from agent.serving.problems import Problem

COMMAND = (sys.executable, "-m", "agent.serving.batch.clerk")
_READ_BYTES = 1 << 18
_POLL_S = 0.01


class _Ended(Exception):
    """The process ended before it was done."""


async def parts(job: Path) -> AsyncGenerator[int, None]:
    """Cuts a job's file and yields the rows of each part as it is there.

    Raises:
        Refused: The file cannot be used.
        Problem: 500 `unreadable_file`: the process ended without a word: for want of memory,
            perhaps.
    """
    whole = False
    rest = b""
    with contextlib.suppress(_Ended):
        async for piece in _output(["split", str(job)]):
            *lines, rest = (rest + piece).split(b"\n")
            for line in map(json.loads, lines):
                if "refused" in line:
                    raise Refused(*line["refused"])
                whole = whole or "whole" in line
                if "rows" in line:
                    yield line["rows"]
    if not whole:
        sentence = "The process that reads the file ended; cut the file up, or export it as CSV."
        raise Problem(500, "unreadable_file", sentence)


async def rendered(job: Path, arguments: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """Yields the answer of a job as it is written.

    Raises:
        Problem: 500 `internal`: the process ended before all was written.
    """
    try:
        async for piece in _output(["render", str(job), *arguments]):
            yield piece
    except _Ended:
        sentence = "Predict met a fault of its own; its log says where."
        raise Problem(500, "internal", sentence) from None


async def _output(arguments: Sequence[str]) -> AsyncGenerator[bytes, None]:
    # A socket pair instead of a pipe: no child watcher, which only the main thread may have.
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                [*COMMAND, *arguments], stdout=theirs.fileno(), stdin=subprocess.DEVNULL
            )
        except OSError:
            ours.close()
            raise
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_READ_BYTES)
    try:
        while piece := await reader.read(_READ_BYTES):
            yield piece
        while process.poll() is None:
            await asyncio.sleep(_POLL_S)
        if process.returncode:
            raise _Ended
    finally:
        writer.close()
        process.kill()
        await asyncio.shield(_gone(process))


async def _gone(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        await asyncio.sleep(_POLL_S)
