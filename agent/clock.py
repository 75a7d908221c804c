"""The one module that reads the clock; everywhere else, time is an argument."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """Returns the time in UTC, with microseconds."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Returns seconds that never step back, for durations and time-outs."""
    return time.monotonic()


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
