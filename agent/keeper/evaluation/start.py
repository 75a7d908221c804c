"""Starting an evaluation's worker, and waiting for it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from agent.errors import Refused, Stop, TryLater
from agent.files import write_atomic
from agent.keeper.evaluation.order import EvaluateOrder, Evaluation
from agent.keeper.orders import Progress, Result
from agent.keeper.passing import STOP, TRY_LATER

_POLL_S = 0.25


def evaluated(
    order: EvaluateOrder, folder: Path, on_progress: Callable[[Progress], None]
) -> Evaluation:
    """Lets a worker do an order: a fresh process, as the keeper's jobs are.

    Args:
        order: What to do.
        folder: An empty folder for the job.
        on_progress: Told whenever the worker says something new.

    Raises:
        Refused: What the worker refused, by its code, or `worker_died`.
        Stop: A person must change something first.
        TryLater: The disk is full, or a library is missing.
    """
    write_atomic(folder / "order.json", order.model_dump_json().encode())
    command = [sys.executable, "-m", "agent", "--log-level", "WARNING", "work", str(folder)]
    process = subprocess.Popen([*command, "--parent", str(os.getpid())])
    try:
        while process.poll() is None:
            said = _progress(folder)
            if said is not None:
                on_progress(said)
            time.sleep(_POLL_S)
    finally:
        process.kill()
        process.wait()
    return _evaluation(folder, process.returncode)


def _progress(folder: Path) -> Progress | None:
    try:
        return Progress.model_validate_json((folder / "progress.json").read_bytes())
    except (OSError, ValidationError):  # not yet there
        return None


def _evaluation(folder: Path, code: int) -> Evaluation:
    try:
        result = Result.model_validate_json((folder / "result.json").read_bytes())
    except (OSError, ValidationError) as error:
        reason = f"The evaluation's process ended with code {code}; see the lines above."
        raise Refused("worker_died", reason) from error
    if result.refused_code == STOP:
        raise Stop(result.refused)
    if result.refused_code == TRY_LATER:
        raise TryLater(result.refused)
    if result.evaluation is None:
        raise Refused(result.refused_code, result.refused)
    return result.evaluation
