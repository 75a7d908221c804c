"""Reading and curating one file for an evaluation, with the readers and rules of a silo."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from agent.assays.curate import Curated, curate_in_batches
from agent.assays.identity import Identifier
from agent.assays.merge import COLUMNS, current
from agent.assays.parts import Source, write_part_in_batches
from agent.errors import Refused
from agent.keeper.evaluation.order import FileAccount, SourceFile
from agent.keeper.evaluation.scale import scaled
from agent.stores.profile import Profile, load_profile
from agent.stores.readers import open_tables, read
from agent.wire.documents import Catalogue

_WANTED = (*COLUMNS, "row", "sheet")
_DIGITS = re.compile(r"\d+")
_DIGITS_KEPT = 30

Told = Callable[[int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A file's measurements.

    Attributes:
        frame: `compound_key`, `smiles`, `fold_group`, `task` (readable), `kind`, `qualifier`,
            `value` (on the modelled scale) and `date`: a text that sorts by time, or empty.
        tasks: Readable names, in the profile's order.
        account: What became of its measurements.
    """

    frame: pl.DataFrame
    tasks: tuple[str, ...]
    account: FileAccount


class Reader:
    """Reads files; structures are identified once for all of them.

    Args:
        folder: Where parts may lie meanwhile.
        identifier: What structures are.
        catalogue: As `scale.scaled`.
    """

    def __init__(
        self, folder: Path, identifier: Identifier, catalogue: Catalogue | None = None
    ) -> None:
        self._folder = folder
        self._identifier = identifier
        self._catalogue = catalogue

    def measured(self, source: SourceFile, silo: str, told: Told) -> Measured:
        """Reads one file.

        Args:
            source: The file and its profile.
            silo: Whose it is; empty for the own one. Another's tasks bear its name.
            told: Told now and then of the number of items that were read.

        Raises:
            Stop: The profile cannot be used.
            Refused: The file as a whole cannot be used.
        """
        path = Path(source.path)
        ready = scaled(load_profile(Path(source.profile)), self._catalogue)
        counts: Counter[str] = Counter()

        def counted(batch: Curated) -> Curated:
            counts.update(entry.code for entry in batch.set_aside)
            return batch

        batches = curate_in_batches(
            read(path, "table", ready.profile), ready.index, told, self._identifier.begin
        )
        name = hashlib.sha256(f"{source.path}\n{source.profile}\n{silo}".encode()).hexdigest()[:32]
        part = self._folder / name
        write_part_in_batches(part, map(counted, batches), Source(silo, source.path, ""))
        frame = current([(silo, part)], _WANTED).select(_WANTED)
        prefix = f"{silo} {Path(source.profile).stem} " if silo else ""
        names = {task: prefix + ready.names.get(task, task) for task in ready.index.tasks}
        frame = _in_order(frame, path, ready.profile).with_columns(
            pl.col("task").replace_strict(names, return_dtype=pl.String)
        )
        account = FileAccount(file=path.name, used=len(frame), set_aside=dict(counts))
        return Measured(frame.drop("row", "sheet"), tuple(names.values()), account)


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def _in_order(frame: pl.DataFrame, path: Path, profile: Profile) -> pl.DataFrame:
    """Writes the digits of the profile's order column in place of the dates."""
    if not profile.order:
        return frame
    numbers = _order_numbers(path, profile)
    schema: dict[str, type[pl.DataType]] = {
        "row": pl.Int64,
        "sheet": pl.String,
        "place": pl.String,
    }
    places = pl.DataFrame(numbers, schema=schema, orient="row")
    joined = frame.join(places, on=["row", "sheet"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("place").fill_null("").alias("date")).drop("place")


def _order_numbers(path: Path, profile: Profile) -> list[tuple[int, str, str]]:
    found = []
    for table in open_tables(path, "table", profile.sheet, profile.header_row):
        if profile.order not in table.header:
            raise Refused(
                "missing_column",
                f"{path.name} has no column {profile.order!r}; correct the profile's `order`.",
            )
        for row in table.rows:
            digits = "".join(_DIGITS.findall(row.cells.get(profile.order, "")))[:_DIGITS_KEPT]
            if digits:
                found.append((row.number, table.sheet, digits.zfill(_DIGITS_KEPT)))
    return found
