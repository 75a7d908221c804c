"""CSV and TSV, streamed, with everything as text.

The standard library's reader is used rather than Polars: it names the row of each fault and lets
one ragged row be set aside, where Polars refuses the file (or cuts the row without a word).
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from agent.errors import Refused
from agent.stores.delimited import (
    TOO_MANY_CELLS,
    bounded,
    checked,
    encoding_of,
    separator_of,
)
from agent.stores.rows import Row, Table

_SEPARATORS = (",", ";", "\t")
_SNIFF_CHARS = 1 << 16
_MAX_LINE_CHARS = 16 << 20  # a row as wide as Excel allows, a thousand characters a cell


def read_table(path: Path, header_row: int | None = None) -> Iterator[Table]:
    """Reads one CSV or TSV file (comma, semicolon or tab; UTF-8 with or without BOM, CP949).

    Args:
        path: The file.
        header_row: The header's row as a person counts it; else the first that is not blank.

    Yields:
        The one table; its rows are read while the caller iterates.

    Raises:
        Refused: `empty_file`, `too_many_columns` or as `encoding_of`; also while iterating.
    """
    encoding = encoding_of(path)
    try:
        with path.open(encoding=encoding, newline="") as handle:
            yield _table(handle, header_row)
    except OSError as error:
        raise Refused("unreadable_file", f"The file cannot be read: {error.strerror}.") from error


def _table(handle: TextIO, header_row: int | None) -> Table:
    head = handle.read(_SNIFF_CHARS)
    if not head.strip():
        raise Refused("empty_file", "The file is empty; export it again.")
    handle.seek(0)
    # strict: an unclosed quote is a fault, not a cell that swallows the rest of the file.
    records = csv.reader(_lines(handle), delimiter=_separator(head, header_row), strict=True)
    numbered = enumerate(checked(records), start=1)
    for number, cells in numbered:
        if any(cell.strip() for cell in cells) if header_row is None else number == header_row:
            header = _header(cells)
            return Table(header, _rows(numbered, header))
    raise Refused("empty_file", "The file has no header; export it again.")


def _separator(head: str, header_row: int | None) -> str:
    lines = head.splitlines()
    filled = (line for line in lines[(header_row or 1) - 1 :] if line.strip())
    header = next(filled, "")
    return separator_of(header, _SEPARATORS)


def _lines(handle: TextIO) -> Iterator[str]:
    try:
        while line := handle.readline(_MAX_LINE_CHARS):
            if len(line) == _MAX_LINE_CHARS:
                raise Refused(
                    "unreadable_file",
                    f"A line has over {_MAX_LINE_CHARS} characters; it is no table.",
                )
            yield line
    except (OSError, UnicodeDecodeError) as error:  # the disk, or somebody writes into the file
        raise Refused(
            "unreadable_file", "The file changed or went away while it was read; drop it again."
        ) from error


def _header(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells.pop()
    return [cell.strip() for cell in bounded(cells)]


def _rows(numbered: Iterator[tuple[int, list[str]]], header: list[str]) -> Iterator[Row]:
    width = len(header)
    for number, record in numbered:
        stripped = [cell.strip() for cell in record]
        cells = dict(zip(header, stripped, strict=False))
        if len(record) > width and any(stripped[width:]):
            yield Row(number, cells, ("too_many_cells", TOO_MANY_CELLS))
        else:
            yield Row(number, cells)
