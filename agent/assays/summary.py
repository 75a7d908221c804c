"""What a snapshot says about itself: tasks, quorum, replicate noise, drift, what changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from agent.assays.merge import fates
from agent.assays.quorum import Quorum, drift, pooled_sd, standing
from agent.assays.snapshot import Snapshot
from agent.errors import Refused

SUMMARY = "summary.json"

_CONTENT = ("compound_key", "task", "qualifier", "value", "date")


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """One task in a snapshot.

    Attributes:
        kind: `regression` or `classification`.
        n: Labelled compounds.
        censored: Of them with "<" or ">".
        positives: Of a class, how many are 1.
        met: Whether the quorum is met; a task below it is not trained.
        missing: What the quorum lacks, by name.
        waits: The same as a sentence, or empty.
        replicated: Compounds that were measured more than once.
        replicate_sd: Their pooled standard deviation on the modelled scale, of those without
            censored label, or `None`.
        replicate_limit: The most that the catalogue allows, or `None`.
        noisy: Whether the replicates disagree by more than that.
        drift: Kolmogorov-Smirnov distance from the last snapshot, or `None` where the task is new.
        drift_threshold: Above it `drifted` is true.
    """

    kind: str
    n: int
    censored: int
    positives: int
    met: bool
    missing: dict[str, int]
    waits: str
    replicated: int
    replicate_sd: float | None
    replicate_limit: float | None
    noisy: bool
    drift: float | None
    drift_threshold: float | None
    drifted: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows of this snapshot against those of the last one.

    Attributes:
        added: Rows that are new.
        replaced: Rows whose number has another value, compound, qualifier or date now.
        retracted: Rows that the store marks as retracted.
        withdrawn: Rows whose correction could not be used, or was emptied.
        removed: Rows of files that changed and hold them no more.
    """

    added: int = 0
    replaced: int = 0
    retracted: int = 0
    withdrawn: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """The account of a snapshot.

    Attributes:
        parts: Store and folder of each part, oldest first.
        previous: The snapshot that it is compared with, or empty.
        rows: Rows of the parts by what became of them (`used`, `replaced`, `retracted`,
            `withdrawn`).
        conflicts: Labels that no replicate decides.
        changes: Against the last snapshot.
        tasks: By name.
    """

    parts: tuple[tuple[str, str], ...]
    previous: str
    rows: dict[str, int]
    conflicts: int
    changes: Changes
    tasks: dict[str, TaskSummary]

    def save(self, folder: Path) -> None:
        """Writes it beside the snapshot's arrays; the caller makes the folder durable."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (folder / SUMMARY).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            Refused: `damaged_snapshot`.
        """
        try:
            raw = json.loads((folder / SUMMARY).read_bytes())
            raw["parts"] = tuple((str(store), str(part)) for store, part in raw["parts"])
            raw["changes"] = Changes(**raw["changes"])
            raw["tasks"] = {name: TaskSummary(**task) for name, task in raw["tasks"].items()}
            return cls(**raw)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"The snapshot {folder.name} cannot be read; build it again."
            raise Refused("damaged_snapshot", reason) from error


def summarize(
    snapshot: Snapshot,
    parts: Sequence[tuple[str, Path]],
    quorum: Quorum,
    replicate_limits: Mapping[str, float],
    previous: Path | None = None,
) -> SnapshotSummary:
    """Describes a snapshot.

    Args:
        snapshot: What was joined from `parts`.
        parts: Store name and folder of each part, oldest first.
        quorum: What a task needs.
        replicate_limits: The most that replicates may disagree, by task.
        previous: Folder of the last snapshot; one that is gone or damaged is as good as none.

    Raises:
        Refused: `damaged_part`.
    """
    known = _known(previous)
    rows = _rows(parts)
    counts = dict(rows.group_by("fate").len().sort("fate").iter_rows())
    tasks = {
        task: _task(snapshot, column, quorum, replicate_limits.get(task), known and known[0])
        for column, task in enumerate(snapshot.tasks)
    }
    return SnapshotSummary(
        parts=tuple((store, str(folder)) for store, folder in parts),
        previous=previous.name if known and previous else "",
        rows=counts,
        conflicts=snapshot.conflicts,
        changes=_changes(rows, known and known[1]),
        tasks=tasks,
    )


def _known(previous: Path | None) -> tuple[Snapshot, pl.DataFrame] | None:
    """Loads the last snapshot and the rows that were used in it."""
    if previous is None:
        return None
    try:
        snapshot, summary = Snapshot.load(previous), SnapshotSummary.load(previous)
        parts = [(store, Path(folder)) for store, folder in summary.parts]
        rows = _rows(parts)
    except Refused:
        return None
    return snapshot, rows.filter(pl.col("fate") == "used")


def _rows(parts: Sequence[tuple[str, Path]]) -> pl.DataFrame:
    """Returns each row's number, fate and content, as hashes: a million texts are large.

    Two of a million rows share a hash by chance once in 10^7 times, and a count is off by one then.
    """
    content = pl.struct("store", *_CONTENT).hash().alias("content")
    rows = fates(parts, (*_CONTENT, "measurement_id"))
    number = pl.struct("store", "measurement_id").hash().alias("number")
    return rows.select(number, content, "fate", named=pl.col("measurement_id") != "")


def _task(
    snapshot: Snapshot,
    column: int,
    quorum: Quorum,
    limit: float | None,
    before: Snapshot | None,
) -> TaskSummary:
    task, kind = snapshot.tasks[column], snapshot.kinds[column]
    chosen = snapshot.cols == column
    values, signs = snapshot.values[chosen], snapshot.qualifiers[chosen]
    found = standing(kind, values, signs, quorum)
    exact = signs == 0
    spread = pooled_sd(snapshot.spreads[chosen][exact], snapshot.counts[chosen][exact])
    spread = None if kind == "classification" else spread
    old = _values(before, task)
    moved = drift(old, values) if len(old) else None
    return TaskSummary(
        kind=kind,
        n=found.n,
        censored=found.censored,
        positives=found.positives,
        met=found.met,
        missing=found.missing,
        waits=found.sentence,
        replicated=int(np.count_nonzero(snapshot.counts[chosen] > 1)),
        replicate_sd=spread,
        replicate_limit=limit,
        noisy=spread is not None and limit is not None and spread > limit,
        drift=moved.distance if moved else None,
        drift_threshold=moved.threshold if moved else None,
        drifted=moved is not None and moved.drifted,
    )


def _values(snapshot: Snapshot | None, task: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    if snapshot is None or task not in snapshot.tasks:
        return np.zeros(0, dtype=np.float32)
    values = snapshot.values[snapshot.cols == snapshot.tasks.index(task)]
    return np.asarray(values, dtype=np.float32)


def _changes(rows: pl.DataFrame, before: pl.DataFrame | None) -> Changes:
    now = rows.filter(pl.col("fate") == "used")
    if before is None:
        return Changes(added=len(now))
    named, anonymous = pl.col("named"), ~pl.col("named")
    added, removed = _anonymous(now.filter(anonymous), before.filter(anonymous))
    found = _named(now.filter(named), before.filter(named), rows.filter(named))
    return Changes(
        **{**found, "added": found["added"] + added, "removed": found["removed"] + removed}
    )


def _anonymous(now: pl.DataFrame, before: pl.DataFrame) -> tuple[int, int]:
    """Counts rows without a number that are new and gone; equal rows are told by their count."""
    keys = ["content"]
    counts = [frame.group_by(keys).len() for frame in (now, before)]
    joined = counts[0].join(counts[1], on=keys, how="full", coalesce=True, suffix="_before")
    change = joined.select(
        pl.col("len").fill_null(0).cast(pl.Int64) - pl.col("len_before").fill_null(0).cast(pl.Int64)
    ).to_series()
    return int(change.clip(lower_bound=0).sum()), int(-change.clip(upper_bound=0).sum())


def _named(now: pl.DataFrame, before: pl.DataFrame, rows: pl.DataFrame) -> dict[str, int]:
    keys = ["number"]
    both = now.join(before, on=keys, suffix="_before")
    differs = pl.col("content") != pl.col("content_before")
    gone = before.select(keys).join(now, on=keys, how="anti")
    last = rows.select(*keys, "fate").unique(keys, keep="last")
    why = dict(gone.join(last, on=keys, how="left").group_by("fate").len().iter_rows())
    retracted, withdrawn = why.get("retracted", 0), why.get("withdrawn", 0)
    return {
        "added": len(now) - len(both),
        "replaced": both.filter(differs).height,
        "retracted": retracted,
        "withdrawn": withdrawn,
        "removed": len(gone) - retracted - withdrawn,
    }
