"""Standardizing on several cores."""

from collections.abc import Callable, Sequence

from agent.assays.structures import identified
from agent.processes import Spread
from agent.records import Compound, InvalidStructure, Structure

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
        self._spread: Spread[Wanted, list[Found]] = Spread(_chunk, processes, worth_it)

    def begin(self, wanted: Sequence[Wanted]) -> Callable[[], list[Found]]:
        """Returns what waits for the answers, and returns what each structure is, in order."""
        answers = self._spread.begin(wanted)
        return lambda: [one for chunk in answers() for one in chunk]

    def close(self) -> None:
        """Ends the processes."""
        self._spread.close()


def _chunk(wanted: Sequence[Wanted]) -> list[Found]:
    return [identified(*one) for one in wanted]
