"""Whether this host's clock may be right: it must not show less than it has shown before."""

import logging
from datetime import UTC, datetime, timedelta

from agent import log
from agent.clock import to_text
from agent.ledger.book import Ledger

_log = logging.getLogger(__name__)
_FLOOR = "clock"  # in minutes since the epoch: seconds outgrow a floor in 2038
_STEP_MIN = 5  # how often the highest time is written down
_TOLERANCE = timedelta(minutes=5)


def check_clock(ledger: Ledger, now: datetime) -> bool:
    """Keeps the highest time seen, and says in the ledger when the clock is behind it.

    Nothing stops for it: what has a date is judged by the clock as it is, and what a wrong clock
    shut out comes back with the right one. The release repository alone is judged by the highest
    time (`latest_time`): with the clock set back, an old one would be good again.

    Returns:
        False while the clock is more than a few minutes behind.
    """
    minutes, highest_min = int(now.timestamp()) // 60, ledger.floor(_FLOOR)
    if minutes >= highest_min + _STEP_MIN:
        ledger.raise_floor(_FLOOR, minutes)
    highest = datetime.fromtimestamp(highest_min * 60, UTC)
    behind = highest - now > _TOLERANCE
    _book(ledger, now, highest if behind else None)
    return not behind


def latest_time(ledger: Ledger, now: datetime) -> datetime:
    """Returns the present, or the latest time that this host has shown, whichever is later.

    What must not expire later than it says, whatever becomes of the clock, is judged by it.
    """
    return max(now, datetime.fromtimestamp(ledger.floor(_FLOOR) * 60, UTC))


def accept_clock(ledger: Ledger, now: datetime) -> datetime:
    """Takes the clock as it is for right: a person has compared it with another.

    For a host whose clock once showed a time far ahead, so that every release seems expired.

    Returns:
        The latest time that had been seen.
    """
    highest = latest_time(ledger, now)
    with ledger.transaction():
        ledger.lower_clock(_FLOOR, int(now.timestamp()) // 60)
        _book(ledger, now, None)
    log.trouble(_log, "clock accepted", before=to_text(highest))
    return highest


def _book(ledger: Ledger, now: datetime, highest: datetime | None) -> None:
    if highest is not None:
        ledger.add("clock", "host", "doubted", now, {})
    item = ledger.get("clock", "host")
    if item is None:
        return
    state = "trusted" if highest is None else "doubted"
    why = "" if highest is None else _sentence(highest)
    if item.state != state:
        ledger.move(item, state, now, why)
    if item.why != why:
        log.trouble(_log, "clock changed", state=state)
        ledger.explain(item, why)


def _sentence(highest: datetime) -> str:
    return (
        f"This host's clock is behind {to_text(highest)}, which it has shown before: it is wrong "
        "now, or was then. Compare it with another clock; set it if it is wrong now."
    )
