import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.config import load
from agent.errors import Refused, Stop
from agent.ledger.book import Detail, Ledger
from agent.wire.signed import sign
from tests.kit.consortium import ENDPOINTS, START, Consortium

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


STANDARD = (
    "Chemical ID,SMILES_Structure_Parent,Test,Test_Type,Measurement_Type,Measurement_Relation,"
    "Measurement_Value,Measurement_Unit\n"
    "C1,CCO,Solubility,,,>,30,uM\nC2,CCC,Solubility,,,,4,furlong\n,,,,,,,\n"
)
ACCOUNT = {
    "read": 3,
    "used": 1,
    "blank": 1,
    "set_aside": [{"row": 3, "sheet": "", "column": "", "code": "unknown_unit"}],
    "tasks": {"solubility": {"n": 1, "censored": 1, "quorum": False}},
}


@pytest.fixture
def catalogue(home: "Home") -> Path:
    """The endpoints as a plain list, as a consortium keeps them."""
    path = home.root / "endpoints.json"
    path.write_text(json.dumps([entry.model_dump(mode="json") for entry in ENDPOINTS]))
    return path


def test_a_standard_file_needs_no_silo_and_no_profile(home: "Home", catalogue: Path) -> None:
    home.config.unlink()
    path = home.root / "s.csv"
    path.write_text(STANDARD)
    account = home.json("ingest", str(path), "--catalogue", str(catalogue))
    assert list(account) == ["read", "used", "blank", "set_aside", "tasks"]
    assert "furlong" in account["set_aside"][0].pop("reason")
    assert account == ACCOUNT


def test_a_standard_file_is_told_from_the_store_s(home: "Home", file: Path) -> None:
    path = home.root / "s.csv"
    path.write_text(STANDARD)
    assert home.json("ingest", str(path))["used"] == 1
    assert "no column" in str(home.error("ingest", str(path), "--store", "files"))
    assert home.json("ingest", str(path), "--kind", "kmelloddy")["used"] == 1


def test_a_profile_says_how_without_a_store(home: "Home", file: Path, catalogue: Path) -> None:
    home.config.unlink()
    options = ("--profile", str(home.profile), "--catalogue", str(catalogue))
    assert home.json("ingest", str(file), *options)["used"] == 2
    assert "Say with --store how to read b.csv" in str(
        home.error("ingest", str(file), "--catalogue", str(catalogue))
    )


def test_a_profile_brings_its_private_endpoints(home: "Home", file: Path, catalogue: Path) -> None:
    home.config.unlink()
    mine = '[[private]]\nid = "mine"\nname = "Mine"\nunit = "uM"\nlow = 0.0\nhigh = 1.0e9\n'
    text = home.profile.read_text().replace('"solubility"', '"private:mine"')
    options = ("ingest", str(file), "--profile", str(home.profile), "--catalogue", str(catalogue))
    home.profile.write_text(text)
    assert home.json(*options)["used"] == 0
    home.profile.write_text(text + mine)
    assert home.json(*options)["tasks"]["private:mine"]["n"] == 2


def test_the_catalogue_may_be_signed_or_plain(home: "Home", file: Path, catalogue: Path) -> None:
    kit = Consortium()
    document = kit.catalogue.to_bytes()
    for content in (document, sign("catalogue", document, kit.offline)):
        catalogue.write_bytes(content)
        assert home.json("ingest", str(file), "--catalogue", str(catalogue))["used"] == 2
    catalogue.write_text("{}")
    error = home.error("ingest", str(file), "--catalogue", str(catalogue))
    assert "no catalogue of endpoints" in str(error)


def test_without_silo_and_catalogue_there_is_a_way_out(home: "Home", file: Path) -> None:
    home.config.unlink()
    error = str(home.error("ingest", str(file)))
    assert "--config" in error
    assert "--catalogue" in error


@pytest.mark.parametrize(
    "options",
    [
        ("--kind", "sdf"),
        ("--kind", "kmelloddy", "--store", "files"),
        ("--kind", "kmelloddy", "--drop"),
    ],
)
def test_options_that_contradict(home: "Home", file: Path, options: tuple[str, ...]) -> None:
    assert home.run("ingest", str(file), *options).exit_code == 2


def test_quorum_counts_compounds_and_the_last_word(home: "Home", catalogue: Path) -> None:
    home.config.write_text(
        home.config.read_text() + "[training]\nquorum_labels = 2\nquorum_uncensored = 2\n"
    )
    assert load(home.config).training.quorum_labels == 2
    home.profile.write_text(
        home.profile.read_text().replace("[columns]\n", '[columns]\nmeasurement_id = "M"\n')
    )
    path = home.root / "b.csv"
    path.write_text("M,ID,SMILES,sol\n1,c1,CCO,12\n2,c2,CCC,3\n")
    options = ("ingest", str(path), "--catalogue", str(catalogue))
    assert home.json(*options)["tasks"]["solubility"]["quorum"]
    path.write_text("M,ID,SMILES,sol\n1,c1,CCO,12\n2,c2,CCC,3\n2,c2,CCC,>4\n")
    assert home.json(*options)["tasks"]["solubility"] == {"n": 3, "censored": 1, "quorum": False}


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
