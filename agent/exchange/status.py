"""What the courier says about itself, in a file that `onggi status` reads."""

import logging
import threading
from datetime import datetime
from pathlib import Path
from typing import Literal

from agent import log
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.exchange.carrier import Traffic
from agent.files import write_atomic
from agent.metrics import Figure, Labels, one, publish
from agent.wire.documents import Document

_logger = logging.getLogger(__name__)
_REFRESH_S = 10.0

Way = Literal["up", "down"]


class CourierStatus(Document):
    """The courier's state.

    Attributes:
        updated: When this was written; a running courier refreshes it every 10 s or so.
        last_contact: When the aggregator last answered anything, or empty.
        waiting: Envelopes in the outbox that have no answer yet.
        up_error: Why deliveries fail right now, as a sentence, or empty.
        down_error: Why the feed fails right now, or empty.
        last_error: The last error of either, even if it has passed.
        last_error_at: When that was, or empty.
        requests: Requests in the transport log.
        bytes_up: Bytes of bodies sent, over the log's life.
        bytes_down: Bytes of bodies received.
        by_hand: Whether a person carries, with `onggi carry`: then `updated` is the last trip.
    """

    updated: str = ""
    last_contact: str = ""
    waiting: int = 0
    up_error: str = ""
    down_error: str = ""
    last_error: str = ""
    last_error_at: str = ""
    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    by_hand: bool = False


def read_status(path: Path) -> CourierStatus:
    """Reads a courier's status; an absent or damaged file gives an empty one."""
    try:
        return CourierStatus.parse(path.read_bytes())
    except (OSError, Refused):
        return CourierStatus()


class StatusFile:
    """Keeps the status file true; both of the courier's threads use it.

    Args:
        path: The status file; what it said before a restart is kept.
        by_hand: Whether a person carries.
    """

    def __init__(self, path: Path, *, by_hand: bool = False) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._status = read_status(path).model_copy(update={"by_hand": by_hand})
        self._written: datetime | None = None

    def note(
        self, way: Way, error: str, waiting: int | None, traffic: Traffic, now: datetime
    ) -> None:
        """Notes how one step ended; the file is written when something changed, or to refresh it.

        Args:
            way: Which direction the step served.
            error: Why it failed, as a sentence, or empty.
            waiting: Envelopes that wait, or None where the step does not know.
            traffic: Its carrier, for the counts.
            now: The time.
        """
        changes: dict[str, str | int] = {
            f"{way}_error": error,
            "requests": traffic.totals.requests,
            "bytes_up": traffic.totals.bytes_up,
            "bytes_down": traffic.totals.bytes_down,
        }
        if traffic.last_contact is not None:
            changes["last_contact"] = to_text(traffic.last_contact)
        if waiting is not None:
            changes["waiting"] = waiting
        if error:
            changes |= {"last_error": error, "last_error_at": to_text(now)}
        with self._lock:
            self._apply(changes, now)

    def sentence(self) -> str:
        """Says in counts how the courier stands."""
        with self._lock:
            status = self._status
        trouble = [f"{way} fails" for way in ("up", "down") if getattr(status, f"{way}_error")]
        counts = f"{status.waiting} wait for an answer, {status.requests} requests so far"
        return "; ".join([counts, *trouble])

    def _apply(self, changes: dict[str, str | int], now: datetime) -> None:
        # The other thread's contact may be the later one; the texts sort by time.
        if str(changes.get("last_contact", "")) < self._status.last_contact:
            changes.pop("last_contact", None)
        changed = self._status.model_copy(update=changes)
        stale = self._written is None or (now - self._written).total_seconds() >= _REFRESH_S
        if changed == self._status and not stale:
            return
        self._status = changed.model_copy(update={"updated": to_text(now)})
        try:
            write_atomic(self._path, self._status.to_bytes())
        except OSError:
            # A full disk: the deliveries matter more, and they say so themselves.
            log.trouble(_logger, "status_not_written")
        self._written = now
        publish(self._path.parent / "metrics" / "courier.prom", figures(self._status, now))


def figures(status: CourierStatus, now: datetime) -> list[Figure]:
    """Returns a courier's state as figures for Prometheus."""
    contact = from_text(status.last_contact).timestamp() if status.last_contact else 0.0
    failing: dict[Labels, float] = {
        (("way", "up"),): float(bool(status.up_error)),
        (("way", "down"),): float(bool(status.down_error)),
    }
    return [
        one("onggi_courier_seen_seconds", "When the courier last wrote this.", now.timestamp()),
        one("onggi_courier_contact_seconds", "When the aggregator answered; 0: never.", contact),
        one("onggi_courier_waiting", "Envelopes without an answer.", status.waiting),
        Figure("onggi_courier_failing", "1 while this way fails.", "gauge", failing),
        one("onggi_courier_requests_total", "In the log.", status.requests, "counter"),
        one("onggi_courier_sent_bytes_total", "Of bodies.", status.bytes_up, "counter"),
        one("onggi_courier_received_bytes_total", "Of bodies.", status.bytes_down, "counter"),
    ]
