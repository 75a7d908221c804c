import re
import struct
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
import xlsxwriter

from agent.errors import Refused
from agent.records import Blank, Reading
from agent.stores import archive
from agent.stores.archive import inspect
from agent.stores.profile import KMELLODDY, AssayColumn, Columns, Profile
from agent.stores.readers import read

_PROFILE = Profile(
    version=1,
    columns=Columns(compound="ID", structure="SMILES"),
    assay=(AssayColumn(column="logD", endpoint="logd"),),
)
_SHEET = "xl/worksheets/sheet1.xml"


def _workbook(path: Path) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("R&D")
        sheet.write_row(0, 0, ["ID", "SMILES", "logD"])
        sheet.write_row(1, 0, ["A", "CCO", 1.5])
    return path


def _with(path: Path, name: str, content: bytes) -> Path:
    """Replaces or adds one part of a workbook."""
    buffer = BytesIO()
    with (
        zipfile.ZipFile(path) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for entry in source.namelist():
            if entry != name:
                target.writestr(entry, source.read(entry))
        target.writestr(name, content)
    path.write_bytes(buffer.getvalue())
    return path


def _sheet(path: Path) -> bytes:
    with zipfile.ZipFile(path) as source:
        return source.read(_SHEET)


def _code(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        list(read(path, "table", _PROFILE))
    return caught.value.code


def test_a_sound_workbook_has_nothing_spoiled(tmp_path: Path) -> None:
    assert inspect(_workbook(tmp_path / "a.xlsx")) == {}


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 8 << 20)
    path = _with(_workbook(tmp_path / "a.xlsx"), "xl/sharedStrings.xml", b" " * (32 << 20))
    assert path.stat().st_size < 1 << 20
    assert _code(path) == "too_large"


def test_an_archive_that_lies_about_its_size_is_unpacked_only_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 8 << 20)
    size = 32 << 20
    path = _with(_workbook(tmp_path / "a.xlsx"), "xl/sharedStrings.xml", b" " * size)
    content = path.read_bytes()
    assert content.count(struct.pack("<L", size)) == 2  # in the entry and in the directory
    path.write_bytes(content.replace(struct.pack("<L", size), struct.pack("<L", 10)))
    assert _code(path) == "too_large"


def test_an_xml_bomb_is_refused(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx")
    bomb = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    content = _sheet(path).replace(b"<worksheet", bomb + b"<worksheet", 1)
    assert _code(_with(path, _SHEET, content)) == "unreadable_file"


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        (b"XFD1048576", "too_many_cells"),
        (b"A1048577", "too_many_cells"),
        (b"A" + b"9" * 400, "too_many_cells"),  # it would run over in the reader
        (b"ZZZZ1", "too_many_columns"),
        (b"Z" * 400 + b"1", "too_many_columns"),
        (b"A99", ""),
    ],
)
def test_a_far_cell_cannot_claim_all_memory(tmp_path: Path, cell: bytes, code: str) -> None:
    path = _workbook(tmp_path / "a.xlsx")
    far = b'<row><c r="' + cell + b'"><v>1</v></c></row></sheetData>'
    _with(path, _SHEET, _sheet(path).replace(b"</sheetData>", far))
    if code:
        assert _code(path) == code
    else:
        assert inspect(path) == {}


def test_cells_that_follow_on_count_too(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx")
    wide = b'<row r="1000000">' + b"<c><v>1</v></c>" * 100 + b"</row></sheetData>"
    assert _code(_with(path, _SHEET, _sheet(path).replace(b"</sheetData>", wide))) == (
        "too_many_cells"
    )
    many = b"<row>" + b"<c/>" * 20_000 + b"</row></sheetData>"
    path = _workbook(tmp_path / "b.xlsx")
    assert _code(_with(path, _SHEET, _sheet(path).replace(b"</sheetData>", many))) == (
        "too_many_columns"
    )


def test_macros_are_refused(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx")
    path.rename(tmp_path / "a.xlsm")
    assert _code(tmp_path / "a.xlsm") == "wrong_kind"
    (tmp_path / "a.xlsm").rename(path)
    assert _code(_with(path, "xl/vbaProject.bin", b"x")) == "macros"


def test_the_standard_workbook_is_looked_into_too(tmp_path: Path) -> None:
    path = _with(_workbook(tmp_path / "a.xlsx"), "xl/vbaProject.bin", b"x")
    with pytest.raises(Refused) as caught:
        list(read(path, "kmelloddy", KMELLODDY))
    assert caught.value.code == "macros"


def test_formulas_that_failed_are_not_blank(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("R&D <2>")
        sheet.write_row(2, 1, ["ID", "SMILES", "logD"])
        for at, result in enumerate(["#DIV/0!", "", 2], start=3):
            sheet.write_row(at, 1, [f"C{at}", "CCO"])
            sheet.write_formula(at, 3, "=1+1", None, result)
        sheet.write_row(6, 1, ["C6", "CCO"])
        sheet.write_string(6, 3, "=cmd()")
    items = list(read(path, "table", _PROFILE))
    assert not any(isinstance(item, Blank) for item in items)
    values = [item.value for item in items if isinstance(item, Reading)]
    assert values == ["#DIV/0!", "(formula without a result)", "2", "=cmd()"]
    assert [item.place.row for item in items] == [4, 5, 6, 7]


def test_cells_at_the_edge_of_a_piece_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("S")
        for at in range(200):
            sheet.write_formula(at, 0, "=1/0", None, "#DIV/0!")
    for size in (64, 97, 1024):
        monkeypatch.setattr(archive, "_CHUNK_BYTES", size)
        assert len(inspect(path)["S"]) == 200


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
def test_a_cut_archive_is_refused(tmp_path: Path, keep: int) -> None:
    path = _workbook(tmp_path / "a.xlsx")
    path.write_bytes(path.read_bytes()[:keep])
    assert _code(path) == ("unreadable_file" if keep else "empty_file")


def test_a_part_that_the_sheet_list_does_not_name_is_no_fault(tmp_path: Path) -> None:
    path = _workbook(tmp_path / "a.xlsx")
    spoiled = re.sub(rb'<c r="C2">', b'<c r="C2" t="e">', _sheet(path))
    _with(path, "xl/worksheets/other.xml", spoiled)
    assert inspect(path) == {}
