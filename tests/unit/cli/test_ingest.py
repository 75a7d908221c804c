from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.ledger.book import Detail, Ledger
from tests.kit.consortium import START

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


@pytest.fixture
def file(home: "Home") -> Path:
    home.enrol()
    path = home.root / "b.csv"
    path.write_text("ID,SMILES,sol\nc1,CCO,12\nc2,nonsense,3\nc3,CCCO,>100\nc4,CC,\n")
    return path


def test_trying_a_file_keeps_nothing(home: "Home", file: Path) -> None:
    account = home.json("ingest", str(file))
    assert (account["read"], account["used"], account["blank"]) == (4, 2, 1)
    assert account["tasks"] == {"solubility": {"n": 2, "censored": 1, "quorum": False}}
    (row,) = account["set_aside"]
    assert row["row"] == 3
    assert row["column"] == "sol"
    assert list(home.store.iterdir()) == []
    assert not home.paths.ledger.exists()
    said = home.said("ingest", str(file))
    assert "b.csv: 4 read = 2 used + 1 set aside + 1 blank" in said


def test_dropping_a_file(home: "Home", file: Path) -> None:
    said = home.said("ingest", str(file), "--drop", "--store", "files")
    assert "Dropped into" in said
    assert [path.name for path in home.store.iterdir()] == ["b.csv"]
    error = home.error("ingest", str(file), "--drop")
    assert isinstance(error, Refused)
    assert error.code == "exists"


def test_a_store_that_cannot_be_written(home: "Home", file: Path) -> None:
    home.store.rmdir()
    assert "Cannot write into" in str(home.error("ingest", str(file), "--drop"))


def test_a_store_that_is_not_configured(home: "Home", file: Path) -> None:
    error = home.error("ingest", str(file), "--store", "others")
    assert isinstance(error, Stop)
    assert "Say with --store" in str(error)


def test_before_enrolment_there_is_no_catalogue(home: "Home") -> None:
    path = home.root / "b.csv"
    path.write_text("ID,SMILES,sol\n")
    assert "onggi enroll" in str(home.error("ingest", str(path)))


def test_nothing_was_asked_for(home: "Home") -> None:
    assert home.run("ingest").exit_code == 2


def test_the_report_lists_every_file(home: "Home", file: Path) -> None:
    part = home.paths.parts / "p1"
    part.mkdir()
    (part / "set_aside.ndjson").write_text(
        '{"row": 3, "sheet": "", "column": "sol", "code": "x", "reason": "No SMILES."}\n'
    )
    with Ledger(home.paths.ledger) as ledger:
        full: Detail = {"part": "p1", "read": 4, "used": 2, "blank": 1}
        none: Detail = {}
        for name, state, detail in (
            ("files/a.csv", "ingested", full),
            ("files/b.csv", "refused", none),
        ):
            ledger.add("file", name, "found", START, {})
            for step in ("queued", state):
                item = ledger.get("file", name)
                assert item is not None
                ledger.move(item, step, START, "It is empty." if step == "refused" else "", detail)
    said = home.said("ingest", "--report")
    assert "files/a.csv (ingested): 4 read = 2 used + 1 blank + 1 set aside" in said
    assert "No SMILES." in said
    assert "files/b.csv: It is empty." in said
    files = home.json("ingest", "--report")["files"]
    assert [entry["state"] for entry in files] == ["ingested", "refused"]
    assert files[0]["set_aside"][0]["reason"] == "No SMILES."


def test_names_and_headers_are_no_markup(home: "Home", file: Path) -> None:
    named = file.with_name("[red]x.csv")
    named.write_text("ID,SMILES,[/] sol\nc1,CCO,12\nc2,nonsense,3\n")
    home.profile.write_text(home.profile.read_text().replace('"sol"', '"[/] sol"'))
    said = home.said("ingest", str(named))
    assert "[red]x.csv: 2 read" in said
    assert "[/] sol" in said
