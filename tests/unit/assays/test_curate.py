from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assays.curate import curate, curate_in_batches, iso_date
from agent.assays.endpoints import EndpointIndex
from agent.assays.qualifiers import split
from agent.assays.structures import identify
from agent.assays.units import Joint
from agent.errors import Refused
from agent.records import (
    Assay,
    Blank,
    Compound,
    InvalidStructure,
    Place,
    Reading,
    SetAside,
    Structure,
)
from agent.wire.documents import AssayRule, Catalogue, Endpoint

_INDEX = EndpointIndex(
    Catalogue(
        consortium="c",
        version=1,
        endpoints=(
            Endpoint(
                id="herg",
                name="hERG",
                group="T",
                kind="regression",
                unit="uM",
                transform="neg_log10_molar",
                low=0.0,
                high=1000.0,
                rules=(AssayRule(test_type="hERG"),),
            ),
            Endpoint(
                id="ames",
                name="Ames",
                group="T",
                kind="classification",
                rules=(AssayRule(test_type="Ames"),),
            ),
        ),
    )
)
_HERG = Reading(
    "C1", "CCO", "smiles", Assay(test_type="hERG"), "", ">", "10", "uM", "2026/1/5", "m1", Place(2)
)


def test_regression_is_transformed_and_its_qualifier_flipped() -> None:
    (found,) = curate([_HERG], _INDEX).measurements
    assert (found.task, found.qualifier, found.value, found.native) == ("herg", "<", 5.0, 10.0)
    assert (found.date, found.compound_id, found.measurement_id) == ("2026-01-05", "C1", "m1")
    assert found.place == Place(2)


def test_negative_logarithm_as_a_unit_flips_once_more() -> None:
    (found,) = curate([_HERG._replace(value="5", unit="-log10(M)")], _INDEX).measurements
    assert found.qualifier == ">"
    assert found.value == pytest.approx(5.0)


def test_derived_reading_counts_only_where_an_endpoint_takes_it() -> None:
    ratio = _HERG._replace(derived=True, value="20")
    assert curate([_HERG, ratio], _INDEX).read == 2
    nowhere = ratio._replace(assay=Assay(readout="efflux_Ratio"))
    result = curate([_HERG, nowhere], _INDEX)
    assert (result.read, len(result.measurements), result.set_aside) == (1, 1, [])


def test_class_is_read() -> None:
    ames = _HERG._replace(assay=Assay(test_type="Ames"), qualifier="Positive", value="", unit="")
    result = curate([ames], _INDEX)
    assert [entry.value for entry in result.measurements] == [1.0]
    assert result.kinds == {"ames": "classification"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"assay": Assay(test_type="Zebra")}, "unmapped_assay"),
        ({"endpoint": "private:gone"}, "unmapped_assay"),
        ({"structure": "nonsense"}, "structure_parse"),
        ({"structure": ""}, "structure_missing"),
        ({"unit": "um"}, "unknown_unit"),
        ({"value": "-3"}, "negative_concentration"),
        ({"value": "0"}, "not_positive"),
        ({"value": "2000"}, "out_of_range"),
        ({"value": "high"}, "not_a_number"),
        ({"qualifier": "?"}, "unknown_qualifier"),
    ],
)
def test_every_fault_has_its_code_and_the_rest_goes_on(
    change: dict[str, str | Assay], code: str
) -> None:
    bad = Reading(**{**_fields(_HERG), **change, "place": Place(3)})  # type: ignore[arg-type]
    result = curate([bad, _HERG], _INDEX)
    assert [(entry.place.row, entry.code) for entry in result.set_aside] == [(3, code)]
    assert len(result.measurements) == 1


def _fields(reading: Reading) -> dict[str, object]:
    return {name: getattr(reading, name) for name in Reading._fields}


def test_repeated_rows_are_told_once_each() -> None:
    result = curate((_HERG._replace(place=Place(row)) for row in range(2, 10_002)), _INDEX)
    assert (len(result.measurements), len(result.set_aside)) == (1, 9_999)
    assert {entry.code for entry in result.set_aside} == {"duplicate_row"}
    assert "row 2" in result.set_aside[0].reason


def test_replicate_with_another_value_is_no_duplicate() -> None:
    assert len(curate([_HERG, _HERG._replace(value="11")], _INDEX).measurements) == 2


def _codes(*readings: Reading | Blank) -> list[str]:
    result = curate(readings, _INDEX)
    assert result.read == len(result.measurements) + len(result.set_aside) + result.blank
    return [entry.code for entry in result.set_aside]


def test_a_value_that_returns_is_a_correction_and_no_duplicate() -> None:
    rows = [_HERG._replace(value=value, place=Place(2 + at)) for at, value in enumerate("565")]
    result = curate(rows, _INDEX)
    assert [entry.native for entry in result.measurements] == [5.0, 6.0, 5.0]
    assert [entry.item for entry in result.measurements] == [0, 1, 2]
    assert _codes(*rows, rows[2]._replace(place=Place(9))) == ["duplicate_row"]


def test_a_retracted_row_is_set_aside_with_its_number() -> None:
    gone = _HERG._replace(retracted=True, place=Place(3))
    result = curate([_HERG, gone], _INDEX)
    (aside,) = result.set_aside
    assert (aside.code, aside.measurement_id, aside.compound_id) == ("retracted", "m1", "C1")
    assert _codes(_HERG, gone, _HERG) == ["retracted"]  # taken back: the last one counts


def test_a_row_that_repeats_another_withdraws_nothing() -> None:
    result = curate([_HERG, _HERG._replace(place=Place(3))], _INDEX)
    assert [entry.measurement_id for entry in result.set_aside] == [""]


def test_an_emptied_value_is_blank_and_remembered() -> None:
    result = curate([_HERG, Blank(Place(3), "m1"), Blank(Place(4))], _INDEX)
    assert (result.blank, len(result.set_aside)) == (2, 0)
    assert [(e.code, e.measurement_id, e.item) for e in result.emptied] == [("emptied", "m1", 1)]


def test_each_structure_is_asked_for_once_and_only_where_it_is_needed() -> None:
    asked: list[str] = []

    def begin(
        wanted: Sequence[tuple[str, Structure]],
    ) -> Callable[[], list[Compound | InvalidStructure]]:
        asked.extend(structure for structure, _ in wanted)
        return lambda: [identify(*one) for one in wanted]

    rows = [_HERG._replace(value=str(n), structure="CCO") for n in range(1, 9)]
    unmapped = _HERG._replace(assay=Assay(test="x"), structure="CCCC")
    result = curate([*rows, unmapped], _INDEX, begin_identifying=begin)
    assert asked == ["CCO"]
    assert len(result.measurements) == 8


def test_batches_hold_few_items_and_add_up() -> None:
    rows = (_HERG._replace(value=f"{1 + at / 100_000}", measurement_id="") for at in range(9_000))
    sizes = [batch.read for batch in curate_in_batches(rows, _INDEX)]
    assert sum(sizes) == 9_000
    assert max(sizes) <= 4_000
    long = (_HERG._replace(structure="C" * 5_000_000, measurement_id=str(n)) for n in range(9))
    assert len(list(curate_in_batches(long, _INDEX))) > 1


def test_the_qualifier_is_kept_on_the_scale_of_the_value() -> None:
    (found,) = curate([_HERG], _INDEX).measurements
    assert (found.native_qualifier, found.qualifier, found.unit) == (">", "<", "uM")
    (turned,) = curate([_HERG._replace(value="5", unit="-log10(M)")], _INDEX).measurements
    assert (turned.native_qualifier, turned.qualifier) == ("<", ">")


def test_an_endpoint_on_a_negative_logarithm_turns_the_qualifier() -> None:
    endpoint = Endpoint(
        id="pic50", name="p", group="T", kind="regression", unit="-log10(M)", low=0, high=14
    )
    index = EndpointIndex(Catalogue(consortium="c", version=1, endpoints=(endpoint,)))
    linear = _HERG._replace(endpoint="pic50")
    written = linear._replace(value="5", unit="-log10(M)", measurement_id="m2")
    one, other = curate([linear, written], index).measurements
    assert one.qualifier == "<"
    assert one.value == pytest.approx(5.0)
    assert (other.qualifier, other.value) == (">", 5.0)


def test_a_declared_factor_reaches_the_rows() -> None:
    endpoint = Endpoint(
        id="clint", name="c", group="M", kind="regression", unit="uL/min/mg", low=0, high=1e5
    )
    index = EndpointIndex(Catalogue(consortium="c", version=1, endpoints=(endpoint,)))
    row = _HERG._replace(endpoint="clint", value="2", unit="mL/min/g", qualifier="")
    assert [entry.code for entry in curate([row], index).set_aside] == ["unknown_unit"]
    joints = [Joint("mL/min/g", "uL/min/mg", 25.0)]
    (found,) = curate([row], index, joints=joints).measurements
    assert found.native == pytest.approx(50.0)


def test_reasons_keep_structures_and_values_to_themselves() -> None:
    bad = [_HERG._replace(structure="c1ccSECRET"), _HERG._replace(value="12345.678")]
    told = " ".join(entry.reason for entry in curate(bad, _INDEX).set_aside)
    assert "SECRET" not in told
    assert "12345" not in told


def test_progress_is_told() -> None:
    told: list[int] = []
    curate([Blank(Place(1))] * 1200, _INDEX, told.append)
    assert told == [500, 1000]


_TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(["CCO", "5", "> 5", "uM", "Positive"]))
_READINGS = st.builds(
    Reading,
    compound_id=_TEXTS,
    structure=_TEXTS,
    structure_format=st.sampled_from(["smiles", "molblock"]),
    assay=st.sampled_from([Assay(test_type="hERG"), Assay(test_type="Ames"), Assay()]),
    endpoint=st.sampled_from(["", "herg", "nowhere"]),
    qualifier=_TEXTS,
    value=_TEXTS,
    unit=_TEXTS,
    date=_TEXTS,
    measurement_id=_TEXTS,
    derived=st.just(False),
    retracted=st.booleans(),
    place=st.builds(Place, st.integers(1, 9)),
)
_ITEMS = st.one_of(
    _READINGS,
    st.just(Blank(Place(1))),
    st.just(Blank(Place(1), "5")),
    st.just(SetAside(Place(1), "code", "Reason.")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_ITEMS, max_size=8))
def test_no_measurement_vanishes(items: list[Reading | SetAside | Blank]) -> None:
    result = curate(items, _INDEX)
    assert result.read == len(items)
    assert result.read == len(result.measurements) + len(result.set_aside) + result.blank


_PLAIN_OR_NOT = st.sampled_from(
    ["5", "5.0", "-5", "５", "+5", "5.", "1e1", "1,000", "1,5", "> 5", "0" * 250 + "5", "", "inf"]
)


@given(st.sampled_from(["", "=", "<", "≥", '"="', "?", "＞"]), _PLAIN_OR_NOT)
def test_the_short_way_of_plain_numbers_is_the_long_one(qualifier: str, value: str) -> None:
    def said(text: str) -> object:
        try:
            return split(qualifier, text)
        except Refused as refused:
            return refused.code

    assert said(value) == said(f" {value} ")  # blanks lead the long way


@settings(max_examples=60, deadline=None)
@given(st.lists(_READINGS, max_size=8, unique_by=lambda one: one[: Reading._fields.index("place")]))
def test_what_was_curated_before_changes_no_row(rows: list[Reading]) -> None:
    whole = curate(rows, _INDEX)
    alone = [curate([row], _INDEX) for row in rows]
    used = [entry._replace(item=0) for entry in whole.measurements]
    assert used == [entry for one in alone for entry in one.measurements]
    codes = [entry.code for entry in whole.set_aside]
    assert codes == [entry.code for one in alone for entry in one.set_aside]


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-01-05", "2026-01-05"),
        ("2026.1.5", "2026-01-05"),
        ("20260105", "2026-01-05"),
        ("2026-01-05T10:00:00", "2026-01-05"),
        ("03/04/2026", ""),
        ("2026-13-01", ""),
        ("202611", ""),
        ("", ""),
    ],
)
def test_dates(text: str, iso: str) -> None:
    assert iso_date(text) == iso
