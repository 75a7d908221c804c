from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused
from agent.records import Blank, Reading, SetAside
from agent.stores.binding import normalized_header
from agent.stores.profile import KMELLODDY, AssayColumn, AssayName, Columns, Profile
from agent.stores.rows import Row, Table, readings

_LONG = Profile(version=1, columns=Columns(structure="S", value="V", qualifier="Q", unit="U"))
_WIDE = Profile(
    version=1,
    columns=Columns(structure="S", measurement_id="ID"),
    assay=(
        AssayColumn(column="A", endpoint="a", unit="uM", qualifier_column="Aq"),
        AssayColumn(column="B", endpoint="b"),
    ),
)


def _table(header: list[str], *cells: tuple[str, ...]) -> Table:
    rows = [Row(at, dict(zip(header, line, strict=True))) for at, line in enumerate(cells, 2)]
    return Table(header, rows)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Measurment_Type", "Measurement_Type"),
        ("measurement_value ", "Measurement_Value"),
        ("Test_Subject*", "Test_Subject"),
        ("Test_Species", "Test_Subject"),
        ("Measurement_Condition**", "Measurement_Condition"),
    ],
)
def test_header_quirks_meet(written: str, meant: str) -> None:
    assert normalized_header(written) == normalized_header(meant)


def test_header_of_another_meaning_stays_apart() -> None:
    assert normalized_header("Measurement_Value(AtoB)") != normalized_header("Measurement_Value")


def test_long_rows_become_readings_and_blanks() -> None:
    table = _table(
        ["S", "V", "Q", "U"],
        ("CCO", "5", ">", "uM"),
        ("CCO", "", "Positive", ""),
        ("CCO", "", "", ""),
        ("", "", "", ""),
    )
    items = list(readings(table, _LONG))
    assert [type(item) for item in items] == [Reading, Reading, Blank, Blank]
    first = items[0]
    assert isinstance(first, Reading)
    assert (first.value, first.qualifier, first.unit, first.place.row) == ("5", ">", "uM", 2)


def test_wide_row_gives_one_item_a_cell_with_its_own_id() -> None:
    table = _table(["S", "ID", "A", "Aq", "B"], ("CCO", "m1", "3", "<", ""), ("", "", "", "", ""))
    items = list(readings(table, _WIDE))
    assert [type(item) for item in items] == [Reading, Blank, Blank, Blank]
    first = items[0]
    assert isinstance(first, Reading)
    assert (first.endpoint, first.qualifier, first.measurement_id) == ("a", "<", "m1#A")
    assert [item.place.column for item in items] == ["A", "B", "A", "B"]


def _readings(items: Iterable[object]) -> list[Reading]:
    found = list(items)
    assert all(isinstance(item, Reading) for item in found)
    return [item for item in found if isinstance(item, Reading)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[6,2]", [("(AtoB)", "6"), ("(BtoA)", "2"), ("efflux_Ratio", "0.333333")]),
        ("[6,]", [("(AtoB)", "6")]),
        ("[ , 2]", [("(BtoA)", "2")]),
        ("[>6,2]", [("(AtoB)", ">6"), ("(BtoA)", "2")]),
    ],
)
def test_each_direction_is_a_reading(value: str, expected: list[tuple[str, str]]) -> None:
    table = _table(["S", "V", "Q", "U"], ("CCO", value, "", "cm/s"))
    found = _readings(readings(table, _LONG))
    assert [(entry.assay.readout, entry.value) for entry in found] == expected
    assert [entry.unit for entry in found if entry.derived] == ["ratio"] * (len(found) // 3)


def test_directions_without_any_value_are_blank() -> None:
    (item,) = readings(_table(["S", "V", "Q", "U"], ("CCO", "[,]", "", "")), _LONG)
    assert isinstance(item, Blank)


_PERMEABILITY = (
    "SMILES_Structure_Parent",
    "Measurement_Type",
    "Measurement_Value",
    "Measurement_Value(AtoB)",
    "measurement_value (BtoA)",
)


@pytest.mark.parametrize(
    ("value", "a_to_b", "b_to_a"),
    [
        ("", "6", "2"),
        ("", "[6,]", "[,2]"),
        ("", "[6,2]", ""),
        ("", "[6,2]", "[6,2]"),
        ("6", "6", "2"),
    ],
)
def test_directions_in_columns_of_their_own(value: str, a_to_b: str, b_to_a: str) -> None:
    table = _table(list(_PERMEABILITY), ("CCO", "Papp", value, a_to_b, b_to_a))
    found = _readings(readings(table, KMELLODDY, lax_columns=True))
    assert [(entry.assay.readout, entry.value) for entry in found] == [
        ("Papp(AtoB)", "6"),
        ("Papp(BtoA)", "2"),
        ("efflux_Ratio", "0.333333"),
    ]


@pytest.mark.parametrize("cells", [("", "[6,2]", "[7,2]"), ("", "6", "[7,2]")])
def test_directions_that_contradict_are_set_aside(cells: tuple[str, str, str]) -> None:
    table = _table(list(_PERMEABILITY), ("CCO", "Papp", *cells))
    items = list(readings(table, KMELLODDY, lax_columns=True))
    assert len(items) >= 2
    assert all(isinstance(i, SetAside) and i.code == "conflicting_directions" for i in items)


def test_value_beside_other_directions_is_set_aside_alone() -> None:
    table = _table(list(_PERMEABILITY), ("CCO", "Papp", "9", "6", ""))
    items = list(readings(table, KMELLODDY, lax_columns=True))
    assert [type(item) for item in items] == [SetAside, Reading]


def test_permeability_table_needs_no_single_value_column() -> None:
    header = ["SMILES_Structure_Parent", "Measurement_Value(AtoB)"]
    assert len(list(readings(_table(header, ("CCO", "6")), KMELLODDY, lax_columns=True))) == 1


def _standard(**cells: str) -> Reading:
    full = {"SMILES_Structure_Parent": "CCO", "Measurement_Value": "5", **cells}
    (item,) = readings(_table(list(full), tuple(full.values())), KMELLODDY, lax_columns=True)
    assert isinstance(item, Reading)
    return item


def test_every_condition_column_is_read() -> None:
    found = _standard(
        Test="In_vivo_PK",
        Test_Type="PK_po",
        Test_Dose="3mg/kg",
        Measurement_Conc="10",
        Measurement_Temp="37℃",
        Measurement_Route="oral",
        Measurement_Sex="M",
        Measurement_Formulation="0.5% MC; suspension",
    )
    assert found.assay.condition == (
        "conc_um=10; dose=3 mg/kg; formulation=0.5% mc, suspension; sex=male; temp_c=37"
    )


def test_salt_serves_where_the_parent_is_empty() -> None:
    assert _standard(SMILES_Structure_Parent="", SMILES_Salt="CCO.Cl").structure == "CCO.Cl"
    assert _standard(SMILES_Salt="CCO.Cl").structure == "CCO"


def test_class_column_is_the_value_only_where_there_is_none() -> None:
    alone = _standard(Measurement_Value="", Measurement_Class="Positive")
    assert (alone.value, alone.assay.condition) == ("Positive", "")
    beside = _standard(Measurement_Class="Potent")
    assert (beside.value, beside.assay.condition) == ("5", "")
    apart = _standard(Measurement_Class="In vivo")
    assert (apart.value, apart.assay.condition) == ("5", "class=in vivo")


def test_contradicting_ph_sets_the_row_aside() -> None:
    header = ["SMILES_Structure_Parent", "Measurement_Value", "Test_Type", "Test_Subject"]
    table = _table(header, ("CCO", "5", "Solubility_pH7.4", "pH2.1"))
    (item,) = readings(table, KMELLODDY, lax_columns=True)
    assert isinstance(item, SetAside)
    assert item.code == "conflicting_condition"


def test_missing_columns_are_all_named() -> None:
    with pytest.raises(Refused, match="'V', 'Q'") as caught:
        list(readings(_table(["S", "U"]), _LONG))
    assert caught.value.code == "missing_column"


@pytest.mark.parametrize("header", [["S", "V", "V", "Q", "U"], ["S", "v", "V ", "Q", "U"]])
def test_two_columns_for_one_meaning_are_refused(header: list[str]) -> None:
    with pytest.raises(Refused) as caught:
        list(readings(Table(header, []), _LONG))
    assert caught.value.code == "ambiguous_column"


def test_faulty_wide_row_counts_every_cell() -> None:
    table = Table(["S", "ID", "A", "Aq", "B"], [Row(7, {}, ("too_many_cells", "Mend it."))])
    items = list(readings(table, _WIDE))
    assert [(item.place.row, item.place.column) for item in items] == [(7, "A"), (7, "B")]
    assert all(isinstance(item, SetAside) for item in items)


_ODD = Profile(
    version=1,
    date_format="%d/%m/%Y",
    missing=("NA",),
    columns=Columns(
        compound="C",
        structure="S",
        assay="A",
        value="V",
        qualifier="Q",
        unit="U",
        date="D",
        test_type="T",
        condition="K",
        label="L",
        measurement_id="ID",
        retracted="R",
    ),
    map=(
        AssayName(assay="HLM", endpoint="hlm", floor=5, ceiling=100, missing=("-99",)),
        AssayName(assay="LogD", endpoint="logd", below=("0", "BLQ"), limit=0.5),
        AssayName(assay="Sol", test="Solubility", below=("BLQ",)),
    ),
)
_HEADER = [name for name in _ODD.columns.model_dump().values() if name]
_CELLS = {
    "A": ["HLM", " hlm ", "LogD", "Sol", "none", ""],
    "V": ["5", "5.0", "１００", "0", "BLQ", "NA", "-99", "-99.0", "[6,2]", "[6,]", "> 3", ""],
    "Q": ["", "=", ">", "Positive"],
    "D": ["", "03/04/2026", "2026-04-03", "April"],
    "T": ["", "Solubility_pH7.4"],
    "K": ["", "pH 7.4", "pH 6", "note; x"],
    "L": ["", "high", "x"],
    "R": ["", "y", "1.0", "no"],
}
_LINES = st.tuples(*(st.sampled_from(_CELLS.get(name, ["", "x"])) for name in _HEADER))


@given(st.lists(_LINES, max_size=12))
def test_what_was_said_before_changes_no_row(lines: list[tuple[str, ...]]) -> None:
    whole = list(readings(_table(_HEADER, *lines), _ODD))
    alone = [item for row in _table(_HEADER, *lines).rows for item in _alone(row)]
    assert whole == alone


def _alone(row: Row) -> list[Reading | SetAside | Blank]:
    return list(readings(Table(_HEADER, [row]), _ODD))


def test_a_column_without_a_name_is_none_of_those_that_the_file_lacks() -> None:
    columns = Columns(structure="S", value="V", qualifier="Q")
    table = _table(["S", "V", ""], ("CCO", "5", ">"))
    (item,) = readings(table, Profile(version=1, columns=columns), lax_columns=True)
    assert isinstance(item, Reading)
    assert item.qualifier == ""
