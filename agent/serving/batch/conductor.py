"""Works through the jobs: what a worker answers goes to disk a part at a time.

A part is whole or not there, so a process that is killed goes on with the part it was at. All parts
of a job are answered by one release; where that has gone in the meantime, the job begins anew.
"""

import asyncio
import errno
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Protocol

from agent import log
from agent.errors import Refused
from agent.files import write_atomic
from agent.serving import frames
from agent.serving.answers import Answering
from agent.serving.batch import clerks, folder, measured, pieces
from agent.serving.batch.folder import ASKED, RELEASE, SAID, TABLE, State
from agent.serving.batch.jobs import Job, Jobs
from agent.serving.frames import Frame
from agent.serving.problems import Problem
from agent.serving.swap import Models

_LOGGER = logging.getLogger(__name__)
_MOST_HOSTILE = 500  # structures of one job that cost a worker; each takes a second or two
_MOST_BEGINNINGS = 3
_AHEAD = 2  # parts at once, so that no worker waits for the last piece of one
_PAUSE_S = 1.0
_PRUNE_S = 600.0
_MOST_LOST = 10
_HOSTILE = frozenset({"time", "crash"})
_FAULT = "Predict met a fault of its own; its log says where. Send the file again."
_UNREADABLE = "It cannot be predicted: the processes that tried it failed."


class Compute(Protocol):
    """Who does the chemistry: `Pool`."""

    async def figures(self, release: str, piece: bytes, reference: str = "") -> Frame:
        """Answers one piece of a file."""


class _Anew(Exception):
    """The release that the job began with is to be used no longer."""


class Conductor:
    """Works on two jobs at once, of which one is small.

    Args:
        jobs: The jobs.
        models: Which release answers.
        compute: Who answers.
        width: How many pieces are worked on at the same time.
        reference: Names what says what the site measured itself; empty where nothing does.
    """

    def __init__(
        self,
        jobs: Jobs,
        models: Models,
        compute: Compute,
        width: int,
        reference: Callable[[], str] = str,
    ) -> None:
        self._jobs = jobs
        self._models = models
        self._compute = compute
        self._width = width
        self._reference = reference

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works in this event loop; what is not done at its end goes on after the next start."""
        await asyncio.to_thread(self._jobs.open)
        work = (self._lane(small=False), self._lane(small=True), self._prune())
        tasks = [asyncio.create_task(one) for one in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _prune(self) -> None:
        while True:
            await self._jobs.prune()
            await asyncio.sleep(_PRUNE_S)

    async def _lane(self, *, small: bool) -> None:
        while True:
            job = await self._jobs.take(small=small)
            job.task = asyncio.create_task(self._work(job))
            try:
                # Whoever cancels the job cancels its task alone; the lane takes the next one.
                await asyncio.wait([job.task])
            finally:
                job.task.cancel()
                await asyncio.gather(job.task, return_exceptions=True)

    async def _work(self, job: Job) -> None:
        try:
            await self._try(job)
        except Problem as problem:
            await self._fail(job, problem.code, problem.detail)
        except Refused as refused:
            await self._fail(job, refused.code, refused.reason)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            sentence = "The disk of predict is full; delete old jobs, or tell who runs it."
            await self._fail(job, "disk_full" if full else "internal", sentence if full else _FAULT)
            log.trouble(_LOGGER, "job_not_kept", job=job.name, errno=error.errno)
        # The boundary: the next job must not suffer from this one.
        except Exception:
            _LOGGER.warning("job_raised", exc_info=True)
            await self._fail(job, "internal", _FAULT)

    async def _fail(self, job: Job, code: str, detail: str) -> None:
        await self._jobs.end(job, replace(job.state, state="failed", problem=(code, detail)))

    async def _try(self, job: Job) -> None:
        failed: set[str] = set()
        for _ in range(_MOST_BEGINNINGS):
            release = await self._release(job, failed)
            try:
                await self._begin(job, release)
                await self._answer(job, release.card.release_id)
            except _Anew:
                failed.add(release.card.release_id)
                log.event(_LOGGER, "job_anew", job=job.name, release=release.card.release_id)
                continue
            await self._jobs.end(job, replace(job.state, state="done", total=job.state.done))
            return
        raise Problem(503, "no_release", "The model changed over and over; send the file again.")

    async def _release(self, job: Job, failed: set[str]) -> Answering:
        """Returns the release that the job began with, if it may still answer, else today's.

        Where today's is on trial and failed some of this job, it is the one before.
        """
        while (current := self._models.current()) is None:
            await asyncio.sleep(_PAUSE_S)
        before = self._models.stand_in(current)
        if before is not None and (
            before.card.release_id == job.state.release or current.card.release_id in failed
        ):
            return before
        return current

    async def _begin(self, job: Job, release: Answering) -> None:
        name, job.ahead = release.card.release_id, 0
        if job.state.release == name and (job.path / TABLE).exists():
            return
        note = job.state.note
        if job.state.parts and job.state.release != name:
            note = f"It began with {job.state.release}, which answers no longer, and began anew."
        state = State(state=job.state.state, total=job.state.total, release=name, note=note)
        # First of all, so that whoever reads the parts never takes the new ones for the old ones'.
        await self._jobs.book(job, state)
        document = folder.release_of(release.card)
        await asyncio.to_thread(folder.write, job.path / RELEASE, document)

    async def _answer(self, job: Job, release: str) -> None:
        width = asyncio.Semaphore(self._width)
        at_work: deque[asyncio.Task[list[Frame]]] = deque()
        number = 0
        try:
            async with aclosing(self._parts(job)) as parts:
                async for _ in parts:
                    if number >= job.state.parts:
                        at_work.append(asyncio.create_task(self._part(job, number, release, width)))
                    number += 1
                    if len(at_work) > _AHEAD:
                        await self._book(job, await at_work.popleft())
            while at_work:
                await self._book(job, await at_work.popleft())
        finally:
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)

    async def _parts(self, job: Job) -> AsyncGenerator[int, None]:
        """Yields the rows of each part that is on disk, in order, while the file is being cut.

        A file that an earlier process did not cut to its end is cut anew, which takes seconds.
        """
        if (job.path / TABLE).exists():
            table = await asyncio.to_thread(folder.read_table, job.path)
            job.state.total = sum(table.parts)
            for rows in table.parts:
                yield rows
            return
        total = 0
        async with aclosing(clerks.parts(job.path)) as counts:
            async for rows in counts:
                total += rows
                yield rows
        job.state.total = total

    async def _part(
        self, job: Job, number: int, release: str, width: asyncio.Semaphore
    ) -> list[Frame]:
        asked = await asyncio.to_thread(folder.part(job.path, number, ASKED).read_bytes)
        # A name a part: the keeper removes references that are no longer in use.
        reference = self._reference() if job.request.measured else ""

        async def one(piece: bytes) -> list[Frame]:
            async with width:
                answers = await self._asked(piece, release, reference)
            job.ahead += sum(head["rows"] for head, _ in answers)
            return answers

        tasks = [asyncio.create_task(one(piece)) for piece in asked.splitlines()]
        try:
            found = [frame for answers in await asyncio.gather(*tasks) for frame in answers]
        finally:
            for task in tasks:
                task.cancel()
        said = b"".join(frames.pack(*frame) for frame in found)
        await asyncio.to_thread(write_atomic, folder.part(job.path, number, SAID), said)
        return found

    async def _book(self, job: Job, answers: list[Frame]) -> None:
        rows = sum(head["rows"] for head, _ in answers)
        faults = [step for head, _ in answers for _, step, _ in head["bad"]]
        hostile = job.state.hostile + sum(step in _HOSTILE for step in faults)
        state = replace(
            job.state,
            done=job.state.done + rows,
            bad=job.state.bad + len(faults),
            parts=job.state.parts + 1,
            hostile=hostile,
            measured=job.state.measured or any(measured.KEY in head for head, _ in answers),
        )
        job.ahead -= rows
        await self._jobs.book(job, state)
        if hostile > _MOST_HOSTILE:
            raise Problem(
                422, "too_slow", f"Over {_MOST_HOSTILE} structures took too long or ended a worker."
            )

    async def _asked(self, piece: bytes, release: str, reference: str) -> list[Frame]:
        """Answers a piece, if need be structure by structure."""
        lost = 0
        while True:
            try:
                answer = await self._compute.figures(release, piece, reference)
            except Problem as problem:
                if problem.code == "busy" or (problem.code == "worker_lost" and lost < _MOST_LOST):
                    lost += problem.code == "worker_lost"
                    await asyncio.sleep(_PAUSE_S)
                    continue
                if problem.status == 503:
                    raise
                return await self._apart(piece, release, reference)
            if answer[0]["failed"]:
                self._strike(release)
            return [answer]

    async def _apart(self, piece: bytes, release: str, reference: str) -> list[Frame]:
        self._strike(release)
        if len(pieces.read_piece(piece)) == 1:
            return [({"rows": 1, "bad": [(0, "crash", _UNREADABLE)], "failed": 0}, b"")]
        first, second = pieces.cut(piece)
        return [
            *await self._asked(first, release, reference),
            *await self._asked(second, release, reference),
        ]

    def _strike(self, release: str) -> None:
        """Lets the release before answer instead, while this one is on trial.

        Raises:
            _Anew: It does; from the first row on.
        """
        current = self._models.current()
        if current is None or current.card.release_id != release:
            return
        if self._models.stand_in(current) is not None:
            self._models.strike(current)
            raise _Anew
