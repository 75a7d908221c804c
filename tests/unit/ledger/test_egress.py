from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import Refused
from agent.ledger import egress
from agent.ledger.book import Ledger

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite3") as opened:
        for number in (1, 2, 3):
            line = egress.departure(NOW, f"e{number}", "kit", f"r{number}", 100 + number, "b" * 64)
            egress.book(opened, line)
        yield opened


def test_nothing_has_left_yet(tmp_path: Path) -> None:
    with Ledger(tmp_path / "other.sqlite3") as empty:
        assert egress.egress_head(empty) == egress.GENESIS
        assert egress.next_sequence(empty) == 1
        assert egress.verify(empty) == 0
        assert egress.lines(empty) == []


def test_each_line_covers_the_one_before(ledger: Ledger) -> None:
    found = egress.lines(ledger)
    assert [line.seq for line in found] == [1, 2, 3]
    assert [line.before for line in found] == [egress.GENESIS, found[0].head, found[1].head]
    assert found[0].departure.bytes == 101
    assert found[0].departure.kind == "update"
    assert egress.egress_head(ledger) == found[2].head
    assert egress.next_sequence(ledger) == 4
    assert egress.verify(ledger) == 3


@pytest.mark.parametrize(
    "change",
    [
        "seq = 9",
        "at = '2026-03-02T00:00:00.000000Z'",
        "envelope_id = 'other'",
        "kind = 'something'",
        "recipient = 'stranger'",
        "round_id = 'r9'",
        "bytes = 1",
        "blob_sha256 = 'c'",
        "before = '0'",
        "head = '0'",
    ],
)
def test_any_altered_field_breaks_the_chain(ledger: Ledger, change: str) -> None:
    ledger.connection.execute(f"UPDATE egress SET {change} WHERE seq = 2")  # noqa: S608 - ours
    with pytest.raises(Refused, match="altered") as refused:
        egress.verify(ledger)
    assert refused.value.code == "broken_chain"


def test_a_removed_line_breaks_the_chain(ledger: Ledger) -> None:
    ledger.connection.execute("DELETE FROM egress WHERE seq = 2")
    with pytest.raises(Refused, match="Line 2"):
        egress.verify(ledger)


def test_a_line_put_in_between_breaks_the_chain(ledger: Ledger) -> None:
    ledger.connection.execute("UPDATE egress SET seq = 4 WHERE seq = 3")
    ledger.connection.execute(
        "INSERT INTO egress SELECT 3, at, 'new', kind, recipient, round_id, bytes, blob_sha256, "
        "before, head FROM egress WHERE seq = 2"
    )
    with pytest.raises(Refused, match="Line 3"):
        egress.verify(ledger)


def test_no_envelope_is_booked_twice(ledger: Ledger) -> None:
    line = egress.departure(NOW, "e1", "kit", "r1", 1, "b" * 64)
    with pytest.raises(Exception, match="UNIQUE"):
        egress.book(ledger, line)
    assert egress.verify(ledger) == 3
