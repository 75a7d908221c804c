"""`onggi keys`, and what `onggi status` says of what ends soon."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.boxes import rotation_path
from agent.errors import EXIT_STOP
from agent.ledger.book import Ledger
from agent.wire.documents import RotationRequest
from agent.wire.signed import key_id, parse
from tests.kit.consortium import START, Consortium

if TYPE_CHECKING:
    from datetime import datetime

    from tests.unit.cli.conftest import Home


@pytest.fixture
def silo(home: "Home", monkeypatch: pytest.MonkeyPatch) -> "Home":
    """An enrolled silo whose keeper has run once, at the time of its consortium."""
    home.enrol()
    Ledger(home.paths.ledger).close()
    _at(monkeypatch, START)
    return home


def _at(monkeypatch: pytest.MonkeyPatch, moment: "datetime") -> None:
    for module in ("agent.cli.keys", "agent.cli.look"):
        monkeypatch.setattr(f"{module}.now", lambda: moment)


def test_keys_are_listed(silo: "Home") -> None:
    lines = silo.json("keys", "list")
    assert [one["purpose"] for one in lines] == ["sign", "seal", "courier"]
    assert all(one["alarm"] == "" and one["expires"] for one in lines)
    text = silo.said("keys", "list")
    assert lines[0]["fingerprint"][:32] in text
    assert "in use" in text


def test_a_key_is_rotated_and_asked_for_once(silo: "Home", tmp_path: Path) -> None:
    copy = tmp_path / "request.json"
    first = silo.said("keys", "rotate", "seal", "--request", str(copy))
    assert silo.said("keys", "rotate", "seal") == first
    waiting = rotation_path(silo.paths.outbox, "seal").read_bytes()
    assert copy.read_bytes() == waiting
    request = RotationRequest.parse(parse(waiting).payload)
    assert key_id(request.new_key) in first
    assert [one["state"] for one in silo.json("keys", "list")] == [
        "in use",
        "in use",
        "next",
        "in use",
    ]
    assert silo.run("keys", "rotate", "dance").exit_code == 2


def test_a_silo_that_the_roster_does_not_name_rotates_nothing(silo: "Home") -> None:
    consortium = Consortium()
    consortium.enrol(silo.paths)
    consortium.members = ()
    (silo.paths.trust / "roster.json").write_bytes(consortium.roster())
    assert "does not name it" in str(silo.error("keys", "rotate", "sign"))
    assert silo.json("keys", "list")[0]["alarm"]


def test_both_sides_show_the_same_fingerprint(silo: "Home") -> None:
    assert len(silo.said("keys", "show-fingerprint").split()) == 8


def test_what_ends_soon_is_in_the_status(silo: "Home", monkeypatch: pytest.MonkeyPatch) -> None:
    assert silo.json("status")["alarms"] == []
    _at(monkeypatch, START.replace(year=2027, month=2, day=10))
    alarms = silo.json("status")["alarms"]
    assert [line.split(" ends ")[0] for line in alarms] == ["The roster", "This silo's membership"]
    assert "trust: The roster ends" in silo.said("status")
    (silo.paths.trust / "root.json").unlink()
    assert "cannot be read" in silo.json("status")["alarms"][0]
    assert silo.error("keys", "list").exit_code == EXIT_STOP
