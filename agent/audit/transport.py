"""Reads the courier's transport log: one JSON object a line, chained by their hashes.

`hash` is the SHA-256 of the line without it, and `prev` is the hash of the line before, so that no
line can be altered, removed or put in without breaking the chain. Whoever rewrites the whole chain,
or cuts off its end, is found by whoever kept a hash of it: `Mark`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.records import Json
from agent.wire import strict_json
from agent.wire.document import Document, Sha256

GENESIS = "0" * 64
MAX_LINE_BYTES = 16 << 10
_Natural = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Totals:
    """What the log adds up to."""

    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0


class Mark(Document):
    """How far a log was read: what follows must join here.

    Attributes:
        offset: In bytes, behind the last line that was read.
        head: The hash of that line.
        requests, bytes_up, bytes_down: What the lines up to it add up to.
    """

    offset: _Natural = 0
    head: Sha256 = GENESIS
    requests: _Natural = 0
    bytes_up: _Natural = 0
    bytes_down: _Natural = 0

    @property
    def totals(self) -> Totals:
        """The three counts together."""
        return Totals(self.requests, self.bytes_up, self.bytes_down)


@dataclass(frozen=True, slots=True)
class Carried:
    """One request of the courier's, and where the log is behind it."""

    method: str
    target: str
    bytes_up: int
    mark: Mark


def read(path: Path, mark: Mark) -> Iterator[Carried]:
    """Yields what was carried since a mark; a last line that is still being written is left.

    Raises:
        Refused: `cut_log`: the log is shorter than it was, or its line at the mark is another one;
            `broken_log`: a line is altered, missing or put in.
        OSError: The file cannot be read.
    """
    with path.open("rb") as handle:
        _check_mark(handle, mark)
        for line in handle:
            if not line.endswith(b"\n"):
                return
            try:
                fields, head, totals = check_line(line, mark.head, mark.totals)
            except Refused as error:
                number = mark.requests + 1
                raise Refused("broken_log", f"Line {number} does not follow the one before.") from (
                    error
                )
            mark = Mark(
                offset=mark.offset + len(line),
                head=head,
                requests=totals.requests,
                bytes_up=totals.bytes_up,
                bytes_down=totals.bytes_down,
            )
            method, target = str(fields.get("method")), str(fields.get("target"))
            yield Carried(method, target, _count(fields, "up"), mark)


def _check_mark(handle: BinaryIO, mark: Mark) -> None:
    """Checks that the log still has the line of the mark, and goes behind it."""
    if not mark.offset:
        return
    start = max(0, mark.offset - MAX_LINE_BYTES)
    handle.seek(start)
    known = handle.read(mark.offset - start)
    last = known[known.rfind(b"\n", 0, -1) + 1 :]
    try:
        whole = check_line(last, None, None)[1] == mark.head
    except Refused:
        whole = False
    if not whole or handle.tell() != mark.offset:
        raise Refused(
            "cut_log",
            f"The transport log had {mark.requests} lines when it was last looked at, and does not "
            "begin with them any more: it was cut or rewritten.",
        )


def check_line(
    line: bytes, head: str | None, before: Totals | None
) -> tuple[dict[str, Json], str, Totals]:
    """Checks one line by itself and, where they are given, against what came before.

    Args:
        line: With its line break.
        head: The hash of the line before.
        before: What the lines before add up to.

    Returns:
        Its fields, its hash, and what the lines add up to with it.

    Raises:
        Refused: `broken_log`, or a code of `strict_json.loads`.
    """
    fields = strict_json.loads(line)
    if not isinstance(fields, dict):
        raise Refused("broken_log", "The line is no object.")
    found = fields.pop("hash", None)
    if found != sha256_bytes(strict_json.dumps(fields)):
        raise Refused("broken_log", "The line does not fit its hash.")
    counts = [_count(fields, name) for name in ("n", "total_up", "total_down", "up", "down")]
    totals = Totals(*counts[:3])
    if head is not None and fields.get("prev") != head:
        raise Refused("broken_log", "The line names another predecessor.")
    if before is not None and totals != Totals(
        before.requests + 1, before.bytes_up + counts[3], before.bytes_down + counts[4]
    ):
        raise Refused("broken_log", "The line's totals do not add up.")
    return fields, str(found), totals


def _count(fields: dict[str, Json], name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or value < 0:
        raise Refused("broken_log", f"The line has no number {name}.")
    return value
