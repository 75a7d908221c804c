"""A part: what one file came to, on disk; snapshots are joined from parts."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from agent.assays.curate import Curated
from agent.assays.split import fold_group
from agent.assays.structures import scaffold
from agent.errors import Refused
from agent.files import publish_folder
from agent.records import Measurement

MEASUREMENTS = "measurements.parquet"
SET_ASIDE = "set_aside.ndjson"
SUMMARY = "summary.json"

SCHEMA: dict[str, type[pl.DataType]] = {
    "compound_key": pl.String,
    "flat_key": pl.String,
    "fold_group": pl.String,
    "smiles": pl.String,
    "weight_g_mol": pl.Float64,
    "compound_id": pl.String,
    "task": pl.String,
    "kind": pl.String,
    "qualifier": pl.String,
    "value": pl.Float64,
    "native": pl.Float64,
    "test": pl.String,
    "test_type": pl.String,
    "subject": pl.String,
    "readout": pl.String,
    "condition": pl.String,
    "date": pl.String,
    "measurement_id": pl.String,
    "row": pl.Int64,
    "sheet": pl.String,
    "column": pl.String,
}
"""Columns of `measurements.parquet`: a `Measurement`, flat, with its task's kind and the group
(a scaffold, or the flat key) that decides the compound's fold."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a part came from, so that any training row can be traced.

    Attributes:
        store: The store's name.
        path: The file, relative to the store's folder.
        sha256: The file's content.
        profile_sha256: What the profile said.
        profile_version: The profile's edition.
    """

    store: str
    path: str
    sha256: str
    profile_sha256: str = ""
    profile_version: int = 1


@dataclass(frozen=True, slots=True)
class PartSummary:
    """The account of a part: `read == used + set_aside + blank`.

    Attributes:
        source: Where it came from.
        read, used, set_aside, blank: Counts of measurements.
        tasks: Measurements by task.
        reasons: Measurements set aside by code.
    """

    source: Source
    read: int
    used: int
    set_aside: int
    blank: int
    tasks: dict[str, int]
    reasons: dict[str, int]


def write_part(folder: Path, curated: Curated, source: Source) -> PartSummary:
    """Writes a part durably; a folder that is already there is kept, as names are hashes.

    Args:
        folder: Its final place; the folder above must exist.
        curated: What became of the file.
        source: Which file.

    Raises:
        OSError: The disk is full or not writable; nothing appears at `folder`.
    """
    summary = _summary(curated, source)
    staged = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    _frame(curated).write_parquet(staged / MEASUREMENTS)
    lines = (
        {**asdict(item.place), "code": item.code, "reason": item.reason}
        for item in curated.set_aside
    )
    _write_lines(staged / SET_ASIDE, lines)
    _write_lines(staged / SUMMARY, [asdict(summary)])
    publish_folder(staged, folder)
    return summary


def _summary(curated: Curated, source: Source) -> PartSummary:
    return PartSummary(
        source=source,
        read=curated.read,
        used=len(curated.measurements),
        set_aside=len(curated.set_aside),
        blank=curated.blank,
        tasks=dict(sorted(Counter(entry.task for entry in curated.measurements).items())),
        reasons=dict(sorted(Counter(entry.code for entry in curated.set_aside).items())),
    )


def _write_lines(path: Path, lines: Iterable[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _frame(curated: Curated) -> pl.DataFrame:
    rows = [_flat(entry, curated.kinds[entry.task]) for entry in curated.measurements]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _flat(entry: Measurement, kind: str) -> tuple[str | float | int, ...]:
    compound, assay, place = entry.compound, entry.assay, entry.place
    group = fold_group(scaffold(compound.smiles), compound.flat_key)
    return (
        *(compound.key, compound.flat_key, group, compound.smiles, compound.weight_g_mol),
        *(entry.compound_id, entry.task, kind, entry.qualifier, entry.value, entry.native),
        *(assay.test, assay.test_type, assay.subject, assay.readout, assay.condition),
        *(entry.date, entry.measurement_id, place.row, place.sheet, place.column),
    )


def load_parts(folders: Sequence[Path]) -> pl.DataFrame:
    """Reads the measurements of several parts, in order; see `SCHEMA` for the columns.

    Raises:
        Refused: `damaged_part`: a part is missing or cannot be read; ingest its file again.
    """
    frames = [pl.DataFrame(schema=SCHEMA)]
    for folder in folders:
        try:
            frame = pl.read_parquet(folder / MEASUREMENTS).select(list(SCHEMA))
        except (OSError, pl.exceptions.PolarsError) as error:
            reason = f"The part {folder.name} cannot be read; ingest its file again."
            raise Refused("damaged_part", reason) from error
        frames.append(frame)
    return pl.concat(frames)
