import json
from typing import TYPE_CHECKING, Any

import pytest

from agent.assays.curate import curate
from agent.assays.endpoints import EndpointIndex
from agent.assays.parts import Source, write_part
from agent.config import load
from agent.errors import Stop
from agent.keeper.trial import current_catalogue
from agent.ledger.book import Detail, Ledger
from agent.stores.profile import load_profile
from agent.stores.readers import read
from tests.kit.consortium import START

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Home


@pytest.fixture
def silo(home: "Home") -> "Home":
    """A silo that has read one file, refused one, and waits for one."""
    home.enrol()
    (home.store / "a.csv").write_text("ID,SMILES,sol\nc1,CCO,12\nc2,nonsense,3\nc3,CCCO,>100\n")
    _ingest(home, home.store / "a.csv")
    with Ledger(home.paths.ledger) as ledger:
        ledger.add("store", "files", "reached", START, {})
        ledger.add("file", "files/new.csv", "found", START, {})
        ledger.add("file", "files/b.csv", "found", START, {})
        item = ledger.get("file", "files/b.csv")
        assert item is not None
        ledger.move(item, "refused", START, "It is <empty>.")
    return home


def _ingest(home: "Home", file: "Path") -> None:
    index = EndpointIndex(current_catalogue(home.paths))
    curated = curate(read(file, "table", load_profile(home.profile)), index)
    source = Source("files", "files/a.csv", "0" * 64)
    s = write_part(home.paths.parts / "p1", curated, source)
    detail: Detail = {"part": "p1", "read": s.read, "used": s.used, "set_aside": s.set_aside}
    with Ledger(home.paths.ledger) as ledger:
        ledger.add("file", "files/a.csv", "found", START, {})
        for state in ("queued", "ingested"):
            item = ledger.get("file", "files/a.csv")
            assert item is not None
            ledger.move(item, state, START, "", detail)


def test_the_json_report_balances(silo: "Home") -> None:
    report: dict[str, Any] = silo.json("report")
    assert report["silo"] == "silo-a"
    totals = report["totals"]
    assert (totals["read"], totals["used"], totals["set_aside"]) == (3, 2, 1)
    assert report["sources"] == [
        {
            "name": "files",
            "kind": "table",
            "state": "reached",
            "why": "",
            "read": 3,
            "files": {"found": 1, "ingested": 1, "refused": 1},
            "used": 2,
            "set_aside": 1,
            "blank": 0,
            "replaced": 0,
            "retracted": 0,
            "withdrawn": 0,
            "current": 2,
        }
    ]
    (task,) = report["tasks"]
    assert (task["task"], task["measurements"]) == ("solubility", 2)
    assert task["quorum"]["missing"] == "48 more labelled compounds and 24 more uncensored values"
    assert report["unlock"]["waiting"][0]["task"] == "solubility"
    assert "nonsense" not in json.dumps(report)


def test_the_page_is_written_and_readable_by_its_owner_alone_or_group(silo: "Home") -> None:
    page = silo.root / "report.html"
    silo.said("report", "--output", str(page))
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "It is &lt;empty&gt;." in text
    assert "CCCO" not in text
    assert page.stat().st_mode & 0o007 == 0
    silo.said("report", "--output", str(page), "--show-structures")
    assert "CCCO" in page.read_text()


def test_json_goes_to_a_file_too(silo: "Home") -> None:
    file = silo.root / "report.json"
    assert silo.said("report", "--json", "--output", str(file)) == ""
    assert json.loads(file.read_text())["totals"]["files"] == 3


def test_a_store_that_is_no_longer_configured_is_still_told_of(silo: "Home") -> None:
    with Ledger(silo.paths.ledger) as ledger:
        ledger.add("file", "old/x.csv", "found", START, {})
    kinds = {source["name"]: source["kind"] for source in silo.json("report")["sources"]}
    assert kinds == {"files": "table", "old": "no longer configured"}


def test_a_place_that_cannot_be_written(silo: "Home") -> None:
    error = silo.error("report", "--output", str(silo.root / "nowhere" / "r.html"))
    assert isinstance(error, Stop)
    assert "Name another --output" in str(error)


def test_before_enrolment_there_is_nothing_to_report(home: "Home") -> None:
    load(home.config)
    assert "onggi enroll" in str(home.error("report"))
