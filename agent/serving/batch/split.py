"""Cuts a job's file into parts: the caller's own columns, and the pieces that workers answer."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from agent.errors import Refused
from agent.files import fsync_file
from agent.records import Structure
from agent.serving.batch import choosing, folder, pieces
from agent.serving.batch.folder import ASKED, INPUT, ROWS, TABLE, Request, Table
from agent.serving.batch.tables import Format, Line, Sheet, open_sheet

MAX_ROWS = 1_000_000
RECORD = "record"  # the column of an SD file's records; all others are called by their numbers
FAULT = "fault"  # the column that says why a row as such cannot be used
_PART_BYTES = 16 << 20  # of structures, or of records: what a part takes in memory
_FORMATS: dict[str, Format] = {"csv": "csv", "sdf": "sdf", "smi": "smi", "xlsx": "xlsx"}


def split(job: Path) -> Iterator[int]:
    """Cuts a job's file; `TABLE` says that all of it is there.

    Args:
        job: The job's folder, in which there are no parts yet.

    Yields:
        The number of rows of each part, once it is on disk.

    Raises:
        Refused: The file cannot be used, or has too many rows.
        OSError: The disk is full.
    """
    request = folder.read_request(job)
    counts: list[int] = []
    for sheet in open_sheet(job / INPUT, _FORMATS.get(request.fmt)):
        if request.id and not sheet.records:
            choosing.column_named(sheet.header, request.id)  # not only after a million rows
        sample = list(itertools.islice(sheet.lines, choosing.SAMPLE))
        column = choosing.structure_column(sheet, sample, request.structure)
        for lines in _parts(itertools.chain(sample, sheet.lines), request.rows_a_part):
            if sum(counts) + len(lines) > MAX_ROWS:
                raise Refused("too_many_rows", f"The file has over {MAX_ROWS:,} rows; cut it up.")
            _write(job, len(counts), lines, column, sheet)
            counts.append(len(lines))
            yield len(lines)
        for number, kind in itertools.product(range(len(counts)), (ROWS, ASKED)):
            fsync_file(folder.part(job, number, kind))  # or a power cut leaves them empty
        folder.write(job / TABLE, _table(sheet, column, request, counts))


def _table(sheet: Sheet, column: int | None, request: Request, counts: list[int]) -> Table:
    named = choosing.column_named(sheet.header, request.id) if request.id else None
    return Table(sheet.header, column, named, counts)


def _parts(lines: Iterator[Line], most: int) -> Iterator[list[Line]]:
    part: list[Line] = []
    size = 0
    for line in lines:
        part.append(line)
        size += len(line.record) + sum(map(len, line.cells))
        if len(part) == most or size > _PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _write(job: Path, number: int, lines: list[Line], column: int | None, sheet: Sheet) -> None:
    width = len(sheet.header)
    rows = [line.cells + [""] * (width - len(line.cells)) for line in lines]
    cells = dict(zip(map(str, range(width)), zip(*rows, strict=True), strict=True))
    columns = {**cells, FAULT: [line.fault for line in lines]}
    if sheet.records:
        columns[RECORD] = [line.record for line in lines]
    frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    frame.write_parquet(folder.part(job, number, ROWS), compression="lz4", statistics=False)
    asked = [_given(line, cells, column) for line, cells in zip(lines, rows, strict=True)]
    cut = (asked[at : at + pieces.PIECE] for at in range(0, len(asked), pieces.PIECE))
    # The last to be written: once it is there, so are the rows.
    folder.part(job, number, ASKED).write_bytes(b"\n".join(map(pieces.write_piece, cut)))


def _given(line: Line, cells: list[str], column: int | None) -> tuple[str, Structure]:
    if line.fault:
        return "", line.fmt  # a structure that nobody reads; `FAULT` is what the caller is told
    if column is None:
        return line.structure, line.fmt
    text = cells[column]
    return (text, "molblock") if "M  END" in text else (text.strip(), "smiles")
