from typing import TYPE_CHECKING

import pytest

from agent.boxes import Outbox
from agent.errors import Refused
from agent.keeper.dispatch import Dispatch
from agent.keeper.requests import Request, take_all
from agent.keeper.statements import Objected, Statements
from agent.keys import load_signing
from agent.ledger import egress
from agent.ledger.book import Detail, Ledger
from agent.policy.rules import DEFAULT
from tests.kit.consortium import NAME, SILO, START, Consortium
from tests.kit.departures import leaf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Home


@pytest.fixture
def held(home: "Home") -> str:
    """A silo with one held update and one statement; returns the update's envelope."""
    Consortium().enrol(home.paths)
    one = leaf(1, START).model_copy(update={"decision": "held", "bytes": 0, "header": ""})
    with Ledger(home.paths.ledger) as ledger:
        detail: Detail = {"envelope_id": one.envelope_id, "bytes": 100}
        ledger.add("update", "p1.r1.a1", "drafted", START, detail)
        item = ledger.get("update", "p1.r1.a1")
        assert item is not None
        ledger.move(item, "held", START, "It waits for a person.")
        egress.book(ledger, one)
        signer = load_signing(home.paths.keys / "sign.key", "sign")
        statements = Statements(ledger, Outbox(home.paths.outbox), signer, SILO, NAME)
        what = Objected("p1", "ab" * 32, "", ("network_too_large",))
        statements.decline(what, DEFAULT, START)
    return one.envelope_id


def _run_keeper(home: "Home", monkeypatch: pytest.MonkeyPatch, *, deaf: bool = False) -> None:
    """Stands for a keeper that runs while the command waits."""

    def taken(_path: "Path") -> bool:
        with Ledger(home.paths.ledger) as ledger:
            dispatch = Dispatch(ledger, Outbox(home.paths.outbox))

            def do(request: Request, by: str) -> None:
                if deaf:
                    raise Refused("not_waiting", "No.")
                getattr(dispatch, request.action)(request.envelope_id, by, START)

            take_all(home.paths.requests, do)
        return True

    monkeypatch.setattr("agent.cli.asking._taken", taken)


def test_what_waits_is_listed(home: "Home", held: str) -> None:
    rows = home.json("outbox", "list")
    assert [(row["kind"], row["state"]) for row in rows] == [
        ("update", "held"),
        ("declined", "signed"),
    ]
    said = home.said("outbox", "list")
    assert f"{held[:12]}  held       update p1.r1.a1" in said
    assert "It waits for a person." in said


def test_an_empty_outbox(home: "Home") -> None:
    home.enrol()
    Ledger(home.paths.ledger).close()
    assert "Nothing waits to leave." in home.said("outbox", "list")


def test_an_envelope_is_shown(home: "Home", held: str) -> None:
    shown = home.json("outbox", "show", held[:8])
    assert shown["decisions"] == [
        {"at": "2026-03-01T12:00:00.000000Z", "decision": "held", "by": "policy"}
    ]
    assert "says" not in shown
    statement = home.json("outbox", "list")[1]["envelope_id"]
    assert home.json("outbox", "show", statement)["says"]["codes"] == ["network_too_large"]
    said = home.said("outbox", "show", statement)
    assert "network_too_large" in said
    assert "released by policy" in said


@pytest.mark.parametrize("start", ["", "zz"])
def test_an_envelope_that_is_not_there(home: "Home", held: str, start: str) -> None:
    assert "unknown_envelope" in str(home.error("outbox", "show", start))


def test_more_than_one_envelope(home: "Home", held: str) -> None:
    with Ledger(home.paths.ledger) as ledger:
        other = held[:20] + "0" * 44
        ledger.add("update", "p1.r2.a1", "drafted", START, {"envelope_id": other})
    assert "ambiguous_id" in str(home.error("outbox", "show", held[:5]))


def test_a_person_approves(home: "Home", held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _run_keeper(home, monkeypatch)
    said = home.said("outbox", "approve", held[:10], "--by", "Kim")
    assert f"Envelope {held[:12]} is sealed." in said
    decisions = home.json("outbox", "show", held)["decisions"]
    assert decisions[1]["decision"] == "approved"
    assert decisions[1]["by"].startswith("Kim (")
    assert "is held" in home.said("outbox", "hold", held)


def test_a_person_refuses(home: "Home", held: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _run_keeper(home, monkeypatch)
    assert "is withdrawn" in home.said("outbox", "refuse", held)
    assert "not_waiting" in str(home.error("outbox", "approve", held))


def test_what_cannot_be_decided(home: "Home", held: str) -> None:
    statement = home.json("outbox", "list")[1]["envelope_id"]
    assert "not_waiting" in str(home.error("outbox", "approve", statement))
    assert "is held" in str(home.error("outbox", "hold", held))
    assert list(home.paths.requests.iterdir()) == []


def test_what_the_keeper_could_not_do(
    home: "Home", held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run_keeper(home, monkeypatch, deaf=True)
    assert "not_done" in str(home.error("outbox", "approve", held))
