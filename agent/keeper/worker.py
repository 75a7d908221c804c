"""The worker process: `python -m agent work FOLDER` does one order and leaves one result."""

import ctypes
import logging
import os
import resource
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from agent import log
from agent.clock import monotonic_s
from agent.errors import Refused, Stop, TryLater
from agent.files import exclusive, write_atomic
from agent.keeper.evaluation.order import EvaluateOrder
from agent.keeper.orders import (
    BaselineOrder,
    IngestOrder,
    Order,
    Progress,
    ReferenceOrder,
    ReleaseOrder,
    Report,
    Result,
    RoundOrder,
    SnapshotOrder,
    parse_order,
)
from agent.keeper.passing import STOP, TRY_LATER, is_passing

_log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_NICE = 10  # chemists' answers come first
_LOCK_TRIES = 50
_KIB_PER_MIB = 1024.0  # Linux counts the peak in KiB


def work(folder: Path, parent: int) -> None:
    """Does the order in the folder.

    A refusal is a result, too, and so is what may be tried later; anything else that goes wrong is
    a crash, which the keeper sees.

    Args:
        folder: The job's folder with its `order.json`.
        parent: The keeper's process id; the worker dies with it.

    Raises:
        TryLater: The keeper is gone, another worker holds the folder and does not let go, or there
            is no room for the result.
    """
    _begin(parent)
    _work(folder)


def stand_by(parent: int, orders: TextIO) -> None:
    """Loads what reading and freezing need, then waits for one job: starting takes a second.

    Args:
        parent: As in `work`.
        orders: Gives the job's folder and ends, or ends at once where there is nothing to do.

    Raises:
        TryLater: As `work`.
    """
    _begin(parent)
    from agent.assays import merge, units
    from agent.keeper.work import ingest, snapshot

    units.parse("uM")  # builds the registry of units
    del merge, ingest, snapshot  # they are loaded, which is all
    folder = orders.read()
    if folder:
        _work(Path(folder))


def _begin(parent: int) -> None:
    _die_with(parent)
    os.nice(_NICE)


def _work(folder: Path) -> None:
    with ExitStack() as stack:
        _hold(folder, stack)
        order = parse_order((folder / "order.json").read_bytes())
        started_s = monotonic_s()
        result = _outcome(order, folder)
        seconds = round(monotonic_s() - started_s, 3)
        cost = {"seconds": seconds, **_used()}
        log.event(_log, "work done", kind=order.kind, refused=result.refused_code, **cost)
        result = result.model_copy(update=cost)
        try:
            write_atomic(folder / "result.json", result.model_dump_json().encode())
        except OSError as error:
            raise TryLater(f"The result cannot be written: {error.strerror}.") from error


def _used() -> dict[str, float]:
    """Returns what this process and its helpers that have ended took: processor time, memory."""
    parts = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(part.ru_utime + part.ru_stime for part in parts)
    peak_mb = max(part.ru_maxrss for part in parts) / _KIB_PER_MIB
    return {"cpu_s": round(cpu_s, 3), "peak_mb": round(peak_mb, 1)}


def _outcome(order: Order, folder: Path) -> Result:
    try:
        return _do(order, folder, _reporter(folder))
    except Refused as error:
        code = TRY_LATER if is_passing(error.__cause__) else error.code
        return Result(refused_code=code, refused=error.reason)
    except Stop as error:
        return Result(refused_code=STOP, refused=str(error))
    except TryLater as error:
        return Result(refused_code=TRY_LATER, refused=str(error))
    except ImportError as error:
        # Not final: what waits for training goes on once the engine is there.
        reason = f"{error.name or 'A library'} cannot be imported; install torch: see the README."
        return Result(refused_code=TRY_LATER, refused=reason)
    except OSError as error:
        if not is_passing(error):
            raise
        reason = f"The disk or the share failed: {error.strerror}. Free space, or mount it again."
        return Result(refused_code=TRY_LATER, refused=reason)


def _do(order: Order, folder: Path, report: Report) -> Result:
    # Each kind imports what it needs and nothing else: reading a file needs no torch.
    match order:
        case IngestOrder():
            from agent.keeper.work.ingest import ingest

            return ingest(order, folder, report)
        case SnapshotOrder():
            from agent.keeper.work.snapshot import freeze

            return freeze(order, folder, report)
        case ReferenceOrder():
            from agent.keeper.work.reference import make_reference

            return make_reference(order, folder, report)
        case BaselineOrder():
            from agent.keeper.work.train import baseline

            return baseline(order, folder, report)
        case RoundOrder():
            from agent.keeper.work.train import train_round

            return train_round(order, folder, report)
        case ReleaseOrder():
            from agent.keeper.work.release import build_release

            return build_release(order, folder, report)
        case EvaluateOrder():
            from agent.keeper.evaluation.run import evaluate

            return Result(evaluation=evaluate(order, folder, report))


def _reporter(folder: Path) -> Report:
    path = folder / "progress.json"

    def report(stage: str, done: int, total: int) -> None:
        # Renamed but not fsynced: it is for eyes only, and may come a hundred times a second.
        temporary = folder / ".progress.tmp"
        temporary.write_text(Progress(stage=stage, done=done, total=total).model_dump_json())
        temporary.replace(path)

    return report


def _hold(folder: Path, stack: ExitStack) -> None:
    # After the keeper is killed, the old worker may live some milliseconds longer than the new.
    for _ in range(_LOCK_TRIES):
        try:
            stack.enter_context(exclusive(folder / "lock"))
        except TryLater:
            time.sleep(0.1)
        else:
            return
    stack.enter_context(exclusive(folder / "lock"))


def _die_with(parent: int) -> None:
    """Asks the kernel for SIGKILL when the keeper dies, so that no job runs twice at once."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        raise TryLater("The keeper died before its worker started; it will start another.")
