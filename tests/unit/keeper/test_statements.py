"""Statements in the outbox and their answers; the roots of the egress log."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.ledger import egress
from agent.wire.signed import parse
from agent.wire.statements import EgressRoot
from tests.kit.departures import leaf

if TYPE_CHECKING:
    from agent.ledger.book import Item
    from tests.unit.keeper.conftest import House


def _roots(house: "House") -> "list[Item]":
    return house.ledger.find("statement")


def _document(house: "House", item: "Item") -> EgressRoot:
    content = house.ledger.document("statement", item.id)
    assert content is not None
    return EgressRoot.parse(parse(content).payload)


def _answer(house: "House", item: "Item", kind: str = "receipt") -> None:
    content = getattr(house.consortium, kind)(item.id)
    house.inbox.put_answer(item.id, "delivered", b"")
    house.inbox.put_answer(item.id, kind, content)
    house.mail.take_all(house.now)


def test_without_a_leaf_there_is_no_root(house: "House") -> None:
    assert not house.statements.say_root(house.now)
    assert not house.statements.say_root(house.now, at_once=True)


def test_a_root_is_signed_when_the_day_is_over(house: "House") -> None:
    egress.book(house.ledger, leaf(1, house.now))
    assert not house.statements.say_root(house.now)
    expected = egress.egress_head(house.ledger)
    house.now += timedelta(days=1)
    assert house.statements.say_root(house.now)
    (item,) = _roots(house)
    document = _document(house, item)
    assert (document.size, document.root, document.after_size) == (1, expected, 0)
    assert document.follows()
    assert item.detail["about"] == "2026-03-02"
    last = egress.lines(house.ledger)[-1].leaf
    assert (last.kind, last.envelope_id, last.decision) == ("egress_root", item.id, "released")
    house.dispatch.settle(house.now)
    (parcel,) = house.outbox.parcels()
    size = parcel.header_path.stat().st_size
    assert (parcel.envelope_id, last.bytes) == (item.id, size)


def test_the_next_root_waits_for_the_answer_and_goes_on_from_it(house: "House") -> None:
    egress.book(house.ledger, leaf(1, house.now))
    house.now += timedelta(days=1)
    house.statements.say_root(house.now)
    house.now += timedelta(days=1)
    assert not house.statements.say_root(house.now), "the last one is not answered yet"
    first = _roots(house)[0]
    _answer(house, first)
    assert house.state("statement", first.id) == "acknowledged"
    assert house.ledger.document("receipt", first.id) == house.consortium.receipt(first.id)
    _answer(house, first)  # once more, and without effect
    house.dispatch.settle(house.now)
    assert house.outbox.parcels() == []
    assert house.statements.say_root(house.now)
    second = _document(house, _roots(house)[1])
    assert (second.after_size, second.size) == (1, 2)
    assert second.after_root == _document(house, first).root
    assert second.follows()
    assert not house.refusals()


def test_a_refused_root_is_not_gone_on_from(house: "House") -> None:
    egress.book(house.ledger, leaf(1, house.now))
    house.statements.say_root(house.now, at_once=True)
    first = _roots(house)[0]
    _answer(house, first, "refusal")
    assert house.state("statement", first.id) == "refused"
    house.statements.say_root(house.now, at_once=True)
    assert _document(house, _roots(house)[1]).after_size == 0


def test_no_root_is_signed_over_a_log_that_was_altered(house: "House") -> None:
    egress.book(house.ledger, leaf(1, house.now))
    house.statements.say_root(house.now, at_once=True)
    _answer(house, _roots(house)[0])
    house.ledger.connection.execute("UPDATE egress SET hash = x'00' WHERE seq = 1")
    with pytest.raises(Refused, match="broken_tree"):
        house.statements.say_root(house.now, at_once=True)
