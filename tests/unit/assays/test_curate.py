from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assays.curate import curate, iso_date
from agent.assays.endpoints import EndpointIndex
from agent.records import Assay, Blank, Place, Reading, SetAside
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
    (found,) = curate([replace(_HERG, value="5", unit="-log10(M)")], _INDEX).measurements
    assert found.qualifier == ">"
    assert found.value == pytest.approx(5.0)


def test_derived_reading_counts_only_where_an_endpoint_takes_it() -> None:
    ratio = replace(_HERG, derived=True, value="20")
    assert curate([_HERG, ratio], _INDEX).read == 2
    nowhere = replace(ratio, assay=Assay(readout="efflux_Ratio"))
    result = curate([_HERG, nowhere], _INDEX)
    assert (result.read, len(result.measurements), result.set_aside) == (1, 1, [])


def test_class_is_read() -> None:
    ames = replace(_HERG, assay=Assay(test_type="Ames"), qualifier="Positive", value="", unit="")
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
    return {name: getattr(reading, name) for name in reading.__dataclass_fields__}


def test_repeated_rows_are_told_once_each() -> None:
    result = curate((replace(_HERG, place=Place(row)) for row in range(2, 10_002)), _INDEX)
    assert (len(result.measurements), len(result.set_aside)) == (1, 9_999)
    assert {entry.code for entry in result.set_aside} == {"duplicate_row"}
    assert "row 2" in result.set_aside[0].reason


def test_replicate_with_another_value_is_no_duplicate() -> None:
    assert len(curate([_HERG, replace(_HERG, value="11")], _INDEX).measurements) == 2


def test_reasons_keep_structures_and_values_to_themselves() -> None:
    bad = [replace(_HERG, structure="c1ccSECRET"), replace(_HERG, value="12345.678")]
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
    place=st.builds(Place, st.integers(1, 9)),
)
_ITEMS = st.one_of(
    _READINGS, st.just(Blank(Place(1))), st.just(SetAside(Place(1), "code", "Reason."))
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_ITEMS, max_size=8))
def test_no_measurement_vanishes(items: list[Reading | SetAside | Blank]) -> None:
    result = curate(items, _INDEX)
    assert result.read == len(items)
    assert result.read == len(result.measurements) + len(result.set_aside) + result.blank


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
