"""A release is loaded in a process of its own first: what crashes there takes no chemist along.

The endpoint goes on answering from the old release meanwhile. Whatever ends that process, be it a
signal, the kernel for want of memory, or time, is a failed attempt with its cause.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from agent.clock import monotonic_s, rest
from agent.errors import Refused, TryLater
from agent.records import Structure
from agent.serving.predictor import Predictor

LIMIT_S = 120.0
_GLANCE_S = 0.05
_MOST_CHARS = 1_000
_COMMAND = (sys.executable, "-m", "agent", "rehearse")
_WARM_UP: tuple[tuple[str, Structure], ...] = (
    ("CC(=O)Oc1ccccc1C(=O)O", "smiles"),  # aspirin
    ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "smiles"),  # caffeine
)


class Rehearsal:
    """Starts the processes.

    Args:
        stop: Set when this process is to end; a rehearsal under way is called off.
        limit_s: How long one may take.
        command: What to run; the release's folder is added.
    """

    def __init__(
        self, stop: Event, limit_s: float = LIMIT_S, command: Sequence[str] = _COMMAND
    ) -> None:
        self._stop = stop
        self._limit_s = limit_s
        self._command = command

    def __call__(self, folder: Path) -> None:
        """Lets another process load the release and answer its warm-up.

        Raises:
            Refused: `does_not_load`: it was refused, crashed, or took too long.
            TryLater: It was called off.
            OSError: No process can be had.
        """
        with subprocess.Popen([*self._command, str(folder)], stdout=subprocess.PIPE) as process:
            try:
                self._wait(process)
            finally:
                process.kill()
            said = process.stdout.read() if process.stdout is not None else b""
        status = process.wait()
        if status < 0:
            raise _refused(f"The process that tried it was ended by signal {-status}.")
        if status > 0:
            raise _refused(_reason(said) or f"The process that tried it ended with {status}.")

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        until_s = monotonic_s() + self._limit_s
        while process.poll() is None:
            if rest(self._stop, _GLANCE_S):
                raise TryLater("Predict ends; the release will be tried after its next start.")
            if monotonic_s() > until_s:
                raise _refused(f"It did not load within {self._limit_s:.0f} s.")


def perform(folder: Path) -> str:
    """Loads a release and lets it answer; this is what the other process does.

    Returns:
        Empty, or why it cannot be used, as one line of JSON.
    """
    try:
        warm(Predictor.load(folder, threads=1))
    except Refused as refused:
        return json.dumps({"reason": refused.reason})
    return ""


def warm(predictor: Predictor) -> None:
    """Asks for two well-known molecules.

    Raises:
        Refused: `bad_answers`.
    """
    for answer in predictor.predict(_WARM_UP):
        if not isinstance(answer, dict):
            raise Refused("bad_answers", f"Its warm-up gave no answer: {answer.cause}")


def _reason(said: bytes) -> str:
    try:
        content = json.loads(said)
    except ValueError:
        return ""
    return str(content.get("reason", ""))[:_MOST_CHARS] if isinstance(content, dict) else ""


def _refused(reason: str) -> Refused:
    return Refused("does_not_load", reason)
