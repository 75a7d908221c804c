"""Limits of quantification that were written without their qualifier: values that pile up.

An assay that cannot measure below 3 reports 3 for all that is slower, and the file keeps the
number and loses the "<". Such a pile is only proposed here; the profile (`floor`, `ceiling`) or
the steward decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Side = Literal["floor", "ceiling"]

LEAST_COUNT = 10
LEAST_SHARE = 0.02
MOST_BEYOND = 0.01  # a few values may lie beyond a limit: another run, another dilution
TIMES_NEIGHBOURS = 5.0
_NEIGHBOURS = 20
_LEAST_DISTINCT = 10  # scores and classes repeat by nature

Numbers = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Pileup:
    """Values of an assay that lie at one number.

    Attributes:
        value: The number.
        count: How many values are exactly there.
        side: Whether it looks like the assay's lower or upper limit.
    """

    value: float
    count: int
    side: Side


def find_pileups(values: Sequence[float] | Numbers) -> list[Pileup]:
    """Finds the numbers at which values pile up at an end of their range.

    A pile holds at least 10 values and 2 % of all, has at most 1 % of all beyond it, and is at
    least five times as high as the highest of the 20 numbers next to it, so that a column of
    rounded numbers has none. Columns of fewer than ten different numbers are not looked at.

    Args:
        values: One file's uncensored values of one task, on any one scale.

    Returns:
        At most one floor and one ceiling, the floor first.
    """
    numbers, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    finite = np.isfinite(numbers)
    numbers, counts = numbers[finite], counts[finite]
    if len(numbers) < _LEAST_DISTINCT:
        return []
    found = [_at_end(numbers, counts, "floor"), _at_end(numbers[::-1], counts[::-1], "ceiling")]
    return [pile for pile in found if pile is not None]


def _at_end(numbers: Numbers, counts: npt.NDArray[np.int64], side: Side) -> Pileup | None:
    """Looks for a pile near the first of the numbers, which are sorted towards the other end."""
    total = int(counts.sum())
    beyond = np.cumsum(counts) - counts
    near = int(np.searchsorted(beyond, MOST_BEYOND * total, side="right"))
    place = int(np.argmax(counts[:near]))
    height = int(counts[place])
    around = np.delete(counts[: place + 1 + _NEIGHBOURS], place)
    if height < max(LEAST_COUNT, LEAST_SHARE * total):
        return None
    if height < TIMES_NEIGHBOURS * int(around.max()):
        return None
    return Pileup(float(numbers[place]), height, side)


@dataclass(frozen=True, slots=True)
class Limit:
    """A pile-up in a file, and whether it counts as censored.

    Attributes:
        task: Of which task.
        value: In the endpoint's canonical unit.
        count: How many measurements are exactly there.
        side: Lower or upper limit, in the canonical unit.
        decided: True where the measurements carry a qualifier, from the file or by its profile;
            False where that is only proposed, and they train as plain values until someone decides.
    """

    task: str
    value: float
    count: int
    side: Side
    decided: bool


def limits(
    task: str, native: Sequence[float] | Numbers, qualifiers: Sequence[str] | Texts
) -> list[Limit]:
    """Lists the limits of one task in one file, decided and proposed.

    Args:
        task: Its name.
        native: Values in the canonical unit, shape (n,).
        qualifiers: "<", "=" or ">" on the same scale, shape (n,).

    Returns:
        By value; numbers at which fewer than ten measurements lie are left out.
    """
    numbers, signs = np.asarray(native, dtype=np.float64), np.asarray(qualifiers, dtype="<U1")
    found = [
        Limit(task, pile.value, pile.count, pile.side, decided=False)
        for pile in find_pileups(numbers[signs == "="])
    ]
    sides: tuple[tuple[str, Side], ...] = (("<", "floor"), (">", "ceiling"))
    for sign, side in sides:
        for value, count in zip(
            *np.unique(numbers[signs == sign], return_counts=True), strict=True
        ):
            if count >= LEAST_COUNT:
                found.append(Limit(task, float(value), int(count), side, decided=True))
    return sorted(found, key=lambda limit: (limit.value, limit.side))
