"""Jobs of workers: queued in the ledger, claimed by a conditional update, one at a time.

Done means exit 0 *and* a renamed-in `result.json`: a worker that was killed at any moment has
either left a whole result or none, and the job is simply tried again.
"""

import logging
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from agent import log
from agent.clock import from_text, to_text
from agent.errors import EXIT_TRY_LATER
from agent.files import write_atomic
from agent.keeper.hours import Hours
from agent.keeper.orders import CHECKPOINT, Order, Progress, Result, parse_order
from agent.keeper.passing import TRY_LATER
from agent.keeper.spares import Spares, started
from agent.ledger.book import Detail, Item, Ledger

_log = logging.getLogger(__name__)

WORKER_DIED = "worker_died"
# Fresh measurements come first; then a round, for which others wait; then what chemists are shown
# of them; then what this silo's model is compared with, without which no release is checked; then
# the release.
PRIORITY = {"ingest": 0, "snapshot": 1, "round": 2, "reference": 3, "baseline": 4, "release": 5}
_TRAINING = frozenset({"round", "baseline", "release"})  # what waits for the hours of training
SHORT = frozenset({"ingest", "snapshot"})  # what may be done by a worker that stands by
STALL_S = 1800.0
# Wherever one cannot go on now, the next try comes after so many seconds; the last one repeats.
BACK_OFF_S = (10.0, 60.0, 300.0, 1800.0)
# After a death the first tries come soon: most are the kernel's or a person's doing.
DEATH_BACK_OFF_S = (1.0, 5.0, 20.0, 60.0, 300.0)
# SIGKILL is somebody's doing (a person, a restart, the kernel where memory is short), a crash the
# work's own: after it the next try may come soon for longer.
KILL_BACK_OFF_S = (1.0, 5.0, 10.0, 10.0, 20.0, 20.0, 60.0, 300.0)
# A file that makes its reader crash is poison and is given up early; other work reads what was
# curated, so its deaths speak of the host. Those, and readers that were killed, get more patience.
_PATIENCE = 4


class Workers:
    """Runs queued jobs in fresh processes, `python -m agent work FOLDER`.

    Args:
        ledger: Where jobs are rows.
        folder: Where each job has a folder.
        attempts: How often the reading of files may crash before it is pushed away; other work
            may four times as often, and so may a reader that is killed.
        wake: Called from a thread when a worker ends; it must only post to a queue.
        stall_s: A worker whose progress does not change for so long is killed.
        hours: When training may start, on this host's clock; None for always.
    """

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        attempts: int,
        wake: Callable[[], None],
        stall_s: float = STALL_S,
        hours: Hours | None = None,
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._attempts = attempts
        self._wake = wake
        self._stall_s = stall_s
        self._hours = hours
        self._running: tuple[str, subprocess.Popen[bytes]] | None = None
        self._seen: tuple[object, float] = (None, 0.0)  # the last progress, and since when
        self._stalled: dict[str, str] = {}  # jobs whose worker was killed, and at what
        self._killed: set[str] = set()  # jobs whose worker somebody else killed
        self._spares = Spares()
        self._put_off: set[str] = set()  # jobs whose worker itself asked to be tried later

    def submit(self, job_id: str, order: Order, now: datetime) -> bool:
        """Queues a job; the same id again is the same job, whatever became of it."""
        detail: Detail = {"kind": order.kind, "order": order.model_dump_json()}
        detail |= {"tries": 0, "deaths": 0}
        return self._ledger.add("job", job_id, "queued", now, detail)

    def recover(self, now: datetime) -> None:
        """After a restart: jobs that were running either left a result, or are queued again.

        Folders of jobs that are over are removed: a kill may come before `clear`.
        """
        for item in self._ledger.find("job", "started"):
            if not self._result_path(item.id).exists():
                self._ledger.move(item, "queued", now, "the keeper was restarted")
        open_jobs = {item.id for item in self._ledger.find("job", "queued", "started")}
        for folder in self._folder.iterdir():
            if folder.name not in open_jobs:
                shutil.rmtree(folder, ignore_errors=True)

    def start_next(self, now: datetime) -> str | None:
        """Starts the most urgent queued job, if no worker is running."""
        if self._running is not None:
            return None
        queued = [job for job in self._ledger.find("job", "queued") if _is_due(job, now)]
        queued = [job for job in queued if self._is_allowed(job, now)]
        if not queued:
            return None
        item = min(queued, key=lambda job: (PRIORITY[str(job.detail["kind"])], job.number))
        try:
            return self._start(item, now)
        except OSError as error:  # no room for the order, or no process to be had
            log.trouble(_log, "job not started", job=item.id, why=error.strerror)
            return None

    def prepare(self, coming: int) -> None:
        """Keeps workers standing by for jobs that read or freeze, and ends those that are too many.

        Args:
            coming: How many such jobs will come soon. While training runs they must wait, and
                none stands by.
        """
        running = self._ledger.get("job", self._running[0]) if self._running else None
        waits = running is not None and running.detail["kind"] not in SHORT
        self._spares.keep(0 if waits else coming)

    def is_running(self, kind: str) -> bool:
        """Tells whether the running job is of a kind."""
        running = self._ledger.get("job", self._running[0]) if self._running else None
        return running is not None and running.detail["kind"] == kind

    def _is_allowed(self, item: Item, now: datetime) -> bool:
        """Tells whether a job may start at this hour; one that may not says what it waits for."""
        if self._hours is None or item.detail["kind"] not in _TRAINING:
            return True
        if self._hours.has(now.astimezone()):  # the host's own zone
            return True
        self._ledger.explain(item, f"It waits for the hours of training, {self._hours}.")
        return False

    def _start(self, item: Item, now: datetime) -> str | None:
        tries = int(str(item.detail["tries"])) + 1
        self._write_order(item)
        if not self._ledger.move(item, "started", now, "", {"tries": tries}):
            return None
        process = self._spares.take(self.path(item.id)) if item.detail["kind"] in SHORT else None
        process = process or started([str(self.path(item.id))])
        self._running = (item.id, process)
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()
        log.event(_log, "job started", job=item.id, tries=tries, pid=process.pid)
        return item.id

    def ended(self, now: datetime) -> list[tuple[Item, Result]]:
        """Returns jobs that left a result; requeues or gives up those that crashed.

        One that cannot be done just now is queued again for later, however often.

        The caller books each result and calls `finish` in the same transaction. A job that was
        given up comes back with a result that says so.
        """
        self._reap()
        running = self._running[0] if self._running else None
        done: list[tuple[Item, Result]] = []
        for item in self._ledger.find("job", "started"):
            if item.id == running:
                continue
            result = self._read_result(item.id)
            if result is not None and result.refused_code != TRY_LATER:
                done.append((item, result))
            elif result is not None or item.id in self._put_off:
                self._put_off.discard(item.id)
                why = result.refused if result else "Its worker could not go on; see its log."
                waits = int(str(item.detail.get("waits", 0))) + 1
                delay_s = BACK_OFF_S[min(waits, len(BACK_OFF_S)) - 1]
                self._queue_again(item, why, delay_s, {"waits": waits}, now)
            elif (died := self._book_death(item, now)) is not None:
                done.append((item, died))
        return done

    def _book_death(self, item: Item, now: datetime) -> Result | None:
        # Its own deaths only: a keeper that is restarted ends workers without their fault.
        deaths = int(str(item.detail["deaths"])) + 1
        stalled = self._stalled.pop(item.id, "")
        killed = item.id in self._killed and not stalled
        self._killed.discard(item.id)
        poison = item.detail["kind"] == "ingest" and not killed
        if deaths < self._attempts * (1 if poison else _PATIENCE):
            why = f"its worker died{stalled}; it is tried again"
            delays_s = KILL_BACK_OFF_S if killed else DEATH_BACK_OFF_S
            delay_s = delays_s[min(deaths, len(delays_s)) - 1]
            self._queue_again(item, why, delay_s, {"deaths": deaths}, now)
            return None
        why = f"Its worker died {deaths} times{stalled}; see the keeper's log."
        return Result(refused_code=WORKER_DIED, refused=why)

    def _queue_again(
        self, item: Item, why: str, delay_s: float, detail: Detail, now: datetime
    ) -> None:
        not_before = to_text(now + timedelta(seconds=delay_s))
        self._ledger.move(item, "queued", now, why, {**detail, "not_before": not_before})

    def finish(self, item: Item, result: Result, now: datetime) -> None:
        """Marks a job done or failed; call it in the transaction that books its result."""
        cost: Detail = {name: getattr(result, name) for name in ("seconds", "cpu_s", "peak_mb")}
        state = "failed" if result.refused else "finished"
        self._ledger.move(item, state, now, result.refused, {"cost": cost})

    def clear(self, item: Item) -> None:
        """Removes a finished job's folder."""
        shutil.rmtree(self.path(item.id), ignore_errors=True)

    def path(self, job_id: str) -> Path:
        """Returns the job's folder."""
        return self._folder / job_id

    def order(self, item: Item) -> Order:
        """Returns what was ordered."""
        return parse_order(str(item.detail["order"]).encode())

    def progress(self) -> tuple[str, Progress | None] | None:
        """Returns the running job's id and how far it is."""
        if self._running is None:
            return None
        try:
            content = (self.path(self._running[0]) / "progress.json").read_bytes()
            return self._running[0], Progress.model_validate_json(content)
        except (OSError, ValidationError):
            return self._running[0], None

    def watch(self, at_s: float) -> None:
        """Kills the running worker when its progress has not changed for too long.

        Args:
            at_s: Now, on a clock that never steps back.
        """
        if self._running is None:
            return
        job_id, process = self._running
        mark = (process.pid, self._progress_mark(job_id))
        if mark != self._seen[0]:
            self._seen = (mark, at_s)
        elif at_s - self._seen[1] >= self._stall_s:
            self._seen = (mark, at_s)  # one that is stuck in the kernel is not killed each second
            self._kill_stalled(job_id, process)

    def _kill_stalled(self, job_id: str, process: subprocess.Popen[bytes]) -> None:
        told = self.progress()
        stage = told[1].stage if told and told[1] else "starting"
        self._stalled[job_id] = f" (no progress for {self._stall_s:g} s while {stage})"
        log.trouble(_log, "job stalled", job=job_id, stage=stage)
        process.kill()

    def _progress_mark(self, job_id: str) -> tuple[int, int]:
        try:
            found = (self.path(job_id) / "progress.json").stat()
        except OSError:
            return 0, 0
        return found.st_mtime_ns, found.st_ino

    def stop(self) -> None:
        """Ends the running worker; its job is queued again at the next start."""
        self._spares.keep(0)
        if self._running is not None:
            self._running[1].kill()
            self._running[1].wait()

    def _reap(self) -> None:
        if self._running is None or self._running[1].poll() is None:
            return
        job_id, process = self._running
        log.event(_log, "job ended", job=job_id, status=process.returncode)
        if process.returncode != 0:
            self._result_path(job_id).unlink(missing_ok=True)
        if process.returncode == EXIT_TRY_LATER:
            self._put_off.add(job_id)
        if process.returncode == -signal.SIGKILL:
            self._killed.add(job_id)
        self._running = None

    def _write_order(self, item: Item) -> None:
        folder = self.path(item.id)
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():  # what a killed worker left half done
            if left.name == CHECKPOINT:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()
        write_atomic(folder / "order.json", str(item.detail["order"]).encode())

    def _read_result(self, job_id: str) -> Result | None:
        try:
            return Result.model_validate_json(self._result_path(job_id).read_bytes())
        except (OSError, ValidationError):
            return None

    def _result_path(self, job_id: str) -> Path:
        return self.path(job_id) / "result.json"

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._wake()


def _is_due(item: Item, now: datetime) -> bool:
    not_before = item.detail.get("not_before")
    if not_before is None:
        return True
    # Further ahead than any delay means that the clock was wrong when it was written.
    wait_s = (from_text(str(not_before)) - now).total_seconds()
    return not 0 < wait_s <= max(BACK_OFF_S)
