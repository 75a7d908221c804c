"""Workers that stand by: each is fresh and does one job, but has loaded already what it needs."""

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def started(arguments: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Starts a worker; without the folder of a job it waits for one on its standard input.

    Raises:
        OSError: There is no process to be had.
    """
    command = [sys.executable, "-m", "agent", "work", *arguments, "--parent", str(os.getpid())]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL if arguments else subprocess.PIPE)


class Spares:
    """The workers that stand by; they die with this process."""

    def __init__(self) -> None:
        self._waiting: list[subprocess.Popen[bytes]] = []

    def take(self, folder: Path) -> subprocess.Popen[bytes] | None:
        """Gives the oldest one a job, or returns `None` where none lives."""
        while self._waiting:
            process = self._waiting.pop(0)
            with suppress(OSError):  # it died meanwhile
                if process.poll() is None and process.stdin is not None:
                    with process.stdin as orders:
                        orders.write(os.fsencode(folder))
                    return process
            _end(process)
        return None

    def keep(self, count: int) -> None:
        """Starts workers, or ends them, until so many stand by."""
        self._waiting = [process for process in self._waiting if process.poll() is None]
        with suppress(OSError):  # no process to be had: the job will say so, if it is still so
            while len(self._waiting) < count:
                self._waiting.append(started())
        while len(self._waiting) > count:
            _end(self._waiting.pop())


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
