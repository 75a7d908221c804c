"""The K-MELLODDY workbook: which sheets hold data, and in which row their header stands."""

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

from python_calamine import CalamineError, CalamineWorkbook

from agent.errors import Refused
from agent.stores.binding import normalized_header
from agent.stores.human_pk import human_pk
from agent.stores.merged import Ranges, below, filled, spoiled_rows
from agent.stores.rows import Row, Table

HEADER_ROWS = {"데이터": 2, "ADMET": 1, "PK": 1}
"""Sheets that hold data, with the row of their header as a person counts it."""

_UNREAD_PREFIX = "데이터"
_HUMAN_PK = "human pk"
_VALUES = tuple(
    map(
        normalized_header,
        ("Measurement_Value", "Measurement_Value(AtoB)", "Measurement_Value(BtoA)"),
    )
)
_MAX_INTEGER = 1e15  # above it a double does not hold every integer

Cell = int | float | str | bool | datetime.time | datetime.date | datetime.timedelta


def read_workbook(path: Path) -> Iterator[Table]:
    """Reads the data sheets of a standard workbook.

    Yields:
        One table a data sheet; Human PK sheets, which are wide, come as long ones. A sheet
        that looks like data but is neither becomes a table with a single faulty row, so that
        it shows in the account.

    Raises:
        Refused: `empty_file`, `unreadable_file` or `missing_sheet`.
    """
    try:
        if path.stat().st_size == 0:
            raise Refused("empty_file", "The workbook is empty; save it again.")
        with CalamineWorkbook.from_path(str(path)) as book:
            known = [name for name in book.sheet_names if _is_known(name)]
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
    count = 0
    for name in names:
        sheet = book.get_sheet_by_name(name)
        lines: list[list[Cell]] = sheet.to_python(skip_empty_area=False)
        if not lines:  # a template's second sheet is often left empty
            continue
        count += 1
        texts = [list(map(to_text, line)) for line in lines]
        ranges: Ranges = sheet.merged_cell_ranges or []
        yield human_pk(texts, ranges, name) if _is_human_pk(name) else _sheet(texts, ranges, name)
    if not count:
        raise Refused("empty_file", f"The sheets {', '.join(names)} are empty; fill one of them.")


def _is_human_pk(name: str) -> bool:
    return name.strip().startswith(_UNREAD_PREFIX) and _HUMAN_PK in name.lower()


def _is_known(name: str) -> bool:
    return name.strip() in HEADER_ROWS or _is_human_pk(name)


def _looks_like_data(name: str) -> bool:
    return name.strip().startswith(_UNREAD_PREFIX) and not _is_known(name)


def _unread(name: str) -> Table:
    reason = f"The sheet {name!r} is not read; give its measurements on the sheet 데이터."
    header = ["SMILES_Structure_Parent", "Measurement_Value"]
    return Table(header, [Row(1, {}, ("unread_sheet", reason))], sheet=name)


def _sheet(lines: Sequence[list[str]], ranges: Ranges, name: str) -> Table:
    header_row = HEADER_ROWS[name.strip()]
    if len(lines) < header_row:
        raise Refused(
            "missing_column", f"The sheet {name!r} has no header in its row {header_row}."
        )
    header = lines[header_row - 1]
    values = {at for at, text in enumerate(header) if normalized_header(text) in _VALUES}
    down = below(ranges, header_row)
    body = filled(lines, [entry for entry in down if entry[0][1] not in values])
    return Table(header, _rows(body, header, header_row, spoiled_rows(down, values)), sheet=name)


def _rows(
    lines: Sequence[Sequence[str]], header: list[str], skipped: int, spoiled: frozenset[int]
) -> Iterator[Row]:
    for at in range(skipped, len(lines)):
        cells = dict(zip(header, lines[at], strict=False))
        reason = "Its value is merged with the row above; unmerge it and give each row its own."
        yield Row(at + 1, cells, ("merged_value", reason) if at in spoiled else None)


def to_text(cell: Cell) -> str:
    """Writes a cell as a person typed it: no `.0` behind integers, dates in ISO order."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < _MAX_INTEGER:
        return str(int(cell))
    if isinstance(cell, (datetime.datetime, datetime.date, datetime.time)):
        return cell.isoformat()
    return str(cell).strip()
