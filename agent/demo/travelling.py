"""The person of the demo who walks between an unconnected silo and the aggregator with a stick."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

from agent import log
from agent.clock import rest
from agent.demo.parties import Aggregator, ask
from agent.demo.silos import Silo
from agent.errors import OnggiError

_logger = logging.getLogger(__name__)
_REST_S = 1.0


@contextmanager
def travelling(aggregator: Aggregator, silos: Sequence[Silo]) -> Iterator[None]:
    """Carries for the silos by the two commands, again and again, while the block lasts.

    Args:
        aggregator: Where the stick goes.
        silos: Those without a connection; for none, nobody walks.
    """
    home = Event()
    walk = Thread(target=_walk, args=(aggregator, silos, home), name="travelling")
    walk.start()
    try:
        yield
    finally:
        home.set()
        walk.join()


def _walk(aggregator: Aggregator, silos: Sequence[Silo], home: Event) -> None:
    while silos and not rest(home, _REST_S):
        for silo in silos:
            try:
                carry(aggregator, silo)
            except OnggiError as trouble:
                # A process was killed, or is starting: the next walk finds the stick as it was.
                log.trouble(_logger, "trip_failed", silo=silo.name, kind=type(trouble).__name__)


def carry(aggregator: Aggregator, silo: Silo) -> None:
    """Walks once: from the silo to the aggregator and back.

    Raises:
        OnggiError: A command failed.
    """
    stick = silo.folder / "stick"
    stick.mkdir(exist_ok=True)
    both = ("--in", str(stick), "--out", str(stick))
    ask("agent", "--config", str(silo.config), "carry", *both)
    ask("consortium", "carry", *both, "--folder", str(aggregator.folder))
    ask("agent", "--config", str(silo.config), "carry", "--in", str(stick))
