"""What the masked demo's aggregator held of one silo, and what tells it from chance: nothing."""

import sqlite3
import zlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from agent.demo.parties import Aggregator, ask
from agent.demo.silos import Silo
from agent.errors import OnggiError
from agent.wire.documents import RoundManifest
from agent.wire.update import decode_some

_Doubles = npt.NDArray[np.float64]
_DEVIATIONS = 6.0  # all but one in many millions of uniform vectors lie within


@dataclass(frozen=True, slots=True)
class Randomness:
    """What tests say of some words of 32 bits.

    Attributes:
        words: How many there are.
        chi_square: Of the 256 values of a byte; 255 on average, with a deviation of 23.
        serial: Correlation of each word with the next; 0 ± 1 / sqrt(words).
        learned: Correlation with what the round changed, which one silo's update would have; 0 as
            above.
        compressed: Size after zlib's best effort, relative to the size before.
    """

    words: int
    chi_square: float
    serial: float
    learned: float
    compressed: float

    @property
    def looks_uniform(self) -> bool:
        """Whether all of it lies where a uniform vector's does."""
        within = _DEVIATIONS * self.deviation
        fits = abs(self.chi_square - 255.0) < _DEVIATIONS * 22.6
        return fits and max(abs(self.serial), abs(self.learned)) < within and self.compressed > 0.99

    @property
    def deviation(self) -> float:
        """Of a correlation that is none."""
        return float(self.words**-0.5)


def randomness(content: bytes, numbers: _Doubles, change: _Doubles) -> Randomness:
    """Tests what would tell a vector from chance.

    Args:
        content: Its bytes.
        numbers: Its words, as the numbers that they stand for.
        change: What the round changed, number by number.
    """
    values = np.frombuffer(content, dtype=np.uint8)
    expected = values.size / 256
    counts = np.bincount(values, minlength=256)
    return Randomness(
        words=numbers.size,
        chi_square=float(((counts - expected) ** 2).sum() / expected),
        serial=_correlation(numbers[:-1], numbers[1:]),
        learned=_correlation(numbers[: change.size], change),
        compressed=len(zlib.compress(content, 9)) / len(content),
    )


def show(console: Console, aggregator: Aggregator, witness: Silo, dropped: str) -> dict[str, Any]:
    """Prints what the aggregator held of one silo, beside the sum that everybody learns.

    Args:
        console: Where to print.
        aggregator: Whose disk is looked at.
        witness: The silo that computes the sum again.
        dropped: The silo that dropped out.

    Returns:
        The figures.

    Raises:
        OnggiError: No silo dropped out, what is held could be told from chance, or the sum is not
            what its vectors come to.
    """
    folder = aggregator.folder
    rows = rows_of(
        folder / "aggregator.sqlite3",
        "SELECT silo, vector_sha256, result_sha256, payload, round_id FROM masked JOIN rounds "
        "USING (round_id) WHERE step = 'masked_upload' AND state = 'aggregated' "
        "ORDER BY masked.number DESC LIMIT 1",
    )
    if not rows or not dropped:
        raise OnggiError("No masked round was summed, or no silo dropped out; see the logs.")
    silo, vector_sha256, result_sha256, payload, round_id = rows[0]
    hashes = (vector_sha256, RoundManifest.parse(payload).base_sha256, result_sha256)
    vector, base, result = ((folder / "objects" / sha256).read_bytes() for sha256 in hashes)
    change = changed(base, result)
    words = np.frombuffer(vector, dtype="<i4").astype(np.float64)
    held = randomness(vector, words, change)
    learned = randomness(change.astype("<f4").tobytes(), change, change)
    console.print(f"What the aggregator held of {silo}: {len(vector):,} bytes", style="italic")
    console.print(_table(held, learned))
    console.print(
        f"{silo}'s envelope opened to that vector and to shares that are sealed for other silos: "
        f"there was no more of it on the aggregator's disk or in its memory. {dropped} dropped out "
        "between its keys and its update: the others' sum of that round was taken without it.",
        highlight=False,
    )
    console.print(
        ask("agent", "--config", str(witness.config), "replay", round_id), highlight=False
    )
    if not held.looks_uniform:
        raise OnggiError(f"What the aggregator holds of {silo} can be told from chance.")
    return {
        "dropped": dropped,
        "silo": silo,
        "bytes": len(vector),
        "chi_square": held.chi_square,
        "serial_correlation": held.serial,
        "correlation_with_the_sum": held.learned,
        "compressed": held.compressed,
    }


def changed(base: bytes, result: bytes) -> _Doubles:
    """Returns what a round changed, float64, in the order of a masked vector.

    Args:
        base: The weights before it, as a file.
        result: Those after it.
    """
    before, after = decode_some(base), decode_some(result)
    steps = {name: after[name].astype(np.float64) - before[name] for name in sorted(after)}
    return np.concatenate([step.reshape(-1) for step in steps.values() if step.any()])


def rows_of(database: Path, query: str, *values: object) -> list[Any]:
    """Asks the aggregator's database; nothing while it is not there yet, or busy."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []


def _correlation(one: _Doubles, other: _Doubles) -> float:
    a, b = one - one.mean(), other - other.mean()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b) or 1.0))


def _table(held: Randomness, learned: Randomness) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("test", no_wrap=True)
    for heading in ("held", "chance", "the sum"):
        table.add_column(heading, justify="right", no_wrap=True)
    none = f"0 ± {held.deviation:.4f}"
    table.add_row(
        "chi-square of its bytes", f"{held.chi_square:.0f}", "255 ± 23", f"{learned.chi_square:.0f}"
    )
    table.add_row("correlation of neighbours", f"{held.serial:.4f}", none, f"{learned.serial:.4f}")
    table.add_row("correlation with the sum", f"{held.learned:.4f}", none, f"{learned.learned:.0f}")
    table.add_row("size after zlib", f"{held.compressed:.2%}", "100 %", f"{learned.compressed:.2%}")
    return table
