"""What became of one snapshot's rows in the next, told from the rows that may differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from agent.assays.merge import fates
from agent.assays.parts import load_parts, load_withdrawn

Parts = Sequence[tuple[str, Path]]
"""Store and folder of each part, oldest first."""

_CONTENT = ("compound_key", "task", "qualifier", "value", "date")


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


def heads_of(parts: Parts) -> pl.DataFrame:
    """Returns each row's fate, part, and number as a hash: a million texts are large.

    Two of a million rows share a hash by chance once in 10^7 times, and a count is off by one then.
    """
    rows = fates(parts, ("measurement_id",))
    named = (pl.col("measurement_id") != "").alias("named")
    return rows.select(_number(), named, "fate", "part")


def _number() -> pl.Expr:
    return pl.struct("store", "measurement_id").hash().alias("number")


def changes(
    parts: Parts, heads: pl.DataFrame, before: tuple[Parts, pl.DataFrame] | None
) -> Changes:
    """Compares the rows of a snapshot with those of the last one.

    Args:
        parts: What the snapshot was joined from.
        heads: What `heads_of` says of them.
        before: The same of the last snapshot, or `None` where there is none.

    Raises:
        Refused: `damaged_part`.
    """
    if before is None:
        return Changes(added=heads.filter(pl.col("fate") == "used").height)
    rows, old = _differing(parts, heads, *before)
    now = rows.filter(pl.col("fate") == "used")
    named, anonymous = pl.col("named"), ~pl.col("named")
    added, removed = _anonymous(now.filter(anonymous), old.filter(anonymous))
    found = _named(now.filter(named), old.filter(named), rows.filter(named))
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
