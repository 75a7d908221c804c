"""The caller's files as rows, whatever their format: every row in order, no cell altered.

CSV and SDF are read by the standard library, not by Polars, which refuses a file for one ragged
row. A row that cannot be used keeps its place and its cells, and says why.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

from python_calamine import CalamineError, CalamineWorkbook

from agent.errors import Refused
from agent.records import Structure
from agent.stores.archive import damaged, inspect
from agent.stores.delimited import (
    TOO_MANY_CELLS,
    bounded,
    checked,
    encoding_of,
    separator_of,
)

Format = Literal["csv", "sdf", "smi", "xlsx"]
_MAX_CELL_CHARS = 4 << 20
_MAX_RECORD_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_SNIFF_BYTES = 1 << 16
_SEPARATORS = (",", ";", "\t", "|")
_RECORD_END = re.compile(rb"^\$\$\$\$[^\n]*(?:\n|$)", re.MULTILINE)
_PROPERTY = re.compile(r"^>[^\n<]*<([^\n>]*)>[^\n]*\n((?:[^\n]*\S[^\n]*(?:\n|$))*)", re.MULTILINE)
_MOLBLOCK_END = re.compile(r"^M  END[^\n]*$", re.MULTILINE)
_CUT_SHORT = "The record has no end of its molblock; it was cut short or is damaged."
TITLE = "title"


class Line(NamedTuple):
    """One row.

    Attributes:
        cells: As many as the header had when the row was read, or fewer.
        structure: What a table that has a column for it leaves empty.
        fmt: How to read the structure.
        fault: Why the row as such cannot be used, or an empty text.
        record: An SD file's record as it stands there, without its end; else empty.
    """

    cells: list[str]
    structure: str = ""
    fmt: Structure = "smiles"
    fault: str = ""
    record: str = ""


@dataclass(slots=True)
class Sheet:
    """A file that is being read.

    Attributes:
        header: The columns' names; that of an SD file grows as its records bring properties.
        lines: The rows, to be read once.
        structure: The column of the structures, where the format says it.
        records: The structures are no cells but records of their own.
    """

    header: list[str]
    lines: Iterator[Line]
    structure: int | None = None
    records: bool = field(default=False)


def open_sheet(path: Path, fmt: Format | None) -> Iterator[Sheet]:
    """Reads a file.

    Args:
        path: The file.
        fmt: Its format; None looks what it is.

    Yields:
        Its one table; the rows are read while the caller iterates.

    Raises:
        Refused: `empty_file`, `unreadable_file`, `unknown_encoding`, `too_many_columns`, or a code
            of `archive.inspect`; also while iterating.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(_SNIFF_BYTES)
        if not head.strip():
            raise Refused("empty_file", "The file is empty; export it again.")
        fmt = fmt or look(head)
        if fmt == "sdf":
            yield _sdf(path)
        elif fmt == "xlsx":
            yield from _xlsx(path)
        else:
            with path.open(encoding=encoding_of(path), newline="") as text:
                yield _csv(text) if fmt == "csv" else _smi(text)
    except OSError as error:
        raise Refused("unreadable_file", f"The file cannot be read: {error.strerror}.") from error


def look(head: bytes) -> Format:
    """Tells a file's format by its beginning."""
    if head.startswith(b"PK\x03\x04"):
        return "xlsx"
    if b"M  END" in head:
        return "sdf"
    first = next((line for line in head.splitlines() if line.strip()), b"")
    words = first.split()
    if any(mark.encode() in first for mark in _SEPARATORS[:2]) or len(first.split(b"\t")) > 2:
        return "csv"
    return "csv" if len(words) == 1 and b"smiles" in first.lower() else "smi"


def _csv(text: TextIO) -> Sheet:
    head = text.read(_SNIFF_BYTES)
    text.seek(0)
    first = next((line for line in head.splitlines() if line.strip()), "")
    mark = separator_of(first, _SEPARATORS)
    csv.field_size_limit(_MAX_CELL_CHARS)
    # strict: an unclosed quote is a fault, not a cell that swallows the rest of the file.
    records = checked(csv.reader(text, delimiter=mark, strict=True))
    header = next((cells for cells in records if any(map(str.strip, cells))), [])
    return Sheet(bounded(header), _without_end(_csv_lines(records, len(header))))


def _csv_lines(records: Iterable[list[str]], width: int) -> Iterator[Line]:
    for cells in records:
        fault = TOO_MANY_CELLS if any(map(str.strip, cells[width:])) else ""
        yield Line(cells[:width], fault=fault)


def _without_end(lines: Iterable[Line]) -> Iterator[Line]:
    """Leaves out blank rows at the end of a file, and no others."""
    blank: list[Line] = []
    for line in lines:
        if line.fault or any(map(str.strip, line.cells)):
            yield from blank
            blank = []
            yield line
        else:
            blank.append(line)


def _smi(text: TextIO) -> Sheet:
    lines = _without_end(_smi_line(line) for line in iter(lambda: text.readline(1 << 20), ""))
    first = next(lines, Line([]))
    if first.cells and first.cells[0].lower() in ("smiles", "canonical_smiles"):
        return Sheet([first.cells[0], first.cells[1] or "name"], lines, structure=0)

    def whole() -> Iterator[Line]:
        yield first
        yield from lines

    return Sheet(["smiles", "name"], whole(), structure=0)


def _smi_line(line: str) -> Line:
    structure, _, name = line.rstrip("\r\n").strip(" ").replace("\t", " ", 1).partition(" ")
    return Line([structure, name])


def _xlsx(path: Path) -> Iterator[Sheet]:
    spoiled = inspect(path)  # what would unpack to more than memory is refused before it is opened
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            for name in book.sheet_names:
                rows = _xlsx_lines(book, name, spoiled.get(name, {}))
                header = next((line.cells for line in rows if any(line.cells)), None)
                if header is None:
                    continue
                yield Sheet(bounded(header), _without_end(rows))
                return
    except CalamineError as error:
        raise damaged() from error
    raise Refused("empty_file", "The workbook has no sheet with a header; fill one.")


def _xlsx_lines(
    book: CalamineWorkbook, name: str, spoiled: Mapping[tuple[int, int], str]
) -> Iterator[Line]:
    from agent.stores.workbook import to_text  # and all that it brings: for workbooks alone

    sheet = book.get_sheet_by_name(name)
    first = sheet.start[1] if sheet.start else 0  # `iter_rows` leaves out blank columns before it
    failed: dict[int, dict[int, str]] = {}
    for (row, column), said in spoiled.items():
        failed.setdefault(row, {})[column - first] = said
    for at, cells in enumerate(sheet.iter_rows()):
        texts = [to_text(cell) for cell in cells]
        for column, said in failed.get(at, {}).items():
            if 0 <= column < len(texts):
                texts[column] = said
        yield Line(texts)


def _sdf(path: Path) -> Sheet:
    columns = {TITLE: 0}
    header = [TITLE]

    def lines() -> Iterator[Line]:
        for record in _records(path):
            text = _decoded(record)
            found = {0: text.partition("\n")[0].strip()}
            end = _MOLBLOCK_END.search(text)
            for name, value in _PROPERTY.findall(text, end.end() if end else 0):
                # A property may be called as the title is, so it is told apart by a sign.
                column = columns.setdefault(f"<{name}", len(columns))
                if column == len(header):
                    header.append(name)
                found[column] = value.rstrip("\n")
            bounded(header)
            cells = [found.get(at, "") for at in range(len(header))]
            structure = text[: end.end()] + "\n" if end else ""
            yield Line(cells, structure, "molblock", "" if end else _CUT_SHORT, text)

    return Sheet(header, lines(), records=True)


def _records(path: Path) -> Iterator[bytes]:
    """Splits a file at its `$$$$` lines; a last record without one is kept if it is not blank."""
    rest = b""
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            rest += chunk
            # A last line may be cut anywhere, even in its `$$$$`.
            whole = rest.rfind(b"\n") + 1
            start = 0
            for end in _RECORD_END.finditer(rest, 0, whole):
                yield rest[start : end.start()]
                start = end.end()
            rest = rest[start:]
            if len(rest) > _MAX_RECORD_BYTES:
                raise Refused("unreadable_file", f"A record has over {_MAX_RECORD_BYTES} bytes.")
    start = 0
    for end in _RECORD_END.finditer(rest):
        yield rest[start : end.start()]
        start = end.end()
    if rest[start:].strip():
        yield rest[start:]


def _decoded(record: bytes) -> str:
    text = record.replace(b"\r\n", b"\n")
    for encoding in ("utf-8", "cp949"):
        try:
            return text.decode(encoding)
        except UnicodeDecodeError:
            continue
    return text.decode("latin-1")
