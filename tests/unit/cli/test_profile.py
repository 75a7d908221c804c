import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Stop

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

ENDPOINT = {
    "id": "melting_point",
    "name": "Melting point",
    "group": "P",
    "kind": "regression",
    "unit": "",
    "high": 500.0,
}


@pytest.fixture
def file(home: "Home") -> Path:
    path = home.root / "b.csv"
    rows = "".join(f"C{at},CC(=O)O,{at}.5,{at}.25\n" for at in range(20))
    path.write_text(f"Compound ID,SMILES,Solubility (uM),Melting point\n{rows}")
    return path


def test_the_silo_s_catalogue_is_looked_through(home: "Home", file: Path) -> None:
    home.enrol()
    raw = tomllib.loads(home.said("profile", "suggest", str(file)))
    assert raw["reviewed"] is False
    assert raw["columns"] == {"compound": "Compound ID", "structure": "SMILES"}
    assert [entry["endpoint"] for entry in raw["assay"]] == ["solubility", "private:melting_point"]
    assert raw["assay"][0]["unit"] == "uM"


def test_before_enrolment_no_endpoint_is_known(home: "Home", file: Path) -> None:
    raw = tomllib.loads(home.said("profile", "suggest", str(file)))
    assert raw["assay"][0]["endpoint"] == "private:solubility_um"


def test_a_catalogue_may_be_named(home: "Home", file: Path) -> None:
    path = home.root / "endpoints.json"
    path.write_text(json.dumps([ENDPOINT]))
    found = home.json("profile", "suggest", str(file), "--catalogue", str(path))
    endpoints = {column["column"]: column["endpoint"] for column in found["columns"]}
    assert endpoints["Melting point"] == "melting_point"
    assert tomllib.loads(found["toml"])["reviewed"] is False


@pytest.mark.parametrize("content", ["{", "[1]", '{"endpoints": []}'])
def test_a_file_that_is_no_catalogue_stops(home: "Home", file: Path, content: str) -> None:
    path = home.root / "endpoints.json"
    path.write_text(content)
    error = home.error("profile", "suggest", str(file), "--catalogue", str(path))
    assert isinstance(error, Stop)
    assert "no catalogue" in str(error)


def test_the_agent_does_not_read_with_a_suggestion(home: "Home", file: Path) -> None:
    home.enrol()
    home.profile.write_text(home.said("profile", "suggest", str(file)))
    for arguments in (("check-config",), ("ingest", str(file))):
        error = home.error(*arguments)
        assert isinstance(error, Stop)
        assert "only suggested" in str(error)
