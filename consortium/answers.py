"""The signed log: every envelope that was received or refused, in order, with its answer."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from agent import log
from agent.clock import to_text
from agent.errors import Refused
from agent.wire.documents import Receipt, Refusal
from agent.wire.signed import Signer, sign
from consortium.tables import AnswerRow

_logger = logging.getLogger(__name__)
# Evidence enough; past it a silo that sends header after header would fill the disk.
MAX_KEPT_HEADERS = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """A signed receipt or refusal; `code` is empty for a receipt."""

    kind: Literal["receipt", "refusal"]
    code: str
    document: bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """What an answer is about.

    Attributes:
        envelope_id: The envelope.
        silo: Who brought it, authenticated by its courier key.
        round_id: The round it is for, as far as that is known and believed.
        header: A refused header, kept as evidence.
    """

    envelope_id: str
    silo: str
    round_id: str | None
    header: bytes | None = None


class Registrar:
    """Signs answers and logs them in the caller's transaction.

    Args:
        consortium: This consortium.
        aggregator: The key that signs receipts and refusals.
    """

    def __init__(self, consortium: str, aggregator: Signer) -> None:
        self._consortium = consortium
        self._aggregator = aggregator

    def receive(self, session: Session, subject: Subject, round_id: str, now: datetime) -> Answer:
        """Acknowledges an envelope that is here, whole and durable.

        Args:
            session: The caller's transaction.
            subject: What is acknowledged.
            round_id: Its round; empty for a statement.
            now: The time.
        """
        index = _next_index(session)
        receipt = Receipt(
            consortium=self._consortium,
            silo=subject.silo,
            envelope_id=subject.envelope_id,
            round_id=round_id,
            log_index=index,
            received=to_text(now),
        )
        answer = Answer("receipt", "", sign("receipt", receipt.to_bytes(), self._aggregator))
        session.add(_row(index, subject, answer, now))
        log.event(_logger, "envelope_received", envelope=subject.envelope_id, silo=subject.silo)
        return answer

    def refuse(self, session: Session, subject: Subject, why: Refused, now: datetime) -> Answer:
        """Refuses an envelope for good.

        Of the headers that one silo had refused in one round (or outside of any), the first
        `MAX_KEPT_HEADERS` are kept; further ones are answered, and neither stored nor logged.
        """
        refusal = Refusal(
            consortium=self._consortium,
            silo=subject.silo,
            envelope_id=subject.envelope_id,
            code=why.code,
            reason=why.reason,
            refused=to_text(now),
        )
        document = sign("refusal", refusal.to_bytes(), self._aggregator)
        answer = Answer("refusal", why.code, document)
        if subject.header is not None and _kept_headers(session, subject) >= MAX_KEPT_HEADERS:
            return answer
        session.add(_row(_next_index(session), subject, answer, now))
        log.trouble(
            _logger,
            "envelope_refused",
            envelope=subject.envelope_id,
            silo=subject.silo,
            code=why.code,
        )
        return answer


def first_answer(session: Session, envelope_id: str, silo: str) -> Answer | None:
    """Returns what this silo was first told about the envelope, which it is told for ever."""
    row = session.scalars(
        select(AnswerRow)
        .where(AnswerRow.envelope_id == envelope_id, AnswerRow.silo == silo)
        .order_by(AnswerRow.log_index)
        .limit(1)
    ).first()
    if row is None:
        return None
    return Answer("receipt" if row.kind == "receipt" else "refusal", row.code, row.document)


def _kept_headers(session: Session, subject: Subject) -> int:
    kept = select(func.count()).where(
        AnswerRow.silo == subject.silo,
        AnswerRow.round_id.is_not_distinct_from(subject.round_id),
        AnswerRow.header.is_not(None),
    )
    return session.scalar(kept) or 0


def _next_index(session: Session) -> int:
    session.flush()
    return (session.scalar(select(func.max(AnswerRow.log_index))) or 0) + 1


def _row(index: int, subject: Subject, answer: Answer, now: datetime) -> AnswerRow:
    return AnswerRow(
        log_index=index,
        envelope_id=subject.envelope_id,
        silo=subject.silo,
        round_id=subject.round_id,
        kind=answer.kind,
        code=answer.code,
        document=answer.document,
        header=subject.header,
        answered=to_text(now),
    )
