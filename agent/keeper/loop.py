"""The keeper's life: events and signals only post to one queue; one loop does the work."""

import logging
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from apscheduler.schedulers.background import BackgroundScheduler

from agent import log
from agent.clock import Clock, monotonic_s, to_text
from agent.files import write_atomic
from agent.keeper.figures import figures
from agent.keeper.intake import Intake
from agent.keeper.passing import is_passing
from agent.keeper.pipeline import Pipeline
from agent.keeper.status import sentence
from agent.metrics import publish
from agent.notify import NOBODY, Notify
from agent.records import Json
from agent.stores.watch import FolderWatch
from agent.wire import strict_json

_log = logging.getLogger(__name__)

STOP, TICK, WORKER, INBOX = "(stop)", "(tick)", "(worker)", "(inbox)"
_IDLE_S = 1.0  # answers from the courier and predict are looked for this often
_STATUS_S = 30.0
_BURST_S = 0.1  # events that come so close together are one
_MIN_SWEEP_S = 0.2  # a burst of events is one sweep


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often to look when nothing happens, and how long a file must rest."""

    sweep_s: float
    settle_s: float


class Keeper:
    """Waits for something to happen and lets the pipeline advance.

    Args:
        pipeline: The stages.
        intake: The stage that looks at folders.
        folders: Names and folders to watch for events (stores, spools and the inbox).
        queue: Where every event is posted.
        rhythm: Times of looking.
        status: The status file, or several.
        tidy: Removes what is no longer needed; called with each sweep.
        clock: Reads the time, once a round.
        notify: Hears that the loop turns; a round that hangs is silence.
    """

    def __init__(  # noqa: PLR0913 - what it runs, what wakes it, and how often
        self,
        pipeline: Pipeline,
        intake: Intake,
        folders: dict[str, Path],
        queue: SimpleQueue[str],
        rhythm: Rhythm,
        status: "StatusFile | StatusFiles",
        tidy: Callable[[datetime], None],
        clock: Clock,
        notify: Notify = NOBODY,
    ) -> None:
        self._pipeline = pipeline
        self._intake = intake
        self._watch = FolderWatch(folders, queue)
        self._queue = queue
        self._rhythm = rhythm
        self._status = status
        self._tidy = tidy
        self._clock = clock
        self._notify = notify
        self._look_at_s = 0.0  # due at once

    def run(self) -> None:
        """Works until something posts STOP."""
        self._pipeline.recover(self._clock())
        unwatched = self._watch.start()
        if unwatched:
            log.trouble(_log, "folders without events", folders=len(unwatched))
        ticker = BackgroundScheduler()
        ticker.add_job(lambda: self._queue.put(TICK), "interval", seconds=self._rhythm.sweep_s)
        ticker.start()
        self._notify.ready()
        try:
            while STOP not in (events := self._collect()):
                self.step(events)
        finally:
            self._notify.stopping()
            ticker.shutdown(wait=False)
            self._watch.stop()

    def step(self, events: frozenset[str]) -> None:
        """Does one round of work for the events that came together."""
        now, at_s = self._clock(), monotonic_s()
        try:
            self._work(events, now, at_s)
        except OSError as error:
            if not is_passing(error):
                raise
            # Every stage commits as it goes: the next round takes up where this one was ended.
            log.trouble(_log, "disk or share failed", why=error.strerror)
        self._status.write(now, at_s)
        self._notify.alive(monotonic_s(), sentence(self._status.last))

    def _work(self, events: frozenset[str], now: datetime, at_s: float) -> None:
        if events - {WORKER, INBOX}:
            self._look_at_s = min(self._look_at_s, at_s + _MIN_SWEEP_S)
        due = at_s >= self._look_at_s
        if due:
            waiting = self._intake.look(now, at_s)
            self._look_at_s = at_s + (self._rhythm.settle_s if waiting else self._rhythm.sweep_s)
        self._pipeline.advance(now, at_s)
        self._pipeline.prepare()
        if due:  # after the letters were taken: until then, nothing says what they need
            self._tidy(now)

    def _collect(self) -> frozenset[str]:
        """Waits for an event, or until something is due, and gathers what comes with it."""
        wait_s = min(_IDLE_S, max(self._look_at_s - monotonic_s(), _BURST_S))
        events: set[str] = set()
        with suppress(Empty):
            events.add(self._queue.get(timeout=wait_s))
            until_s = monotonic_s() + _BURST_S
            while STOP not in events:
                events.add(self._queue.get(timeout=max(until_s - monotonic_s(), 0.0)))
        return frozenset(events)


def stop_on_signals(queue: SimpleQueue[str]) -> None:
    """Lets SIGTERM and SIGINT post STOP; SimpleQueue.put may be called in a signal handler."""

    def post(_signum: int, _frame: FrameType | None) -> None:
        queue.put(STOP)

    signal.signal(signal.SIGTERM, post)
    signal.signal(signal.SIGINT, post)


class StatusFile:
    """Writes the status when it changed, and every half minute as a sign of life.

    Args:
        path: The file.
        build: Makes its content.
        measured: Where figures of it go, for Prometheus; None for no figures.
    """

    def __init__(self, path: Path, build: Callable[[], Json], measured: Path | None = None) -> None:
        self._path = path
        self._measured = measured
        self._build = build
        self._last: Json = None
        self._due_s = 0.0
        self._failed_s: float | None = None

    @property
    def last(self) -> Json:
        """What was written last."""
        return self._last

    def write(self, now: datetime, at_s: float) -> None:
        """Writes the file if it is due; without room for it, the next round tries again."""
        content = self._build()
        if content == self._last and at_s < self._due_s:
            return
        try:
            write_atomic(self._path, strict_json.dumps({"at": to_text(now), "status": content}))
        except OSError as error:
            if self._failed_s is None or at_s - self._failed_s >= _STATUS_S:
                log.trouble(_log, "status not written", why=error.strerror)
                self._failed_s = at_s
            return
        self._last, self._due_s, self._failed_s = content, at_s + _STATUS_S, None
        if self._measured:
            publish(self._measured, figures(content, now))


class StatusFiles:
    """Several status files, each for other readers."""

    def __init__(self, *files: StatusFile) -> None:
        self._files = files

    @property
    def last(self) -> Json:
        """What the first of them last said."""
        return self._files[0].last

    def write(self, now: datetime, at_s: float) -> None:
        """Writes each that is due."""
        for file in self._files:
            file.write(now, at_s)
