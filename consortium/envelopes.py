"""Envelopes at the door: admitted by header, kept piece by piece, answered with a signature.

Nothing is acknowledged before it is durable, and every answer is stored before it is sent, so the
same question always gets the same answer, byte for byte, whatever was killed in between (but for
refused headers past the bound that `answers` sets a silo).
"""

import os
import threading
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.errors import Refused, TryLater
from agent.files import exclusive, fsync_folder, sha256_bytes, sha256_file
from agent.wire.documents import Plan, RoundManifest
from agent.wire.envelope import Header, verify_header
from agent.wire.signed import parse, payload_type
from agent.wire.statements import is_statement
from agent.wire.verdict import KIND as VERDICT
from consortium.admission import admit, check_address
from consortium.answers import Answer, Registrar, Subject, first_answer
from consortium.masked_messages import is_message, judge_message
from consortium.statements import judge_statement
from consortium.store import Store, roster
from consortium.tables import EnvelopeRow, PlanRow, RoundRow
from consortium.verdicts import judge_verdict


@dataclass(frozen=True, slots=True)
class Known:
    """The envelope is admitted and this many bytes of its blob are here, durably."""

    offset: int


@dataclass(frozen=True, slots=True)
class WrongOffset:
    """The piece does not join what is here; send from this offset."""

    offset: int


class Desk:
    """Takes envelopes in.

    Args:
        store: The database.
        blobs: Folder for sealed blobs.
        consortium: This consortium.
        registrar: Signs and logs the answers.
    """

    def __init__(self, store: Store, blobs: Path, consortium: str, registrar: Registrar) -> None:
        self._store = store
        self._blobs = blobs
        self._consortium = consortium
        self._registrar = registrar
        # One writer a file: two requests for one envelope must not interleave, nor one with a
        # stick that another process reads.
        self._writing_blob = threading.Lock()
        self._lock_file = blobs.with_name("blobs.lock")

    def put_header(
        self, envelope_id: str, silo: str, content: bytes, now: datetime
    ) -> Known | Answer:
        """Admits an envelope by its signed header, or refuses it for good.

        Args:
            envelope_id: As the courier names it.
            silo: Who asks, authenticated.
            content: The signed header.
            now: The time.

        Raises:
            Refused: `wrong_id`: the id is not the header's hash.
            TryLater: The database is busy.
        """
        if sha256_bytes(content) != envelope_id:
            raise Refused("wrong_id", "The envelope's id is not the SHA-256 of its header.")
        with self._store.writing() as session:
            earlier = first_answer(session, envelope_id, silo)
            if earlier is not None:
                return earlier
            row = session.get(EnvelopeRow, envelope_id)
            if row is not None and row.silo == silo and row.state == "arriving":
                return Known(row.held_bytes)
            if is_statement(content):
                return self._take_statement(session, Subject(envelope_id, silo, None), content, now)
            round_id, refusal = self._judge(session, content, silo, now)
            if refusal is None:
                return Known(0)
            subject = Subject(envelope_id, silo, round_id, content)
            return self._registrar.refuse(session, subject, refusal, now)

    def _take_statement(
        self, session: Session, subject: Subject, content: bytes, now: datetime
    ) -> Answer:
        try:
            about = self._judge_statement(session, subject, content, now)
        except Refused as refusal:
            evidence = replace(subject, header=content)
            return self._registrar.refuse(session, evidence, refusal, now)
        return self._registrar.receive(session, subject, about, now)

    def _judge_statement(
        self, session: Session, subject: Subject, content: bytes, now: datetime
    ) -> str:
        """Keeps what a silo says, and returns what its receipt names as its round."""
        if is_message(content):
            return judge_message(session, content, subject.silo, now)
        if parse(content).payload_type == payload_type(VERDICT):
            verdict = judge_verdict(
                session, subject.envelope_id, content, subject.silo, self._consortium
            )
            return verdict.release_id
        row = judge_statement(session, content, subject.silo, self._consortium, now)
        session.add(row)
        return ""

    def offset(self, envelope_id: str, silo: str) -> int | None:
        """Returns how many bytes of the silo's blob are here, or None when it is unknown."""
        with self._store.reading() as session:
            row = session.get(EnvelopeRow, envelope_id)
            return row.held_bytes if row is not None and row.silo == silo else None

    def put_piece(
        self, envelope_id: str, silo: str, offset: int, piece: bytes, now: datetime
    ) -> Known | Answer | WrongOffset:
        """Adds a piece of a blob; the last one is answered with a receipt or a refusal.

        Raises:
            Refused: `unknown_envelope`: its header comes first.
            TryLater: The database is busy or the disk is full.
        """
        with self._writing_blob, exclusive(self._lock_file, wait=True):
            with self._store.reading() as session:
                earlier = first_answer(session, envelope_id, silo)
                row = session.get(EnvelopeRow, envelope_id)
            if earlier is not None:
                return earlier
            if row is None or row.silo != silo:
                raise Refused("unknown_envelope", "Send the envelope's header first.")
            if offset != row.held_bytes:
                return WrongOffset(row.held_bytes)
            fault = self._keep(row, offset, piece)
            answer = self._book(envelope_id, offset + len(piece), fault, now)
            if isinstance(answer, Answer) and answer.kind == "refusal":
                (self._blobs / envelope_id).unlink(missing_ok=True)
            return answer

    def _judge(
        self, session: Session, content: bytes, silo: str, now: datetime
    ) -> tuple[str | None, Refused | None]:
        round_id = None
        try:
            header = verify_header(content, roster(session))
            check_address(header.core, silo, self._consortium)
            found = session.get(RoundRow, header.core.round_id)
            if found is None:
                raise Refused("unknown_round", "This consortium has no round of that id.")  # noqa: TRY301
            round_id = found.round_id
            self._admit(session, header, found, now)
        except Refused as refusal:
            return round_id, refusal
        session.add(_arriving(header, content))
        return round_id, None

    def _admit(self, session: Session, header: Header, found: RoundRow, now: datetime) -> None:
        core = header.core
        _check_slot(session, header)
        _check_open(found)
        plan = Plan.parse(session.get_one(PlanRow, found.plan_id).payload)
        manifest = RoundManifest.parse(found.payload)
        admit(header, core.silo, self._consortium, plan, manifest, now)

    def _keep(self, row: EnvelopeRow, offset: int, piece: bytes) -> Refused | None:
        held = offset + len(piece)
        if held > row.blob_bytes:
            return Refused("bad_blob", "The blob is longer than its header says.")
        path = self._blobs / row.envelope_id
        _append(path, offset, piece)
        if held == row.blob_bytes and sha256_file(path) != row.blob_sha256:
            return Refused("bad_blob", "The blob is not the one that its header names.")
        return None

    def _book(
        self, envelope_id: str, held: int, fault: Refused | None, now: datetime
    ) -> Known | Answer:
        with self._store.writing() as session:
            row = session.get_one(EnvelopeRow, envelope_id)
            subject = Subject(envelope_id, row.silo, row.round_id)
            try:
                # The round may have closed while the piece was on its way.
                _check_open(session.get_one(RoundRow, row.round_id))
            except Refused as closed:
                fault = closed
            if fault is not None:
                row.state = "refused"
                return self._registrar.refuse(session, subject, fault, now)
            row.held_bytes = held
            if held < row.blob_bytes:
                return Known(held)
            row.state = "held"
            return self._registrar.receive(session, subject, row.round_id, now)


def _check_slot(session: Session, header: Header) -> None:
    core = header.core
    other = session.scalars(
        select(EnvelopeRow.envelope_id).where(
            EnvelopeRow.round_id == core.round_id,
            EnvelopeRow.silo == core.silo,
            EnvelopeRow.type == core.type,
            EnvelopeRow.attempt == core.attempt,
            EnvelopeRow.envelope_id != header.envelope_id,
        )
    ).first()
    if other is not None:
        raise Refused(
            "equivocation", f"Silo {core.silo} sent another update for this round: {other}."
        )


def _check_open(row: RoundRow) -> None:
    if row.state != "collecting":
        raise Refused("round_closed", f"Round {row.round_id} is {row.state}; wait for the next.")


def _arriving(header: Header, content: bytes) -> EnvelopeRow:
    return EnvelopeRow(
        envelope_id=header.envelope_id,
        silo=header.core.silo,
        round_id=header.core.round_id,
        type=header.core.type,
        attempt=header.core.attempt,
        header=content,
        blob_sha256=header.blob_sha256,
        blob_bytes=header.blob_bytes,
        held_bytes=0,
        state="arriving",
    )


def _append(path: Path, offset: int, piece: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        with os.fdopen(descriptor, "r+b") as handle:
            # After a power cut the file may be longer than what was acknowledged, with anything
            # in the rest.
            handle.truncate(offset)
            handle.seek(offset)
            handle.write(piece)
            handle.flush()
            os.fsync(handle.fileno())
        if offset == 0:
            fsync_folder(path.parent)
    except OSError as error:
        raise TryLater("The aggregator's disk is full or not writable.") from error
