"""The one module that reads the clock; everywhere else, time is an argument."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event

Clock = Callable[[], datetime]


def now() -> datetime:
    """Returns the time in UTC, with microseconds."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Returns seconds that never step back, for durations and time-outs."""
    return time.monotonic()


def rest(stop: Event, seconds: float) -> bool:
    """Sleeps until `stop` is set or the time is over; returns whether it is set.

    Unlike `Event.wait` it holds no lock, so that a signal handler of the same thread may set the
    event at any moment.
    """
    until_s = monotonic_s() + seconds
    while not stop.is_set() and (left_s := until_s - monotonic_s()) > 0:
        time.sleep(min(left_s, 0.1))
    return stop.is_set()


def to_text(moment: datetime) -> str:
    """Writes a moment as RFC 3339 in UTC, which sorts as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Reads what `to_text` wrote.

    Raises:
        ValueError: The text is no RFC 3339 moment with a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone; write it as RFC 3339, e.g. with a final Z")
    return moment.astimezone(UTC)
