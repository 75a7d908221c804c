"""Evidence that a silo signed two different updates for one place in one round.

Both signed headers are kept; whoever has the roster can check them without trusting this
aggregator. One of the two is in the envelopes, the refused ones are in the log of answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.errors import Refused
from agent.records import Json
from agent.wire import strict_json
from agent.wire.documents import Roster
from agent.wire.envelope import Header, verify_header
from consortium.tables import AnswerRow, EnvelopeRow

_CODE = "equivocation"


@dataclass(frozen=True, slots=True)
class Finding:
    """One proof of equivocation; `number` is its place in the log of answers."""

    number: int
    silo: str
    round_id: str
    kept_id: str
    refused_id: str
    answered: str


def findings(session: Session) -> Sequence[Finding]:
    """Lists what is proved, in the order in which it came."""
    rows = session.scalars(
        select(AnswerRow)
        .where(AnswerRow.code == _CODE, AnswerRow.header.is_not(None))
        .order_by(AnswerRow.log_index)
    ).all()
    return [_finding(row, _first(session, row)) for row in rows]


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """One of the two signed headers.

    Attributes:
        signed_header: All of it, in hexadecimal.
        verifies: `yes`, or the code with which it is refused today, e.g. `revoked`.
        core: What it says, where it verifies.
    """

    signed_header: str
    verifies: str
    core: Json


@dataclass(frozen=True, slots=True)
class Proof:
    """A finding with both headers."""

    finding: Finding
    kept: SignedHeader
    refused: SignedHeader


def show(session: Session, number: int, known: Roster) -> Proof:
    """Returns one proof whole.

    Args:
        session: A transaction that sees one state.
        number: As `findings` gives it.
        known: The roster to verify against.

    Raises:
        Refused: `unknown_evidence`.
    """
    row = session.get(AnswerRow, number)
    if row is None or row.code != _CODE or row.header is None:
        raise Refused(
            "unknown_evidence", f"There is no evidence {number}; see `evidence list` for those."
        )
    first = _first(session, row)
    kept, refused = _described(first.header, known), _described(row.header, known)
    return Proof(_finding(row, first), kept, refused)


def _first(session: Session, row: AnswerRow) -> EnvelopeRow:
    # The desk looks the slot up before it says so, and rows are never deleted.
    return session.scalars(
        select(EnvelopeRow).where(
            EnvelopeRow.silo == row.silo, EnvelopeRow.round_id == row.round_id
        )
    ).one()


def _finding(row: AnswerRow, first: EnvelopeRow) -> Finding:
    return Finding(
        number=row.log_index,
        silo=row.silo,
        round_id=first.round_id,
        kept_id=first.envelope_id,
        refused_id=row.envelope_id,
        answered=row.answered,
    )


def _described(content: bytes, known: Roster) -> SignedHeader:
    try:
        header: Header = verify_header(content, known)
    except Refused as refusal:  # revoked since: the signature was right when it was kept
        return SignedHeader(content.hex(), refusal.code, None)
    return SignedHeader(content.hex(), "yes", strict_json.loads(header.core.to_bytes()))
