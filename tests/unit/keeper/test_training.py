import io
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.boxes import Outbox
from agent.errors import Refused
from agent.keys import new_hybrid
from agent.ledger import egress
from agent.ledger.book import Ledger
from agent.wire.envelope import open_blob, verify_header
from tests.kit.consortium import SILO

if TYPE_CHECKING:
    from pathlib import Path

    from agent.keeper.orders import RoundOrder
    from tests.unit.keeper.conftest import House

PAYLOAD = b"what was learned"


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the program runs to its end after it."""


def _seal(house: "House", order: "RoundOrder") -> str:
    with house.ledger.transaction():
        return house.rounds.seal(order, house.trained(), PAYLOAD, house.now)


def _answer(house: "House", envelope_id: str, kind: str, content: bytes) -> None:
    house.inbox.put_answer(envelope_id, kind, content)
    house.mail.take_all(house.now)
    house.dispatch.settle(house.now)


def _parcels(house: "House") -> list[str]:
    return [parcel.envelope_id for parcel in house.outbox.parcels()]


def test_an_update_is_sealed_booked_and_posted(house: "House") -> None:
    order = house.round_order()
    envelope_id = _seal(house, order)
    assert _parcels(house) == []  # it is shown to the courier after the commit only
    assert house.state("round", "p1.r1.a1") == "trained"
    update = house.item("update", "p1.r1.a1")
    assert (update.state, update.detail["envelope_id"]) == ("sealed", envelope_id)
    house.dispatch.settle(house.now)
    (parcel,) = house.outbox.parcels()
    (line,) = egress.lines(house.ledger)
    size = parcel.header_path.stat().st_size + parcel.blob_path.stat().st_size
    assert (line.leaf.envelope_id, line.leaf.bytes) == (envelope_id, size)
    assert update.detail["bytes"] == size


def test_what_was_sealed_can_be_opened_by_the_round_alone(house: "House") -> None:
    order = house.round_order()
    _seal(house, order)
    house.dispatch.settle(house.now)
    (parcel,) = house.outbox.parcels()
    assert house.trusted.roster is not None
    house.bring("roster", house.consortium.roster(2))  # now with this silo in it
    header = verify_header(parcel.header_path.read_bytes(), house.trusted.roster)
    core = header.core
    assert (core.silo, core.round_id, core.sequence) == (SILO, "p1.r1.a1", 1)
    assert core.egress_head == egress.EMPTY
    assert core.base_sha256 == order.manifest.base_sha256
    blob = parcel.blob_path.read_bytes()
    assert open_blob(header, io.BytesIO(blob), house.consortium.round_key) == PAYLOAD
    stranger = type(house.consortium)().round_key
    with pytest.raises(Refused, match="not_for_us"):
        open_blob(header, io.BytesIO(blob), stranger)


def test_features_of_another_kind_are_not_sent(house: "House") -> None:
    order = house.round_order()
    other = house.trained().model_copy(update={"reference_sha256": "00" * 32})
    with pytest.raises(Refused, match="Nothing was sent") as refused, house.ledger.transaction():
        house.rounds.seal(order, other, PAYLOAD, house.now)
    assert refused.value.code == "wrong_reference"
    house.rounds.give_up(order, refused.value.reason, house.now)
    house.dispatch.settle(house.now)
    assert house.state("round", "p1.r1.a1") == "skipped"
    assert _parcels(house) == []
    assert egress.lines(house.ledger) == []
    assert not house.ledger.find("update")


def test_a_round_that_closed_meanwhile_gets_nothing(house: "House") -> None:
    order = house.round_order()
    house.bring("round", house.consortium.round(2))
    with pytest.raises(Refused, match="round_closed"):
        _seal(house, order)
    assert egress.lines(house.ledger) == []
    house.rounds.give_up(order, "x", house.now)
    assert house.state("round", "p1.r1.a1") == "closed"


def test_without_a_roster_nothing_is_sealed(house: "House") -> None:
    order = house.round_order()
    house.trusted.roster = None
    with pytest.raises(Refused, match="no_roster"):
        _seal(house, order)
    assert egress.lines(house.ledger) == []


def test_a_round_is_sealed_once(house: "House") -> None:
    order = house.round_order()
    _seal(house, order)
    with pytest.raises(Refused, match="round_closed"):
        _seal(house, order)
    assert len(egress.lines(house.ledger)) == 1


@pytest.mark.parametrize("approval", [False, True])
def test_an_update_that_was_sealed_is_not_sealed_anew_behind_the_rounds_back(
    house: "House", *, approval: bool
) -> None:
    """Under masks what was trained is sent later, when the round's row says no more."""
    order = house.round_order()
    _seal(house, order)
    asked = (order.manifest, order.plan, house.trained(), b"another", house.now)
    with pytest.raises(Refused, match="already_sealed"), house.ledger.transaction():
        house.rounds.send(*asked, approval=approval)
    assert house.state("update", "p1.r1.a1") == "sealed"
    assert len(egress.lines(house.ledger)) == 1


def test_a_receipt_empties_the_outbox(house: "House") -> None:
    envelope_id = _seal(house, house.round_order())
    house.dispatch.settle(house.now)
    _answer(house, envelope_id, "delivered", b"")
    assert house.state("update", "p1.r1.a1") == "delivered"
    assert _parcels(house) == [envelope_id]
    receipt = house.consortium.receipt(envelope_id)
    for _ in range(2):
        _answer(house, envelope_id, "receipt", receipt)
        assert house.state("update", "p1.r1.a1") == "acknowledged"
        assert _parcels(house) == []
    _answer(house, envelope_id, "delivered", b"")  # late, and without effect
    assert house.state("update", "p1.r1.a1") == "acknowledged"
    assert not house.refusals()


def test_a_refusal_empties_the_outbox_and_says_why(house: "House") -> None:
    envelope_id = _seal(house, house.round_order())
    house.dispatch.settle(house.now)
    _answer(house, envelope_id, "refusal", house.consortium.refusal(envelope_id))
    item = house.item("update", "p1.r1.a1")
    assert (item.state, item.why) == ("refused", "The round is closed.")
    assert _parcels(house) == []


def test_a_strangers_receipt_leaves_the_envelope(house: "House") -> None:
    envelope_id = _seal(house, house.round_order())
    house.dispatch.settle(house.now)
    forged = house.consortium.receipt(envelope_id, signer=house.consortium.offline)
    _answer(house, envelope_id, "receipt", forged)
    assert house.refusals() == ["unknown_signer"]
    assert _parcels(house) == [envelope_id]


def test_an_envelope_without_an_answer_expires(house: "House") -> None:
    envelope_id = _seal(house, house.round_order())
    house.now += timedelta(days=6)
    house.dispatch.settle(house.now)
    assert _parcels(house) == [envelope_id]
    house.now += timedelta(days=1)
    house.dispatch.settle(house.now)
    assert _parcels(house) == [envelope_id]  # the clock may be wrong
    house.now += timedelta(days=1)
    house.dispatch.settle(house.now)
    assert house.state("update", "p1.r1.a1") == "expired"
    assert _parcels(house) == []
    assert egress.verify(house.ledger) == 1  # it was on its way, and stays in the account


def test_what_a_round_waits_for_is_said(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round())
    house.order_rounds(None)
    assert "No snapshot" in house.item("round", "p1.r1.a1").why
    house.order_rounds(house.ready())
    assert "base weights" in house.item("round", "p1.r1.a1").why
    assert not house.ledger.find("job")
    house.inbox.object_path(house.consortium.round_document().base_sha256).write_bytes(b"base")
    house.order_rounds(house.ready())
    assert house.item("round", "p1.r1.a1").why == ""
    assert len(house.ledger.find("job")) == 1


def test_a_round_of_a_plan_that_was_replaced_is_not_trained(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round(), house.consortium.base)
    house.bring("plan", house.consortium.plan("p2"))
    house.order_rounds(house.ready())
    assert "no longer in force" in house.item("round", "p1.r1.a1").why
    assert not house.ledger.find("job")


def test_a_round_whose_deadline_passed_is_closed(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round(), house.consortium.base)
    house.now += timedelta(days=1)
    house.order_rounds(house.ready())
    assert house.state("round", "p1.r1.a1") == "closed"


def test_private_heads_are_ordered_where_they_rest(house: "House") -> None:
    own = house.site.private_weights
    own.write_bytes(b"x")
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round(), house.consortium.base)
    house.order_rounds(house.ready())
    order = house.workers.order(house.ledger.find("job")[-1])
    assert order.kind == "round"
    assert order.private_weights == str(own)


# Every statement between the end of the training and the courier's look.
MOMENTS = [
    (Outbox, "stage", "before"),
    (Outbox, "stage", "after"),
    (Outbox, "staged", "before"),
    (Ledger, "add", "before"),
    (Ledger, "add", "after"),
    (egress, "book", "before"),
    (egress, "book", "after"),
    (Ledger, "move", "after"),
    (Outbox, "post", "before"),
    (Outbox, "post", "after"),
]


@pytest.mark.parametrize(("owner", "name", "when"), MOMENTS)
def test_a_kill_at_any_moment_leaves_exactly_one_envelope(
    house: "House", monkeypatch: pytest.MonkeyPatch, owner: object, name: str, when: str
) -> None:
    order = house.round_order()
    real = getattr(owner, name)

    def deadly(*arguments: object) -> object:
        if when == "after":
            real(*arguments)
        raise Killed

    def live() -> None:
        house.dispatch.recover()
        if not house.ledger.find("update"):
            _seal(house, order)
        house.dispatch.settle(house.now)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, deadly)
        with pytest.raises(Killed):
            live()
    house.reopen()
    live()
    house.reopen()
    live()
    (line,) = egress.lines(house.ledger)
    assert _parcels(house) == [line.leaf.envelope_id]
    assert house.item("update", "p1.r1.a1").detail["envelope_id"] == line.leaf.envelope_id
    assert [p.name for p in house.paths.outbox.iterdir()] == [line.leaf.envelope_id]
    assert egress.verify(house.ledger) == 1


def test_an_outbox_that_was_emptied_by_hand_stays_booked(house: "House") -> None:
    _seal(house, house.round_order())
    house.dispatch.settle(house.now)
    folder: Path = house.paths.outbox
    shutil.rmtree(folder)
    folder.mkdir()
    house.reopen()
    house.dispatch.recover()
    house.dispatch.settle(house.now)
    assert _parcels(house) == []
    assert egress.verify(house.ledger) == 1


def test_a_clock_that_jumps_ahead_for_a_while_costs_no_update(house: "House") -> None:
    envelope_id = _seal(house, house.round_order())
    for _ in range(3):
        house.now += timedelta(days=3650)
        house.dispatch.settle(house.now)
        house.now += timedelta(hours=23)
        house.dispatch.settle(house.now)
        house.now -= timedelta(days=3650)
        house.dispatch.settle(house.now)
        assert _parcels(house) == [envelope_id]


def test_an_envelope_that_was_not_booked_goes_at_once(
    house: "House", monkeypatch: pytest.MonkeyPatch
) -> None:
    order = house.round_order()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(egress, "book", full)
        with pytest.raises(OSError, match="No space"):
            _seal(house, order)
    assert list(house.paths.outbox.iterdir())
    house.dispatch.settle(house.now)
    assert not list(house.paths.outbox.iterdir())
    _seal(house, order)
    house.dispatch.settle(house.now)
    assert len(_parcels(house)) == 1


def test_rounds_are_closed_without_a_plan_in_force(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round())
    house.now += timedelta(days=40)
    house.intake.look(house.now, 1.0)
    house.pipeline.advance(house.now, 1.0)
    assert house.state("round", "p1.r1.a1") == "closed"


def test_under_the_hybrid_profile_both_keys_seal_and_sign(house: "House") -> None:
    key, order = new_hybrid("round"), house.round_order()
    manifest = order.manifest.model_copy(
        update={"kem_key": key.kem_hex, "seal_key": key.public_hex}
    )
    order = order.model_copy(update={"manifest": manifest})
    _seal(house, order)
    house.dispatch.settle(house.now)
    (parcel,) = house.outbox.parcels()
    assert house.trusted.roster is not None
    house.bring("roster", house.consortium.roster(2))
    header = verify_header(parcel.header_path.read_bytes(), house.trusted.roster)
    assert header.profile == "hybrid"
    assert open_blob(header, io.BytesIO(parcel.blob_path.read_bytes()), key) == PAYLOAD


def test_without_a_post_quantum_key_nothing_is_sealed(house: "House") -> None:
    order = house.round_order()
    manifest = order.manifest.model_copy(update={"kem_key": new_hybrid("round").kem_hex})
    (house.paths.keys / "pq-sign.key").unlink()
    with pytest.raises(Refused, match="no_post_quantum_key"):
        _seal(house, order.model_copy(update={"manifest": manifest}))
    assert _parcels(house) == []
