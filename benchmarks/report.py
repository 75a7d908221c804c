"""Rows of a benchmark: measured several times, with a peer and a must, as a table and as JSON."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agent.files import write_atomic


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        name: What was measured.
        value: The median of the runs, or what `name` says.
        unit: Its unit.
        peer: What it is compared with, or empty.
        peer_value: The peer's median, in the same unit.
        ratio: How many times better than the peer, by the medians.
        must: What is demanded, in words.
        met: Whether it is, or `None` where nothing is demanded or it was not measured.
        runs: Each run's value, which shows the spread.
    """

    name: str
    value: float | None
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None
    must: str = ""
    met: bool | None = None
    runs: list[float] = field(default_factory=list)


def median(runs: Sequence[float]) -> float:
    """Returns the median."""
    return float(statistics.median(runs))


def mean(runs: Sequence[float]) -> float:
    """Returns the mean, which the figures of several seeds are given as."""
    return float(statistics.fmean(runs))


def faster(name: str, ours: Sequence[float], peer: str, theirs: Sequence[float]) -> Row:
    """Returns a row of seconds, which must be fewer than the peer's."""
    value, other = median(ours), median(theirs)
    return Row(
        name, value, "s", peer, other, other / value, "faster", value < other, runs=list(ours)
    )


def below(name: str, runs: Sequence[float], unit: str, limit: float) -> Row:
    """Returns a row of which even the worst run must stay below a limit."""
    must, met = f"< {limit:g} {unit}", max(runs) < limit
    return Row(name, median(runs), unit, must=must, met=met, runs=list(runs))


def seeded(name: str, runs: Sequence[float], limit: float) -> Row:
    """Returns a row of an error, one run a seed, whose mean must not exceed a limit."""
    value = mean(runs)
    return Row(name, value, "", must=f"≤ {limit:g}", met=value <= limit, runs=list(runs))


def show(rows: Sequence[Row], console: Console) -> None:
    """Prints the table."""
    table = Table("what", "value", "runs", "peer", "peer's", "ratio", "must", "met")
    for row in rows:
        met = {True: "yes", False: "NO", None: ""}[row.met]
        runs = (
            f"{_text(min(row.runs))}–{_text(max(row.runs))} ({len(row.runs)})" if row.runs else ""
        )
        cells = (f"{_text(row.value)} {row.unit}", runs, row.peer, _text(row.peer_value))
        table.add_row(row.name, *cells, _text(row.ratio), row.must, met)
    console.print(table)


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def save(rows: Sequence[Row], path: Path) -> None:
    """Writes the rows as a JSON list."""
    text = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)
    write_atomic(path, text.encode())
