"""The reader's life: read what is new, rest, read again; a lost connection is only a wait."""

import logging
from pathlib import Path
from threading import Event

from agent import clock, log
from agent.errors import TryLater
from agent.files import exclusive
from agent.notify import NOBODY, Notify
from agent.stores.database import Source, read_batches

_log = logging.getLogger(__name__)
_MAX_PAUSE_FACTOR = 8
_BEAT_S = 10.0


def read_until(
    source: Source,
    spool: Path,
    poll_s: float,
    stop: Event,
    *,
    once: bool,
    notify: Notify = NOBODY,
) -> None:
    """Reads a database into its spool until `stop` is set.

    Args:
        source: What to read.
        spool: Where batches go; the watermark is kept in it under a hidden name.
        poll_s: Pause between two reads; it grows while the database is away.
        stop: Set it to end; a signal handler of this thread may do so.
        once: Read once and return.
        notify: Hears of each batch and each rest; a query that hangs is silence.

    Raises:
        Stop: A person must change something: the query, a column, the password.
        TryLater: Another reader works on this spool; with `once`, also: the database is away.
    """
    spool.mkdir(parents=True, exist_ok=True)
    with exclusive(spool / ".lock"):
        notify.ready()
        failures = 0
        while not stop.is_set():
            try:
                _read(source, spool, notify)
                failures = 0
            except TryLater as error:
                if once:
                    raise
                failures += 1
                why = str(error)
                log.trouble(_log, "database away", store=source.store, failures=failures, why=why)
            if once:
                return
            _rest(stop, poll_s * min(2**failures, _MAX_PAUSE_FACTOR), failures, notify)
        notify.stopping()


def _read(source: Source, spool: Path, notify: Notify) -> None:
    def beat() -> None:
        notify.alive(clock.monotonic_s(), "reads")

    rows = read_batches(source, spool, spool / ".watermark.json", beat=beat)
    if rows:
        log.event(_log, "rows read", store=source.store, rows=rows)


def _rest(stop: Event, pause_s: float, failures: int, notify: Notify) -> None:
    said = f"the database is away, {failures} times" if failures else "rests"
    until_s = clock.monotonic_s() + pause_s
    while not stop.is_set() and (left_s := until_s - clock.monotonic_s()) > 0:
        notify.alive(clock.monotonic_s(), said)
        clock.rest(stop, min(left_s, _BEAT_S))
