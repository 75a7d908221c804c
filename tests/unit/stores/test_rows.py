import pytest

from agent.errors import Refused
from agent.records import Blank, Reading, SetAside
from agent.stores.profile import KMELLODDY, AssayColumn, Columns, Profile
from agent.stores.rows import Row, Table, normalized_header, readings

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


@pytest.mark.parametrize(("value", "count"), [("[6,2]", 2), ("[6,]", 1), ("[,2]", 1)])
def test_each_direction_is_counted(value: str, count: int) -> None:
    items = list(readings(_table(["S", "V", "Q", "U"], ("CCO", value, "", "")), _LONG))
    assert len(items) == count
    assert all(isinstance(item, SetAside) and item.code == "directional_value" for item in items)


def test_directions_in_columns_of_their_own() -> None:
    header = ["SMILES_Structure_Parent", "Measurement_Value", "Measurement_Value(AtoB)"]
    items = list(readings(_table(header, ("CCO", "", "6")), KMELLODDY, lax_columns=True))
    assert [item.code for item in items if isinstance(item, SetAside)] == ["directional_value"]


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
