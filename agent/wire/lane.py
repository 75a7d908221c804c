"""One thread beside the caller's, so that hashing and writing do not wait for the cipher.

Both hashlib and libsodium release the interpreter's lock: on two cores a blob is hashed and
written while its next chunk is encrypted. On one core nothing is gained and nothing lost.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Self

_MOST_WAITING = 2  # what one side may be ahead of the other


class Lane:
    """Does one thing with each piece, in order, on a thread of its own.

    An executor would do, but for its futures: their locks cost more than the hashing gains.

    Args:
        work: What to do with what one `put` brings. After an error nothing more is worked on.
        beside: Whether to; what is small is done on the caller's thread, in less memory.
    """

    def __init__(self, work: Callable[[bytes, bytes], object], *, beside: bool) -> None:
        self._work = work
        self._beside = beside
        self._queue: SimpleQueue[tuple[bytes, bytes] | None] = SimpleQueue()
        self._room = threading.Semaphore(_MOST_WAITING)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def put(self, piece: bytes, beside: bytes = b"") -> None:
        """Hands two pieces over, waiting while too many are in memory."""
        if self._thread is None:
            self._work(piece, beside)
            return
        self._room.acquire()
        self._queue.put((piece, beside))

    def _run(self) -> None:
        while (pieces := self._queue.get()) is not None:
            try:
                if self._error is None:
                    self._work(*pieces)
            except BaseException as error:  # noqa: BLE001 - a thread's outermost frame: see __exit__
                self._error = error
            self._room.release()

    def __enter__(self) -> Self:
        if self._beside:
            self._thread = threading.Thread(target=self._run, name="lane")
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Waits for what is in work, and raises what went wrong there."""
        if self._thread is None:
            return
        self._queue.put(None)
        self._thread.join()
        self._thread = None
        if kind is None and self._error is not None:
            raise self._error
