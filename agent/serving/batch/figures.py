"""Predictions as arrays, on their way from a worker through a file to the table that they become.

A row of 22 endpoints is 4 kB of JSON and takes longer to write than to predict; as arrays it is
half a kilobyte and costs next to nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agent.records import InvalidStructure

Floats = npt.NDArray[np.float32]
FAR, APART = 1, 2  # what puts a compound outside: nothing similar is known; the members differ
_NUMBERS = 5  # of the fields below
_Array = npt.NDArray[Any]
_CELL_BYTES = 4 * _NUMBERS + 1


class Figures(NamedTuple):
    """What a release says of n structures, each array (n, tasks), on the model's scale.

    Attributes:
        mean, spread: Of the members.
        low, high: Of the 90 % interval; NaN where there is none.
        similarity: To the nearest compound that was measured for the endpoint.
        outside: `FAR` and `APART`, added.
    """

    mean: Floats
    spread: Floats
    low: Floats
    high: Floats
    similarity: Floats
    outside: npt.NDArray[np.uint8]

    def take(self, rows: npt.NDArray[np.int64]) -> "Figures":
        """Returns some of the structures."""
        return _figures(field[rows] for field in self)


def nothing(tasks: int) -> Figures:
    """Returns the figures of no structure."""
    numbers: list[_Array] = [np.zeros((0, tasks), np.float32)] * _NUMBERS
    return _figures([*numbers, np.zeros((0, tasks), np.uint8)])


def packed(
    faults: Sequence[InvalidStructure | None], parts: Sequence[Figures], failed: int
) -> tuple[dict[str, Any], bytes]:
    """Writes the answer of one piece.

    Args:
        faults: For each structure why it has no figures, or None.
        parts: The figures of those that have, in order; at least one.
        failed: In how many it was the release's fault.
    """
    bad = [(at, fault.step, fault.cause) for at, fault in enumerate(faults) if fault is not None]
    head = {"rows": len(faults), "bad": bad, "failed": failed}
    fields = (np.concatenate(field) for field in zip(*parts, strict=True))
    return head, b"".join(field.tobytes() for field in fields)


def unpacked(content: bytes, tasks: int) -> Figures:
    """Reads the figures that `packed` wrote."""
    rows = len(content) // (_CELL_BYTES * tasks)
    numbers = np.frombuffer(content, np.float32, _NUMBERS * rows * tasks)
    outside = np.frombuffer(content, np.uint8, offset=numbers.nbytes)
    return _figures([*numbers.reshape(_NUMBERS, rows, tasks), outside.reshape(rows, tasks)])


def joined(parts: Sequence[Figures], tasks: int) -> Figures:
    """Puts several below each other."""
    return _figures(np.concatenate(field) for field in zip(nothing(tasks), *parts, strict=True))


def _figures(fields: Iterable[_Array]) -> Figures:
    return Figures(*fields)
