"""The courier's loop: one thread a direction, each of which may die any time.

It knows no transport: what is here runs over HTTPS and over a folder alike, and a silo that is
carried by folder never even loads an HTTP library.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agent import log
from agent.clock import Clock, monotonic_s
from agent.errors import OnggiError, Stop
from agent.exchange.backoff import BackOff
from agent.exchange.carrier import Traffic
from agent.exchange.status import StatusFile, Way
from agent.notify import NOBODY, Notify

_logger = logging.getLogger(__name__)

_GOODBYE_S = 2.0
_BEAT_S = 5.0  # a lane that rests, says so this often


@dataclass(frozen=True, slots=True)
class Pace:
    """How often to do what, in seconds.

    Attributes:
        outbox_s: Between two looks into the outbox.
        poll_s: How long the aggregator may hold a poll of the feed.
        idle_s: The least time between two polls that brought nothing.
        retry_first_s: The longest wait after a first failure.
        retry_cap_s: The longest wait of all.
    """

    outbox_s: float = 0.5
    poll_s: int = 25
    idle_s: float = 0.5
    retry_first_s: float = 1.0
    retry_cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One direction: what to do again and again.

    Attributes:
        way: `up` or `down`.
        step: Does what there is to do at the given time; returns how much that was.
        traffic: Its own carrier, for the status.
        waiting: Counts what waits for this lane, where that is known.
        pause_s: How long to wait after a step that had nothing to do.
    """

    way: Way
    step: Callable[[datetime], int]
    traffic: Traffic
    waiting: Callable[[], int | None]
    pause_s: float


class Pulse:
    """Tells whether every lane went on: a step or a rest ended, or a request was answered.

    A lane that uploads for an hour goes on with each piece; one that hangs in one request does not.

    Args:
        lanes: Whom to watch.
    """

    def __init__(self, lanes: tuple[Lane, ...]) -> None:
        self._lanes = lanes
        self._beats = dict.fromkeys((lane.way for lane in lanes), 0)
        self._seen: dict[Way, tuple[int, datetime | None]] = {}
        self._moved: set[Way] = set()

    def beat(self, way: Way) -> None:
        """Counts one more sign of life; each lane's own thread calls it."""
        self._beats[way] += 1

    def all_moved(self) -> bool:
        """Tells whether each lane has moved since this was last so."""
        for lane in self._lanes:
            # Not the totals: the lanes share one transport log, and with it its counts.
            at = self._beats[lane.way], lane.traffic.last_contact
            if self._seen.get(lane.way) != at:
                self._seen[lane.way] = at
                self._moved.add(lane.way)
        if len(self._moved) < len(self._lanes):
            return False
        self._moved.clear()
        return True


class Courier:
    """Runs the lanes until it is told to stop.

    Args:
        lanes: One thread each.
        status: The status file.
        clock: The time.
        pace: For the waits after failures.
        notify: Hears that all lanes go on; one that hangs is silence.
    """

    def __init__(
        self,
        lanes: tuple[Lane, ...],
        status: StatusFile,
        clock: Clock,
        pace: Pace,
        notify: Notify = NOBODY,
    ) -> None:
        self._lanes = lanes
        self._status = status
        self._clock = clock
        self._pace = pace
        self._halt = threading.Event()
        self._fatal: Exception | None = None
        self._notify = notify
        self._pulse = Pulse(lanes)

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; a signal handler may set it, for nobody waits on it here.

        A thread in a long poll is left behind: whatever it does, a kill at any moment is harmless.

        Raises:
            Stop: Something that only a person can change.
        """
        threads = [
            threading.Thread(target=self._guard, args=(lane,), name=lane.way, daemon=True)
            for lane in self._lanes
        ]
        for thread in threads:
            thread.start()
        self._notify.ready()
        while not stop.is_set() and not self._halt.is_set():
            time.sleep(0.1)
            if self._pulse.all_moved():
                self._notify.alive(monotonic_s(), self._status.sentence())
        self._notify.stopping()
        self._halt.set()
        deadline = monotonic_s() + _GOODBYE_S
        for thread in threads:
            thread.join(max(0.0, deadline - monotonic_s()))
        if self._fatal is not None:
            raise self._fatal

    def _guard(self, lane: Lane) -> None:
        try:
            self._work(lane)
        except Exception as error:
            # A thread's outermost frame: here an error would vanish, so `run` raises it.
            if not self._halt.is_set():
                self._fatal = error
                _logger.exception("lane_stopped")
            self._halt.set()

    def _work(self, lane: Lane) -> None:
        back_off = BackOff(self._pace.retry_first_s, self._pace.retry_cap_s)
        while not self._halt.is_set():
            self._rest(lane, self._once(lane, back_off))

    def _rest(self, lane: Lane, pause_s: float) -> None:
        until_s = monotonic_s() + pause_s
        self._pulse.beat(lane.way)
        while not self._halt.is_set() and (left_s := until_s - monotonic_s()) > 0:
            self._halt.wait(min(left_s, _BEAT_S))
            self._pulse.beat(lane.way)

    def _once(self, lane: Lane, back_off: BackOff) -> float:
        error, pause_s = "", 0.0
        try:
            done = lane.step(self._clock())
        except Stop as stop:
            self._note(lane, str(stop))
            raise
        except OnggiError as trouble:
            error, pause_s = str(trouble), back_off.failed()
            log.trouble(_logger, "step_failed", way=lane.way, kind=type(trouble).__name__)
        else:
            back_off.succeeded()
            pause_s = 0.0 if done else lane.pause_s
        self._note(lane, error)
        return pause_s

    def _note(self, lane: Lane, error: str) -> None:
        now = self._clock()
        self._status.note(lane.way, error, lane.waiting(), lane.traffic, now)
