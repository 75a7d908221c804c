from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from agent.errors import Refused
from agent.records import Blank, Reading
from agent.stores import parquet
from agent.stores.profile import AssayColumn, Columns, Profile
from agent.stores.readers import read

_ASSAY = (AssayColumn(column="logD", endpoint="logd"),)
_COLUMNS = Columns(compound="ID", structure="SMILES", date="Date")
_ROWS = [("ID", "SMILES", "Date", "logD"), ("A", "CCO", "2026-01-02", 1.5)]


def _profile(sheet: str = "", header_row: int | None = None) -> Profile:
    return Profile(version=1, sheet=sheet, header_row=header_row, columns=_COLUMNS, assay=_ASSAY)


def _workbook(path: Path, **sheets: Sequence[Sequence[object]]) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
    return path


def _only(path: Path, profile: Profile) -> Reading:
    (item,) = read(path, "table", profile)
    assert isinstance(item, Reading)
    return item


def _code(path: Path, profile: Profile) -> str:
    with pytest.raises(Refused) as caught:
        list(read(path, "table", profile))
    return caught.value.code


def test_the_only_sheet_needs_no_name(tmp_path: Path) -> None:
    reading = _only(_workbook(tmp_path / "a.xlsx", Results=_ROWS), _profile())
    assert (reading.value, reading.place.row, reading.place.sheet) == ("1.5", 2, "Results")
    assert reading.place.column == "logD"


def test_one_of_several_sheets_must_be_named(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx", Notes=[("x",)], Results=_ROWS)
    assert _code(path, _profile()) == "missing_sheet"
    assert _code(path, _profile("Others")) == "missing_sheet"
    assert _only(path, _profile("Results")).compound_id == "A"


def test_the_header_stands_where_the_profile_says(tmp_path: Path) -> None:
    rows = [("Report of the month",), (), *_ROWS]
    path = _workbook(tmp_path / "a.xlsx", Results=rows)
    assert _code(path, _profile()) == "missing_column"
    assert _only(path, _profile(header_row=3)).place.row == 4
    assert _code(path, _profile(header_row=9)) == "empty_file"


def test_a_csv_s_header_stands_where_the_profile_says(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Report, of, the, month, of, May\n\nID;SMILES;Date;logD\nA;C;;1,5\n")
    reading = _only(path, _profile(header_row=3))
    assert (reading.value, reading.place.row) == ("1,5", 4)
    assert _code(path, _profile(header_row=9)) == "empty_file"


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.stores.tables._MAX_LINE_CHARS", 1000)
    path = tmp_path / "a.csv"
    path.write_text("ID,SMILES,Date,logD\n" + "x" * 5000)
    assert _code(path, _profile()) == "unreadable_file"


def test_a_structure_of_100_kb_is_one_row_s_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"ID,SMILES,Date,logD\nA,{'C' * 100_000},,1\nB,C,,2\n")
    assert [item.place.row for item in read(path, "table", _profile())] == [2, 3]


def test_a_path_in_a_file_s_name_leads_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "..%2f..\\etc;passwd $(x).csv"
    path.write_text("ID,SMILES,Date,logD\n../../etc/passwd,C,,1\n")
    assert _only(path, _profile()).compound_id == "../../etc/passwd"


def test_sdf_is_a_table_too(tmp_path: Path) -> None:
    block = "A\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    0.0 0.0 0.0 C\nM  END\n"
    path = tmp_path / "a.sdf"
    path.write_text(f"{block}> <logD>\n1.5\n\n$$$$\n")
    reading = _only(path, Profile(version=1, assay=_ASSAY))
    assert (reading.compound_id, reading.structure_format) == ("A", "molblock")


def _parquet(path: Path, rows: int) -> Path:
    frame = pl.DataFrame(
        {
            "ID": [f"C{at}" for at in range(rows)],
            "SMILES": ["CCO"] * rows,
            "Date": [date(2026, 1, 2)] * rows,
            "logD": [None if at % 3 == 0 else float(at) for at in range(rows)],
            "nested": [[at] for at in range(rows)],
        }
    )
    frame.write_parquet(path)
    return path


def test_parquet_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 7)
    path = _parquet(tmp_path / "a[*]=b.parquet", 50)
    items = list(read(path, "table", _profile()))
    assert [item.place.row for item in items] == list(range(1, 51))
    assert sum(isinstance(item, Blank) for item in items) == 17
    assert isinstance(items[1], Reading)
    assert (items[1].value, items[1].date, items[1].compound_id) == ("1", "2026-01-02", "C1")


@pytest.mark.parametrize("keep", [0, 4, 100, -5])
def test_a_cut_parquet_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = _parquet(tmp_path / "a.parquet", 5)
    path.write_bytes(path.read_bytes()[:keep])
    assert _code(path, _profile()) == ("unreadable_file" if keep else "empty_file")


def test_parquet_with_too_many_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_MAX_COLUMNS", 3)
    assert _code(_parquet(tmp_path / "a.parquet", 5), _profile()) == "too_many_columns"
