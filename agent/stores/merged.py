"""Merged cells of a sheet: what the first cell says holds for all of them, save for values."""

from collections.abc import Sequence

from agent.errors import Refused

Range = tuple[tuple[int, int], tuple[int, int]]
"""First and last cell, as (row, column) counted from zero."""
Ranges = Sequence[Range]

_MAX_CELLS = 2_000_000


def below(ranges: Ranges, row: int) -> list[Range]:
    """Returns the ranges that begin at or below a row counted from zero."""
    return [entry for entry in ranges if entry[0][0] >= row]


def filled(lines: Sequence[list[str]], ranges: Ranges) -> list[list[str]]:
    """Writes the text of each merged range's first cell into its other cells.

    Args:
        lines: The sheet's cells; they are changed in place.
        ranges: The merged ranges to fill.

    Raises:
        Refused: `too_many_merged`: the ranges cover more cells than a real sheet's would.
    """
    done = 0
    for (top, left), (bottom, right) in ranges:
        if top >= len(lines) or left >= len(lines[top]):
            continue
        text = lines[top][left]
        for line in lines[top : bottom + 1]:
            part = range(left, min(right + 1, len(line)))
            done += len(part)
            if done > _MAX_CELLS:
                raise Refused("too_many_merged", "The sheet merges too many cells; unmerge them.")
            for at in part:
                line[at] = line[at] or text
    return list(lines)


def spoiled_rows(ranges: Ranges, columns: set[int]) -> frozenset[int]:
    """Returns the rows whose own value cannot be told: it is merged with that of the row above.

    Args:
        ranges: The merged ranges.
        columns: The columns that hold values.

    Raises:
        Refused: `too_many_merged`.
    """
    rows: set[int] = set()
    for (top, left), (bottom, right) in ranges:
        if bottom - top > _MAX_CELLS:
            raise Refused("too_many_merged", "The sheet merges too many cells; unmerge them.")
        if any(left <= column <= right for column in columns):
            rows.update(range(top + 1, bottom + 1))
    return frozenset(rows)
