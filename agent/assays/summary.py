"""What a snapshot says about itself: tasks, quorum, replicate noise, drift, what changed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl

from agent.assays.merge import fates
from agent.assays.parts import load_parts, load_withdrawn
from agent.assays.quorum import Quorum, drift, pooled_sd, standing
from agent.assays.snapshot import Array, Snapshot
from agent.errors import Refused

SUMMARY = "summary.json"

Parts = Sequence[tuple[str, Path]]

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
    rows = _heads(parts)
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
        changes=_changes(parts, rows, known),
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
        return _Before(tuple(summary.tasks), *labels, parts, _heads(parts))
    except Refused:
        return None


def _heads(parts: Parts) -> pl.DataFrame:
    """Returns each row's fate, part, and number as a hash: a million texts are large.

    Two of a million rows share a hash by chance once in 10^7 times, and a count is off by one then.
    """
    rows = fates(parts, ("measurement_id",))
    named = (pl.col("measurement_id") != "").alias("named")
    return rows.select(_number(), named, "fate", "part")


def _number() -> pl.Expr:
    return pl.struct("store", "measurement_id").hash().alias("number")


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


def _changes(parts: Parts, heads: pl.DataFrame, old: _Before | None) -> Changes:
    if old is None:
        return Changes(added=heads.filter(pl.col("fate") == "used").height)
    rows, before = _differing(parts, heads, old.parts, old.heads)
    now = rows.filter(pl.col("fate") == "used")
    named, anonymous = pl.col("named"), ~pl.col("named")
    added, removed = _anonymous(now.filter(anonymous), before.filter(anonymous))
    found = _named(now.filter(named), before.filter(named), rows.filter(named))
    return Changes(
        **{**found, "added": found["added"] + added, "removed": found["removed"] + removed}
    )


def _differing(
    parts: Parts, heads: pl.DataFrame, old: Parts, heads_before: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Returns the rows now and those used before, less rows that are surely the same in both.

    Those are the rows of a part that both have, unless their number also stands in a part that
    only one has: parts never change.
    """
    shared = _shared(parts, old)
    touched = pl.concat([_touched(parts, heads, shared), _touched(old, heads_before, shared)])
    now = _with_content(parts, heads, shared, touched)
    before = _with_content(old, heads_before, shared, touched)
    return now, before.filter(pl.col("fate") == "used")


def _shared(parts: Parts, old: Parts) -> set[tuple[str, Path]]:
    """Returns the parts that both have, if they come in the same order."""
    both = [part for part in parts if part in set(old)]
    return set(both) if both == [part for part in old if part in set(parts)] else set()


def _touched(parts: Parts, heads: pl.DataFrame, shared: set[tuple[str, Path]]) -> pl.Series:
    """Returns the numbers that stand in parts that are not shared."""
    places = [place for place, part in enumerate(parts) if part not in shared]
    withdrawn = [
        load_withdrawn(parts[place][1]).select(
            pl.lit(parts[place][0], dtype=pl.String).alias("store"), "measurement_id"
        )
        for place in places
    ]
    numbers = [frame.select(_number()).to_series() for frame in withdrawn]
    return pl.concat([heads.filter(pl.col("part").is_in(places))["number"], *numbers])


def _with_content(
    parts: Parts, heads: pl.DataFrame, shared: set[tuple[str, Path]], touched: pl.Series
) -> pl.DataFrame:
    """Keeps the rows that may differ, and adds a hash of what each says."""
    places = [place for place, part in enumerate(parts) if part not in shared]
    again = pl.col("named") & pl.col("number").is_in(touched.unique().implode())
    kept = heads.select(pl.col("part").is_in(places) | again).to_series()
    content = [
        _content(folder, kept.filter(heads["part"] == place))
        for place, (_, folder) in enumerate(parts)
    ]
    return heads.filter(kept).with_columns(pl.concat(content).alias("content"))


def _content(folder: Path, kept: pl.Series) -> pl.Series:
    """Hashes the kept rows of a part, a column at a time."""
    if not kept.any():
        return pl.Series("content", [], dtype=pl.UInt64)
    columns = (load_parts([folder], [name]).to_series().filter(kept) for name in _CONTENT)
    hashes = pl.DataFrame([column.hash().alias(column.name) for column in columns])
    return hashes.select(pl.struct(pl.all()).hash().alias("content")).to_series()


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
