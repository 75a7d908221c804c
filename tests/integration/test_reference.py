"""From a silo's files to what predict shows of them: keeper, workers and predict for real."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from agent.releases import shelf
from tests.kit import measurements
from tests.kit.silo import Silo

CHAINS = range(1, 7)


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    silo = Silo(tmp_path)
    yield silo
    silo.end()


def _ask(silo: Silo, path: str, body: object = None) -> tuple[int, Any]:
    status = json.loads((silo.paths.predict / "status.json").read_bytes())
    connection = HTTPConnection("127.0.0.1", status["port"])
    try:
        content = None if body is None else json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", path, content)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.mark.slow
def test_what_was_measured_reaches_the_chemist(silo: Silo) -> None:
    rows = list(measurements.compounds(CHAINS))
    books = [measurements.logbb(*row) for row in rows[:40]]
    measurements.workbook(silo.store("book") / "a.xlsx", books)
    measurements.wide_csv(
        silo.store("wide") / "b.csv", [(n, s, 10.0 + abs(v)) for n, s, v in rows[:30]]
    )
    silo.start("keeper")
    silo.wait("the keeper's ledger", silo.paths.ledger.exists)
    silo.courier.bring("roster", silo.consortium.roster(2))
    silo.courier.bring("plan", silo.consortium.plan())
    silo.wait("a reference", lambda: bool(shelf.current(silo.paths.reference)))

    silo.courier.bring_release(silo.consortium.release(), silo.consortium.base)
    silo.start("serve")
    silo.wait_for("release", "r1", "active")
    _, smiles, value = rows[0]
    status, answer = _ask(silo, "/v1/predict", {"smiles": [f"{smiles}.Cl", "c1ccncc1C(=O)O"]})
    assert status == 200
    known, stranger = (result["predictions"] for result in answer["results"])
    said = known["logbb"]["measured"]
    assert (said["qualifier"], said["n"]) == ("=", 1)
    assert said["value"] == pytest.approx(value, abs=1e-4)
    assert known["solubility"]["measured"]["unit"] == "uM"
    assert all("measured" not in one for one in stranger.values())

    status, near = _ask(silo, "/v1/neighbours", {"smiles": smiles, "most": 3})
    assert (status, near["neighbours"][0]["similarity"]) == (200, 1.0)
    assert "logbb" in near["neighbours"][0]["measured"]

    silo.wait("percentiles", lambda: _ask(silo, "/v1/percentiles")[0] == 200)
    sets = _ask(silo, "/v1/percentiles")[1]["sets"]
    assert [one["name"] for one in sets] == ["approved_drugs", "own_compounds"]

    silo.wait("the report", lambda: bool(_ask(silo, "/v1/site")[1].get("releases")))
    status, site = _ask(silo, "/v1/site")
    assert [release["release"] for release in site["releases"]] == ["r1"]
    assert site["endpoints"]["logbb"]["measurements"] == 40
    assert smiles not in json.dumps(site)
