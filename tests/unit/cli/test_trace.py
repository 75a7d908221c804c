import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from agent.assays.curate import curate
from agent.assays.endpoints import EndpointIndex
from agent.assays.parts import Source, write_part
from agent.assays.table import SCHEMA
from agent.errors import Refused, Stop
from agent.ledger.book import Detail, Ledger
from agent.records import Assay, Place, Reading
from agent.wire.documents import Catalogue
from tests.kit.consortium import NAME, START, Consortium

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


def _reading(number: str, structure: str, value: str, row: int, measurement: str = "") -> Reading:
    place = Place(row, "Sheet1", "sol")
    what = (Assay(), "solubility", "", value, "uM", "2026-01-05", measurement, place)
    return Reading(number, structure, "smiles", *what)


_FILES = {
    "a.csv": [
        _reading("c1", "CCO", "10", 2, "m1"),
        _reading("c2", "CCC", "20", 3, "m2"),
        _reading("c3", "OCC", "30", 4),
        _reading("c1", "nonsense", "40", 5),
    ],
    "b.csv": [_reading("c1", "CCO", "15", 2, "m1"), _reading("c2", "CCC", "high", 3, "m2")],
}


@pytest.fixture
def filled(home: "Home") -> "Home":
    """A silo that read two files; the second corrects the first."""
    home.enrol()
    consortium = Consortium()
    endpoints = consortium.catalogue.endpoints
    index = EndpointIndex(Catalogue(consortium=NAME, version=1, endpoints=endpoints))
    with Ledger(home.paths.ledger) as ledger:
        for name, readings in _FILES.items():
            item = f"files/{name}"
            source = Source("files", item, name[0] * 64, "e" * 64, 3)
            write_part(home.paths.parts / name[0], curate(readings, index), source)
            detail: Detail = {"store": "files", "part": name[0]}
            ledger.add("file", item, "found", START, detail)
            for state in ("queued", "ingested"):
                found = ledger.get("file", item)
                assert found is not None
                ledger.move(found, state, START)
    return home


def test_every_row_of_a_compound_is_told_with_its_fate(filled: "Home") -> None:
    rows = filled.json("trace", "c1")["rows"]
    told = {(row["file"], row["row"]): row for row in rows}
    assert {place: row["fate"] for place, row in told.items()} == {
        ("a.csv", 2): "replaced",
        ("a.csv", 4): "used",  # another number, the same structure
        ("a.csv", 5): "set aside",
        ("b.csv", 2): "used",
    }
    old = told["a.csv", 2]
    assert (old["by"], old["value"], old["unit"]) == (
        "b.csv sheet Sheet1 row 2 column sol",
        10,
        "uM",
    )
    assert (old["sha256"], old["profile_version"], old["sheet"]) == ("a" * 64, 3, "Sheet1")
    assert "RDKit" in told["a.csv", 5]["reason"]


def test_a_correction_that_cannot_be_used_is_told(filled: "Home") -> None:
    rows = {row["file"]: row for row in filled.json("trace", "c2")["rows"]}
    assert rows["a.csv"]["fate"] == "withdrawn"
    assert rows["a.csv"]["by"] == "b.csv sheet Sheet1 row 3 column sol"
    assert rows["b.csv"]["fate"] == "set aside"


def test_a_structure_finds_its_rows(filled: "Home") -> None:
    rows = filled.json("trace", "C(C)O")["rows"]
    assert {row["compound_id"] for row in rows} == {"c1", "c3"}
    said = filled.said("trace", "c3")
    assert "a.csv" in said
    assert "30" in said


@pytest.mark.parametrize("compound", ["c9", "CCCCCCCCN"])
def test_an_unknown_compound_is_refused(filled: "Home", compound: str) -> None:
    error = filled.error("trace", compound)
    assert isinstance(error, Refused)
    assert error.code == "unknown_compound"


def test_before_the_first_start_there_is_nothing(home: "Home") -> None:
    home.enrol()
    for command in (("trace", "c1"), ("export",)):
        assert isinstance(home.error(*command), Stop)


def test_the_curated_table_as_csv(filled: "Home") -> None:
    rows = list(csv.DictReader(io.StringIO(filled.said("export"))))
    assert list(rows[0]) == list(SCHEMA)
    (row,) = rows  # the second compound's only value was withdrawn
    assert (row["smiles"], row["task"], row["n"]) == ("CCO", "solubility", "2")
    assert float(row["value"]) == pytest.approx((15 * 30) ** 0.5)
    assert row["source"] == "files/a.csv; files/b.csv"


def test_the_curated_table_as_parquet(filled: "Home", tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    filled.said("export", "--format", "parquet", "--output", str(path))
    assert pl.read_parquet(path).columns == list(SCHEMA)
    error = filled.error("export", "--output", str(tmp_path / "none" / "x.csv"))
    assert "Cannot write" in str(error)
