"""XLSX of any layout: one sheet, its header where the profile says it stands."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from agent.errors import Refused
from agent.stores.archive import MAX_COLUMNS, damaged, inspect
from agent.stores.rows import Row, Table
from agent.stores.workbook import to_text


def read_sheet(path: Path, name: str = "", header_row: int | None = None) -> Iterator[Table]:
    """Reads one sheet of a workbook.

    Args:
        path: The workbook.
        name: The sheet; may be empty where the workbook has only one.
        header_row: The header's row as a person counts it; else the first that is not blank.

    Yields:
        The one table. A cell whose formula failed keeps its error as text, so that its
        measurement is set aside and not counted as blank.

    Raises:
        Refused: What `archive.inspect` raises, or `missing_sheet`; also while iterating.
    """
    spoiled = inspect(path)
    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            sheet = book.get_sheet_by_name(_chosen(book.sheet_names, name))
            yield _table(_lines(sheet, spoiled.get(sheet.name, {})), sheet.name, header_row)
    except (CalamineError, OSError) as error:
        raise damaged() from error


def _chosen(names: Sequence[str], name: str) -> str:
    if name in names:
        return name
    if not name and len(names) == 1:
        return names[0]
    listed = ", ".join(repr(found[:40]) for found in names[:20])
    raise Refused(
        "missing_sheet",
        f"The workbook's sheets are {listed}; say in the profile which one to read (sheet).",
    )


def _lines(
    sheet: CalamineSheet, spoiled: Mapping[tuple[int, int], str]
) -> Iterator[tuple[int, list[str]]]:
    first = sheet.start[1] if sheet.start else 0  # `iter_rows` leaves out blank columns before it
    failed: dict[int, dict[int, str]] = {}
    for (row, column), said in spoiled.items():
        if column >= first:
            failed.setdefault(row, {})[column - first] = said
    for at, cells in enumerate(sheet.iter_rows()):
        texts = [to_text(cell) for cell in cells]
        for column, said in failed.get(at, {}).items():
            texts += [""] * (column + 1 - len(texts))
            texts[column] = said
        yield at + 1, texts


def _table(lines: Iterator[tuple[int, list[str]]], name: str, header_row: int | None) -> Table:
    for number, cells in lines:
        if any(cells) if header_row is None else number == header_row:
            return Table(_header(cells), _rows(lines, _header(cells)), sheet=name)
    raise Refused("empty_file", f"The sheet {name[:40]!r} has no header; correct its profile.")


def _header(cells: list[str]) -> list[str]:
    filled = [at for at, cell in enumerate(cells, start=1) if cell]
    width = max(filled, default=0)
    if width > MAX_COLUMNS:
        raise Refused("too_many_columns", f"The sheet has over {MAX_COLUMNS} columns.")
    return cells[:width]


def _rows(lines: Iterator[tuple[int, list[str]]], header: list[str]) -> Iterator[Row]:
    for number, cells in lines:
        yield Row(number, dict(zip(header, cells, strict=False)))
