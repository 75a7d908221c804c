"""Messages between predict and its workers: two lengths, a JSON head, and a body of bytes.

Both ends are this program, so nothing here guards against a liar; JSON instead of pickle keeps a
worker that a hostile structure has taken over from running code in the process that is reachable.
"""

import asyncio
import json
import struct
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import Any, BinaryIO

_LENGTHS = struct.Struct("<II")

Head = dict[str, Any]
Frame = tuple[Head, bytes]


def pack(head: Mapping[str, object], body: bytes = b"") -> bytes:
    """Writes one message; head and body take up to 4 GiB each."""
    said = json.dumps(head).encode()
    return _LENGTHS.pack(len(said), len(body)) + said + body


def read(stream: BinaryIO) -> Frame | None:
    """Reads one message and waits for it.

    Returns:
        Head and body, or None where the other end has closed.
    """
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    said, rest = _LENGTHS.unpack(lengths)
    head, body = stream.read(said), stream.read(rest)
    if len(head) < said or len(body) < rest:
        return None
    return json.loads(head), body


def cut(body: bytes, lengths: Iterable[int]) -> list[bytes]:
    """Takes apart a body that was joined of parts of these lengths."""
    ends = list(accumulate(lengths, initial=0))
    return [body[start:end] for start, end in pairwise(ends)]


async def receive(stream: asyncio.StreamReader) -> Frame:
    """Reads one message.

    Raises:
        asyncio.IncompleteReadError: The other end has closed.
        OSError: The connection broke.
    """
    said, rest = _LENGTHS.unpack(await stream.readexactly(_LENGTHS.size))
    head = await stream.readexactly(said)
    return json.loads(head), await stream.readexactly(rest)
