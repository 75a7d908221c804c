import csv
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records import Assay, Blank, Place, Reading, SetAside
from agent.stores.meaning import Settler, Vocabulary, plain_number
from agent.stores.profile import AssayColumn, AssayName, Columns, Meaning, Profile
from agent.stores.readers import read

_NO_PROFILE = Profile(version=1, columns=Columns(value="v"))


def _reading(value: str, qualifier: str = "", unit: str = "", date: str = "") -> Reading:
    place = Place(2, "", "x")
    assay = Assay(test="x")
    return Reading("C1", "CCO", "smiles", assay, "", qualifier, value, unit, date, "7", place)


def _applied(meaning: Meaning, value: str, qualifier: str = "") -> Reading:
    item = Settler(meaning, _NO_PROFILE).settle(_reading(value, qualifier), retracted=False)
    assert isinstance(item, Reading)
    return item


@pytest.mark.parametrize(
    ("value", "qualifier", "read"),
    [
        ("3", "", "<"),
        ("3.0", "=", "<"),
        ("３", "", "<"),
        ("150", "", ">"),
        ("3.1", "", ""),
        ("3", ">", ">"),  # a qualifier that is written stands
        ("> 3", "", ""),
        ("149.99", "", ""),
    ],
)
def test_a_value_at_a_declared_limit_is_censored(value: str, qualifier: str, read: str) -> None:
    meaning = Meaning(endpoint="hlm", floor=3, ceiling=150)
    assert _applied(meaning, value, qualifier).qualifier == read


def test_a_limit_may_be_typed_with_fewer_digits() -> None:
    meaning = Meaning(endpoint="hlm", floor=0.4771212547)
    assert _applied(meaning, "0.47712125471966244").qualifier == "<"
    assert _applied(meaning, "0.4771").qualifier == ""


@pytest.mark.parametrize("value", ["NA", " na ", "-99", "-99.0"])
def test_words_that_mean_nothing_are_blank(value: str) -> None:
    meaning = Meaning(endpoint="hlm", missing=("NA", "-99"))
    item = Settler(meaning, _NO_PROFILE).settle(_reading(value), retracted=False)
    assert item == Blank(Place(2, "", "x"), "7")


@pytest.mark.parametrize("value", ["0", "0.0", "BLQ", "blq"])
def test_below_quantification_is_below_the_declared_limit(value: str) -> None:
    meaning = Meaning(endpoint="hlm", below=("0", "BLQ"), limit=0.5)
    read = _applied(meaning, value)
    assert (read.qualifier, read.value) == ("<", "0.5")


def test_below_quantification_without_a_limit_is_set_aside() -> None:
    meaning = Meaning(endpoint="hlm", below=("0",))
    item = Settler(meaning, _NO_PROFILE).settle(_reading("0"), retracted=False)
    assert isinstance(item, SetAside)
    assert item.code == "below_quantification"


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("2", "uL/min/mg", "40.0"),
        ("> 2", "uL/min/mg", ">40.0"),
        ("1,000", "uL/min/mg", "20000.0"),
        ("0", "log10 uL/min/mg", repr(math.log10(20))),
        ("< 0", "-log10 M", f"<{-math.log10(20)!r}"),
    ],
)
def test_a_factor_multiplies_or_shifts_a_logarithm(value: str, unit: str, expected: str) -> None:
    meaning = Meaning(endpoint="hlm", factor=20, factor_reason="our SOP", unit=unit)
    assert _applied(meaning, value).value == expected


def test_a_factor_never_lets_a_value_pass_without_it() -> None:
    meaning = Meaning(endpoint="hlm", factor=20, factor_reason="our SOP")
    item = Settler(meaning, _NO_PROFILE).settle(_reading("1,5"), retracted=False)
    assert isinstance(item, SetAside)
    assert item.code == "not_a_number"


@pytest.mark.parametrize(
    ("date", "date_format", "read"),
    [
        ("03/04/2026", "%d/%m/%Y", "2026-04-03"),
        ("03/04/2026", "%m/%d/%Y", "2026-03-04"),
        ("2012.0", "%Y.0", "2012-01-01"),
        ("2026-04-03T00:00:00", "%d/%m/%Y", "2026-04-03T00:00:00"),  # a workbook's real date
        ("03/04/2026", "", "03/04/2026"),
        ("", "%d/%m/%Y", ""),
    ],
)
def test_dates_are_read_as_declared(date: str, date_format: str, read: str) -> None:
    profile = Profile(version=1, columns=Columns(value="v"), date_format=date_format)
    item = Settler(None, profile).settle(_reading("1", date=date), retracted=False)
    assert isinstance(item, Reading)
    assert item.date == read


def test_a_date_of_another_form_is_set_aside() -> None:
    profile = Profile(version=1, columns=Columns(value="v"), date_format="%d/%m/%Y")
    item = Settler(None, profile).settle(_reading("1", date="April 2026"), retracted=False)
    assert isinstance(item, SetAside)
    assert item.code == "unreadable_date"


def test_the_words_of_an_assay_replace_the_column_name() -> None:
    read = _applied(Meaning(test="Solubility", test_type="Solubility_pH7.4"), "1")
    assert read.assay == Assay("Solubility", "Solubility_pH7.4")
    assert _applied(Meaning(endpoint="logd"), "1").assay == Assay("x")


def test_the_row_s_own_unit_comes_first() -> None:
    meaning = Meaning(endpoint="hlm", unit="uM")
    item = Settler(meaning, _NO_PROFILE).settle(_reading("1", unit="nM"), retracted=False)
    assert isinstance(item, Reading)
    assert item.unit == "nM"
    assert _applied(meaning, "1").unit == "uM"


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_none(text: str) -> None:
    number = plain_number(text)
    assert number is None or math.isfinite(number)
    assert Vocabulary([text]).says(text) == bool(text)


def _file(folder: Path, *rows: tuple[str, ...]) -> Path:
    path = folder / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows(rows)
    return path


def test_units_and_qualifiers_of_each_row(tmp_path: Path) -> None:
    entry = AssayColumn(
        column="Sol", endpoint="sol", unit="uM", unit_column="Unit", qualifier_column="Op"
    )
    profile = Profile(version=1, columns=Columns(structure="S"), assay=(entry,))
    path = _file(tmp_path, ("S", "Op", "Sol", "Unit"), ("C", "<", "1", "mg/L"), ("CC", "", "2", ""))
    items = [item for item in read(path, "table", profile) if isinstance(item, Reading)]
    assert [(i.qualifier, i.value, i.unit) for i in items] == [("<", "1", "mg/L"), ("", "2", "uM")]


def test_long_tables_map_assays_by_name(tmp_path: Path) -> None:
    profile = Profile(
        version=1,
        columns=Columns(structure="S", assay="Assay", value="V"),
        map=(
            AssayName(assay="HLM stability", endpoint="hlm_clint", unit="uL/min/mg", floor=3),
            AssayName(assay="logD", endpoint="logd"),
        ),
    )
    path = _file(
        tmp_path,
        ("S", "Assay", "V"),
        ("C", " hlm  Stability ", "3"),
        ("C", "LOGD", "3"),
        ("C", "hERG", "3"),
        ("C", "hERG", ""),
    )
    first, second, third, fourth = read(path, "table", profile)
    assert isinstance(first, Reading)
    assert (first.endpoint, first.qualifier, first.unit) == ("hlm_clint", "<", "uL/min/mg")
    assert isinstance(second, Reading)
    assert (second.endpoint, second.qualifier) == ("logd", "")
    assert isinstance(third, SetAside)
    assert third.code == "unmapped_assay"
    assert "'hERG'" in third.reason
    assert isinstance(fourth, Blank)


def test_flagged_rows_are_retracted(tmp_path: Path) -> None:
    profile = Profile(
        version=1,
        date_format="%d/%m/%Y",
        columns=Columns(structure="S", date="D", measurement_id="ID", retracted="Gone"),
        assay=(AssayColumn(column="V", endpoint="logd"),),
    )
    path = _file(
        tmp_path,
        ("S", "D", "ID", "Gone", "V"),
        ("C", "01/02/2026", "1", "", "1"),
        ("C", "?", "2", "Yes", "1"),
        ("C", "", "3", "no", "1"),
    )
    items = [item for item in read(path, "table", profile) if isinstance(item, Reading)]
    assert [(i.measurement_id, i.retracted) for i in items] == [
        ("1#V", False),
        ("2#V", True),
        ("3#V", False),
    ]
