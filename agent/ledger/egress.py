"""What left, what was held and what was refused: the leaves of a Merkle tree (RFC 6962).

Every decision is a leaf (`agent.wire.statements.Leaf`); none is ever changed or removed, so a
signed root of today covers all that was decided before.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.clock import to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.ledger.book import Ledger
from agent.wire import merkle
from agent.wire.statements import LEAVES, Decision, Leaf

EMPTY = merkle.EMPTY_ROOT.hex()
# Of each envelope the last leaf of `LEAVES`: SQLite takes bare columns from the row of MAX.
_TOTALS = """
SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM (
  SELECT MAX(seq), json_extract(text, '$.bytes') AS bytes
  FROM (SELECT seq, envelope_id, CAST(leaf AS TEXT) AS text FROM egress)
  WHERE json_valid(text) AND json_extract(text, '$.decision') IN ('released', 'approved')
  GROUP BY envelope_id
)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A leaf with its place in the log, from 1, and its very bytes."""

    seq: int
    leaf: Leaf
    content: bytes


def egress_head(ledger: Ledger) -> str:
    """Returns the root of the log as it is, in hexadecimal."""
    return merkle.root(hashes(ledger)).hex()


def size(ledger: Ledger) -> int:
    """Returns how many leaves there are."""
    (last,) = ledger.connection.execute("SELECT COALESCE(MAX(seq), 0) FROM egress").fetchone()
    return int(last)


def book(ledger: Ledger, leaf: Leaf) -> int:
    """Adds a leaf and returns its number, from 1.

    Call it in the transaction that changes the state of what the leaf speaks of.
    """
    content = leaf.to_bytes()
    with ledger.transaction():
        seq = size(ledger) + 1
        ledger.connection.execute(
            "INSERT INTO egress VALUES (?, ?, ?, ?)",
            (seq, leaf.envelope_id, content, merkle.leaf_hash(content)),
        )
    return seq


def decide(
    ledger: Ledger, envelope_id: str, decision: Decision, by: str, at: datetime, sent: int
) -> None:
    """Adds a further decision about an envelope that is in the log already.

    Args:
        ledger: Where the log is.
        envelope_id: The envelope.
        decision: What was decided.
        by: Who decided.
        at: When.
        sent: How many bytes may leave by it.

    Raises:
        Refused: `unknown_envelope`.
    """
    earlier = of_envelope(ledger, envelope_id)
    if not earlier:
        raise Refused("unknown_envelope", f"The egress log has no envelope {envelope_id[:12]}.")
    changes = {"decision": decision, "by": by, "at": to_text(at), "bytes": sent}
    book(ledger, earlier[-1].leaf.model_copy(update=changes))


def departure(  # noqa: PLR0913 - the fields of a leaf
    at: datetime,
    header: bytes,
    envelope_id: str,
    recipient: str,
    about: str,
    sent: int,
    blob_sha256: str,
    decision: Decision = "released",
) -> Leaf:
    """Describes an update that is sealed now, by the policy's decision."""
    return Leaf(
        at=to_text(at),
        envelope_id=envelope_id,
        kind="update",
        to=recipient,
        about=about,
        decision=decision,
        by="policy",
        bytes=sent,
        blob_sha256=blob_sha256,
        header=base64.b64encode(header).decode("ascii"),
    )


def statement(
    at: datetime, content: bytes, kind: str, recipient: str, about: str, *, kept: bool = False
) -> Leaf:
    """Describes a statement that is signed now, by the policy's decision.

    Args:
        at: The time.
        content: The signed container.
        kind: Its kind.
        recipient: The consortium.
        about: The plan, the round, the release or the day.
        kept: The policy does not let it leave.
    """
    return Leaf(
        at=to_text(at),
        envelope_id=sha256_bytes(content),
        kind=kind,
        to=recipient,
        about=about,
        decision="kept" if kept else "released",
        by="policy",
        bytes=0 if kept else len(content),
        blob_sha256=sha256_bytes(b""),
        header=base64.b64encode(content).decode("ascii"),
    )


def hashes(ledger: Ledger) -> list[bytes]:
    """Returns the hash of every leaf, in order."""
    rows = ledger.connection.execute("SELECT hash FROM egress ORDER BY seq")
    return [bytes(row[0]) for row in rows]


def lines(ledger: Ledger) -> list[Line]:
    """Returns every leaf, oldest first.

    Raises:
        Refused: `broken_tree`: a leaf is not readable any more.
    """
    return _lines(ledger, "ORDER BY seq")


def first(ledger: Ledger) -> Line:
    """Returns the first leaf; there must be one.

    Raises:
        Refused: `broken_tree`: it is not there, or not readable.
    """
    found = _lines(ledger, "ORDER BY seq LIMIT 1")
    if not found:
        raise _broken(1)
    return found[0]


def of_envelope(ledger: Ledger, envelope_id: str) -> list[Line]:
    """Returns the leaves of one envelope, oldest first."""
    return _lines(ledger, "WHERE envelope_id = ? ORDER BY seq", envelope_id)


def _lines(ledger: Ledger, where: str, *values: str) -> list[Line]:
    rows = ledger.connection.execute(f"SELECT seq, leaf FROM egress {where}", values)  # noqa: S608 - `where` is ours
    found = []
    for seq, content in rows:
        try:
            found.append(Line(seq, Leaf.parse(bytes(content)), bytes(content)))
        except Refused as error:
            raise _broken(seq) from error
    return found


def left(ledger: Ledger) -> Mapping[str, Leaf]:
    """Returns the leaf of each envelope that was ever let out, by id."""
    return {
        line.leaf.envelope_id: line.leaf for line in lines(ledger) if line.leaf.decision in LEAVES
    }


def totals(ledger: Ledger) -> tuple[int, int]:
    """Returns how many envelopes were let out, and with how many bytes; cheap, for the status.

    A leaf that is not readable any more is left out: `verify` tells of it.
    """
    row = ledger.connection.execute(_TOTALS).fetchone()
    return int(row[0]), int(row[1])


def verify(ledger: Ledger) -> int:
    """Checks that every leaf is whole and in its place; returns how many there are.

    A leaf that was replaced together with its hash shows in the roots that were signed before:
    `check_root`.

    Raises:
        Refused: `broken_tree`.
    """
    rows = ledger.connection.execute(
        "SELECT seq, envelope_id, leaf, hash FROM egress ORDER BY seq"
    ).fetchall()
    for number, (seq, envelope_id, content, hashed) in enumerate(rows, start=1):
        whole = merkle.leaf_hash(bytes(content)) == bytes(hashed)
        if seq != number or not whole or Leaf.parse(bytes(content)).envelope_id != envelope_id:
            raise _broken(number)
    return len(rows)


def check_root(ledger: Ledger, leaves: int, root: str) -> None:
    """Checks that the log's first leaves are still those of an earlier root.

    Raises:
        Refused: `broken_tree`.
    """
    found = hashes(ledger)[:leaves]
    if len(found) < leaves or merkle.root(found).hex() != root:
        raise Refused(
            "broken_tree",
            f"The egress log is not the one whose root of {leaves} leaves was signed: a leaf was "
            "altered, removed or put in between. Keep a copy of the ledger as evidence.",
        )


def _broken(number: int) -> Refused:
    return Refused(
        "broken_tree",
        f"Leaf {number} of the egress log was altered, removed or put in between. Keep a copy of "
        "the ledger as evidence.",
    )
