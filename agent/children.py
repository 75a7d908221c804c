"""Processes that share one job's work: they start fresh, and die with their parent."""

import ctypes
import multiprocessing  # noqa: TID251 - its spawn context alone; the work is short and has no state
import os
import signal
from concurrent.futures import ProcessPoolExecutor

_PR_SET_PDEATHSIG = 1  # prctl(2)


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


def _begin(parent: int) -> None:
    """Asks the kernel for SIGKILL when the parent dies: its queues would wait for ever."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)
