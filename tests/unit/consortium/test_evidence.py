"""Evidence of equivocation: both signed headers are there, and anybody can check them."""

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from agent.errors import Refused
from agent.wire.envelope import verify_header
from consortium.cli import main
from consortium.evidence import findings, show
from consortium.rosters import Changes
from consortium.store import roster

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House, Sealed


def _two_updates(house: "House") -> "tuple[Sealed, Sealed]":
    first, second = house.seal("a"), house.seal("a", payload=house.update(2.0, 1.0))
    house.deliver("a", first)
    assert house.deliver("a", second).code == "equivocation"
    return first, second


def test_a_second_update_for_one_round_is_kept_as_evidence(running: "House") -> None:
    first, second = _two_updates(running)
    with running.store.reading() as session:
        (found,) = findings(session)
        proof = show(session, found.number, roster(session))
        known = roster(session)
    assert (found.silo, found.round_id) == ("a", "p1.r1.a1")
    assert (found.kept_id, found.refused_id) == (first.envelope_id, second.envelope_id)
    for one in (proof.kept, proof.refused):
        assert one.verifies == "yes"
        header = verify_header(bytes.fromhex(one.signed_header), known)
        assert header.core.round_id == "p1.r1.a1"


def test_evidence_outlives_the_silos_revocation(running: "House") -> None:
    _two_updates(running)
    running.change(Changes(revoke=frozenset({"a"})))
    with running.store.reading() as session:
        (found,) = findings(session)
        proof = show(session, found.number, roster(session))
    assert proof.kept.verifies == "revoked"
    assert proof.kept.signed_header


def test_the_same_update_twice_is_no_evidence(running: "House") -> None:
    sealed = running.seal("a")
    running.deliver("a", sealed)
    running.deliver("a", sealed)
    with running.store.reading() as session:
        assert findings(session) == []
        with pytest.raises(Refused, match="evidence list"):
            show(session, 1, roster(session))


def test_the_command_lists_and_shows(running: "House") -> None:
    folder = ("--folder", str(running.folder.root))
    assert "No silo" in CliRunner().invoke(main, ["evidence", "list", *folder]).output
    first, _ = _two_updates(running)
    listed = CliRunner().invoke(main, ["evidence", "list", *folder]).output
    assert first.envelope_id[:16] in listed
    found = json.loads(CliRunner().invoke(main, ["evidence", "list", "--json", *folder]).output)
    number = str(found[0]["number"])
    shown = json.loads(CliRunner().invoke(main, ["evidence", "show", number, *folder]).output)
    assert shown["finding"]["kept_id"] == first.envelope_id
    assert CliRunner().invoke(main, ["evidence", "show", "99", *folder]).exit_code == 1
