"""The reader's life: read what is new, rest, read again; a lost connection is only a wait."""

import logging
from pathlib import Path
from threading import Event

from agent import clock, log
from agent.errors import TryLater
from agent.files import exclusive
from agent.stores.database import Source, read_batches

_log = logging.getLogger(__name__)
_MAX_PAUSE_FACTOR = 8


def read_until(source: Source, spool: Path, poll_s: float, stop: Event, *, once: bool) -> None:
    """Reads a database into its spool until `stop` is set.

    Args:
        source: What to read.
        spool: Where batches go; the watermark is kept in it under a hidden name.
        poll_s: Pause between two reads; it grows while the database is away.
        stop: Set it to end; a signal handler of this thread may do so.
        once: Read once and return.

    Raises:
        Stop: A person must change something: the query, a column, the password.
        TryLater: Another reader works on this spool; with `once`, also: the database is away.
    """
    spool.mkdir(parents=True, exist_ok=True)
    with exclusive(spool / ".lock"):
        failures = 0
        while not stop.is_set():
            try:
                rows = read_batches(source, spool, spool / ".watermark.json")
                failures = 0
                if rows:
                    log.event(_log, "rows read", store=source.store, rows=rows)
            except TryLater as error:
                if once:
                    raise
                failures += 1
                why = str(error)
                log.trouble(_log, "database away", store=source.store, failures=failures, why=why)
            if once:
                return
            clock.rest(stop, poll_s * min(2**failures, _MAX_PAUSE_FACTOR))
