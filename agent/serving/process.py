"""One worker process, as the process that answers HTTP sees it."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from agent.serving import frames, guard
from agent.serving.frames import Frame

_POLL_S = 0.005
_GOODBYE_S = 0.2
COMMAND = (sys.executable, "-m", "agent", "predict-worker")


class Lost(Exception):
    """The worker is gone.

    Attributes:
        place: The number of the structure that it was reading, or None.
        late: Whether that structure had had its time; else nobody knows whose fault it is.
        began: False where it was dead before it was asked.
        why: A sentence for whoever let it load a release.
    """

    def __init__(self, place: int | None, *, late: bool, began: bool = True, why: str = "") -> None:
        super().__init__("late" if late else "gone")
        self.place, self.late, self.began, self.why = place, late, began, why


def command(releases: Path, deadline_s: float, *, nice: bool) -> list[str]:
    """Returns what starts a worker, but for its channel and its place."""
    options = ["--deadline-s", str(deadline_s), *(["--nice"] if nice else [])]
    return [*COMMAND, str(releases), *options]


class WorkerProcess:
    """A fresh process, never forked, and the socket to it; it belongs to one event loop."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        place: int,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._process = process
        self._place = place
        self._reader, self._writer = streams

    @classmethod
    async def start(cls, arguments: Sequence[str]) -> Self:
        """Starts it.

        Args:
            arguments: As `command` returns them.

        Raises:
            OSError: There is no room for another process.
        """
        ours, theirs = socket.socketpair()
        place = os.memfd_create("place")
        with theirs:
            fds = (theirs.fileno(), place)
            ends = ["--channel", str(fds[0]), "--place", str(fds[1])]
            try:
                process = subprocess.Popen(
                    [*arguments, *ends], pass_fds=fds, stdin=subprocess.DEVNULL
                )
            except OSError:
                ours.close()
                os.close(place)
                raise
        return cls(process, place, await asyncio.open_unix_connection(sock=ours))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Tells whether it still runs."""
        return self._process.poll() is None

    async def ask(self, head: Mapping[str, object], body: bytes, limit_s: float) -> Frame:
        """Sends one message and waits for the answer.

        Args:
            head: What to do.
            body: With what.
            limit_s: Seconds of the clock after which it is ended: it hangs, whatever it does.

        Raises:
            Lost: It is gone; nothing can be asked of it any more.
        """
        if not self.alive():
            raise Lost(None, late=False, began=False, why=_ended(self._process.returncode))
        try:
            async with asyncio.timeout(limit_s):
                self._writer.write(frames.pack(head, body))
                await self._writer.drain()
                return await frames.receive(self._reader)
        except (TimeoutError, EOFError, OSError) as error:
            hung = isinstance(error, TimeoutError)
            status = await self.end()
            why = f"It did not load within {limit_s:.0f} s." if hung else _ended(status)
            late = status == -guard.LATE
            raise Lost(guard.noted(self._place), late=late, why=why) from None
        except asyncio.CancelledError:
            self._process.kill()  # its next answer would be to the wrong question
            raise

    async def end(self) -> int:
        """Ends it, if it has not ended, and returns its exit status."""
        self._writer.close()  # one that has nothing to do ends by this alone
        await self._wait(_GOODBYE_S)
        self._process.kill()  # reaches only what is alive
        await self._wait(None)
        return self._process.returncode

    async def _wait(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._process.poll() is None:
                    await asyncio.sleep(_POLL_S)

    def forget(self) -> None:
        """Lets go of the file of its place, once it has ended."""
        os.close(self._place)


def _ended(status: int) -> str:
    how = f"was ended by signal {-status}" if status < 0 else f"ended with {status}"
    return f"The process that tried it {how}."
