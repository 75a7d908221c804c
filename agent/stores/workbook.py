"""The K-MELLODDY workbook: which sheets hold data, and in which row their header stands."""

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook

from agent.errors import Refused
from agent.stores.rows import Row, Table

HEADER_ROWS = {"데이터": 2, "ADMET": 1, "PK": 1}
"""Sheets that hold data, with the row of their header as a person counts it."""

_UNREAD_PREFIX = "데이터"
_MAX_INTEGER = 1e15  # above it a double does not hold every integer

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.timedelta


def read_workbook(path: Path) -> Iterator[Table]:
    """Reads the data sheets of a standard workbook.

    Yields:
        One table a data sheet. A sheet that looks like data but cannot be read yet (Human PK)
        becomes a table with a single faulty row, so that it shows in the account.

    Raises:
        Refused: `empty_file`, `unreadable_file` or `missing_sheet`.
    """
    try:
        if path.stat().st_size == 0:
            raise Refused("empty_file", "The workbook is empty; save it again.")
        with CalamineWorkbook.from_path(str(path)) as book:
            known = [name for name in book.sheet_names if name.strip() in HEADER_ROWS]
            if not known:
                raise Refused(
                    "missing_sheet",
                    f"The workbook has none of the sheets {', '.join(HEADER_ROWS)}.",
                )
            yield from _tables(book, known)
            yield from (_unread(name) for name in book.sheet_names if _looks_like_data(name))
    except (CalamineError, OSError) as error:
        raise Refused(
            "unreadable_file",
            "The workbook is damaged, protected or cut short; save it again as .xlsx.",
        ) from error


def _tables(book: CalamineWorkbook, names: list[str]) -> Iterator[Table]:
    filled = 0
    for name in names:
        lines: list[list[Cell]] = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        if lines:  # a template's second sheet is often left empty
            filled += 1
            yield _sheet(lines, name)
    if not filled:
        raise Refused("empty_file", f"The sheets {', '.join(names)} are empty; fill one of them.")


def _looks_like_data(name: str) -> bool:
    return name.strip().startswith(_UNREAD_PREFIX) and name.strip() not in HEADER_ROWS


def _unread(name: str) -> Table:
    reason = f"The sheet {name!r} is not read yet; give its measurements on the sheet 데이터."
    header = ["SMILES_Structure_Parent", "Measurement_Value"]
    return Table(header, [Row(1, {}, ("unread_sheet", reason))], sheet=name)


def _sheet(lines: Sequence[Sequence[Cell]], name: str) -> Table:
    header_row = HEADER_ROWS[name.strip()]
    if len(lines) < header_row:
        raise Refused(
            "missing_column", f"The sheet {name!r} has no header in its row {header_row}."
        )
    header = [to_text(cell) for cell in lines[header_row - 1]]
    return Table(header, _rows(lines[header_row:], header, header_row + 1), sheet=name)


def _rows(lines: Sequence[Sequence[Cell]], header: list[str], first: int) -> Iterator[Row]:
    for number, line in enumerate(lines, start=first):
        yield Row(number, dict(zip(header, map(to_text, line), strict=False)))


def to_text(cell: Cell) -> str:
    """Writes a cell as a person typed it: no `.0` behind integers, dates in ISO order."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _MAX_INTEGER:
        return str(int(cell))
    if isinstance(cell, (datetime.datetime, datetime.date, datetime.time)):
        return cell.isoformat()
    return str(cell).strip()
