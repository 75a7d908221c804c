"""The jobs of predict: folders in its own state, and what is known of them in memory.

It belongs to the event loop; what touches the disk runs beside it in threads.
"""

import asyncio
import logging
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from agent import log
from agent.clock import Clock, from_text, to_text
from agent.files import fsync_folder, publish_folder
from agent.serving.batch import folder
from agent.serving.batch.folder import ENDED, INPUT, REQUEST, STATE, Request, State
from agent.serving.problems import Problem

_LOGGER = logging.getLogger(__name__)
MOST_WAITING = 20  # jobs of one caller that are not done
SMALL_BYTES = 1 << 20
FREE_BYTES = 1 << 30  # of the disk, which are left to the rest of predict's state
_NAME = re.compile(r"[0-9a-f]{24}")
_UPLOAD = ".upload-"
_REMOVED = ".removed-"
_RETRY_AFTER = {"Retry-After": "60"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a site allows.

    Attributes:
        input_bytes: Of one file.
        days: That a job is kept after its end.
    """

    input_bytes: int = 2 << 30
    days: float = 7.0


@dataclass(slots=True, eq=False)
class Job:
    """One job.

    Attributes:
        ahead: Rows that are answered and not on disk yet.
        task: What works on it now.
    """

    path: Path
    request: Request
    state: State
    ahead: int = 0
    task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Its id."""
        return self.request.job

    @property
    def small(self) -> bool:
        """Whether it need not wait behind a large one."""
        return self.request.size <= SMALL_BYTES


class Jobs:
    """All jobs.

    Args:
        root: The folder of their folders; made if it is not there.
        limits: What the site allows.
        clock: Reads the time.
    """

    def __init__(self, root: Path, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self._root = root
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._served: dict[str, int] = {}  # owner -> when one of theirs was taken last
        self._taken = 0
        self._more = asyncio.Condition()

    def open(self) -> None:
        """Reads what an earlier process left; its unfinished jobs wait again."""
        self._root.mkdir(mode=0o750, exist_ok=True)
        for path in sorted(self._root.iterdir()):
            job = _read(path)
            if job is None:
                shutil.rmtree(path, ignore_errors=True)  # half come in, or half removed
                continue
            if job.state.state in ENDED:
                with suppress(OSError):  # it only takes room
                    _clear(path, job.state)  # a kill came between its end and this
            else:
                job.state = replace(job.state, state="queued")
            self._jobs[job.name] = job

    def own(self, owner: str, name: str) -> Job:
        """Returns a caller's job.

        Raises:
            Problem: 404 `no_such_job`: also where it is somebody else's.
        """
        job = self._jobs.get(name)
        if job is None or job.request.owner != owner:
            raise Problem(404, "no_such_job", "There is no such job, or its time is over.")
        return job

    def all_of(self, owner: str) -> list[Job]:
        """Returns a caller's jobs, the oldest first."""
        found = [job for job in self._jobs.values() if job.request.owner == owner]
        return sorted(found, key=lambda job: job.request.created)

    def upload(self, owner: str, size: int | None) -> Path:
        """Makes a folder for a file that comes in.

        Args:
            owner: Who sends it.
            size: Bytes, where they are known beforehand.

        Raises:
            Problem: 413 `body_too_large`, 429 `too_many_jobs`, 507 `disk_full`.
        """
        waiting = [job for job in self.all_of(owner) if job.state.state not in ENDED]
        if len(waiting) >= MOST_WAITING:
            sentence = f"{MOST_WAITING} of your jobs wait already; let some end or cancel them."
            raise Problem(429, "too_many_jobs", sentence, _RETRY_AFTER)
        self.check_size(size or 0)
        path = self._root / f"{_UPLOAD}{secrets.token_hex(12)}"
        path.mkdir(mode=0o750)
        return path

    def check_size(self, size: int, more: int | None = None) -> None:
        """Refuses what is too large, here or for the disk.

        Args:
            size: Bytes of the file as far as they are known.
            more: Those of them that are not on the disk yet; all of them by default.

        Raises:
            Problem: As of `upload`.
        """
        if size > self.limits.input_bytes:
            limit = f"The file has over {self.limits.input_bytes} bytes; send it in parts."
            raise Problem(413, "body_too_large", limit)
        if shutil.disk_usage(self._root).free - (size if more is None else more) < FREE_BYTES:
            sentence = "The disk of predict is nearly full; delete old jobs, or tell who runs it."
            raise Problem(507, "disk_full", sentence)

    async def add(self, upload: Path, asked: Request) -> Job:
        """Makes a job of a file that has come in, and lets it wait for its turn.

        Args:
            upload: What `upload` returned, with the file in it.
            asked: What is known of it; id, time and size are filled in.

        Raises:
            Problem: 507 `disk_full`.
        """
        name = upload.name.removeprefix(_UPLOAD)
        size = (upload / INPUT).stat().st_size
        request = replace(asked, job=name, created=to_text(self._clock()), size=size)
        job = Job(self._root / name, request, State())
        try:
            await _beside(_commit, upload, job)
        except OSError as error:
            raise Problem(507, "disk_full", "Predict cannot keep the file; try later.") from error
        self._jobs[name] = job
        log.event(_LOGGER, "job_added", job=name, bytes=size)
        await self._wake()
        return job

    async def take(self, *, small: bool) -> Job:
        """Waits for the next job; whoever was served least recently comes first.

        Args:
            small: Take no large one.
        """
        async with self._more:
            while not (waiting := [job for job in self._waiting() if job.small or not small]):
                await self._more.wait()
            job = min(waiting, key=lambda one: (self._last(one), one.request.created))
            self._taken += 1
            self._served[job.request.owner] = self._taken
            job.state = replace(job.state, state="running")
        return job

    def _waiting(self) -> Iterator[Job]:
        return (job for job in self._jobs.values() if job.state.state == "queued")

    def _last(self, job: Job) -> int:
        return self._served.get(job.request.owner, 0)

    async def _wake(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def book(self, job: Job, state: State) -> None:
        """Writes down how far a job is.

        Raises:
            OSError: The disk is full.
        """
        await _beside(folder.write, job.path / STATE, state)
        job.state = state

    async def end(self, job: Job, state: State) -> None:
        """Writes down that a job ended, and how; then what only its work needed goes."""
        state = replace(state, finished=to_text(self._clock()))
        log.event(_LOGGER, f"job_{state.state}", job=job.name, done=state.done, bad=state.bad)
        try:
            await _beside(_end, job.path, state)
        except OSError as error:
            log.trouble(_LOGGER, "job_not_written", job=job.name, errno=error.errno)
        job.state, job.ahead = state, 0  # last: whoever sees it ended finds it ended on the disk

    async def cancel(self, job: Job) -> None:
        """Ends a job that is not done, and forgets one that is."""
        if job.state.state in ENDED:
            self._jobs.pop(job.name, None)
            await asyncio.to_thread(_remove, job.path)
            return
        if job.task is not None:  # first, or it would write down once more that it runs
            job.task.cancel()
            await asyncio.wait([job.task])
        await self.end(job, replace(job.state, state="cancelled"))

    async def prune(self) -> None:
        """Forgets jobs whose time is over."""
        eldest = to_text(self._clock() - timedelta(days=self.limits.days))
        over = [
            job for job in self._jobs.values() if job.state.finished and job.state.finished < eldest
        ]
        for job in over:
            await self.cancel(job)


async def _beside(step: Callable[..., None], *arguments: object) -> None:
    """Runs a step in a thread; whoever is cancelled meanwhile waits for its end.

    The thread goes on in any case: what comes after, such as the state that a cancelled job is
    in, must not be overtaken by it.
    """
    running = asyncio.ensure_future(asyncio.to_thread(step, *arguments))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


def _commit(upload: Path, job: Job) -> None:
    folder.write(upload / REQUEST, job.request)
    folder.write(upload / STATE, job.state)
    publish_folder(upload, job.path)  # durable, its input too, before it is said to be accepted


def _remove(path: Path) -> None:
    """Renames a job away first: `Jobs.open` must never find a half of it."""
    gone = path.with_name(f"{_REMOVED}{path.name}")
    with suppress(OSError):  # such as a disk that is full: then without
        path.rename(gone)
        fsync_folder(path.parent)
    for left in (gone, path):
        shutil.rmtree(left, ignore_errors=True)


def _read(path: Path) -> Job | None:
    if not _NAME.fullmatch(path.name):
        return None
    try:
        request, state = folder.read_request(path), folder.read_state(path)
        from_text(request.created)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return Job(path, request, state) if request.job == path.name else None


def _end(path: Path, state: State) -> None:
    """Writes the end first: a job that runs by what the disk says needs its input again."""
    try:
        folder.write(path / STATE, state)
    except OSError:  # a full disk: what goes makes room
        _clear(path, state)
        folder.write(path / STATE, state)
    _clear(path, state)


def _clear(path: Path, state: State) -> None:
    """Removes what an ended job needs no longer: its input, and its parts if it is not done."""
    keep = {folder.ROWS, folder.SAID} if state.state == "done" else set()
    (path / INPUT).unlink(missing_ok=True)
    for part in path.glob("[0-9]*.*"):
        if part.suffix[1:] not in keep:
            part.unlink(missing_ok=True)
