"""Jobs of workers: queued in the ledger, claimed by a conditional update, one at a time.

Done means exit 0 *and* a renamed-in `result.json`: a worker that was killed at any moment has
either left a whole result or none, and the job is simply tried again.
"""

import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from agent import log
from agent.files import write_atomic
from agent.keeper.orders import Order, Progress, Result, parse_order
from agent.ledger.book import Detail, Item, Ledger

_log = logging.getLogger(__name__)

WORKER_DIED = "worker_died"
# Fresh measurements come first, chemists' models before the next round's training.
PRIORITY = {"ingest": 0, "snapshot": 1, "round": 2, "baseline": 3, "release": 4}


class Workers:
    """Runs queued jobs in fresh processes, `python -m agent work FOLDER`.

    Args:
        ledger: Where jobs are rows.
        folder: Where each job has a folder.
        attempts: How often a job may crash before it is pushed away.
        wake: Called from a thread when a worker ends; it must only post to a queue.
    """

    def __init__(
        self, ledger: Ledger, folder: Path, attempts: int, wake: Callable[[], None]
    ) -> None:
        self._ledger = ledger
        self._folder = folder
        self._attempts = attempts
        self._wake = wake
        self._running: tuple[str, subprocess.Popen[bytes]] | None = None

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
        queued = self._ledger.find("job", "queued")
        if not queued:
            return None
        item = min(queued, key=lambda job: (PRIORITY[str(job.detail["kind"])], job.number))
        tries = int(str(item.detail["tries"])) + 1
        self._write_order(item)
        if not self._ledger.move(item, "started", now, "", {"tries": tries}):
            return None
        command = [sys.executable, "-m", "agent", "work", str(self.path(item.id))]
        process = subprocess.Popen([*command, "--parent", str(os.getpid())])
        self._running = (item.id, process)
        threading.Thread(target=self._wait, args=(process,), daemon=True).start()
        log.event(_log, "job started", job=item.id, tries=tries, pid=process.pid)
        return item.id

    def ended(self, now: datetime) -> list[tuple[Item, Result]]:
        """Returns jobs that left a result; requeues or gives up those that crashed.

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
            if result is not None:
                done.append((item, result))
            elif (deaths := int(str(item.detail["deaths"])) + 1) < self._attempts:
                # Its own deaths only: a keeper that is restarted ends workers without their fault.
                why = "its worker died; it is tried again"
                self._ledger.move(item, "queued", now, why, {"deaths": deaths})
            else:
                why = f"Its worker died {deaths} times; see the keeper's log."
                done.append((item, Result(refused_code=WORKER_DIED, refused=why)))
        return done

    def finish(self, item: Item, result: Result, now: datetime) -> None:
        """Marks a job done or failed; call it in the transaction that books its result."""
        self._ledger.move(item, "failed" if result.refused else "finished", now, result.refused)

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

    def stop(self) -> None:
        """Ends the running worker; its job is queued again at the next start."""
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
        self._running = None

    def _write_order(self, item: Item) -> None:
        folder = self.path(item.id)
        shutil.rmtree(folder, ignore_errors=True)  # what a killed worker left half done
        folder.mkdir(parents=True)
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
