"""The daily account, on a real transport log."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.audit.reconcile import Progress
from agent.errors import Refused
from agent.exchange.transport_log import TransportLog, Trip
from agent.keeper import status
from agent.keeper.auditing import Account, account
from agent.ledger import egress
from tests.kit.departures import BLOB, leaf

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def _carry(house: "House", *trips: tuple[str, int]) -> None:
    with TransportLog(house.transport) as log:
        for target, up in trips:
            log.record(Trip("PUT", f"/v1/envelopes/{target}", 200, up, 1), house.now)


def _leave(house: "House", number: int = 1, state: str = "acknowledged") -> str:
    """An update that was let out, and what the courier notes of it."""
    one = leaf(number, house.now)
    egress.book(house.ledger, one)
    detail = {"envelope_id": one.envelope_id}
    house.ledger.add("update", f"p1.r{number}.a1", state, house.now, {**detail})
    _carry(house, (f"{one.envelope_id}/header", 8), (f"{one.envelope_id}/blob?offset=0", len(BLOB)))
    return one.envelope_id


def _account(house: "House") -> Account:
    return account(house.ledger, house.transport, Progress())


def _codes(house: "House") -> list[str]:
    return [fault.rpartition("[")[2].rstrip("]") for fault in _account(house).faults]


def _daily(house: "House") -> str:
    assert house.auditing.daily(house.now)
    assert not house.auditing.daily(house.now), "once a day"
    return house.state("reconciliation", "courier")


def test_before_the_couriers_first_start_nothing_differs(house: "House") -> None:
    assert _daily(house) == "matched"
    assert _account(house).totals.requests == 0


def test_what_was_let_out_was_carried(house: "House") -> None:
    _leave(house)
    found = _account(house)
    assert (found.faults, found.envelopes, found.otherwise) == ((), 1, 0)
    assert found.totals.bytes_up == 8 + len(BLOB)
    assert _daily(house) == "matched"
    house.now += timedelta(days=1)
    _leave(house, 2)
    assert _daily(house) == "matched"
    detail = house.item("reconciliation", "courier").detail
    assert (detail["requests"], detail["envelopes"], detail["faults"]) == (4, 2, [])


def test_a_statement_is_carried_like_an_update(house: "House") -> None:
    egress.book(house.ledger, leaf(1, house.now))
    house.statements.say_root(house.now, at_once=True)
    (item,) = house.ledger.find("statement")
    size = egress.lines(house.ledger)[-1].leaf.bytes
    _carry(house, (f"{item.id}/header", size))
    house.ledger.move(item, "acknowledged", house.now)
    assert _codes(house) == []


def test_what_another_carrier_took_is_counted(house: "House") -> None:
    one = leaf(1, house.now)
    egress.book(house.ledger, one)
    house.ledger.add("update", "r", "acknowledged", house.now, {"envelope_id": one.envelope_id})
    assert _account(house).otherwise == 1
    assert _codes(house) == []


def test_a_forged_extra_request_is_an_alarm(house: "House") -> None:
    _leave(house)
    _carry(house, ("f" * 64 + "/header", 900))
    assert _codes(house) == ["unknown_envelope"]
    assert _daily(house) == "differing"
    why = house.item("reconciliation", "courier").why
    assert "never let out" in why
    assert "onggi egress reconcile" in why
    stages = status.report(house.ledger, "silo-a")["stages"]
    assert isinstance(stages, dict)
    assert isinstance(stages["egress"], dict)
    assert stages["egress"]["wrong"]


def test_a_held_update_that_was_carried_is_an_alarm(house: "House") -> None:
    held = leaf(1, house.now).model_copy(update={"decision": "held", "bytes": 0})
    egress.book(house.ledger, held)
    _carry(house, (f"{held.envelope_id}/header", 8))
    assert _codes(house) == ["unknown_envelope"]


def test_more_bytes_than_booked_are_an_alarm(house: "House") -> None:
    envelope_id = _leave(house)
    _carry(house, (f"{envelope_id}/blob?offset={len(BLOB)}", 1))
    assert "bytes_beyond" in _codes(house)


@pytest.mark.parametrize("kept", [slice(1), slice(1, 2)])
def test_a_deleted_line_is_an_alarm(house: "House", kept: slice) -> None:
    _leave(house)
    lines = house.transport.read_bytes().splitlines(keepends=True)
    house.transport.write_bytes(b"".join(lines[kept]))
    assert _codes(house) == [("bytes_missing" if kept.start is None else "broken_log")]


def test_an_altered_line_is_an_alarm(house: "House") -> None:
    _leave(house)
    text = house.transport.read_text()
    house.transport.write_text(text.replace('"up":8', '"up":7'))
    assert _codes(house) == ["broken_log"]
    assert _daily(house) == "differing"


def test_a_log_that_was_made_anew_is_an_alarm(house: "House") -> None:
    _leave(house)
    assert _daily(house) == "matched"
    house.transport.unlink()
    house.now += timedelta(days=1)
    assert _daily(house) == "differing"
    assert "cut_log" in house.item("reconciliation", "courier").why
    house.now += timedelta(days=1)
    _leave(house, 2)
    assert _daily(house) == "differing"


def test_a_log_that_cannot_be_read_is_an_alarm(house: "House") -> None:
    house.transport.mkdir()
    assert _codes(house) == ["unreadable"]


def test_an_altered_egress_log_is_an_alarm(house: "House") -> None:
    _leave(house)
    house.statements.say_root(house.now, at_once=True)
    house.ledger.connection.execute("UPDATE egress SET hash = x'00' WHERE seq = 1")
    assert _codes(house) == ["broken_tree"]
    house.ledger.connection.execute("UPDATE egress SET leaf = x'00' WHERE seq = 1")
    assert _codes(house) == ["broken_tree", "broken_tree"]


def test_a_leaf_under_a_signed_root_that_was_replaced_is_an_alarm(house: "House") -> None:
    _leave(house)
    house.statements.say_root(house.now, at_once=True)
    house.ledger.connection.execute("DELETE FROM egress")
    egress.book(house.ledger, leaf(1, house.now + timedelta(days=1)))
    assert "broken_tree" in _codes(house)


def test_an_alarm_stays_until_a_person_has_looked(house: "House") -> None:
    with pytest.raises(Refused, match="nothing_differs"):
        house.auditing.settle("Kim", house.now)
    _leave(house)
    _carry(house, ("f" * 64 + "/header", 900))
    for _ in range(3):
        assert _daily(house) == "differing"
        house.now += timedelta(days=1)
    faults = house.item("reconciliation", "courier").detail["faults"]
    assert isinstance(faults, list)
    assert len(faults) == 1
    house.auditing.settle("Kim (root)", house.now)
    item = house.item("reconciliation", "courier")
    assert (item.state, item.why) == ("matched", "Kim (root) has looked.")
    house.now += timedelta(days=1)
    assert _daily(house) == "matched", "what was looked at does not come again"


def test_after_a_broken_log_the_next_one_is_read_from_its_beginning(house: "House") -> None:
    _leave(house)
    assert _daily(house) == "matched"
    house.now += timedelta(days=1)
    house.transport.write_bytes(b"x\n")
    assert _daily(house) == "differing"
    house.transport.unlink()
    house.auditing.settle("Kim", house.now)
    house.now += timedelta(days=1)
    _leave(house, 2)
    assert _daily(house) == "matched"
    assert house.item("reconciliation", "courier").detail["requests"] == 2
