"""A person's word on an update, and the door that a policy shuts."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.ledger import egress

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House

ROUND = "p1.r1.a1"


def _seal(house: "House", *, approval: bool) -> str:
    order = house.round_order()
    with house.ledger.transaction():
        sealed = house.rounds.seal(
            order, house.trained(), b"what was learned", house.now, approval=approval
        )
    house.dispatch.settle(house.now)
    return sealed


def _shown(house: "House") -> list[str]:
    return [parcel.envelope_id for parcel in house.outbox.parcels()]


def _decisions(house: "House", envelope_id: str) -> list[tuple[str, str, bool]]:
    lines = egress.of_envelope(house.ledger, envelope_id)
    return [(one.leaf.decision, one.leaf.by, one.leaf.bytes > 0) for one in lines]


def test_an_update_waits_for_a_person(house: "House") -> None:
    envelope_id = _seal(house, approval=True)
    assert _shown(house) == []
    held = house.item("update", ROUND)
    assert held.state == "held"
    assert f"onggi outbox approve {envelope_id[:12]}" in held.why
    assert house.state("round", ROUND) == "trained"
    assert _decisions(house, envelope_id) == [("held", "policy", False)]
    house.reopen()
    house.dispatch.recover()
    house.dispatch.settle(house.now)
    assert _shown(house) == []


def test_approved_it_leaves_and_the_ledger_says_who_let_it(house: "House") -> None:
    envelope_id = _seal(house, approval=True)
    house.dispatch.approve(envelope_id, "Kim (root)", house.now)
    house.dispatch.settle(house.now)
    assert _shown(house) == [envelope_id]
    item = house.item("update", ROUND)
    assert (item.state, item.why, item.detail["approved_by"]) == ("sealed", "", "Kim (root)")
    assert _decisions(house, envelope_id)[1:] == [("approved", "Kim (root)", True)]
    assert egress.left(house.ledger)[envelope_id].bytes == item.detail["bytes"]


def test_refused_it_never_leaves(house: "House") -> None:
    envelope_id = _seal(house, approval=True)
    assert house.dispatch.refuse(envelope_id, "Kim", house.now).id == ROUND
    house.dispatch.settle(house.now)
    assert _shown(house) == []
    assert list(house.paths.outbox.iterdir()) == []
    item = house.item("update", ROUND)
    assert (item.state, item.why) == ("withdrawn", "Kim refused it.")
    assert _decisions(house, envelope_id)[1:] == [("refused", "Kim", False)]
    assert envelope_id not in egress.left(house.ledger)
    with pytest.raises(Refused, match="not_waiting"):
        house.dispatch.approve(envelope_id, "Kim", house.now)


def test_a_sealed_update_can_be_held_and_let_go(house: "House") -> None:
    envelope_id = _seal(house, approval=False)
    assert _shown(house) == [envelope_id]
    house.dispatch.hold(envelope_id, "Kim", house.now)
    house.dispatch.settle(house.now)
    assert _shown(house) == []
    house.dispatch.approve(envelope_id, "Lee", house.now)
    house.dispatch.settle(house.now)
    assert _shown(house) == [envelope_id]
    assert [decision for decision, *_ in _decisions(house, envelope_id)] == [
        "released",
        "held",
        "approved",
    ]
    assert egress.verify(house.ledger) == 3


def test_what_is_not_waiting_cannot_be_decided(house: "House") -> None:
    envelope_id = _seal(house, approval=False)
    for act in (house.dispatch.approve, house.dispatch.refuse):
        with pytest.raises(Refused, match="not_waiting"):
            act(envelope_id, "Kim", house.now)
    with pytest.raises(Refused, match="unknown_envelope"):
        house.dispatch.hold("e" * 64, "Kim", house.now)
    house.dispatch.hold(envelope_id, "Kim", house.now)
    with pytest.raises(Refused, match="not_waiting"):
        house.dispatch.hold(envelope_id, "Kim", house.now)


def test_a_held_update_expires_like_any_other(house: "House") -> None:
    _seal(house, approval=True)
    house.now += timedelta(days=7)
    house.dispatch.settle(house.now)
    house.now += timedelta(days=1)
    house.dispatch.settle(house.now)
    assert house.state("update", ROUND) == "expired"
    assert list(house.paths.outbox.iterdir()) == []


@pytest.mark.parametrize("restart", [False, True])
def test_an_update_expires_however_often_the_keeper_starts(house: "House", restart: bool) -> None:
    _seal(house, approval=False)
    expected = {7.5: "sealed", 8.0: "sealed", 8.4: "sealed", 8.5: "expired"}
    begun = house.now
    for day, state in expected.items():
        house.now = begun + timedelta(days=day)
        if restart:
            house.reopen()
            house.dispatch.recover()
        house.dispatch.settle(house.now)
        assert (day, house.state("update", ROUND)) == (day, state)
    assert house.ledger.documents("overdue") == []


@pytest.mark.parametrize("back", [6.0, 7.5])
def test_a_clock_that_was_ahead_costs_no_update(house: "House", back: float) -> None:
    _seal(house, approval=False)
    begun = house.now
    for day in (40.0, back, back + 0.9):
        house.now = begun + timedelta(days=day)
        house.reopen()
        house.dispatch.settle(house.now)
        assert (day, house.state("update", ROUND)) == (day, "sealed")
    house.now = begun + timedelta(days=9)
    house.dispatch.settle(house.now)
    assert house.state("update", ROUND) == ("expired" if back > 7 else "sealed")


def test_the_door_shuts_and_opens_again(house: "House") -> None:
    envelope_id = _seal(house, approval=False)
    for _ in range(2):
        house.dispatch.settle(house.now, shut=True)
        assert _shown(house) == []
    assert house.state("update", ROUND) == "sealed"
    house.dispatch.settle(house.now)
    assert _shown(house) == [envelope_id]


@pytest.mark.parametrize("withdrawn", [False, True])
def test_an_update_that_was_on_its_way_when_it_was_held(house: "House", withdrawn: bool) -> None:
    envelope_id = _seal(house, approval=False)
    house.dispatch.hold(envelope_id, "Kim", house.now)
    if withdrawn:
        house.dispatch.refuse(envelope_id, "Kim", house.now)
    before = house.state("update", ROUND)
    for kind, content in (
        ("delivered", b""),
        ("receipt", house.consortium.receipt(envelope_id)),
    ):
        assert house.state("update", ROUND) == before
        house.inbox.put_answer(envelope_id, kind, content)
        house.mail.take_all(house.now)
    item = house.item("update", ROUND)
    assert (item.state, "on its way" in item.why) == ("acknowledged", True)
    assert envelope_id in egress.left(house.ledger), "it was let out before"
    house.dispatch.settle(house.now)
    assert _shown(house) == []
