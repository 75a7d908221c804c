"""The stages that decide what leaves, together, through the pipeline."""

from typing import TYPE_CHECKING

import pytest

from agent.exchange.transport_log import TransportLog, Trip
from agent.keeper.requests import Action, ask, new_request
from agent.ledger import egress
from agent.policy.signing import signature_path
from agent.wire.signed import parse
from agent.wire.statements import Declined
from tests.kit.departures import leaf

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House

ROUND = "p1.r1.a1"


def _advance(house: "House") -> None:
    house.later(1)
    house.pipeline.advance(house.now, 1.0)


def _ask(house: "House", action: Action, envelope_id: str = "") -> None:
    ask(house.paths.requests, new_request(action, envelope_id, "Kim", house.now))
    _advance(house)
    assert list(house.paths.requests.iterdir()) == []


def _seal(house: "House") -> str:
    """What the pipeline does with a finished round."""
    order = house.round_order()
    house.leaving.decide(house.now)
    with house.ledger.transaction():
        sealed = house.rounds.seal(
            order, house.trained(), b"x", house.now, approval=house.leaving.needs_approval
        )
    _advance(house)
    return sealed


def _shown(house: "House") -> list[str]:
    return [parcel.envelope_id for parcel in house.outbox.parcels()]


def test_approval_of_each_update(house: "House") -> None:
    house.sign_off("[leave]\napproval = 'each'")
    envelope_id = _seal(house)
    assert _shown(house) == []
    _ask(house, "approve", envelope_id)
    assert _shown(house) == [envelope_id]
    assert egress.lines(house.ledger)[-1].leaf.by.startswith("Kim (")
    _ask(house, "hold", envelope_id)
    assert _shown(house) == []
    _ask(house, "refuse", envelope_id)
    assert house.state("update", ROUND) == "withdrawn"
    (statement,) = house.ledger.find("statement")
    content = house.ledger.document("statement", statement.id)
    assert content is not None
    said = Declined.parse(parse(content).payload)
    assert (said.round_id, said.codes) == (ROUND, ("not_approved",))
    assert _shown(house) == [statement.id]


def test_what_is_asked_twice_is_done_once(house: "House") -> None:
    envelope_id = _seal(house)
    _ask(house, "hold", envelope_id)
    _ask(house, "hold", envelope_id)
    assert egress.size(house.ledger) == 2


def test_an_altered_policy_holds_everything_back(house: "House") -> None:
    house.sign_off("")
    envelope_id = _seal(house)
    assert _shown(house) == [envelope_id]
    house.policy.write_text("version = 1\n[leave]\ntell = 'nothing'\n")
    house.bring("round", house.consortium.round(2), house.consortium.base)
    _advance(house)
    assert _shown(house) == []
    house.rounds.order(
        house.trusted.plans["p1"][0], house.ready(), house.now, house.leaving.holds_back(house.now)
    )
    assert "onggi policy sign" in house.item("round", "p1.r2.a1").why
    house.sign_off("", 2)
    _advance(house)
    assert _shown(house) == [envelope_id]


def test_before_the_policy_was_looked_at_nothing_is_taken(house: "House") -> None:
    assert house.leaving.holds_back(house.now)
    assert not house.leaving.needs_approval


def test_a_root_can_be_asked_for(house: "House") -> None:
    _seal(house)
    _ask(house, "root")
    (root,) = house.ledger.find("statement", "signed")
    assert root.detail["kind"] == "egress_root"
    assert root.id in _shown(house)


def test_a_log_that_was_altered_gets_no_root_and_stops_nobody(house: "House") -> None:
    egress.book(house.ledger, leaf(1, house.now))
    house.statements.say_root(house.now, at_once=True)
    (root,) = house.ledger.find("statement")
    house.ledger.move(root, "acknowledged", house.now)
    house.ledger.connection.execute("UPDATE egress SET hash = x'00' WHERE seq = 1")
    house.later(86_400)
    _advance(house)
    assert len(house.ledger.find("statement")) == 1
    assert house.state("reconciliation", "courier") == "differing"


def test_an_alarm_is_ended_by_a_person(house: "House") -> None:
    with TransportLog(house.transport) as log:
        log.record(Trip("PUT", "/v1/elsewhere", 200, 5, 0), house.now)
    _advance(house)
    assert house.state("reconciliation", "courier") == "differing"
    _ask(house, "settle")
    assert house.state("reconciliation", "courier") == "matched"


@pytest.mark.parametrize("spoilt", [True, False])
def test_an_update_sealed_while_the_policy_is_spoilt_waits(house: "House", spoilt: bool) -> None:
    house.sign_off("")
    order = house.round_order()
    if spoilt:
        signature_path(house.policy).unlink()
    house.leaving.decide(house.now)
    with house.ledger.transaction():
        sealed = house.rounds.seal(order, house.trained(), b"x", house.now)
    _advance(house)
    assert _shown(house) == ([] if spoilt else [sealed])


def _carry(house: "House", sha256: str, size: int = 1234) -> None:
    carried = ("release-1", size)
    ask(house.paths.requests, new_request("figures", sha256, "Kim", house.now, carried))
    _advance(house)
    assert list(house.paths.requests.iterdir()) == []


def test_encrypted_figures_are_booked_where_the_policy_lets_them_out(house: "House") -> None:
    house.sign_off("")
    _carry(house, "ab" * 32)
    assert egress.size(house.ledger) == 0
    house.sign_off("[leave]\nfigures = 'encrypted'", 2)
    for _ in range(2):
        _carry(house, "ab" * 32)
    _carry(house, "cd" * 32, 0)
    (line,) = egress.lines(house.ledger)
    booked = line.leaf
    assert (booked.kind, booked.about, booked.bytes) == ("figures", "release-1", 1234)
    assert (booked.envelope_id, booked.blob_sha256, booked.header) == ("ab" * 32, "ab" * 32, "")
    assert booked.by.startswith("Kim (")


def test_no_figures_leave_while_the_policy_is_altered(house: "House") -> None:
    house.sign_off("[leave]\nfigures = 'encrypted'")
    _advance(house)
    house.policy.write_text("version = 1\n[leave]\nfigures = 'encrypted'\ntell = 'nothing'\n")
    _carry(house, "ab" * 32)
    assert egress.size(house.ledger) == 0
