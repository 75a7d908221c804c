"""SDF: one record a compound, its properties as columns, its molblock as the structure.

The records are split as text (CTfile formats, BIOVIA 2020, chapter "SDFiles"), so that a record
whose structure RDKit cannot parse keeps its properties and is set aside with its own number.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from agent.errors import Refused
from agent.stores.rows import Row, Table

MOLBLOCK = "\0molblock"
TITLE = "\0title"
"""Names that no property of a file can have."""

_PROPERTY = re.compile(r"^>.*?<([^>]*)>")
_END = "M  END"
_RECORD_END = "$$$$"
_MAX_LINES = 200_000
_MAX_LINE_CHARS = 1 << 20


def read_sdf(path: Path) -> Iterator[Table]:
    """Reads an SDF file.

    Yields:
        The one table; its header is the union of the records' property names.

    Raises:
        Refused: `empty_file`, `unreadable_file` or `wrong_kind`; also while iterating.
    """
    names = _names(path)
    yield Table([*names, MOLBLOCK, TITLE], _rows(path), "", MOLBLOCK, TITLE)


def _names(path: Path) -> list[str]:
    names: dict[str, None] = {}
    records = ends = 0
    for record in _records(path):
        records += 1
        ends += any(line.startswith(_END) for line in record)
        names.update(dict.fromkeys(_properties(record)))
    if not records:
        raise Refused("empty_file", "The file holds no record; export it again.")
    if not ends:
        raise Refused("wrong_kind", "The file holds no molblock, so it is no SDF.")
    return list(names)


def _records(path: Path) -> Iterator[list[str]]:
    """Splits the file at `$$$$`; a last record without it is kept if anything stands in it."""
    record: list[str] = []
    # latin-1 never fails; property values of other encodings are decoded in `_decoded`.
    try:
        with path.open(encoding="latin-1") as handle:
            # Never `for line in handle`: a file without line ends would be held whole.
            for line in iter(lambda: handle.readline(_MAX_LINE_CHARS), ""):
                if len(line) == _MAX_LINE_CHARS:
                    raise Refused(
                        "unreadable_file", f"A line has over {_MAX_LINE_CHARS} characters."
                    )
                if line.startswith(_RECORD_END):
                    yield record
                    record = []
                elif len(record) < _MAX_LINES:
                    record.append(line.rstrip("\n"))
                else:
                    raise Refused("unreadable_file", f"A record has over {_MAX_LINES} lines.")
    except OSError as error:
        raise Refused("unreadable_file", f"The file cannot be read: {error.strerror}.") from error
    if any(line.strip() for line in record):
        yield record


def _rows(path: Path) -> Iterator[Row]:
    for number, record in enumerate(_records(path), start=1):
        end = next((at for at, line in enumerate(record) if line.startswith(_END)), None)
        if end is None:
            reason = "The record has no end of its molblock; it was cut short or is damaged."
            yield Row(number, {}, ("truncated_record", reason))
            continue
        cells = _properties(record)
        cells[MOLBLOCK] = "\n".join(record[: end + 1]) + "\n"
        cells[TITLE] = _decoded(record[0]).strip()
        yield Row(number, cells)


def _properties(record: list[str]) -> dict[str, str]:
    cells: dict[str, str] = {}
    name = None
    for line in record:
        header = _PROPERTY.match(line)
        if header:
            name = _decoded(header.group(1)).strip()
            cells[name] = ""
        elif not line.strip():
            name = None
        elif name is not None:
            cells[name] = f"{cells[name]} {_decoded(line).strip()}".strip()
    return cells


def _decoded(text: str) -> str:
    raw = text.encode("latin-1")
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return text
