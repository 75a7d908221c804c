"""What a snapshot says about itself: tasks, quorum, replicate noise, drift, what changed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from agent.assays.changes import Changes, Parts, changes, heads_of
from agent.assays.quorum import Quorum, drift, pooled_sd, standing
from agent.assays.snapshot import Array, Snapshot
from agent.errors import Refused

SUMMARY = "summary.json"


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
    parts: Parts,
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
    rows = heads_of(parts)
    counts = dict(rows.group_by("fate").len().sort("fate").iter_rows())
    tasks = {
        task: _task(snapshot, column, quorum, replicate_limits.get(task), known)
        for column, task in enumerate(snapshot.tasks)
    }
    return SnapshotSummary(
        parts=tuple((store, str(folder)) for store, folder in parts),
        previous=previous.name if known and previous else "",
        rows=counts,
        conflicts=snapshot.conflicts,
        changes=changes(parts, rows, (known.parts, known.heads) if known else None),
        tasks=tasks,
    )


@dataclass(frozen=True, slots=True)
class _Before:
    """What is needed of the last snapshot: tasks, labels, parts, and what `_heads` says of them."""

    tasks: tuple[str, ...]
    cols: Array
    values: Array
    parts: Parts
    heads: pl.DataFrame


def _known(previous: Path | None) -> _Before | None:
    if previous is None:
        return None
    try:
        summary, labels = SnapshotSummary.load(previous), Snapshot.load_values(previous)
        parts = [(store, Path(folder)) for store, folder in summary.parts]
        return _Before(tuple(summary.tasks), *labels, parts, heads_of(parts))
    except Refused:
        return None


def _task(
    snapshot: Snapshot,
    column: int,
    quorum: Quorum,
    limit: float | None,
    before: _Before | None,
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


def _values(before: _Before | None, task: str) -> Array:
    if before is None or task not in before.tasks:
        return np.zeros(0, dtype=np.float32)
    return np.compress(before.cols == before.tasks.index(task), before.values)
