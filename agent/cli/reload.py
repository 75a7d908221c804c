"""SIGHUP: a service takes its configuration anew without another process.

A configuration with a fault changes nothing. A good one ends the service as SIGTERM would, and this
very process becomes the new one: no section can be half new, and what was under way goes on from
where a restart goes on.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from agent import log
from agent.clock import monotonic_s
from agent.config import load
from agent.errors import Stop
from agent.notify import Notify

_log = logging.getLogger(__name__)


class Reload:
    """Listens for SIGHUP while a service runs; at the end of the block the process starts anew.

    Args:
        config_path: The configuration.
        stop: Ends the service; it is called in a thread.
        notify: Hears of it.
    """

    def __init__(self, config_path: Path, stop: Callable[[], None], notify: Notify) -> None:
        self._config_path = config_path
        self._stop = stop
        self._notify = notify
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._taken = False

    def __enter__(self) -> Self:
        log.follow_signals()
        signal.signal(signal.SIGHUP, lambda *_: self._asked.put(True))
        # A thread that only checks: the service's own loop does not wait for a file.
        threading.Thread(target=self._watch, name="reload", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._asked.put(False)
        if kind is None and self._taken:
            self._notify.put_back()
            os.execv(sys.executable, [sys.executable, "-m", "agent", *sys.argv[1:]])  # noqa: S606 - itself

    def _watch(self) -> None:
        while self._asked.get():
            try:
                load(self._config_path)
            except Stop as error:
                log.trouble(_log, "configuration not taken", why=str(error))
                continue
            log.event(_log, "configuration taken")
            self._taken = True
            self._notify.reloading(monotonic_s())
            self._stop()
            return
