import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.ledger import egress, schema
from agent.ledger.book import Ledger
from agent.wire import merkle
from agent.wire.statements import header_of
from tests.kit.departures import leaf

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite3") as opened:
        for number in (1, 2, 3):
            assert egress.book(opened, leaf(number, NOW)) == number
        yield opened


def test_nothing_has_left_yet(tmp_path: Path) -> None:
    with Ledger(tmp_path / "other.sqlite3") as empty:
        assert egress.egress_head(empty) == egress.EMPTY == merkle.root([]).hex()
        assert egress.size(empty) == 0
        assert egress.verify(empty) == 0
        assert egress.lines(empty) == []
        assert egress.totals(empty) == (0, 0)
        with pytest.raises(Refused, match="broken_tree"):
            egress.first(empty)


def test_the_head_is_the_root_over_every_leaf(ledger: Ledger) -> None:
    found = egress.lines(ledger)
    assert [line.seq for line in found] == [1, 2, 3]
    assert egress.first(ledger) == found[0]
    assert header_of(found[0].leaf) == b"header 1"
    expected = merkle.root([merkle.leaf_hash(line.content) for line in found])
    assert egress.egress_head(ledger) == expected.hex()
    assert egress.verify(ledger) == 3


def test_a_further_decision_is_a_further_leaf(ledger: Ledger) -> None:
    held = leaf(4, NOW).model_copy(update={"decision": "held", "bytes": 0})
    egress.book(ledger, held)
    assert held.envelope_id not in egress.left(ledger)
    egress.decide(ledger, held.envelope_id, "approved", "Kim", NOW, 77)
    first, second = egress.of_envelope(ledger, held.envelope_id)
    assert (first.leaf.decision, second.leaf.decision) == ("held", "approved")
    assert (second.leaf.by, second.leaf.bytes, second.leaf.header) == ("Kim", 77, held.header)
    assert egress.left(ledger)[held.envelope_id] == second.leaf
    assert egress.totals(ledger) == (4, sum(one.bytes for one in egress.left(ledger).values()))
    with pytest.raises(Refused, match="unknown_envelope"):
        egress.decide(ledger, "e" * 64, "approved", "Kim", NOW, 1)


@pytest.mark.parametrize(
    "change",
    ["seq = 9", "envelope_id = 'other'", "leaf = x'00'", "hash = x'00'", "leaf = x'7b7d'"],
)
def test_any_altered_field_is_found(ledger: Ledger, change: str) -> None:
    ledger.connection.execute(f"UPDATE egress SET {change} WHERE seq = 2")  # noqa: S608 - ours
    with pytest.raises(Refused, match="altered") as refused:
        egress.verify(ledger)
    assert refused.value.code == "broken_tree"


def test_a_leaf_that_cannot_be_read_is_said_to_be_broken(ledger: Ledger) -> None:
    ledger.connection.execute("UPDATE egress SET leaf = x'00' WHERE seq = 2")
    with pytest.raises(Refused, match="Leaf 2") as refused:
        egress.lines(ledger)
    assert refused.value.code == "broken_tree"
    assert egress.totals(ledger)[0] == 2, "the status goes on"


def test_a_removed_leaf_is_found(ledger: Ledger) -> None:
    ledger.connection.execute("DELETE FROM egress WHERE seq = 2")
    with pytest.raises(Refused, match="Leaf 2"):
        egress.verify(ledger)


def test_a_leaf_that_was_replaced_with_its_hash_shows_in_a_signed_root(ledger: Ledger) -> None:
    size, root = egress.size(ledger), egress.egress_head(ledger)
    egress.book(ledger, leaf(4, NOW))
    egress.check_root(ledger, size, root)
    other = leaf(9, NOW)
    content = other.to_bytes()
    ledger.connection.execute(
        "UPDATE egress SET leaf = ?, hash = ?, envelope_id = ? WHERE seq = 2",
        (content, merkle.leaf_hash(content), other.envelope_id),
    )
    assert egress.verify(ledger) == 4
    with pytest.raises(Refused, match="broken_tree"):
        egress.check_root(ledger, size, root)
    ledger.connection.execute("DELETE FROM egress WHERE seq > 2")
    with pytest.raises(Refused, match="broken_tree"):
        egress.check_root(ledger, size, root)


def test_the_lines_of_the_hash_chain_become_leaves(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(schema._MIGRATIONS[0])
    old.execute("PRAGMA user_version = 1")
    for seq in (1, 2):
        old.execute(
            "INSERT INTO egress VALUES (?, '2026-03-01T00:00:00.000000Z', ?, 'update', 'kit', "
            "'p1.r1.a1', 100, ?, 'before', 'head')",
            (seq, f"{seq}" * 64, "b" * 64),
        )
    old.close()
    with Ledger(path) as ledger:
        assert egress.verify(ledger) == 2
        one, two = egress.lines(ledger)
        assert (one.leaf.bytes, one.leaf.header, one.leaf.decision) == (100, "", "released")
        assert set(egress.left(ledger)) == {"1" * 64, "2" * 64}
        # In the very form in which today's leaves are written.
        assert two.content == two.leaf.to_bytes()
        egress.book(ledger, leaf(3, NOW))
        assert egress.verify(ledger) == 3
