"""The HTTPS carrier: the routes of docs/protocol.md, section 5, over one signed connection."""

from contextlib import suppress
from datetime import datetime
from typing import BinaryIO, Literal

from agent.audit.transport import Totals
from agent.boxes import Parcel
from agent.errors import Refused, TryLater
from agent.exchange.answers import Answer, Reply, problem
from agent.exchange.carrier import Word, recognized, restart
from agent.exchange.session import Link
from agent.wire import strict_json
from agent.wire.documents import Feed, FeedItem, ObjectRef
from agent.wire.envelope import MAX_HEADER_BYTES
from agent.wire.request import OFFSET, RECEIPT_TYPE, REFUSAL_TYPE

PIECE_BYTES = 1 << 20
POLL_S = 25
_GRACE_S = 15.0
_MAX_RESYNCS = 3
_MAX_ANSWER_BYTES = 64 << 10


class Https:
    """Carries over HTTPS.

    Args:
        link: To the aggregator; one thread uses it.
        poll_s: How long the aggregator may hold a poll of the feed, in whole seconds.
    """

    def __init__(self, link: Link, *, poll_s: int = POLL_S) -> None:
        self._link = link
        self._poll_s = poll_s

    @property
    def last_contact(self) -> datetime | None:
        """When the last answer came, whatever it was; None before the first."""
        return self._link.last_contact

    @property
    def totals(self) -> Totals:
        """What was sent and received so far, over all links that share the log."""
        return self._link.totals

    def offer(self, parcel: Parcel) -> Word | None:
        """Uploads an envelope piece by piece, from where the aggregator says; see `Carrier`."""
        with parcel.blob_path.open("rb") as blob:
            return self._send(parcel, parcel.header_path.read_bytes(), blob)

    def _send(self, parcel: Parcel, header: bytes, blob: BinaryIO) -> Word:
        if len(header) > MAX_HEADER_BYTES:
            raise Refused("bad_header", "The envelope's header is too long to be one.")
        route = f"/v1/envelopes/{parcel.envelope_id}"
        # Idempotent, and its answer says where to go on: no separate question is needed.
        answer = self._link.ask("PUT", f"{route}/header", header, limit=_MAX_ANSWER_BYTES)
        state = _progress(answer, parcel.envelope_id)
        resyncs = 0
        while not isinstance(state, Word):
            blob.seek(state)
            piece = blob.read(PIECE_BYTES)
            query = {"offset": state}
            answer = self._link.ask(
                "PUT", f"{route}/blob", piece, query=query, limit=_MAX_ANSWER_BYTES
            )
            expected, state = state + len(piece), _progress(answer, parcel.envelope_id)
            if isinstance(state, Word):
                break
            resyncs += state != expected
            if resyncs > _MAX_RESYNCS or not piece:
                raise TryLater("The aggregator does not take the envelope's bytes in order.")
        return state

    def items(self, after: int) -> tuple[FeedItem, ...]:
        """Asks the feed once, waiting for news; see `Carrier`."""
        query = {"after": after, "wait_s": self._poll_s}
        answer = self._link.ask("GET", "/v1/feed", query=query, read_s=self._poll_s + _GRACE_S)
        if answer.status != 200:
            raise problem(answer.status, answer.body)
        return Feed.parse(answer.body).items

    def fetch(self, wanted: ObjectRef, sink: BinaryIO) -> None:
        """Downloads what is missing of an object; see `Carrier`."""
        have = sink.tell()
        headers = {"Range": f"bytes={have}-"} if have else {}
        with self._link.open("GET", f"/v1/repository/{wanted.sha256}", headers=headers) as reply:
            _prepare(reply, sink, have)
            for piece in reply.pieces():
                if sink.tell() + len(piece) > wanted.bytes:
                    restart(sink)
                    raise Refused("too_large", "An object is longer than the feed says.")
                sink.write(piece)


def _progress(answer: Answer, envelope_id: str) -> Word | int:
    """Reads the aggregator's word, or the offset that it asks for next."""
    if answer.content_type == RECEIPT_TYPE:
        return _word("receipt", answer.body, envelope_id)
    if answer.content_type == REFUSAL_TYPE:
        return _word("refusal", answer.body, envelope_id)
    return _offset(answer)


def _word(kind: Literal["receipt", "refusal"], body: bytes, envelope_id: str) -> Word:
    try:
        return recognized(kind, body, envelope_id)
    except Refused as error:
        raise TryLater(f"The aggregator's answer cannot be right: {error.reason}") from error


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


def _prepare(reply: Reply, sink: BinaryIO, have: int) -> None:
    if reply.status == 206 and reply.headers.get("content-range", "").startswith(f"bytes {have}-"):
        return
    restart(sink)  # the whole is coming, or what we have is of no use
    if reply.status == 200:
        return
    if reply.status in {206, 416}:
        raise TryLater("The aggregator cannot go on where an object broke off; it starts afresh.")
    with suppress(TryLater):
        raise problem(reply.status, reply.read(64 << 10))
    raise TryLater("The aggregator's refusal of an object broke off.")
