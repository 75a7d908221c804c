"""Batches that the database reader wrote: a header line, then one row a line, as JSON."""

import json
from collections.abc import Iterator
from pathlib import Path

from agent.errors import Refused
from agent.stores.rows import Row, Table

_MAX_LINE_CHARS = 4 << 20


def read_batch(path: Path) -> Iterator[Table]:
    """Reads one batch of the spool.

    Yields:
        The one table; rows are numbered from 1, the header line not counted.

    Raises:
        Refused: `empty_file`, `wrong_kind` or `unreadable_file`; also while iterating.
    """
    lines = _lines(path)
    first = next(lines, "")
    if not first.strip():
        raise Refused("empty_file", "The batch is empty; let the reader write it again.")
    header = _header(first)
    yield Table(header, _rows(lines, header))


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as handle:
            while line := handle.readline(_MAX_LINE_CHARS):
                yield line
    except OSError as error:
        raise Refused("unreadable_file", f"The batch cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise Refused("unreadable_file", "The batch is not UTF-8; it is damaged.") from error


def _header(line: str) -> list[str]:
    value = _json(line)
    columns = value.get("columns") if isinstance(value, dict) else None
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise Refused("wrong_kind", "The file's first line is no header of the database reader.")
    return columns


def _rows(lines: Iterator[str], header: list[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        values = _json(line)
        if not isinstance(values, list) or len(values) != len(header):
            reason = "The line does not fit the batch's header; the batch is damaged."
            yield Row(number, {}, ("unreadable_row", reason))
            continue
        yield Row(number, dict(zip(header, map(_text, values), strict=True)))


def _json(line: str) -> object:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Refused(
            "unreadable_file", "A line of the batch is no JSON; it is damaged."
        ) from error
    return value


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).strip()
