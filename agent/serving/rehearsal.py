"""A release is tried by a worker without a seat first: what crashes there takes no chemist along.

All others go on answering from the old release meanwhile. Whatever ends that worker, be it a
signal, the kernel for want of memory, or time, is a failed attempt with its cause.
"""

from collections.abc import Sequence
from pathlib import Path

from agent.errors import Refused
from agent.records import Structure
from agent.serving.answers import Answering
from agent.serving.pool import Pool
from agent.serving.process import Lost, WorkerProcess

LIMIT_S = 120.0
_SLACK_S = 30.0  # to start and to end the process
_WARM_UP: tuple[tuple[str, Structure], ...] = (
    ("CC(=O)Oc1ccccc1C(=O)O", "smiles"),  # aspirin
    ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "smiles"),  # caffeine
)


class Rehearsal:
    """Starts such workers, from another thread than the event loop's.

    Args:
        pool: Whose workers will load the release; one more like them tries it.
        limit_s: How long it may take.
    """

    def __init__(self, pool: Pool, limit_s: float = LIMIT_S) -> None:
        self._pool = pool
        self._limit_s = limit_s

    def __call__(self, folder: Path) -> None:
        """Lets another process load the release and answer its warm-up.

        Raises:
            Refused: `does_not_load`: it was refused, crashed, or took too long.
            TryLater: Predict is to end.
            TimeoutError: The event loop has not started.
            OSError: No process can be had.
        """
        work = _tried(self._pool.command(nice=True), folder, self._limit_s)
        self._pool.wait(work, self._limit_s + _SLACK_S)


async def _tried(arguments: Sequence[str], folder: Path, limit_s: float) -> None:
    worker = await WorkerProcess.start([*arguments, "--trial", str(folder)])
    try:
        said, _ = await worker.ask({"do": "rehearse", "release": folder.name}, b"", limit_s)
    except Lost as lost:
        raise Refused("does_not_load", lost.why) from None
    finally:
        await worker.end()
        worker.forget()
    if "refused" in said:
        raise Refused("does_not_load", said["refused"][1])
    if "raised" in said:
        reason = f"Loading it raised {said['raised']}; see the log."
        raise Refused("does_not_load", reason)


def warm(predictor: Answering) -> None:
    """Asks for two well-known molecules.

    Raises:
        Refused: `bad_answers`.
    """
    for answer in predictor.predict(_WARM_UP):
        if not isinstance(answer, dict):
            raise Refused("bad_answers", f"Its warm-up gave no answer: {answer.cause}")
