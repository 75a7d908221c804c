"""What every reader of CSV needs to know of a file before its rows, and refuses alike."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.errors import Refused

TOO_MANY_CELLS = "The row has more cells than the header; quote the cell with the separator."
_ENCODINGS = ("utf-8-sig", "cp949")
_CHUNK_BYTES = 1 << 20
_MAX_COLUMNS = 16_384  # Excel's own limit


def encoding_of(path: Path) -> str:
    """Returns the first encoding in which the whole file decodes: UTF-8 with or without BOM, CP949.

    Raises:
        Refused: `unreadable_file` or `unknown_encoding`.
    """
    possible = {name: codecs.getincrementaldecoder(name)() for name in _ENCODINGS}
    try:
        with path.open("rb") as handle:
            while True:
                chunk = handle.read(_CHUNK_BYTES)
                _drop_impossible(possible, chunk)
                if not chunk:
                    break
    except OSError as error:
        raise Refused("unreadable_file", f"The file cannot be read: {error.strerror}.") from error
    if not possible:
        raise Refused("unknown_encoding", "The file is neither UTF-8 nor CP949; save it as UTF-8.")
    return next(iter(possible))


def _drop_impossible(possible: dict[str, codecs.IncrementalDecoder], chunk: bytes) -> None:
    if b"\0" in chunk:
        raise Refused("unreadable_file", "The file holds NUL bytes, so it is no CSV or TSV text.")
    for name, decoder in list(possible.items()):
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError:
            del possible[name]


def separator_of(header: str, separators: Sequence[str]) -> str:
    """Returns the separator that gives the header the most cells; the first of several."""
    return max(separators, key=lambda mark: len(next(csv.reader([header], delimiter=mark))))


def checked(records: Iterator[list[str]]) -> Iterator[list[str]]:
    """Passes records on, and names the row that the reader stumbles at.

    Raises:
        Refused: `unreadable_file`.
    """
    row = 0
    try:
        for record in records:
            row += 1
            yield record
    except csv.Error as error:
        raise Refused(
            "unreadable_file",
            f"Row {row + 1} cannot be read ({error}); mend its quotes and export again.",
        ) from error


def bounded(header: list[str]) -> list[str]:
    """Returns the header, if it is none of a file that claims all memory.

    Raises:
        Refused: `too_many_columns`.
    """
    if len(header) > _MAX_COLUMNS:
        raise Refused("too_many_columns", f"The file has over {_MAX_COLUMNS} columns.")
    return header
