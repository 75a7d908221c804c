"""The folder carrier at the aggregator: the same desk, the same feed, no network.

A silo's envelopes are taken as if they had been uploaded, and what the feed would tell it is
written for it. Who sends is who signed: an envelope's header, or the request for the feed; a name
of a folder proves nothing. What nobody of the roster signed is set aside and never answered, so
that a stranger's stick can make this aggregator sign nothing.
"""

import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from agent import log
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.stick import Aside, Place, Stick, copy_bytes, sha256_of
from agent.wire.carrying import (
    DOWN,
    DOWN_NAME,
    MAX_REQUEST_BYTES,
    OBJECT_NAME,
    OBJECTS,
    REQUEST,
    SILO_NAME,
    UP,
    UP_NAME,
    FeedRequest,
    answer_name,
    blob_name,
    feed_name,
)
from agent.wire.documents import Feed
from agent.wire.envelope import MAX_HEADER_BYTES, Header, verify_header
from agent.wire.signed import key_id, verify
from consortium.answers import Answer
from consortium.auth import in_force
from consortium.envelopes import Desk, WrongOffset
from consortium.feed import read_feed
from consortium.folder import Folder
from consortium.objects import object_path
from consortium.store import Store, roster
from consortium.tables import MemberRow

_logger = logging.getLogger(__name__)
_PIECE_BYTES = 1 << 20
_DAMAGED = "Its bytes are not those that its name tells; it is renamed, and comes anew next time."


@dataclass(slots=True)
class Carried:
    """What one carrying did.

    Attributes:
        received: Envelopes that got a receipt, be it the same as before.
        refused: Envelopes that got a signed refusal.
        silos: Silos for which the feed was written.
        asides: What was not used of the folders.
    """

    received: int = 0
    refused: int = 0
    silos: list[str] = field(default_factory=list)
    asides: list[Aside] = field(default_factory=list)


class FolderDesk:
    """Takes what silos put on a stick, and writes what they wait for.

    Args:
        store: The database.
        folder: Where published objects are.
        desk: Takes envelopes in.
        consortium: This consortium.
    """

    def __init__(self, store: Store, folder: Folder, desk: Desk, consortium: str) -> None:
        self._store = store
        self._folder = folder
        self._desk = desk
        self._consortium = consortium

    def carry(self, source: Path, target: Path | None, now: datetime) -> Carried:
        """Takes every whole envelope, and answers every signed request.

        Args:
            source: Where silos wrote.
            target: Where answers and the feed go; None takes envelopes only.
            now: The time.

        Raises:
            TryLater: A folder is full, write-protected or away; or the database is busy.
        """
        come = Stick(source)
        go = come if target == source else Stick(target) if target is not None else None
        done = Carried()
        wanted: set[str] = set()
        for silo in come.names((UP,), SILO_NAME):
            written = self._take_envelopes(come, go, silo, done, now)
            request = self._request(come, silo, now)
            if request is None or go is None:
                continue
            written |= self._write_feed(go, request, wanted)
            go.keep_only((DOWN, silo), DOWN_NAME, frozenset(written))
            done.silos.append(silo)
        if go is not None and set(go.names((DOWN,), SILO_NAME)) <= set(done.silos):
            go.keep_only(OBJECTS, OBJECT_NAME, frozenset(wanted))
        done.asides = come.asides + (go.asides if go is not None and go is not come else [])
        log.event(_logger, "carried", received=done.received, refused=done.refused)
        return done

    def _take_envelopes(
        self, come: Stick, go: Stick | None, silo: str, done: Carried, now: datetime
    ) -> set[str]:
        written = set()
        place: Place = (UP, silo)
        for entry in come.names(place, UP_NAME):
            found = UP_NAME.fullmatch(entry)
            if found is None or found["part"] != "header":
                continue
            answer = self._take(come, place, found["id"], now)
            if answer is None:
                continue
            done.received += answer.kind == "receipt"
            done.refused += answer.kind == "refusal"
            if go is not None:
                name = answer_name(found["id"], answer.kind, sha256_bytes(answer.document))
                go.write((DOWN, silo), name, answer.document)
                written.add(name)
        return written

    def _take(self, come: Stick, place: Place, envelope_id: str, now: datetime) -> Answer | None:
        name = f"{envelope_id}.header"
        try:
            content = come.read(place, name, MAX_HEADER_BYTES)
            if sha256_bytes(content) != envelope_id:
                come.damaged(place, name, _DAMAGED)
                return None
            header = self._header(content, place)
            answer = self._desk.put_header(envelope_id, header.core.silo, content, now)
            if isinstance(answer, Answer):
                return answer
            with come.opened(place, blob_name(envelope_id)) as blob:
                return self._hand_over(blob, header, now)
        except _Damaged as fault:
            come.damaged(place, blob_name(envelope_id), fault.reason)
        except Refused as refusal:
            come.note(place, name, refusal.reason)
        return None

    def _header(self, content: bytes, place: Place) -> Header:
        with self._store.reading() as session:
            header = verify_header(content, roster(session))
        if header.core.silo != place[-1]:
            reason = f"It is an envelope of {header.core.silo} in another silo's folder."
            raise Refused("wrong_place", reason)
        return header

    def _hand_over(self, blob: BinaryIO, header: Header, now: datetime) -> Answer | None:
        # Checked first: the desk refuses a wrong blob for good, and here a stick may be to blame.
        if blob.seek(0, 2) != header.blob_bytes:
            raise _Damaged("damaged", "The blob has another length than its header says.")
        blob.seek(0)
        if sha256_of(blob) != header.blob_sha256:
            raise _Damaged("damaged", _DAMAGED)
        offset = self._desk.offset(header.envelope_id, header.core.silo) or 0
        while True:
            blob.seek(offset)
            piece = blob.read(_PIECE_BYTES)
            held = self._desk.put_piece(header.envelope_id, header.core.silo, offset, piece, now)
            if isinstance(held, Answer):
                return held
            if not piece and not isinstance(held, WrongOffset):
                return None  # the stick was pulled, or somebody cut the file
            offset = held.offset

    def _request(self, come: Stick, silo: str, now: datetime) -> FeedRequest | None:
        """Returns what the silo asks for, or None where no member signed it."""
        if come.size((UP, silo), REQUEST) is None:
            return None
        try:
            content = come.read((UP, silo), REQUEST, MAX_REQUEST_BYTES)
            with self._store.reading() as session:
                member = session.get(MemberRow, silo)
            if member is None or not in_force(member, now):
                raise Refused("unknown_silo", f"No silo {silo!r} is enrolled here, or no longer.")  # noqa: TRY301
            keys = {key_id(member.courier_key): member.courier_key}
            request = FeedRequest.parse(verify(content, "feed_request", keys))
            if (request.silo, request.consortium) != (silo, self._consortium):
                raise Refused("wrong_silo", "The request is another silo's or consortium's.")  # noqa: TRY301
        except Refused as refusal:
            come.note((UP, silo), REQUEST, refusal.reason)
            return None
        return request

    def _write_feed(self, go: Stick, request: FeedRequest, wanted: set[str]) -> set[str]:
        """Writes objects, then the pages that name them; returns the pages' names."""
        written = set()
        shown = after = request.after
        while True:
            with self._store.reading() as session:
                page = read_feed(session, request.silo, after)
            if page.items:
                self._write_objects(go, page, wanted)
                content = page.to_bytes()
                # `shown`, not `after`: a page joins what the silo took last, hidden items or not.
                name = feed_name(shown, sha256_bytes(content))
                go.write((DOWN, request.silo), name, content)
                written.add(name)
                shown = page.items[-1].number
            if page.last == after:
                return written
            after = page.last

    def _write_objects(self, go: Stick, page: Feed, wanted: set[str]) -> None:
        for item in page.items:
            for one in item.objects:
                wanted.add(one.sha256)
                if go.size(OBJECTS, one.sha256) != one.bytes:
                    with object_path(self._folder.objects, one.sha256).open("rb") as source:
                        _put(go, one.sha256, source)


class _Damaged(Refused):
    """A blob that the stick spoilt: it may be carried again."""


def _put(go: Stick, name: str, source: BinaryIO) -> None:
    go.put(OBJECTS, name, lambda sink: copy_bytes(source, sink))


def describe(done: Carried) -> str:
    """Writes what was done as lines for people."""
    lines = [
        f"Took {done.received} envelopes, refused {done.refused}; wrote the feed for "
        f"{', '.join(done.silos) or 'nobody'}."
    ]
    return "\n".join(lines + [f"set aside {one.name}: {one.reason}" for one in done.asides])
