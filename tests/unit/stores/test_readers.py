import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import Refused
from agent.records import Blank, Reading, SetAside
from agent.stores.kinds import SUFFIXES, StoreKind, patterns
from agent.stores.profile import KMELLODDY, AssayColumn, Columns, Profile
from agent.stores.readers import is_standard, read
from agent.stores.workbook import to_text

Sheets = Mapping[str, Sequence[Sequence[object]]]

_HEADER = (
    "Chemical ID",
    "SMILES_Structure_Parent",
    "Test",
    "Test_Type",
    "Measurment_Type",
    "Measurment_Relation",
    "Measurment_Value",
    "Measurment_Unit",
)
_ROW = ("C1", "CCO", "Toxicity", "hERG", "IC50", ">", 30, "µM")
_TABLE = Profile(
    version=1,
    columns=Columns(compound="ID", structure="SMILES"),
    assay=(AssayColumn(column="logD", endpoint="logd"),),
)
_MOLBLOCK = "{title}\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n" + (
    "    0.0000    0.0000    0.0000 C   0  0\nM  END\n"
)


def _workbook(path: Path, sheets: Sheets) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
    return path


def _only(path: Path, kind: StoreKind, profile: Profile) -> Reading:
    (item,) = read(path, kind, profile)
    assert isinstance(item, Reading)
    return item


def test_new_workbook_has_its_header_in_row_two(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx", {"데이터": [("note",), _HEADER, _ROW]})
    reading = _only(path, "kmelloddy", KMELLODDY)
    assert (reading.compound_id, reading.value, reading.unit) == ("C1", "30", "µM")
    assert (reading.place.row, reading.place.sheet) == (3, "데이터")
    assert (reading.assay.test_type, reading.assay.readout) == ("hERG", "IC50")


def test_template_sheets_are_read_and_vocabulary_is_not(tmp_path: Path) -> None:
    sheets: Sheets = {
        "ADMET": [_HEADER, _ROW, ("",) * 8, _ROW],
        "PK": [_HEADER, _ROW],
        "List": [_HEADER],
    }
    items = list(read(_workbook(tmp_path / "a.xlsx", sheets), "kmelloddy", KMELLODDY))
    assert [(item.place.sheet, item.place.row) for item in items] == [
        ("ADMET", 2),
        ("ADMET", 3),
        ("ADMET", 4),
        ("PK", 2),
    ]
    assert isinstance(items[1], Blank)


def test_sheet_that_cannot_be_read_yet_shows_in_the_account(tmp_path: Path) -> None:
    sheets: Sheets = {"데이터": [("",), _HEADER, _ROW], "데이터3": [("x",)]}
    items = list(read(_workbook(tmp_path / "a.xlsx", sheets), "kmelloddy", KMELLODDY))
    (aside,) = (item for item in items if isinstance(item, SetAside))
    assert (aside.code, aside.place.sheet) == ("unread_sheet", "데이터3")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_workbook_is_refused(tmp_path: Path, kept: float) -> None:
    path = _workbook(tmp_path / "a.xlsx", {"데이터": [("",), _HEADER, _ROW]})
    os.truncate(path, int(path.stat().st_size * kept))
    with pytest.raises(Refused) as caught:
        list(read(path, "kmelloddy", KMELLODDY))
    assert caught.value.code == ("unreadable_file" if kept else "empty_file")


def test_workbook_without_data_sheet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="데이터") as caught:
        list(read(_workbook(tmp_path / "a.xlsx", {"Sheet1": []}), "kmelloddy", KMELLODDY))
    assert caught.value.code == "missing_sheet"


def test_empty_sheet_beside_a_full_one_is_passed_by(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx", {"ADMET": [_HEADER, _ROW], "PK": []})
    assert _only(path, "kmelloddy", KMELLODDY).place.sheet == "ADMET"


@pytest.mark.parametrize(
    ("rows", "code"),
    [([], "empty_file"), ([("note",)], "missing_column"), ([(), ("x",)], "missing_column")],
)
def test_sheets_without_a_header_are_refused(
    tmp_path: Path, rows: list[tuple[object, ...]], code: str
) -> None:
    with pytest.raises(Refused) as caught:
        list(read(_workbook(tmp_path / "a.xlsx", {"데이터": rows}), "kmelloddy", KMELLODDY))
    assert caught.value.code == code


def test_dates_and_whole_numbers_are_written_as_typed() -> None:
    cells = [to_text(cell) for cell in (4.0, 4.34, 1e300, True, date(2026, 1, 2), " x ")]
    assert cells == ["4", "4.34", "1e+300", "True", "2026-01-02", "x"]


def test_standard_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(_HEADER) + "\n" + ",".join(map(str, _ROW)) + "\n", encoding="utf-8")
    assert _only(path, "kmelloddy", KMELLODDY).value == "30"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_encodings_and_separators(tmp_path: Path, encoding: str, mark: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(mark.join(["ID", "SMILES", "logD"]).encode(encoding) + b"\r\n")
    with path.open("ab") as handle:
        handle.write(mark.join(["화합물", "CCO", "1.5"]).encode(encoding.replace("-sig", "")))
    reading = _only(path, "table", _TABLE)
    assert (reading.compound_id, reading.value) == ("화합물", "1.5")


def test_rows_keep_their_numbers_past_blank_and_ragged_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("ID,SMILES,logD\nA,C,1\n\nB,CC,2,9\nC,CCC\n")
    items = list(read(path, "table", _TABLE))
    assert [(type(item), item.place.row) for item in items] == [
        (Reading, 2),
        (Blank, 3),
        (SetAside, 4),
        (Blank, 5),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n \n", "empty_file"),
        (b"ID,SMILES,logD\nA,\x00,1\n", "unreadable_file"),
        (b'ID,SMILES,logD\nA,"C,1\nB,C,2\n', "unreadable_file"),
        (b"ID,SMILES,logD\nA,\xff\xff,1\n", "unknown_encoding"),
        (b"ID,SMILES\nA,C\n", "missing_column"),
        (b"ID,SMILES,logD," + b"x," * 20_000 + b"y\n", "too_many_columns"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        list(read(path, "table", _TABLE))
    assert caught.value.code == code


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), kind=st.sampled_from(["table", "sdf", "spool"]))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, kind: StoreKind) -> None:
    path = tmp_path / f"a{SUFFIXES[kind][0]}"
    path.write_bytes(b"ID,SMILES,logD\n" * (kind == "table") + content)
    try:
        items = list(read(path, kind, _TABLE))
    except Refused:
        return
    assert all(isinstance(item, (Reading, SetAside, Blank)) for item in items)


def _sdf(path: Path, *records: str) -> Path:
    path.write_text("".join(records), encoding="utf-8")
    return path


def _record(title: str, value: str) -> str:
    return f"{_MOLBLOCK.format(title=title)}> <logD>  ({title})\n{value}\n\n$$$$\n"


def test_sdf_properties_are_columns_and_the_molblock_the_structure(tmp_path: Path) -> None:
    profile = Profile(version=1, assay=_TABLE.assay)
    path = _sdf(
        tmp_path / "a.sdf", _record("화합물", "1.5"), _MOLBLOCK.format(title="B") + "$$$$\n"
    )
    first, second = read(path, "sdf", profile)
    assert isinstance(first, Reading)
    assert (first.compound_id, first.value, first.structure_format) == ("화합물", "1.5", "molblock")
    assert first.structure.endswith("M  END\n")
    assert isinstance(second, Blank)
    assert second.place.row == 2


def test_truncated_sdf_record_is_set_aside_with_its_number(tmp_path: Path) -> None:
    profile = Profile(version=1, assay=_TABLE.assay)
    path = _sdf(tmp_path / "a.sdf", _record("A", "1"), _MOLBLOCK.format(title="B")[:40])
    items = list(read(path, "sdf", profile))
    assert isinstance(items[1], SetAside)
    assert (items[1].code, items[1].place.row) == ("truncated_record", 2)


@pytest.mark.parametrize(("text", "code"), [("", "empty_file"), ("hello\n", "wrong_kind")])
def test_what_is_no_sdf_is_refused(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        list(read(_sdf(tmp_path / "a.sdf", text), "sdf", Profile(version=1, assay=_TABLE.assay)))
    assert caught.value.code == code


def test_spool_lines_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "1.ndjson"
    path.write_text('{"columns": ["ID", "SMILES", "logD"]}\n[1, "C", 2.5]\n["x"]\n[2, "C", null]\n')
    items = list(read(path, "spool", _TABLE))
    assert [type(item) for item in items] == [Reading, SetAside, Blank]
    assert isinstance(items[0], Reading)
    assert (items[0].compound_id, items[0].value, items[0].place.row) == ("1", "2.5", 1)


@pytest.mark.parametrize(
    ("text", "code"),
    [("", "empty_file"), ("[1]\n", "wrong_kind"), ('{"columns": ["ID', "unreadable_file")],
)
def test_damaged_batch_is_refused(tmp_path: Path, text: str, code: str) -> None:
    path = tmp_path / "1.ndjson"
    path.write_text(text)
    with pytest.raises(Refused) as caught:
        list(read(path, "spool", _TABLE))
    assert caught.value.code == code


@pytest.mark.parametrize("kind", list(SUFFIXES))
def test_file_of_another_kind_is_refused(tmp_path: Path, kind: StoreKind) -> None:
    with pytest.raises(Refused) as caught:
        list(read(tmp_path / "a.pdf", kind, _TABLE))
    assert caught.value.code == "wrong_kind"
    assert "*.pdf" not in patterns(kind)


def test_file_that_went_away_is_refused(tmp_path: Path) -> None:
    for kind, suffixes in SUFFIXES.items():
        for suffix in suffixes:
            with pytest.raises(Refused) as caught:
                list(read(tmp_path / f"a{suffix}", kind, _TABLE))
            assert caught.value.code == "unreadable_file"


def test_the_standard_is_told_by_sheets_and_headers(tmp_path: Path) -> None:
    book = _workbook(tmp_path / "a.xlsx", {"데이터": [("note",), _HEADER, _ROW]})
    other = _workbook(tmp_path / "b.xlsx", {"Sheet1": [_HEADER, _ROW]})
    misnamed = _workbook(tmp_path / "c.xlsx", {"PK": [("ID", "SMILES", "logD")]})
    texts = {"d.csv": ",".join(_HEADER), "e.csv": "ID,SMILES,logD", "f.sdf": "x"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    found = [is_standard(path) for path in (book, other, misnamed)]
    assert found == [True, False, False]
    assert [is_standard(tmp_path / name) for name in texts] == [True, False, False]
    (tmp_path / "g.xlsx").write_bytes(b"PK")
    with pytest.raises(Refused):
        is_standard(tmp_path / "g.xlsx")
