from pathlib import Path

import pytest

from agent.assays.curate import curate
from agent.assays.endpoints import EndpointIndex
from agent.assays.parts import Source, write_part
from agent.assays.table import SCHEMA, table
from agent.records import Assay, Place, Reading
from agent.wire.documents import Catalogue, Endpoint

_IC50 = Endpoint(
    id="ic50",
    name="IC50",
    group="T",
    kind="regression",
    unit="uM",
    transform="neg_log10_molar",
    low=0.0,
    high=1e4,
)
_AMES = Endpoint(id="ames", name="Ames", group="T", kind="classification")
_OWN = Endpoint(id="own", name="Own", group="P", kind="regression", low=-9.0, high=9.0)
_INDEX = EndpointIndex(Catalogue(consortium="c", version=1, endpoints=(_IC50, _AMES)), (_OWN,))
_TASKS = {task: _INDEX.endpoint(task) for task in _INDEX.tasks}


def _reading(structure: str, endpoint: str, value: str, sign: str = "", unit: str = "") -> Reading:
    what = ("2026-01-05", "", Place(2))
    return Reading("c", structure, "smiles", Assay(), endpoint, sign, value, unit, *what)


def test_values_are_in_the_canonical_unit_with_their_qualifier(tmp_path: Path) -> None:
    readings = [
        _reading("CCO", "ic50", "1000", unit="nM"),
        _reading("OCC", "ic50", "100", unit="uM"),
        _reading("CCC", "ic50", "30", ">", "uM"),
        _reading("CCO", "ames", "positive"),
        _reading("CCO", "private:own", "-2.5"),
    ]
    write_part(tmp_path / "p", curate(readings, _INDEX), Source("lab", "lab/a.csv", "0" * 64))
    found = table([("lab", tmp_path / "p")], _TASKS)
    assert found.columns == list(SCHEMA)
    rows = {(row["task"], row["smiles"]): row for row in found.iter_rows(named=True)}
    assert len(rows) == 4
    joined = rows["ic50", "CCO"]
    assert joined["value"] == pytest.approx(10.0)  # the median where it is modelled
    assert (joined["n"], joined["unit"], joined["qualifier"]) == (2, "uM", "=")
    assert joined["sd"] == pytest.approx(2**0.5)
    assert (joined["date"], joined["source"]) == ("2026-01-05", "lab/a.csv")
    above = rows["ic50", "CCC"]
    assert (above["qualifier"], above["value"], above["sd"]) == (">", pytest.approx(30.0), None)
    assert rows["ames", "CCO"]["value"] == 1.0
    own = rows["private:own", "CCO"]
    assert (own["endpoint"], own["value"]) == ("own", -2.5)


def test_every_file_of_a_label_is_named(tmp_path: Path) -> None:
    for name, value in (("b", "1"), ("a", "2")):
        curated = curate([_reading("CCO", "ic50", value, unit="uM")], _INDEX)
        write_part(tmp_path / name, curated, Source("lab", f"lab/{name}.csv", "0" * 64))
    found = table([("lab", tmp_path / "b"), ("lab", tmp_path / "a")], _TASKS)
    assert found["source"].to_list() == ["lab/a.csv; lab/b.csv"]


def test_nothing_makes_an_empty_table() -> None:
    assert table([], _TASKS).columns == list(SCHEMA)
