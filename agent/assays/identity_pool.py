"""Standardizing on several cores, in processes that start fresh and die with their parent."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

from agent import log
from agent.assays.structures import identified
from agent.children import executor
from agent.records import Compound, InvalidStructure, Structure

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

_LOGGER = logging.getLogger(__name__)
_CHUNK = 100  # structures in one message: some 100 ms of work, some 10 kB
_WORTH_IT = 1_000  # a process needs a second or two to load RDKit

Wanted = tuple[str, Structure]
Found = Compound | InvalidStructure


class Pool:
    """Works out compounds here, or on several cores once there is enough to do.

    Args:
        processes: How many; 1 means this process only.
        worth_it: How many structures are needed before processes are started.
    """

    def __init__(self, processes: int = 1, worth_it: int = _WORTH_IT) -> None:
        self._processes = processes
        self._worth_it = worth_it
        self._seen = 0
        self._executor: ProcessPoolExecutor | None = None

    def identify(self, wanted: Sequence[Wanted]) -> list[Found]:
        """Returns what each structure is, in the given order.

        A batch is handed out in chunks, and the caller waits for it: what waits in memory is one
        batch. Where the processes cannot be started, or one dies, this process does the work.
        """
        self._seen += len(wanted)
        if self._processes > 1 and self._seen >= self._worth_it and len(wanted) > _CHUNK:
            try:
                return self._spread(wanted)
            except (BrokenProcessPool, OSError) as error:
                log.trouble(_LOGGER, "identity_processes_lost", cause=type(error).__name__)
                self.close()
                self._processes = 1
        return [identified(*one) for one in wanted]

    def _spread(self, wanted: Sequence[Wanted]) -> list[Found]:
        if self._executor is None:
            self._executor = executor(self._processes)
        return [one for chunk in self._executor.map(_chunk, _chunks(wanted)) for one in chunk]

    def close(self) -> None:
        """Ends the processes."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None


def _chunks(wanted: Sequence[Wanted]) -> Iterator[Sequence[Wanted]]:
    return (wanted[start : start + _CHUNK] for start in range(0, len(wanted), _CHUNK))


def _chunk(wanted: Sequence[Wanted]) -> list[Found]:
    return [identified(*one) for one in wanted]
