"""Carries sealed envelopes from the outbox to the aggregator, and its answers to the inbox.

The courier removes nothing from the outbox: the keeper does, once it believes the receipt or the
refusal. So answered ids are remembered here, and an envelope that is still there much later is
offered again; the aggregator then repeats its answer, byte for byte.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from agent import log
from agent.boxes import Inbox, Outbox, Parcel
from agent.errors import Refused, TryLater
from agent.exchange.answers import Answer, problem
from agent.exchange.places import read_number_by_name
from agent.exchange.session import Link
from agent.files import write_atomic
from agent.wire import strict_json
from agent.wire.documents import Receipt, Refusal
from agent.wire.envelope import MAX_HEADER_BYTES
from agent.wire.request import OFFSET, RECEIPT_TYPE, REFUSAL_TYPE
from agent.wire.signed import parse, payload_type

_logger = logging.getLogger(__name__)

PIECE_BYTES = 1 << 20
OFFER_AGAIN_S = 3600.0
_MAX_RESYNCS = 3
_MAX_ANSWER_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class _Progress:
    """Where an upload stands: the offset that the aggregator asks for next, or its last word."""

    offset: int = 0
    kind: str = ""
    content: bytes = b""


class Uplink:
    """Delivers what waits in the outbox.

    Args:
        link: To the aggregator.
        outbox: Only read.
        inbox: Where answers go.
        memory: A small file of the courier's own: which envelopes were answered, and when.
    """

    def __init__(self, link: Link, outbox: Outbox, inbox: Inbox, memory: Path) -> None:
        self._link = link
        self._outbox = outbox
        self._inbox = inbox
        self._memory = memory
        self._answered = read_number_by_name(memory)
        self._left = 0

    def left(self) -> int:
        """Returns how many parcels the last step left without an answer."""
        return self._left

    def step(self, now: datetime) -> int:
        """Delivers each waiting parcel, or as much of it as the connection allows.

        Args:
            now: The time, to remember when an answer came.

        Returns:
            How many parcels were answered.

        Raises:
            TryLater: The aggregator is away; what it has of a parcel is not sent again.
            Refused: It refuses the requests for a parcel, without a signed refusal; the other
                parcels were delivered first.
        """
        answered = 0
        trouble: Refused | None = None
        waiting = self._waiting(now)
        self._left = len(waiting)
        for parcel in waiting:
            try:
                answered += self._deliver(parcel, now)
                self._left -= 1
            except Refused as error:
                trouble = error
                log.trouble(_logger, "parcel_refused", envelope=parcel.envelope_id, code=error.code)
        if trouble is not None:
            raise trouble
        return answered

    def _waiting(self, now: datetime) -> list[Parcel]:
        try:
            parcels = self._outbox.parcels()
        except OSError as error:
            raise TryLater(f"Cannot read the outbox: {error.strerror}.") from error
        recent = now.timestamp() - OFFER_AGAIN_S
        return [
            parcel
            for parcel in parcels
            if not recent < self._answered.get(parcel.envelope_id, 0.0) <= now.timestamp()
        ]

    def _deliver(self, parcel: Parcel, now: datetime) -> bool:
        try:
            with parcel.blob_path.open("rb") as blob:
                last = self._send(parcel, parcel.header_path.read_bytes(), blob)
        except FileNotFoundError:
            return False  # the keeper has just taken it out: it has expired
        except OSError as error:
            raise TryLater(f"Cannot read {parcel.blob_path}: {error.strerror}.") from error
        self._put_answer(parcel.envelope_id, last, now)
        return True

    def _send(self, parcel: Parcel, header: bytes, blob: BinaryIO) -> _Progress:
        if len(header) > MAX_HEADER_BYTES:
            raise Refused("bad_header", "The envelope's header is too long to be one.")
        route = f"/v1/envelopes/{parcel.envelope_id}"
        # Idempotent, and its answer says where to go on: no separate question is needed.
        answer = self._link.ask("PUT", f"{route}/header", header, limit=_MAX_ANSWER_BYTES)
        state = _progress(answer, parcel.envelope_id)
        resyncs = 0
        while not state.kind:
            blob.seek(state.offset)
            piece = blob.read(PIECE_BYTES)
            answer = self._link.ask(
                "PUT",
                f"{route}/blob",
                piece,
                query={"offset": state.offset},
                limit=_MAX_ANSWER_BYTES,
            )
            before, state = state, _progress(answer, parcel.envelope_id)
            if not state.kind and state.offset != before.offset + len(piece):
                resyncs += 1
            if not state.kind and (resyncs > _MAX_RESYNCS or not piece):
                raise TryLater("The aggregator does not take the envelope's bytes in order.")
        return state

    def _put_answer(self, envelope_id: str, last: _Progress, now: datetime) -> None:
        try:
            if last.kind == "receipt":
                note = strict_json.dumps({"envelope_id": envelope_id})
                self._inbox.put_answer(envelope_id, "delivered", note)
            self._inbox.put_answer(envelope_id, last.kind, last.content)
            # After the answer: a kill in between only makes the aggregator repeat it.
            self._remember(envelope_id, now)
        except OSError as error:
            raise TryLater(f"Cannot write an answer down: {error.strerror}.") from error
        log.event(_logger, "parcel_answered", envelope=envelope_id, answer=last.kind)

    def _remember(self, envelope_id: str, now: datetime) -> None:
        present = {parcel.envelope_id for parcel in self._outbox.parcels()}
        kept = {name: when for name, when in self._answered.items() if name in present}
        self._answered = {**kept, envelope_id: now.timestamp()}
        write_atomic(self._memory, strict_json.dumps(dict(self._answered)))


def _progress(answer: Answer, envelope_id: str) -> _Progress:
    if answer.content_type == RECEIPT_TYPE:
        return _Progress(kind=_recognized("receipt", answer.body, envelope_id), content=answer.body)
    if answer.content_type == REFUSAL_TYPE:
        return _Progress(kind=_recognized("refusal", answer.body, envelope_id), content=answer.body)
    return _Progress(offset=_offset(answer))


def _recognized(kind: str, body: bytes, envelope_id: str) -> str:
    # No trust is decided here. But a note that is not about this envelope must not end its
    # delivery: some box between here and the aggregator may answer in its place.
    try:
        container = parse(body)
        document = (Receipt if kind == "receipt" else Refusal).parse(container.payload)
    except Refused as error:
        raise TryLater(f"The aggregator sent something that is no {kind}.") from error
    if container.payload_type != payload_type(kind) or document.envelope_id != envelope_id:
        raise TryLater(f"The aggregator sent a {kind} for another envelope.")
    return kind


def _offset(answer: Answer) -> int:
    text = answer.headers.get(OFFSET.lower(), "")
    if answer.status == 409 and text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    if answer.status in {200, 202}:
        try:
            fields = strict_json.loads(answer.body)
        except Refused as error:
            raise TryLater("The aggregator's answer to an upload is unreadable.") from error
        offset = fields.get("offset") if isinstance(fields, dict) else None
        if isinstance(offset, int) and 0 <= offset < 10**15:
            return offset
        raise TryLater("The aggregator's answer to an upload has no offset.")
    raise problem(answer.status, answer.body)
