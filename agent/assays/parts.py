"""A part: what one file came to, on disk; snapshots are joined from parts."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from agent.assays.censoring import Limit, limits
from agent.assays.curate import Curated
from agent.assays.split import fold_group
from agent.assays.structures import scaffold
from agent.errors import Refused
from agent.files import publish_folder
from agent.records import Assay, Compound, Measurement, Place, SetAside

MEASUREMENTS = "measurements.parquet"
SET_ASIDE = "set_aside.ndjson"
SUMMARY = "summary.json"
WITHDRAWN = "withdrawn.parquet"

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
    "unit": pl.String,
    "native_qualifier": pl.String,
    "item": pl.Int64,
}
"""Columns of `measurements.parquet`: a `Measurement`, flat, with its task's kind and the group
(a scaffold, or the flat key) that decides the compound's fold."""

WITHDRAWN_SCHEMA: dict[str, type[pl.DataType]] = {
    "measurement_id": pl.String,
    "item": pl.Int64,
    "code": pl.String,
}
"""Columns of `withdrawn.parquet`: measurement numbers of which the file says, at this place, that
they hold nothing that can be used (any more), and why."""

COUNTS = ("read", "used", "set_aside", "blank")
"""What a part's account counts."""

ADDED = ("unit", "native_qualifier")
"""Columns that parts of version 0.1.0 lack."""

_SPILL_ROWS = 100_000
_OWN = tuple(name for name in Measurement._fields if name in SCHEMA)
_LINE = tuple(entry.name for entry in fields(SetAside) if entry.name != "place")


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
        censored: Measurements with "<" or ">" by task.
        units: Measurements by task and unit as written.
        limits: Numbers at which values pile up, and whether they count as censored.
    """

    source: Source
    read: int
    used: int
    set_aside: int
    blank: int
    tasks: dict[str, int]
    reasons: dict[str, int]
    censored: dict[str, int] = field(default_factory=dict)
    units: dict[str, dict[str, int]] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()


def write_part(folder: Path, curated: Curated, source: Source) -> PartSummary:
    """Writes a part durably; a folder that is already there is kept, as names are hashes.

    Args:
        folder: Its final place; the folder above must exist.
        curated: What became of the file.
        source: Which file.

    Raises:
        OSError: The disk is full or not writable; nothing appears at `folder`.
    """
    return write_part_in_batches(folder, [curated], source)


def write_part_in_batches(folder: Path, batches: Iterable[Curated], source: Source) -> PartSummary:
    """Does what `write_part` does, and holds no more of a file than a batch and 100,000 rows.

    Args:
        folder: Its final place; the folder above must exist.
        batches: What became of the file, in its order.
        source: Which file.

    Raises:
        OSError: The disk is full or not writable; nothing appears at `folder`.
        Refused: What `batches` raises.
    """
    staged = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    try:
        summary = _write(staged, batches, source)
    except BaseException:  # re-raised: a file that cannot be read must leave nothing behind
        shutil.rmtree(staged, ignore_errors=True)
        raise
    publish_folder(staged, folder)
    return summary


def _write(staged: Path, batches: Iterable[Curated], source: Source) -> PartSummary:
    account = _Account(staged)
    with (staged / SET_ASIDE).open("w", encoding="utf-8") as lines:
        for batch in batches:
            account.add(batch)
            _write_lines(lines, map(_line, batch.set_aside))
    summary = account.close(source)
    with (staged / SUMMARY).open("w", encoding="utf-8") as lines:
        _write_lines(lines, [asdict(summary)])
    return summary


class _Account:
    """Adds batches up, and writes their measurements to disk as they come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._frames: list[pl.DataFrame] = []
        self._rows = 0
        self._spilled: list[Path] = []
        self._withdrawn: list[tuple[str, int, str]] = []

    def add(self, batch: Curated) -> None:
        self._counts.update(
            read=batch.read,
            blank=batch.blank,
            used=len(batch.measurements),
            set_aside=len(batch.set_aside),
        )
        self._reasons.update(entry.code for entry in batch.set_aside)
        self._withdrawn += _withdrawn(batch)
        self._frames.append(_frame(batch))
        self._rows += len(batch.measurements)
        if self._rows >= _SPILL_ROWS:
            self._spill()

    def _spill(self) -> None:
        path = self._folder / f"rows-{len(self._spilled)}.parquet"
        pl.concat(self._frames).write_parquet(path)
        self._spilled.append(path)
        self._frames, self._rows = [], 0

    def close(self, source: Source) -> PartSummary:
        final = self._folder / MEASUREMENTS
        if self._spilled:
            if self._frames:
                self._spill()
            pl.scan_parquet(self._spilled).sink_parquet(final)
            for path in self._spilled:
                path.unlink()
        else:
            pl.concat([pl.DataFrame(schema=SCHEMA), *self._frames]).write_parquet(final)
        withdrawn = pl.DataFrame(self._withdrawn, schema=WITHDRAWN_SCHEMA, orient="row")
        withdrawn.write_parquet(self._folder / WITHDRAWN)
        return PartSummary(
            source=source,
            read=self._counts["read"],
            used=self._counts["used"],
            set_aside=self._counts["set_aside"],
            blank=self._counts["blank"],
            reasons=dict(sorted(self._reasons.items())),
            **_described(final),
        )


def _withdrawn(batch: Curated) -> list[tuple[str, int, str]]:
    entries: list[SetAside] = [*batch.set_aside, *batch.emptied]
    return [(e.measurement_id, e.item, e.code) for e in entries if e.measurement_id]


def _described(path: Path) -> dict[str, Any]:
    """Counts the tasks of a file, their censored values and units, and finds their limits."""
    columns = ["task", "kind", "unit", "native_qualifier", "native"]
    found: dict[str, Any] = {"tasks": {}, "censored": {}, "units": {}, "limits": ()}
    frame = pl.read_parquet(path, columns=columns)
    for (task, kind), rows in sorted(frame.group_by("task", "kind")):
        name = str(task)
        signs = rows["native_qualifier"].to_numpy()
        found["tasks"][name] = len(rows)
        found["censored"][name] = int((signs != "=").sum())
        found["units"][name] = dict(rows["unit"].value_counts().sort("unit").rows())
        if kind == "regression":
            found["limits"] += tuple(limits(name, rows["native"].to_numpy(), signs))
    return found


def _line(entry: SetAside) -> dict[str, object]:
    line = {name: getattr(entry, name) for name in _LINE}
    return {**entry.place._asdict(), **line}


def _write_lines(handle: TextIO, lines: Iterable[dict[str, object]]) -> None:
    handle.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _frame(curated: Curated) -> pl.DataFrame:
    # By columns: row by row, Polars takes three times as long to find what each cell is.
    columns = _columns_of(curated.measurements, curated.kinds)
    return pl.DataFrame([pl.Series(name, columns[name], kind) for name, kind in SCHEMA.items()])


def _columns_of(entries: Sequence[Measurement], kinds: Mapping[str, str]) -> dict[str, list[Any]]:
    compounds = [entry.compound for entry in entries]
    assays = [entry.assay for entry in entries]
    places = [entry.place for entry in entries]
    return {
        "compound_key": [compound.key for compound in compounds],
        "flat_key": [compound.flat_key for compound in compounds],
        "fold_group": [_group(compound) for compound in compounds],
        "smiles": [compound.smiles for compound in compounds],
        "weight_g_mol": [compound.weight_g_mol for compound in compounds],
        "kind": [kinds[entry.task] for entry in entries],
        **{name: [getattr(assay, name) for assay in assays] for name in Assay._fields},
        **{name: [getattr(place, name) for place in places] for name in Place._fields},
        **{name: [getattr(entry, name) for entry in entries] for name in _OWN},
    }


def _group(compound: Compound) -> str:
    return compound.fold_group or fold_group(scaffold(compound.smiles), compound.flat_key)


def read_counts(folder: Path) -> dict[str, int]:
    """Returns how many measurements a part read, used, set aside and found blank, by these names.

    Raises:
        Refused: `damaged_part`.
    """
    try:
        found = json.loads((folder / SUMMARY).read_bytes())
        pl.read_parquet_schema(folder / MEASUREMENTS)
        return {name: int(found[name]) for name in COUNTS}
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise damaged(folder) from error


def read_source(folder: Path) -> Source:
    """Returns where a part came from.

    Raises:
        Refused: `damaged_part`.
    """
    try:
        return Source(**json.loads((folder / SUMMARY).read_bytes())["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder) from error


def load_withdrawn(folder: Path) -> pl.DataFrame:
    """Reads what a part withdraws; see `WITHDRAWN_SCHEMA` for the columns.

    Raises:
        Refused: `damaged_part`.
    """
    if not (folder / WITHDRAWN).exists() and (folder / MEASUREMENTS).exists():
        return pl.DataFrame(schema=WITHDRAWN_SCHEMA)  # of a version that knew no withdrawals
    try:
        return pl.read_parquet(folder / WITHDRAWN).select(list(WITHDRAWN_SCHEMA))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise damaged(folder) from error


def damaged(folder: Path) -> Refused:
    """Returns the refusal of a part that cannot be read."""
    reason = f"The part {folder.name} cannot be read; ingest its file again."
    return Refused("damaged_part", reason)


def load_parts(folders: Sequence[Path], columns: Sequence[str] = tuple(SCHEMA)) -> pl.DataFrame:
    """Reads the measurements of several parts, in order; see `SCHEMA` for the columns.

    Args:
        folders: The parts.
        columns: Those that are wanted; the others are not read.

    Raises:
        Refused: `damaged_part`: a part is missing or cannot be read; ingest its file again.
    """
    frames = [pl.DataFrame(schema={name: SCHEMA[name] for name in columns})]
    for folder in folders:
        try:
            frames.append(_columns(folder / MEASUREMENTS, columns))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise damaged(folder) from error
    return pl.concat(frames)


def _columns(path: Path, columns: Sequence[str]) -> pl.DataFrame:
    have = pl.read_parquet_schema(path)
    frame = pl.read_parquet(path, columns=[name for name in columns if name in have])
    if "item" in columns and "item" not in have:  # of a version that did not count them
        frame = frame.with_row_index("item").with_columns(pl.col("item").cast(pl.Int64))
    added = [pl.lit("").alias(name) for name in ADDED if name in columns and name not in have]
    return frame.with_columns(added).select(columns)
