import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Refused
from agent.serving.batch.tables import Format, Line, look, open_sheet
from tests.kit.batches import as_csv, as_xlsx, zip_bomb


def _read(path: Path, content: bytes, fmt: Format | None = None) -> tuple[list[str], list[Line]]:
    path.write_bytes(content)
    for sheet in open_sheet(path, fmt):
        lines = list(sheet.lines)
        return sheet.header, lines
    raise AssertionError


def _code(path: Path, content: bytes, fmt: Format | None = None) -> str:
    with pytest.raises(Refused) as refused:
        _read(path, content, fmt)
    return refused.value.code


@pytest.mark.parametrize(
    ("head", "fmt"),
    [
        (b"PK\x03\x04rest", "xlsx"),
        (b"name\n  x\n\n  0  0\nM  END\n$$$$\n", "sdf"),
        (b"id,smiles\n1,CCO\n", "csv"),
        (b"id;smiles\n1;CCO\n", "csv"),
        (b"id\tsmiles\tname\n", "csv"),
        (b"SMILES\nCCO\n", "csv"),
        (b"CCO ethanol\n", "smi"),
        (b"CCO\tethanol\n", "smi"),
        (b"CCO\n", "smi"),
    ],
)
def test_the_beginning_tells_the_format(head: bytes, fmt: str) -> None:
    assert look(head) == fmt


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=8))
def test_the_cells_of_a_csv_come_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    header, lines = _read(path, as_csv([["a", "b", "c"], *rows, ["end", "", ""]]), "csv")
    assert header == ["a", "b", "c"]
    assert [line.cells for line in lines] == [*rows, ["end", "", ""]]
    assert not any(line.fault for line in lines)


def test_rows_that_are_too_long_too_short_or_blank_keep_their_places(tmp_path: Path) -> None:
    content = b"a,b\n1,2\n\n3\n4,5,6\n7,8,\n\n\n"
    _, lines = _read(tmp_path / "x", content)
    assert [line.cells for line in lines] == [["1", "2"], [], ["3"], ["4", "5"], ["7", "8"]]
    assert [bool(line.fault) for line in lines] == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b" \n\n", "empty_file"),
        (b'a,b\n"open,1\n2,3\n', "unreadable_file"),
        (b"a,b\n1,\0\n", "unreadable_file"),
        (b"a,b\n1,\xff\xff\n", "unknown_encoding"),
        (b"PK\x03\x04nonsense", "unreadable_file"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    assert _code(tmp_path / "x", content) == code


def test_korean_files_of_either_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "cp949"):
        header, lines = _read(tmp_path / "x", "구조,이름\nCCO,에탄올\n".encode(encoding))
        assert (header, lines[0].cells) == (["구조", "이름"], ["CCO", "에탄올"])


def test_smiles_lines_with_and_without_a_header(tmp_path: Path) -> None:
    header, lines = _read(tmp_path / "x", b"CCO ethyl alcohol\nCCN\n\nC\tmethane\n")
    assert header == ["smiles", "name"]
    wanted = [["CCO", "ethyl alcohol"], ["CCN", ""], ["", ""], ["C", "methane"]]
    assert [line.cells for line in lines] == wanted
    header, lines = _read(tmp_path / "x", b"SMILES ID\nCCO 1\n", "smi")
    assert (header, [line.cells for line in lines]) == (["SMILES", "ID"], [["CCO", "1"]])


RECORDS = (
    "one\n prog\n\n  0  0\nM  END\n>  <a>\n1\n\n> 2 <b c> (x)\nline\nnext\n\n$$$$\n"
    "two\nno end\n$$$$\n"
    "three\n prog\n\n  0  0\nM  END\n>  <title>\nown\n\n$$$$\n"
)


def test_records_with_their_properties(tmp_path: Path) -> None:
    header, lines = _read(tmp_path / "x", RECORDS.encode(), "sdf")
    assert header == ["title", "a", "b c", "title"]
    assert [line.cells for line in lines] == [
        ["one", "1", "line\nnext"],
        ["two", "", ""],
        ["three", "", "", "own"],
    ]
    assert [bool(line.fault) for line in lines] == [False, True, False]
    assert lines[0].structure == "one\n prog\n\n  0  0\nM  END\n"
    assert "".join(f"{line.record}$$$$\n" for line in lines) == RECORDS


def test_records_are_the_same_wherever_a_read_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = RECORDS.replace("\n", "\r\n").encode() + b"last\n\n\nM  END\n"
    whole = _read(tmp_path / "x", text, "sdf")[1]
    assert len(whole) == 4
    for size in random.Random(0).sample(range(1, 60), 20):
        monkeypatch.setattr("agent.serving.batch.tables._CHUNK_BYTES", size)
        assert _read(tmp_path / "x", text, "sdf")[1] == whole


def test_a_workbooks_first_filled_sheet(tmp_path: Path) -> None:
    rows: list[list[object]] = [["id", "smiles", "n"], ["1", "CCO", 7.0], ["2", "CCN", 0.5]]
    header, lines = _read(tmp_path / "x", as_xlsx(tmp_path / "made.xlsx", rows))
    assert header == ["id", "smiles", "n"]
    assert [line.cells for line in lines] == [["1", "CCO", "7"], ["2", "CCN", "0.5"]]


@pytest.mark.slow
def test_a_zip_bomb_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    assert _code(tmp_path / "x", zip_bomb(tmp_path / "bomb.xlsx")) == "too_large"
