"""Workbooks of the K-MELLODDY standard: merged cells and Human PK sheets."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import Refused
from agent.records import Blank, Reading, SetAside
from agent.stores.human_pk import human_pk
from agent.stores.merged import filled, spoiled_rows
from agent.stores.profile import KMELLODDY
from agent.stores.readers import read
from agent.stores.rows import Item, readings

Merge = tuple[int, int, int, int, str]

_HEADER = ("SMILES_Structure_Parent", "Test", "Test_Type", "Measurement_Value", "Measurement_Unit")
_TOP: Sequence[Merge] = ((0, 3, 0, 4, "PK_po"), (1, 3, 1, 4, "100 mg"), (0, 5, 0, 6, "PK_iv"))
_HUMAN_PK: tuple[tuple[object, ...], ...] = (
    ("Compound", "", ""),
    ("", "", "", "", "", "Clearance", "MRT"),
    ("Chemical ID", "SMILES", "Sex", "Cmax (ng/mL)", "T1/2 [h]", "(mL/min/kg)", "h", "Odd", "SD"),
    ("C1", "CCO", "M", 120, "> 3.5", 14.9, "", 7, 0.3),
    ("", "", "", "", "", "", "", "", ""),
    ("C2", "CCC", "F", "", 2, "", 5, "text", ""),
)


def _book(path: Path, name: str, rows: Sequence[Sequence[object]], merges: Sequence[Merge]) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet(name)
        for at, row in enumerate(rows):
            sheet.write_row(at, 0, row)
        for merge in merges:
            sheet.merge_range(*merge)
    return path


def _items(path: Path) -> list[Item]:
    return list(read(path, "kmelloddy", KMELLODDY))


def test_merged_identity_holds_for_all_of_its_rows(tmp_path: Path) -> None:
    rows = (_HEADER, ("CCO", "Toxicity", "hERG", 5, "uM"), ("", "", "Ames", 6, "uM"))
    merges = ((1, 0, 2, 0, "CCO"), (1, 1, 2, 1, "Toxicity"))
    first, second = _items(_book(tmp_path / "a.xlsx", "ADMET", rows, merges))
    assert isinstance(first, Reading)
    assert isinstance(second, Reading)
    assert (second.structure, second.assay.test, second.value) == ("CCO", "Toxicity", "6")
    assert second.place.row == 3


def test_blank_cells_that_are_not_merged_stay_blank(tmp_path: Path) -> None:
    rows = (_HEADER, ("CCO", "Toxicity", "hERG", 5, "uM"), ("", "", "Ames", 6, "uM"))
    _, second = _items(_book(tmp_path / "a.xlsx", "ADMET", rows, ()))
    assert isinstance(second, Reading)
    assert (second.structure, second.assay.test) == ("", "")


def test_merged_value_is_set_aside_not_repeated(tmp_path: Path) -> None:
    rows = (_HEADER, ("CCO", "Toxicity", "hERG", 5, "uM"), ("CCC", "Toxicity", "hERG", "", "uM"))
    first, second = _items(_book(tmp_path / "a.xlsx", "ADMET", rows, ((1, 3, 2, 3, "5"),)))
    assert isinstance(first, Reading)
    assert isinstance(second, SetAside)
    assert (second.code, second.place.row) == ("merged_value", 3)


def test_trailing_blank_rows_are_counted_as_blank(tmp_path: Path) -> None:
    rows = (_HEADER, ("CCO", "Toxicity", "hERG", 5, "uM"), (" ",), (" ",))
    items = _items(_book(tmp_path / "a.xlsx", "ADMET", rows, ()))
    assert [type(item) for item in items] == [Reading, Blank, Blank]


@pytest.mark.parametrize("name", ["데이터1(Human PK)", "데이터2(Human PK)"])
def test_human_pk_is_read_cell_by_cell(tmp_path: Path, name: str) -> None:
    items = _items(_book(tmp_path / "a.xlsx", name, _HUMAN_PK, _TOP))
    found = [item for item in items if isinstance(item, Reading)]
    told = [
        (r.place.row, r.assay.test_type, r.assay.readout, r.value, r.unit, r.assay.condition)
        for r in found
    ]
    assert told == [
        (4, "PK_po", "Cmax", "120", "ng/mL", "dose=100 mg; sex=male"),
        (4, "PK_po", "T1/2", "> 3.5", "h", "dose=100 mg; sex=male"),
        (4, "PK_iv", "Clearance", "14.9", "mL/min/kg", "sex=male"),
        (6, "PK_po", "T1/2", "2", "h", "dose=100 mg; sex=female"),
        (6, "PK_iv", "MRT", "5", "h", "sex=female"),
    ]
    assert {(r.assay.test, r.assay.subject) for r in found} == {("In_vivo_PK", "Human")}
    assert found[0].place.column == "PK_po / 100 mg / Cmax (ng/mL)"
    assert (found[0].compound_id, found[0].structure) == ("C1", "CCO")


def test_human_pk_account_counts_every_cell(tmp_path: Path) -> None:
    items = _items(_book(tmp_path / "a.xlsx", "데이터1(Human PK)", _HUMAN_PK, _TOP))
    asides = [item for item in items if isinstance(item, SetAside)]
    assert [(item.place.row, item.place.column, item.code) for item in asides] == [
        (4, "Odd", "unknown_column")
    ]
    assert sum(isinstance(item, Blank) for item in items) == 3 * 4 - 5


@pytest.mark.parametrize(
    "rows",
    [
        (("x",),),
        (("",), ("",), ("Chemical ID", "Cmax (ng/mL)"), ("C1", 5)),
        (("",), ("",), ("SMILES", "Comment"), ("CCO", "x")),
    ],
)
def test_human_pk_sheet_that_is_none_shows_in_the_account(
    tmp_path: Path, rows: Sequence[Sequence[object]]
) -> None:
    (item,) = _items(_book(tmp_path / "a.xlsx", "데이터1(Human PK)", rows, ()))
    assert isinstance(item, SetAside)
    assert item.code == "unread_sheet"


def test_human_pk_route_and_dose_of_a_row() -> None:
    lines = [[""], [""], ["SMILES", "Route", "Dose (mg)", "AUC0-t (ng·h/mL)"]]
    table = human_pk([*lines, ["CCO", "Oral", "50", "8"]], (), "데이터1(Human PK)")
    (found,) = readings(table, KMELLODDY, lax_columns=True)
    assert isinstance(found, Reading)
    assert (found.assay.test_type, found.assay.readout) == ("PK_po", "AUClast")
    assert (found.assay.condition, found.unit) == ("dose=50 mg", "ng·h/mL")


_CELL = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["SMILES", "Cmax (ng/mL)", "PK_iv", "10 mg", "5", "> 3", "Dose (mg)", ""]),
)
_AT = st.integers(0, 6)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.lists(_CELL, max_size=6), max_size=7),
    st.lists(st.tuples(st.tuples(_AT, _AT), st.tuples(_AT, _AT)), max_size=3),
)
def test_any_sheet_is_read(
    lines: list[list[str]], ranges: list[tuple[tuple[int, int], tuple[int, int]]]
) -> None:
    items = list(
        readings(human_pk(lines, ranges, "데이터1(Human PK)"), KMELLODDY, lax_columns=True)
    )
    assert all(isinstance(item, (Reading, SetAside, Blank)) for item in items)


def test_merged_ranges_beyond_the_sheet_are_harmless_or_refused() -> None:
    assert filled([["a", ""]], [((0, 0), (9, 9)), ((5, 5), (6, 6))]) == [["a", "a"]]
    with pytest.raises(Refused) as caught:
        spoiled_rows([((0, 0), (2**31, 0))], {0})
    assert caught.value.code == "too_many_merged"
