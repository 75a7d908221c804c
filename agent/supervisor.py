"""`onggi run`: starts the services as children for a laptop or a demo; systemd does it elsewhere.

A child that dies is started again with a growing pause; one that says "stop" (exit 78) is not.
"""

import ctypes
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from agent import log
from agent.clock import monotonic_s, rest
from agent.errors import EXIT_STOP, Stop

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_GOODBYE_S = 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_STEADY_S = 60.0  # after this long a life, the next death is a first one again


@dataclass(slots=True)
class _Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    pause_s: float = field(default=_FIRST_PAUSE_S)
    due_s: float = 0.0


def supervise(services: Mapping[str, Sequence[str]], stop: Event) -> None:
    """Runs `python -m agent ARGUMENTS` for each service until `stop` is set.

    Args:
        services: Names and command-line arguments.
        stop: Set it from a signal handler.

    Raises:
        Stop: A service says that starting it again cannot help; the others are ended.
    """
    children = [
        _Child(name, [sys.executable, "-m", "agent", *arguments])
        for name, arguments in services.items()
    ]
    try:
        while not rest(stop, 0.2):
            for child in children:
                _look_after(child)
    finally:
        _end(children)


def _look_after(child: _Child) -> None:
    at_s = monotonic_s()
    if child.process is None:
        if at_s >= child.due_s:
            child.process = subprocess.Popen(child.command)
            child.started_s = at_s
            log.event(_log, "service started", service=child.name, pid=child.process.pid)
        return
    status = child.process.poll()
    if status is None:
        return
    if status == EXIT_STOP:
        raise Stop(f"The {child.name} cannot run; its last line above says what to change.")
    log.trouble(_log, "service died", service=child.name, status=status)
    steady = at_s - child.started_s > _STEADY_S
    child.pause_s = _FIRST_PAUSE_S if steady else min(child.pause_s * 2, _LONGEST_PAUSE_S)
    child.process, child.due_s = None, at_s + child.pause_s


def _end(children: Sequence[_Child]) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    deadline_s = monotonic_s() + _GOODBYE_S
    for process in running:
        while process.poll() is None and monotonic_s() < deadline_s:
            time.sleep(0.05)
        if process.poll() is None:
            process.kill()
        process.wait()


def die_with_parent() -> None:
    """Asks the kernel to end this process when the supervisor that started it is killed."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
