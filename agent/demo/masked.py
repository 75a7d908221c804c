"""The masked demo: one silo drops out mid-round, and what the aggregator held is shown."""

import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.demo.display import Display
from agent.demo.parties import Aggregator, Party
from agent.errors import OnggiError

SILOS, ROUNDS = 6, 3
# The round in which a silo drops out: by then all of them have their data and their snapshot.
_DROPPED = 2


def masking() -> dict[str, Any]:
    """Returns what the demo's plan has beside the usual, so that updates are masked."""
    rules = {"n_min": 5, "clip": 1.0, "bias_clip": 20.0, "step_s": 60.0}
    return {"privacy": {"masking": rules}, "quorum": 5, "round_deadline_s": 900.0}


class Dropout:
    """Ends the silo whose keys of the second round come first, until that round is over.

    It cannot have sent its update by then, for that takes everybody's keys.
    """

    def __init__(self, aggregator: Aggregator, parties: Sequence[Party], display: Display) -> None:
        self._database = aggregator.folder / "aggregator.sqlite3"
        self._parties = parties
        self._display = display
        self._round, self.silo = "", ""
        self.away: Party | None = None

    def look(self) -> None:
        """Looks whether it is time to end a silo, or to start it again."""
        if not self.silo:
            found = _ask(
                self._database,
                "SELECT silo, round_id FROM masked WHERE step = 'masked_keys' AND round_id IN "
                "(SELECT round_id FROM rounds WHERE number = ? AND state = 'collecting') "
                "ORDER BY number LIMIT 1",
                _DROPPED,
            )
            if found:
                self.silo, self._round = found[0]
                self.away = next(one for one in self._parties if one.name == self.silo)
                self.away.end()
                self._display.say(f"{self.silo} has sent its keys of {self._round} and drops out.")
        elif self.away is not None and self._state() in {"aggregated", "aborted"}:
            self._display.say(f"{self._round} is {self._state()}; {self.silo} starts again.")
            self.away = None

    def _state(self) -> str:
        rows = _ask(self._database, "SELECT state FROM rounds WHERE round_id = ?", self._round)
        return str(rows[0][0]) if rows else ""


@dataclass(frozen=True, slots=True)
class Randomness:
    """What tests say of some bytes; for a long uniform vector as `expected` says.

    Attributes:
        chi_square: Of the 256 values of a byte; 255 on average, with a deviation of 23.
        serial: Correlation of each word of 32 bits with the next.
        compressed: Size after zlib's best effort, relative to the size before.
    """

    chi_square: float
    serial: float
    compressed: float

    @property
    def looks_uniform(self) -> bool:
        """Whether all three lie where all but one in many thousand uniform vectors do."""
        fits = abs(self.chi_square - 255.0) < 6 * 22.6
        return fits and abs(self.serial) < 0.02 and self.compressed > 0.999


def randomness(content: bytes) -> Randomness:
    """Tests bytes for what would tell them from chance."""
    values = np.frombuffer(content, dtype=np.uint8)
    expected = values.size / 256
    counts = np.bincount(values, minlength=256)
    words = np.frombuffer(content[: len(content) // 4 * 4], dtype="<u4").astype(np.float64)
    words -= words.mean()
    spread = float((words * words).sum()) or 1.0
    return Randomness(
        chi_square=float(((counts - expected) ** 2).sum() / expected),
        serial=float((words[:-1] * words[1:]).sum() / spread),
        compressed=len(zlib.compress(content, 9)) / len(content),
    )


def show(console: Console, aggregator: Aggregator, dropped: str) -> dict[str, Any]:
    """Prints what the aggregator held of one silo, beside the weights that everybody gets.

    Returns:
        The figures.

    Raises:
        OnggiError: No silo dropped out, or what is held could be told from chance.
    """
    folder = aggregator.folder
    rows = _ask(
        folder / "aggregator.sqlite3",
        "SELECT masked.silo, masked.vector_sha256, rounds.result_sha256 FROM masked JOIN rounds "
        "USING (round_id) WHERE step = 'masked_upload' AND rounds.state = 'aggregated' "
        "ORDER BY masked.number DESC LIMIT 1",
    )
    if not rows or not dropped:
        raise OnggiError("No masked round was summed, or no silo dropped out; see the logs.")
    silo, vector_sha256, result_sha256 = rows[0]
    vector = (folder / "objects" / vector_sha256).read_bytes()
    held = randomness(vector)
    weights = randomness((folder / "objects" / result_sha256).read_bytes())
    console.print(_table(str(silo), len(vector), held, weights))
    console.print(
        f"{dropped} dropped out between its keys and its update; the others' sum was taken "
        "without it.\n",
        highlight=False,
    )
    if not held.looks_uniform:
        raise OnggiError(f"What the aggregator holds of {silo} can be told from chance.")
    return {
        "dropped": dropped,
        "silo": silo,
        "bytes": len(vector),
        "chi_square": held.chi_square,
        "serial_correlation": held.serial,
        "compressed": held.compressed,
    }


def _table(silo: str, size: int, held: Randomness, weights: Randomness) -> Table:
    table = Table(
        title=f"What the aggregator's disk and memory held of {silo}: a vector of {size:,} bytes",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for heading in ("test", "that vector", "chance", "the round's weights"):
        table.add_column(heading)
    chi = "255 ± 23"
    table.add_row(
        "chi-square of its bytes", f"{held.chi_square:.0f}", chi, f"{weights.chi_square:.0f}"
    )
    table.add_row("word to word correlation", f"{held.serial:.4f}", "0", f"{weights.serial:.4f}")
    table.add_row("size after zlib", f"{held.compressed:.2%}", "100 %", f"{weights.compressed:.2%}")
    return table


def _ask(database: Path, query: str, *values: object) -> list[Any]:
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:  # not there yet, or busy: it is asked again
        return []
