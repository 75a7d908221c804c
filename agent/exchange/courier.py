"""The courier process over HTTPS: one thread delivers, one thread follows the feed."""

import logging
import signal
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import Inbox, Outbox
from agent.clock import Clock
from agent.exchange.downlink import Downlink
from agent.exchange.https import Https
from agent.exchange.lanes import Courier, Lane, Pace
from agent.exchange.places import Places, read_enrolment, trusted_certificates
from agent.exchange.rotations import CourierKey, Requests
from agent.exchange.session import Link, Peer, Timeouts
from agent.exchange.status import StatusFile
from agent.exchange.transport_log import TransportLog
from agent.exchange.uplink import Uplink
from agent.files import exclusive
from agent.key_ring import seal_folder
from agent.notify import NOBODY, Notify

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a site's configuration says of the way to the consortium.

    Attributes:
        canary: Whether this silo's channel is `canary`.
        ca_file: Certificates to trust beside the pinned one; see `places.trusted_certificates`.
    """

    canary: bool = False
    ca_file: Path | None = None


AS_PINNED = Terms()


def carry(  # noqa: PLR0913 - five of them have a default
    places: Places,
    stop: threading.Event,
    *,
    clock: Clock,
    pace: Pace | None = None,
    timeouts: Timeouts | None = None,
    terms: Terms = AS_PINNED,
    notify: Notify = NOBODY,
) -> None:
    """Runs the courier of an enrolled silo until `stop` is set.

    Args:
        places: The silo's folders.
        stop: Set it from a signal handler (`stop_on_signals`) or another thread.
        clock: The time.
        pace: How often to do what.
        timeouts: How long to wait for the aggregator.
        terms: What the site says of the way and of what comes by it.
        notify: Hears how the courier stands.

    Raises:
        Stop: The silo is not enrolled, or a key or certificate is missing.
        TryLater: Another courier works in the same folder.
    """
    pace = pace or Pace()
    enrolment = read_enrolment(places)
    peer = Peer(enrolment.url, trusted_certificates(places, terms.ca_file))
    signer = CourierKey(places.courier_key, places.rings.courier)
    with (
        exclusive(places.courier / "courier.lock"),
        TransportLog(places.courier / "transport.ndjson") as transport_log,
    ):
        seal_folder(places.courier, places.rings.courier)
        links = [
            Link(
                peer,
                enrolment.silo,
                signer,
                transport_log=transport_log,
                clock=clock,
                timeouts=timeouts,
            )
            for _ in range(2)
        ]
        lanes = _lanes(places, links[0], links[1], signer, pace, terms)
        log.event(_logger, "courier_started", silo=enrolment.silo)
        status = StatusFile(places.courier / "status.json")
        Courier(lanes, status, clock, pace, notify).run(stop)
        log.event(_logger, "courier_stopped", silo=enrolment.silo)


def _lanes(
    places: Places, up: Link, down: Link, key: CourierKey, pace: Pace, terms: Terms
) -> tuple[Lane, Lane]:
    inbox = Inbox(places.inbox)
    uplink = Uplink(Https(up), Outbox(places.outbox), inbox, places.courier / "answered.json")
    carrier = Https(down, poll_s=pace.poll_s)
    downlink = Downlink(carrier, inbox, places.courier / "feed.json", canary=terms.canary)
    requests = Requests(up, places.outbox)

    def deliver(now: datetime) -> int:
        return uplink.step(now) + requests.step(now)

    return (
        Lane("up", key.following(deliver), up, uplink.left, pace.outbox_s),
        Lane("down", key.following(downlink.step), down, lambda: None, pace.idle_s),
    )


def stop_on_signals() -> threading.Event:
    """Makes SIGTERM and SIGINT set the returned event, and do nothing else."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
