"""The workers of one predict: started, asked, and replaced where they die.

A structure that takes its worker with it is answered as an error in its place, and the rest of its
call is asked again. A worker that dies of something else loses nothing either: what it was asked is
asked once more, and refused with "try later" if that fails, too.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from concurrent.futures import wait as wait_for
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from agent import log
from agent.clock import monotonic_s
from agent.errors import Refused, TryLater
from agent.serving import frames, process
from agent.serving.board import Board, Full, Job, Seat
from agent.serving.frames import Frame
from agent.serving.problems import Problem
from agent.serving.process import Lost, WorkerProcess
from agent.serving.tensors import Question, Wanted

_LOGGER = logging.getLogger(__name__)
DEADLINE_S = 0.5  # processor time of one structure; a large honest one takes some 30 ms
_QUICK_SEATS = 2  # while one reads a hostile structure, the other answers everybody else
_MOST_GONE = 5  # structures of one call that end a worker each; then the call is refused
_MOST_LOST = 5  # workers that die of no structure: whoever kills them may kill all at once
_LIMIT_S = 90.0  # of the clock, for one piece: more than 64 structures just within the deadline
_LOAD_LIMIT_S = 60.0
_SEAT_LIMIT_S = _LIMIT_S + _LOAD_LIMIT_S  # to load where a piece is being answered still
_WAIT_S = 120.0
_START_S = 30.0
_LOOK_S = 1.0
_GLANCE_S = 0.1
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_RETRY_AFTER = {"Retry-After": "5"}

T = TypeVar("T")


class Pool:
    """Hands work to worker processes.

    Args:
        releases: The folder of all releases.
        workers: How many work on large calls; two more keep free for single molecules.
        deadline_s: Processor seconds that one structure may take.
        stop: Set when this process is to end; nobody waits for a release any longer.
    """

    def __init__(
        self,
        releases: Path,
        workers: int,
        deadline_s: float = DEADLINE_S,
        stop: threading.Event | None = None,
    ) -> None:
        self._releases = releases
        self._deadline_s = deadline_s
        self._seats = [Seat(quick=place < _QUICK_SEATS) for place in range(_QUICK_SEATS + workers)]
        self._board = Board(self._seats)
        self._stop = stop or threading.Event()
        self._wanted: str | None = None
        self._shunned: str | None = None  # it ended a worker that started: loaded on demand alone
        self._loop: asyncio.AbstractEventLoop | None = None
        self._up = threading.Event()

    def command(self, *, nice: bool) -> list[str]:
        """Returns what starts one of its workers."""
        return process.command(self._releases, self._deadline_s, nice=nice)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keeps the workers alive in this event loop, and ends them afterwards."""
        self._loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(self._keep(seat)) for seat in self._seats]
        self._up.set()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def split(self, body: bytes) -> list[bytes]:
        """Reads a large call and cuts it into pieces.

        Raises:
            Problem: As `bodies.parse`, or 503.
        """
        head, content = await self._asked({"do": "split"}, body, quick=False)
        return frames.cut(content, head["lengths"])

    async def read_tensors(
        self, content: bytes, head_bytes: int | None
    ) -> tuple[Question, list[bytes]]:
        """Reads a large request of the Open Inference Protocol and cuts it into pieces.

        Raises:
            Problem: As `tensors.read`, or 503.
        """
        said = {"do": "read_tensors", "head_bytes": head_bytes}
        head, rest = await self._asked(said, content, quick=False)
        return Question.of(head["question"]), frames.cut(rest, head["lengths"])

    async def tensors(
        self, release: str, piece: bytes, wanted: Sequence[Wanted], *, quick: bool
    ) -> Frame:
        """Answers one piece by columns.

        Args:
            release: Which release answers.
            piece: As `bodies.chunks` made it.
            wanted: Which columns, and how each is written.
            quick: A person waits for it.

        Returns:
            As of `predict`, and the `lengths` of the columns in what follows.

        Raises:
            Problem: As of `predict`.
        """
        head = {"do": "tensors", "release": release, "wanted": list(wanted)}
        return await self._read(head, piece, quick=quick)

    async def predict(
        self, release: str, piece: bytes, *, quick: bool, reference: str = ""
    ) -> Frame:
        """Answers one piece.

        Args:
            release: Which release answers.
            piece: As `bodies.chunks` made it.
            quick: A person waits for it.
            reference: Says what the site measured itself; empty where the caller may not see it.

        Returns:
            How many were `good`, how many `bad`, in how many of these the release `failed`, and
            the rendered answers.

        Raises:
            Problem: 422 `too_slow`, or 503.
        """
        head = {"do": "predict", "release": release, "reference": reference}
        return await self._read(head, piece, quick=quick)

    async def figures(self, release: str, piece: bytes, reference: str = "") -> Frame:
        """Answers one piece of a file.

        Args:
            release: Which release answers.
            piece: As `batch.pieces` writes it.
            reference: As of `predict`.

        Returns:
            What `batch.figures.packed` wrote, and, where a reference was looked up in, the
            `measured.findings` in its head.

        Raises:
            Problem: As of `predict`.
        """
        head = {"do": "figures", "release": release, "reference": reference}
        return await self._read(head, piece, quick=False)

    async def explain(self, release: str, piece: bytes, endpoint: str | None) -> bytes:
        """Tells what each atom of one structure contributes.

        Args:
            release: Which release answers.
            piece: One structure, as `bodies.chunks` made it.
            endpoint: Which one, or None for all.

        Raises:
            Problem: 422 `bad_structure` or `no_answer`, or as of `predict`.
            Refused: `unknown_endpoint`.
        """
        # Some thirty predictions: not for the seats that a single one waits for.
        head = {"do": "explain", "release": release, "endpoint": endpoint}
        return (await self._read(head, piece, quick=False))[1]

    async def ask(self, head: Mapping[str, object], piece: bytes) -> bytes:
        """Asks about structures for which nobody waits by the millisecond.

        Args:
            head: What to do.
            piece: The structures, as `bodies.chunks` made it; or nothing.

        Raises:
            Problem: As of `predict`, or a worker's own.
            Refused: A worker's own.
        """
        return (await self._read(head, piece, quick=False))[1]

    async def _read(self, head: Mapping[str, object], piece: bytes, *, quick: bool) -> Frame:
        """Asks about structures, again without those that end their worker."""
        gone: dict[int, str] = {}
        crashes: Counter[int | None] = Counter()
        while len(gone) <= _MOST_GONE:
            try:
                return await self._asked({**head, "gone": list(gone.items())}, piece, quick=quick)
            except Lost as lost:
                _blame(lost, crashes, gone)
        raise Problem(
            422, "too_slow", "Many of these structures take too long to read; send them one by one."
        )

    async def _asked(self, head: Mapping[str, object], body: bytes, *, quick: bool) -> Frame:
        job = Job(head, body, _LIMIT_S, asyncio.get_running_loop().create_future())
        try:
            self._board.post(job, quick=quick)
            async with asyncio.timeout(_WAIT_S):
                return _checked(await job.done)
        except (Full, TimeoutError):
            sentence = "Predict has more to do than it can; try again in a while."
            raise Problem(503, "busy", sentence, _RETRY_AFTER) from None

    def load(self, release: str) -> None:
        """Makes every worker load a release, one after the other while another one answers.

        Call it from another thread than the event loop's.

        Raises:
            Refused: The first of them could not, or died of it; no other has tried.
            TryLater: This process is to end.
            TimeoutError: The event loop has not started, or the first worker does not.
        """
        self.wait(self._load(release), len(self._seats) * _SEAT_LIMIT_S + _WAIT_S)

    def keep(self, release: str | None) -> None:
        """Says which release answers: a worker that starts loads it before anything else."""
        self._wanted = release

    def wait(self, work: Coroutine[Any, Any, T], limit_s: float = _WAIT_S) -> T:
        """Does something in the event loop and waits for it, from another thread.

        Raises:
            TryLater: This process is to end; the work is called off.
            TimeoutError: The event loop has not started, or it took longer.
        """
        if not self._up.wait(_START_S) or self._loop is None:
            work.close()
            raise TimeoutError
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        until_s = monotonic_s() + limit_s
        while not self._stop.is_set():
            if wait_for([future], _GLANCE_S).done:
                return future.result()
            if monotonic_s() > until_s:
                future.cancel()
                raise TimeoutError
        future.cancel()
        raise TryLater("Predict ends; the release will be tried after its next start.")

    async def _load(self, release: str) -> None:
        # A large call's worker first: should it die of it, single molecules do not notice.
        first, *others = reversed(self._seats)
        await self._load_at(first, release)
        at_once = self._wanted is None  # nobody is answered yet, so nobody has to wait
        self._wanted, self._shunned = release, None
        if at_once:
            await asyncio.gather(*(self._follow(seat, release) for seat in others))
            return
        for seat in others:
            await self._follow(seat, release)

    async def _follow(self, seat: Seat, release: str) -> None:
        try:
            await self._load_at(seat, release)
        except (Refused, TimeoutError) as error:
            # It tries again when it is asked, and nobody waits for it before.
            code = error.code if isinstance(error, Refused) else "too_slow"
            log.trouble(_LOGGER, "worker_not_loaded", release=release, code=code)

    async def _load_at(self, seat: Seat, release: str) -> None:
        done: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._board.post_to(seat, Job({"do": "load", "release": release}, b"", _LOAD_LIMIT_S, done))
        try:
            async with asyncio.timeout(_SEAT_LIMIT_S):
                _checked(await done)
        except Lost as lost:
            if not lost.began:  # the seat's next worker shall try
                return await self._load_at(seat, release)
            raise Refused("does_not_load", lost.why) from None
        except Problem as problem:
            raise Refused("unloadable_model", problem.detail) from None

    async def _keep(self, seat: Seat) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            if await self._life(seat):
                pause_s = _FIRST_PAUSE_S
                continue
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _life(self, seat: Seat) -> bool:
        """Starts a worker and lets it work until it dies; tells whether it ever answered."""
        try:
            worker = await WorkerProcess.start(self.command(nice=not seat.quick))
        except OSError as error:
            log.trouble(_LOGGER, "worker_not_started", errno=error.errno)
            return False
        answered = 0
        try:
            await self._prepare(worker)
            # A worker that dies while nothing is asked is replaced all the same.
            while worker.alive():
                if job := await self._board.take(seat, _LOOK_S):
                    await _do(worker, job)
                    answered += 1
        except Lost as lost:
            log.trouble(_LOGGER, "worker_lost", answered=answered, late=lost.late)
            return answered > 0 or lost.late
        else:
            log.trouble(_LOGGER, "worker_died_idle", answered=answered)
            return answered > 0
        finally:
            await worker.end()
            worker.forget()

    async def _prepare(self, worker: WorkerProcess) -> None:
        release = self._wanted
        if release is None or release == self._shunned:
            return
        try:
            # Whatever it answers: a release that cannot be loaded is refused when it is asked.
            await worker.ask({"do": "load", "release": release}, b"", _LOAD_LIMIT_S)
        except Lost:
            # Or no worker would ever start again, not even for the release before it.
            self._shunned = release
            raise


async def _do(worker: WorkerProcess, job: Job) -> None:
    if job.done.done():
        return
    try:
        answer = await worker.ask(job.head, job.body, job.limit_s)
    except Lost as lost:
        if not job.done.done():
            job.done.set_exception(lost)
        raise
    if not job.done.done():
        job.done.set_result(answer)


def _checked(answer: Frame) -> Frame:
    head: dict[str, Any] = answer[0]
    if "refused" in head:
        raise Refused(*head["refused"])
    if "problem" in head:
        raise Problem(*head["problem"])
    if "raised" in head:
        raise Problem(500, "internal", "Predict met a fault of its own; its log says where.")
    return answer


def _blame(lost: Lost, crashes: Counter[int | None], gone: dict[int, str]) -> None:
    """Notes which structure it was; one crash may be anybody's fault, two at one place are its.

    Raises:
        Problem: 503: several workers died, and of no structure.
    """
    if lost.late and lost.place is not None:
        gone[lost.place] = "late"
    if lost.late or not lost.began:
        return
    crashes[lost.place] += 1
    if crashes[lost.place] < (_MOST_LOST if lost.place is None else 2):
        return
    if lost.place is None:
        sentence = "The processes that predict died of this; try again in a while."
        raise Problem(503, "worker_lost", sentence, _RETRY_AFTER)
    gone[lost.place] = "crash"
