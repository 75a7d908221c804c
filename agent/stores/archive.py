"""A look into a workbook before it is opened: what would harm is refused, what spoils is found.

A workbook is a ZIP archive of XML (ECMA-376). Its reader holds a sheet as one dense block, so a
few bytes can claim the memory of the whole host: by deflating well, or by naming a far cell.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path

from agent.errors import Refused

MAX_UNPACKED_BYTES = 512 << 20
MAX_COLUMNS = 16_384  # Excel's own limit
MAX_ROWS = 1_048_576
MAX_CELLS = 20_000_000

_CHUNK_BYTES = 1 << 20
_CARRIED_BYTES = 1 << 16
_ENDLESS = 1 << 62
_MOST_SIGNS = 12
_NO_RESULT = "(formula without a result)"
_MARKUP = (".xml", ".rels")
_PLACE = re.compile(rb"\sr\s*=\s*[\"']([A-Za-z]*)([0-9]+)[\"']")
_ROW = re.compile(rb"<(?:\w+:)?row[\s/>]")
_START = re.compile(rb"<(?:\w+:)?c[\s/>]")
_DECLARATION = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_CELL = re.compile(rb"<c\s([^<>]*[^<>/])>(.*?)</c>", re.DOTALL)
_REFERENCE = re.compile(rb"\br=[\"']([A-Za-z]+)([0-9]+)[\"']")
_RESULT = re.compile(rb"<v[^<>]*>([^<]+)</v>|<t[\s>]")
_SHEET = re.compile(rb"<sheet\s([^<>]*)>")
_RELATION = re.compile(rb"<Relationship\s([^<>]*)>")
_ATTRIBUTE = re.compile(r"([\w:]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")


@dataclass(slots=True)
class _Extent:
    """How far the cells of one part of the archive reach."""

    columns: int = 1
    rows: int = 1

    def widen(self, text: bytes) -> None:
        """Takes in the cells of another piece, whether they name their places or follow on."""
        places = _PLACE.findall(text)
        self.columns = max([self.columns, *map(_column, {column for column, _ in places})])
        self.rows = max([self.rows, *map(_row, {row for _, row in places})])
        self.columns = max(self.columns, *(len(_START.findall(row)) for row in _ROW.split(text)), 1)

    def check(self) -> None:
        """Refuses a part that would not fit into memory as one block."""
        if self.columns > MAX_COLUMNS:
            raise Refused("too_many_columns", f"A sheet has over {MAX_COLUMNS} columns.")
        if self.rows > MAX_ROWS or self.columns * self.rows > MAX_CELLS:
            raise Refused(
                "too_many_cells", f"A sheet spans over {MAX_CELLS} cells; export it as CSV."
            )


@dataclass(slots=True)
class _Part:
    extent: _Extent = field(default_factory=_Extent)
    spoiled: dict[tuple[int, int], str] = field(default_factory=dict)


Spoiled = Mapping[str, Mapping[tuple[int, int], str]]
"""By sheet, then by row and column (from 0): cells with an error, or a formula never computed."""


def inspect(path: Path) -> Spoiled:
    """Unpacks a workbook once, keeping nothing.

    Returns:
        What stands in cells that the reader would show as empty: an error such as `#DIV/0!`, or a
        formula whose result was never stored. They must not count as blank.

    Raises:
        Refused: `empty_file`, `unreadable_file` (damaged, protected, or with XML declarations
            that an attack would use), `too_large`, `too_many_columns`, `too_many_cells`, `macros`.
    """
    try:
        if path.stat().st_size == 0:
            raise Refused("empty_file", "The workbook is empty; save it again.")
        with zipfile.ZipFile(path) as archive:
            return _inspected(archive)
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise damaged() from error
    except (zipfile.BadZipFile, zlib.error, zipfile.LargeZipFile) as error:
        raise damaged() from error


def damaged() -> Refused:
    """Returns the refusal of a workbook that cannot be opened."""
    return Refused(
        "unreadable_file",
        "The workbook is damaged, protected or cut short; save it again as .xlsx.",
    )


def _inspected(archive: zipfile.ZipFile) -> Spoiled:
    unpacked, parts = 0, {}
    for entry in archive.infolist():
        if entry.filename.lower().endswith("vbaproject.bin"):
            raise Refused("macros", "The workbook holds macros; save it as .xlsx without them.")
        part = parts[entry.filename] = _Part()
        for fresh, text in _chunks(archive, entry):
            unpacked += fresh
            if unpacked > MAX_UNPACKED_BYTES:
                size = f"{MAX_UNPACKED_BYTES >> 20} MB"
                raise Refused(
                    "too_large", f"The workbook unpacks to over {size}; export it as CSV."
                )
            _look_at(text, part, markup=entry.filename.lower().endswith(_MARKUP))
    spoiled = {name: part.spoiled for name, part in parts.items() if part.spoiled}
    return _by_sheet(archive, spoiled) if spoiled else {}


def _chunks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[tuple[int, bytes]]:
    """Yields pieces with the end of the one before, so that no cell is cut in all of them."""
    entry.file_size = _ENDLESS  # the size that the archive states may be a lie
    carried = b""
    with archive.open(entry) as handle:
        while chunk := handle.read(_CHUNK_BYTES):
            text = carried + chunk
            yield len(chunk), text
            carried = text[max(text.rfind(b"<c "), len(text) - _CARRIED_BYTES, 0) :]


def _look_at(text: bytes, part: _Part, *, markup: bool) -> None:
    if markup and _DECLARATION.search(text):
        raise Refused(
            "unreadable_file", "The workbook's XML declares entities; save it again in Excel."
        )
    part.extent.widen(text)
    part.extent.check()
    if b"<f" in text or b't="e"' in text:
        part.spoiled.update(_spoiled(text))


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters.upper()[:_MOST_SIGNS]:
        number = number * 26 + letter - 64
    return number


def _row(digits: bytes) -> int:
    # The reader lets a longer number run over, to anywhere.
    return int(digits[:_MOST_SIGNS])


def _spoiled(text: bytes) -> Iterator[tuple[tuple[int, int], str]]:
    for attributes, inside in _CELL.findall(text):
        failed = b't="e"' in attributes
        result = _RESULT.search(inside)
        if not failed and (b"<f" not in inside or result):
            continue
        where = _REFERENCE.search(attributes)
        if where:
            said = result[1].decode(errors="replace") if result and result[1] else _NO_RESULT
            yield (int(where[2]) - 1, _column(where[1]) - 1), said


def _by_sheet(
    archive: zipfile.ZipFile, spoiled: Mapping[str, dict[tuple[int, int], str]]
) -> Spoiled:
    """Finds the sheet's name of each part, through the workbook's relations."""
    targets = {}
    for attributes in _RELATION.findall(archive.read("xl/_rels/workbook.xml.rels")):
        found = _attributes(attributes)
        targets[found.get("Id", "")] = "xl/" + found.get("Target", "").removeprefix("/xl/")
    names = {}
    for attributes in _SHEET.findall(archive.read("xl/workbook.xml")):
        found = _attributes(attributes)
        names[targets.get(found.get("r:id", ""), "")] = unescape(found.get("name", ""))
    return {names[part]: cells for part, cells in spoiled.items() if part in names}


def _attributes(text: bytes) -> dict[str, str]:
    found = _ATTRIBUTE.findall(text.decode(errors="replace"))
    return {name: double or single for name, double, single in found}
