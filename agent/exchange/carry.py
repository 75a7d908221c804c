"""Carrying by folder: once, by `onggi carry`, or again and again by the courier that watches it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import Inbox, Outbox
from agent.clock import Clock
from agent.errors import Refused
from agent.exchange.downlink import TRIES, Downlink
from agent.exchange.folder import Bearer, Folder
from agent.exchange.lanes import Courier, Lane, Pace
from agent.exchange.places import Places, read_enrolment, read_number_by_name
from agent.exchange.status import StatusFile
from agent.exchange.transport_log import TransportLog
from agent.exchange.uplink import Uplink
from agent.files import exclusive
from agent.key_ring import seal_folder
from agent.keys import load_signing, next_key
from agent.notify import NOBODY, Notify
from agent.stick import Aside, Stick

_logger = logging.getLogger(__name__)
# A stick that was just plugged in should not wait for a minute.
WATCHING = Pace(outbox_s=1.0, idle_s=1.0, retry_cap_s=5.0)


@dataclass(frozen=True, slots=True)
class Carried:
    """What one carrying did.

    Attributes:
        brought: Items of the feed that came in.
        answered: Envelopes that got their receipt or refusal.
        waiting: Envelopes that are still without one.
        asides: What was not used of the folder.
    """

    brought: int
    answered: int
    waiting: int
    asides: tuple[Aside, ...]


class _Trip:
    """One folder carrier with the two directions over it, in one thread."""

    def __init__(self, places: Places, folder: Folder, *, canary: bool) -> None:
        inbox = Inbox(places.inbox)
        self._outbox = Outbox(places.outbox)
        self._memory = places.courier / "feed.json"
        self.folder = folder
        self.uplink = Uplink(folder, self._outbox, inbox, places.courier / "answered.json")
        self.downlink = Downlink(folder, inbox, self._memory, canary=canary)

    def out(self, now: datetime) -> int:
        """Takes answers, writes what waits, and then says what this silo wants next."""
        answered = self.uplink.step(now)
        present = frozenset(parcel.envelope_id for parcel in self._outbox.parcels())
        # From its file: the other direction has a thread, and a memory, of its own.
        self.folder.ask(int(read_number_by_name(self._memory).get("after", 0)), present)
        return answered

    def bring(self, now: datetime) -> int:
        """Brings in everything that is there; an item that cannot be used is set aside."""
        brought = 0
        faults = 0
        while True:
            try:
                count = self.downlink.step(now)
            except Refused:
                faults += 1
                if faults >= TRIES:
                    raise
                continue
            if not count:
                return brought
            brought += count


def carry_once(
    places: Places, out: Path | None, back: Path | None, clock: Clock, *, canary: bool = False
) -> Carried:
    """Writes waiting envelopes to one folder and brings in what another holds.

    Args:
        places: The silo's folders.
        out: Where envelopes go, or None.
        back: Where signed files come from, or None; it may be the same folder.
        clock: The time.
        canary: Whether this silo's channel is `canary`.

    Raises:
        Stop: The silo is not enrolled, or its courier's key is missing.
        TryLater: Another courier works here; or a folder is full, write-protected or away.
        Refused: An envelope or an item cannot be carried; everything else was.
    """
    with _bearer(places) as (bearer, transport_log):
        sticks = {path: Stick(path) for path in (out, back) if path is not None}
        to, come = (None if path is None else sticks[path] for path in (out, back))
        folder = Folder(bearer, transport_log, clock, out=to, back=come)
        trip = _Trip(places, folder, canary=canary)
        brought = trip.bring(clock()) if come is not None else 0
        answered = trip.out(clock())
        status = StatusFile(places.courier / "status.json", by_hand=True)
        status.note("up", "", trip.uplink.left(), trip.folder, clock())
        asides = tuple(aside for stick in sticks.values() for aside in stick.asides)
        log.event(_logger, "carried", brought=brought, answered=answered, asides=len(asides))
        return Carried(brought, answered, trip.uplink.left(), asides)


def watch(
    places: Places,
    folder: Path,
    stop: threading.Event,
    *,
    clock: Clock,
    canary: bool = False,
    notify: Notify = NOBODY,
) -> None:
    """Carries by a folder until `stop` is set; no socket is opened.

    Args:
        places: The silo's folders.
        folder: Where everything goes and comes from.
        stop: Set it from a signal handler or another thread.
        clock: The time.
        canary: Whether this silo's channel is `canary`.
        notify: Hears how the courier stands.

    Raises:
        Stop: The silo is not enrolled, or its courier's key is missing.
        TryLater: Another courier works in the same state folder.
    """
    with _bearer(places) as (bearer, transport_log):
        sticks = Stick(folder), Stick(folder)  # one a thread
        up, down = (
            _Trip(
                places, Folder(bearer, transport_log, clock, out=stick, back=stick), canary=canary
            )
            for stick in sticks
        )
        lanes = (
            Lane("up", _told(up.out, sticks[0]), up.folder, up.uplink.left, WATCHING.outbox_s),
            Lane("down", _told(down.bring, sticks[1]), down.folder, lambda: None, WATCHING.idle_s),
        )
        log.event(_logger, "courier_started", silo=bearer.silo, carrier="folder")
        status = StatusFile(places.courier / "status.json")
        Courier(lanes, status, clock, WATCHING, notify).run(stop)
        log.event(_logger, "courier_stopped", silo=bearer.silo)


def _told(step: Callable[[datetime], int], stick: Stick) -> Callable[[datetime], int]:
    """Does a step and logs how many more files were set aside; their names may say anything."""

    def told(now: datetime) -> int:
        before = len(stick.asides)
        try:
            return step(now)
        finally:
            if len(stick.asides) > before:
                log.trouble(_logger, "set_aside", files=len(stick.asides) - before)

    return told


@contextmanager
def _bearer(places: Places) -> Iterator[tuple[Bearer, TransportLog]]:
    enrolment = read_enrolment(places)
    ring = places.rings.courier
    signers = [load_signing(places.courier_key, "courier", ring)]
    following = next_key(places.courier_key)
    if following.exists():
        # A folder cannot say which of the two the roster names by now: both sign.
        signers.append(load_signing(following, "courier", ring))
    with (
        exclusive(places.courier / "courier.lock"),
        TransportLog(places.courier / "transport.ndjson") as transport_log,
    ):
        seal_folder(places.courier, ring)
        yield Bearer(enrolment.silo, enrolment.consortium, tuple(signers)), transport_log
