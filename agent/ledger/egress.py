"""What left, as a hash chain: each line's hash covers the one before it."""

import hashlib
import json
from dataclasses import astuple, dataclass
from datetime import datetime

from agent.clock import to_text
from agent.errors import Refused
from agent.ledger.book import Ledger

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Departure:
    """One thing that was sealed to leave: how large, to whom, and the hash of its bytes."""

    at: str
    envelope_id: str
    kind: str
    recipient: str
    round_id: str
    bytes: int
    blob_sha256: str


@dataclass(frozen=True, slots=True)
class EgressLine:
    """A departure with its place in the chain."""

    seq: int
    departure: Departure
    before: str
    head: str


def egress_head(ledger: Ledger) -> str:
    """Returns the hash of the newest line, or 64 zeros when nothing has left."""
    row = ledger.connection.execute("SELECT head FROM egress ORDER BY seq DESC LIMIT 1").fetchone()
    return str(row[0]) if row else GENESIS


def next_sequence(ledger: Ledger) -> int:
    """Returns the number that the next line will have, from 1."""
    (last,) = ledger.connection.execute("SELECT COALESCE(MAX(seq), 0) FROM egress").fetchone()
    return int(last) + 1


def book(ledger: Ledger, departure: Departure) -> None:
    """Adds a line; call it in the transaction that seals the envelope."""
    with ledger.transaction():
        seq, before = next_sequence(ledger), egress_head(ledger)
        ledger.connection.execute(
            "INSERT INTO egress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (seq, *astuple(departure), before, _link(seq, departure, before)),
        )


def lines(ledger: Ledger) -> list[EgressLine]:
    """Returns every line, oldest first."""
    rows = ledger.connection.execute("SELECT * FROM egress ORDER BY seq")
    return [EgressLine(row[0], Departure(*row[1:8]), row[8], row[9]) for row in rows]


def verify(ledger: Ledger) -> int:
    """Checks the whole chain and returns its length.

    Raises:
        Refused: `broken_chain`: a line was changed, removed or put in between.
    """
    before = GENESIS
    found = lines(ledger)
    for number, line in enumerate(found, start=1):
        expected = _link(line.seq, line.departure, line.before)
        if line.seq != number or line.before != before or line.head != expected:
            raise Refused("broken_chain", f"Line {number} of the egress ledger was altered.")
        before = line.head
    return len(found)


def departure(
    at: datetime, envelope_id: str, recipient: str, round_id: str, size: int, blob_sha256: str
) -> Departure:
    """Describes an update that leaves now."""
    return Departure(to_text(at), envelope_id, "update", recipient, round_id, size, blob_sha256)


def _link(seq: int, line: Departure, before: str) -> str:
    text = json.dumps([seq, *astuple(line), before], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
