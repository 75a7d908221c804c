"""Who of the workers does what next: single molecules before large calls, in order of arrival.

It belongs to one event loop, so that nothing here needs a lock.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.serving.frames import Frame

_MOST_WAITING = 2_000


class Full(Exception):
    """So much waits already that what comes now would wait too long."""


@dataclass(slots=True, eq=False)
class Job:
    """One message to a worker and where its answer goes.

    Attributes:
        head, body: The message.
        limit_s: Seconds of the clock that a worker may take.
        done: Gets the answer, or the error; whoever cancels it wants none any more.
    """

    head: Mapping[str, object]
    body: bytes
    limit_s: float
    done: asyncio.Future[Frame]


@dataclass(slots=True, eq=False)
class Seat:
    """The place of one worker, whichever process sits there now.

    Attributes:
        quick: It takes single molecules only, so that one of its kind is always soon free.
        own: What this worker and no other is to do, before all else.
        asked: Set while it waits for something to do.
    """

    quick: bool
    own: deque[Job] = field(default_factory=deque)
    asked: asyncio.Future[Job] | None = None


class Board:
    """The jobs that wait and the seats that wait for jobs."""

    def __init__(self, seats: list[Seat]) -> None:
        # The quick ones come first: a large call's workers help with single molecules last.
        self._seats = sorted(seats, key=lambda seat: not seat.quick)
        self._quick: deque[Job] = deque()
        self._large: deque[Job] = deque()

    def post(self, job: Job, *, quick: bool) -> None:
        """Hands a job to a seat that waits, or lets it wait.

        Raises:
            Full: Too many wait.
        """
        for seat in self._seats:
            if (quick or not seat.quick) and _hand(seat, job):
                return
        waiting = self._quick if quick else self._large
        if len(waiting) >= _MOST_WAITING:
            raise Full
        waiting.append(job)

    def post_to(self, seat: Seat, job: Job) -> None:
        """Lets one seat do a job as its next."""
        if not _hand(seat, job):
            seat.own.append(job)

    async def take(self, seat: Seat, patience_s: float) -> Job | None:
        """Returns what a seat does next; waits so long for it."""
        queues = (seat.own, self._quick) if seat.quick else (seat.own, self._quick, self._large)
        for waiting in queues:
            while waiting:
                job = waiting.popleft()
                if not job.done.done():
                    return job
        asked: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        seat.asked = asked
        try:
            async with asyncio.timeout(patience_s):
                return await asked
        except TimeoutError:
            # A job may have been handed over just as the time ran out: nobody else would do it.
            return None if asked.cancelled() else asked.result()
        finally:
            seat.asked = None


def _hand(seat: Seat, job: Job) -> bool:
    if seat.asked is None or seat.asked.done():
        return False
    seat.asked.set_result(job)
    return True
