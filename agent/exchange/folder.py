"""The folder carrier: a USB stick, or a share that somebody else empties; it opens no socket.

The silo writes below `up/SILO` and reads `down/SILO` and `objects` (`agent.wire.carrying`). What
it finds is checked against the hash in its name and no further: the keeper decides what to
believe, as with HTTPS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal

from agent.audit.transport import Totals
from agent.boxes import Parcel
from agent.clock import Clock, to_text
from agent.errors import Refused, TryLater
from agent.exchange.carrier import Word, recognized, restart
from agent.exchange.transport_log import TransportLog, Trip
from agent.files import sha256_bytes
from agent.stick import Stick, copy_bytes, sha256_of
from agent.wire import strict_json
from agent.wire.carrying import (
    DOWN,
    DOWN_NAME,
    MAX_ANSWER_BYTES,
    MAX_REQUEST_BYTES,
    OBJECTS,
    REQUEST,
    UP,
    UP_NAME,
    FeedRequest,
    blob_name,
    header_name,
)
from agent.wire.documents import Feed, FeedItem, ObjectRef
from agent.wire.envelope import MAX_HEADER_BYTES
from agent.wire.signed import Signer, parse, sign

_CHUNK_BYTES = 1 << 20
_DAMAGED = "Its bytes are not those that its name tells; it is renamed, and comes anew next time."


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who carries: the silo, its consortium, and its courier's keys, which sign what it asks."""

    silo: str
    consortium: str
    signers: tuple[Signer, ...]


class Folder:
    """Carries by a folder.

    Args:
        bearer: The silo.
        transport_log: Where every file that leaves is accounted for, as over HTTPS.
        clock: The time.
        out: Where envelopes go, or None: nothing leaves.
        back: Where signed files come from, or None: nothing comes.
    """

    def __init__(
        self,
        bearer: Bearer,
        transport_log: TransportLog,
        clock: Clock,
        *,
        out: Stick | None,
        back: Stick | None,
    ) -> None:
        self._bearer = bearer
        self._log = transport_log
        self._clock = clock
        self._out = out
        self._back = back
        self._up = (UP, bearer.silo)
        self._down = (DOWN, bearer.silo)
        self._last_contact: datetime | None = None

    @property
    def last_contact(self) -> datetime | None:
        """When a signed file was last found; None before the first."""
        return self._last_contact

    @property
    def totals(self) -> Totals:
        """What was written and read so far."""
        return self._log.totals

    def offer(self, parcel: Parcel) -> Word | None:
        """Takes the answer if it has come, or else writes the envelope; see `Carrier`."""
        word = self._answer(parcel.envelope_id)
        if word is None and self._out is not None:
            self._write(self._out, parcel)
        return word

    def _answer(self, envelope_id: str) -> Word | None:
        for name in self._names():
            found = DOWN_NAME.fullmatch(name)
            if found is None or found["id"] != envelope_id:
                continue
            content = self._whole(name, found["sha256"], MAX_ANSWER_BYTES)
            kind: Literal["receipt", "refusal"]
            kind = "receipt" if found["kind"] == "receipt" else "refusal"
            try:
                return None if content is None else recognized(kind, content, envelope_id)
            except Refused as error:
                self._stick().damaged(self._down, name, error.reason)
        return None

    def _write(self, stick: Stick, parcel: Parcel) -> None:
        # The blob first: where the header is, all of the envelope is.
        blob, header = blob_name(parcel.envelope_id), header_name(parcel.envelope_id)
        content = parcel.header_path.read_bytes()
        if len(content) > MAX_HEADER_BYTES:
            raise Refused("bad_header", "The envelope's header is too long to be one.")
        with parcel.blob_path.open("rb") as source:
            size = source.seek(0, 2)
            if stick.size(self._up, blob) != size:
                source.seek(0)
                self._begin("blob", parcel.envelope_id, size)
                stick.put(self._up, blob, lambda sink: copy_bytes(source, sink))
                self._account("blob", parcel.envelope_id, up=size)
        if stick.size(self._up, header) != len(content):
            self._begin("header", parcel.envelope_id, len(content))
            stick.put(self._up, header, lambda sink: sink.write(content))
            self._account("header", parcel.envelope_id, up=len(content))

    def ask(self, after: int, present: frozenset[str]) -> None:
        """Writes what this silo wants next, and clears away what has left the outbox.

        Args:
            after: The number of the last item of the feed that was taken.
            present: Ids of the envelopes that still wait.

        Raises:
            TryLater: The stick is full, write-protected or away.
        """
        if self._out is None:
            return
        keep = {name for one in present for name in (blob_name(one), header_name(one))}
        self._out.keep_only(self._up, UP_NAME, frozenset({REQUEST, *keep}))
        wanted = FeedRequest(
            consortium=self._bearer.consortium,
            silo=self._bearer.silo,
            after=after,
            created=to_text(self._clock()),
        )
        if not self._asked(self._out, wanted):
            content = sign("feed_request", wanted.to_bytes(), *self._bearer.signers)
            self._begin("request", self._bearer.silo, len(content))
            self._out.put(self._up, REQUEST, lambda sink: sink.write(content))
            self._account("request", self._bearer.silo, up=len(content))

    def _asked(self, stick: Stick, wanted: FeedRequest) -> bool:
        try:
            container = parse(stick.read(self._up, REQUEST, MAX_REQUEST_BYTES))
            there = FeedRequest.parse(container.payload)
        except Refused:
            return False
        return there == wanted.model_copy(update={"created": there.created})

    def items(self, after: int) -> tuple[FeedItem, ...]:
        """Returns the items of the page that goes on after this number; see `Carrier`."""
        for name, page in self._pages():
            found = DOWN_NAME.fullmatch(name)
            if found is None or int(found["after"]) > after:
                continue
            fresh = tuple(item for item in page.items if item.number > after)
            if fresh:
                return fresh
        return ()

    def _pages(self) -> Iterator[tuple[str, Feed]]:
        for name in self._names():
            found = DOWN_NAME.fullmatch(name)
            if found is None or found["page"] is None:
                continue
            content = self._whole(name, found["page"], strict_json.MAX_BYTES)
            try:
                if content is not None:
                    yield name, Feed.parse(content)
            except Refused as error:
                self._stick().damaged(self._down, name, error.reason)

    def fetch(self, wanted: ObjectRef, sink: BinaryIO) -> None:
        """Copies an object, once all of it is there; see `Carrier`."""
        stick = self._stick()
        have = sink.tell()
        try:
            with stick.opened(OBJECTS, wanted.sha256) as source:
                if source.seek(0, 2) != wanted.bytes or not _is(source, wanted.sha256):
                    stick.damaged(OBJECTS, wanted.sha256, _DAMAGED)
                    raise Refused("damaged", f"Object {wanted.sha256[:12]} is damaged.")  # noqa: TRY301
                source.seek(have)
                # No more than was hashed, though the file may be growing meanwhile.
                _copy_exactly(source, sink, wanted.bytes - have)
        except Refused as error:
            if have:
                restart(sink)
            raise TryLater(f"{error.reason} Carry again once the aggregator wrote it.") from error
        self._account("object", wanted.sha256, down=wanted.bytes - have)

    def _names(self) -> list[str]:
        return [] if self._back is None else self._back.names(self._down, DOWN_NAME)

    def _whole(self, name: str, sha256: str, limit: int) -> bytes | None:
        """Reads a file that its name vouches for; None where it was set aside."""
        stick = self._stick()
        try:
            content = stick.read(self._down, name, limit)
        except Refused as error:
            stick.note(self._down, name, error.reason)
            return None
        if sha256_bytes(content) != sha256:
            stick.damaged(self._down, name, _DAMAGED)
            return None
        self._last_contact = self._clock()
        return content

    def _stick(self) -> Stick:
        if self._back is None:
            raise TryLater("Nothing was to be brought in; name a folder with --in.")
        return self._back

    def _begin(self, what: str, name: str, up: int) -> None:
        self._log.begin(_trip(what, name, up, 0), self._clock())

    def _account(self, what: str, name: str, *, up: int = 0, down: int = 0) -> None:
        self._log.record(_trip(what, name, up, down), self._clock())


def _trip(what: str, name: str, up: int, down: int) -> Trip:
    targets = {
        "blob": f"/v1/envelopes/{name}/blob",
        "header": f"/v1/envelopes/{name}/header",
        "object": f"/v1/repository/{name}",
        "request": "/v1/feed",
    }
    # The same targets as over HTTPS, so that one account of what left covers both.
    return Trip("WRITE" if up else "READ", targets[what], 0, up, down)


def _is(source: BinaryIO, sha256: str) -> bool:
    source.seek(0)
    return sha256_of(source) == sha256


def _copy_exactly(source: BinaryIO, sink: BinaryIO, count: int) -> None:
    while count > 0:
        chunk = source.read(min(count, _CHUNK_BYTES))
        if not chunk:
            raise Refused("damaged", "An object became shorter while it was read.")
        sink.write(chunk)
        count -= len(chunk)
