"""Work spread over several cores, in processes that start fresh and die with their parent."""

import ctypes
import logging
import multiprocessing  # noqa: TID251 - its spawn context alone; the work is short and has no state
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Generic, Self, TypeVar

from agent import log

_LOGGER = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_CHUNK = 100  # of what takes a millisecond each: some 100 ms of work in one message
_WORTH_IT = 1_000  # a process needs a second or two to load RDKit
_LOST = (BrokenProcessPool, CancelledError, OSError)  # the second where an earlier answer was lost

T = TypeVar("T")
R = TypeVar("R")


class Spread(Generic[T, R]):
    """Does a piece of work here, or on several cores once there is enough to do.

    Use it as a context manager, or call `close`: its processes end with it.

    Args:
        work: What to do with a chunk; it and its answers travel between processes, so it is a
            function of a module, or a `functools.partial` of one.
        processes: How many; 1 means this process only, 0 one a core.
        worth_it: How many things are needed before processes are started.
    """

    def __init__(
        self, work: Callable[[Sequence[T]], R], processes: int = 1, worth_it: int = _WORTH_IT
    ) -> None:
        self._work = work
        self._processes = processes or cores()
        self._worth_it = worth_it
        self._seen = 0
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answers(self, wanted: Sequence[T]) -> list[R]:
        """Returns the answer to each chunk, in the given order, once all are there.

        Where the processes cannot be started, or one dies, this process does the work.
        """
        return self.begin(wanted)()

    def begin(self, wanted: Sequence[T]) -> Callable[[], list[R]]:
        """Lets the processes begin, so that this one may do something else meanwhile.

        Returns:
            What waits for the answers and returns what `answers` does; it must be called once.
        """
        self._seen += len(wanted)
        if self._processes > 1 and self._seen >= self._worth_it and len(wanted) > _CHUNK:
            try:
                pool = self._started()
                asked = [pool.submit(self._work, chunk) for chunk in _chunks(wanted)]
            except _LOST as error:
                self._lose(error)
            else:
                return partial(self._finish, asked, wanted)
        return lambda: [self._work(wanted)]

    def _finish(self, asked: Sequence[Future[R]], wanted: Sequence[T]) -> list[R]:
        try:
            return [one.result() for one in asked]
        except _LOST as error:
            self._lose(error)
            return [self._work(wanted)]

    def _lose(self, error: BaseException) -> None:
        log.trouble(_LOGGER, "processes_lost", cause=type(error).__name__)
        self.close()
        self._processes = 1

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = executor(self._processes)
        return self._executor

    def close(self) -> None:
        """Ends the processes."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None


def executor(processes: int) -> ProcessPoolExecutor:
    """Returns a pool of processes that are spawned, never forked; shut it down after use.

    What is handed to them must be importable by name and is pickled between the two, which trust
    each other as one program does.
    """
    return ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(os.getpid(),),
    )


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _chunks(wanted: Sequence[T]) -> Iterator[Sequence[T]]:
    return (wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK))


def _begin(parent: int) -> None:
    """Asks the kernel for SIGKILL when the parent dies: its queues would wait for ever."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)
