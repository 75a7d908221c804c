"""Parts into labels: replacements first, then replicates."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from agent.assays.parts import WITHDRAWN_SCHEMA, load_parts, load_withdrawn
from agent.assays.split import fold_of

COLUMNS = ("compound_key", "smiles", "fold_group", "task", "kind", "qualifier", "value", "date")
"""What labels are made from; a million rows of all columns would fill a worker's memory."""

FATES = ("used", "replaced", "retracted", "withdrawn")
_WORD = ("store", "measurement_id", "part", "item")
_SIGNS = {"<": -1, "=": 0, ">": 1}
_UNDECIDED = 0.5


def merged(parts: Sequence[tuple[str, Path]], fold_key: str, folds: int) -> dict[str, Any]:
    """Returns the fields of a `Snapshot`; see `snapshot.build_snapshot`."""
    frame = current(parts)
    joined = labels(frame)
    kept = decided(joined)
    compounds = _compounds(frame, kept, fold_key, folds)
    tasks = kept.select("task", "kind").unique("task").sort("task")
    return {
        "compounds": tuple(compounds["compound_key"]),
        "smiles": tuple(compounds["smiles"]),
        "folds": compounds["fold"].to_numpy(),
        "tasks": tuple(tasks["task"]),
        "kinds": tuple(tasks["kind"]),
        "conflicts": len(joined) - len(kept),
        **_arrays(kept, compounds, tasks),
    }


def fates(parts: Sequence[tuple[str, Path]], columns: Sequence[str]) -> pl.DataFrame:
    """Joins the parts and says what became of each row.

    The last word on a measurement number of a store counts, in the order of parts and of items in
    each: another measurement replaces the earlier one, and a row with the number that was
    retracted, emptied or could not be used withdraws it.

    Args:
        parts: Store name and folder of each part, oldest first.
        columns: Those of `parts.SCHEMA` that are wanted.

    Returns:
        These columns, in order, and `store`, `part` (place in `parts`), `fate` (`used`, `replaced`,
        `retracted`, `withdrawn`), `cause` (the code of what withdrew it, or null), `last_part` and
        `last_item` (where the last word stands, or null).

    Raises:
        Refused: `damaged_part`.
    """
    said = _said(parts)
    frame = _together(parts, lambda folder: load_parts([folder], columns), load_parts([], columns))
    return frame.hstack(said)


def _said(parts: Sequence[tuple[str, Path]]) -> pl.DataFrame:
    """Works the fates out from the numbers alone: with all columns at once it takes twice the room.

    Returns:
        `fate`, `cause`, `last_part` and `last_item`, one row a measurement, in order.
    """
    names = ("measurement_id", "item")
    frame = _together(parts, lambda folder: load_parts([folder], names), load_parts([], names))
    withdrawn = _together(parts, load_withdrawn, pl.DataFrame(schema=WITHDRAWN_SCHEMA))
    words = [frame.select(_WORD).with_columns(cause=pl.lit(None, dtype=pl.String))]
    words.append(withdrawn.select(*_WORD, pl.col("code").alias("cause")))
    last = (
        pl.concat(words)
        .filter(pl.col("measurement_id") != "")
        .sort("part", "item")
        .unique(["store", "measurement_id"], keep="last")
        .rename({"part": "last_part", "item": "last_item"})
    )
    joined = frame.join(last, on=["store", "measurement_id"], how="left", maintain_order="left")
    fate = _fate().cast(pl.Enum(FATES)).alias("fate")
    return joined.select(fate, "cause", "last_part", "last_item")


def _together(
    parts: Sequence[tuple[str, Path]], read: Callable[[Path], pl.DataFrame], empty: pl.DataFrame
) -> pl.DataFrame:
    frames = [
        read(folder).with_columns(
            store=pl.lit(store, dtype=pl.String), part=pl.lit(place, dtype=pl.Int64)
        )
        for place, (store, folder) in enumerate(parts)
    ]
    nothing = empty.with_columns(
        store=pl.lit("", dtype=pl.String), part=pl.lit(0, dtype=pl.Int64)
    ).clear()
    return pl.concat([nothing, *frames])


def _fate() -> pl.Expr:
    # A row without a number can be replaced by none.
    last = (pl.col("last_part") == pl.col("part")) & (pl.col("last_item") == pl.col("item"))
    return (
        pl.when(pl.col("last_part").is_null() | last)
        .then(pl.lit("used"))
        .when(pl.col("cause").is_null())
        .then(pl.lit("replaced"))
        .when(pl.col("cause") == "retracted")
        .then(pl.lit("retracted"))
        .otherwise(pl.lit("withdrawn"))
    )


def current(parts: Sequence[tuple[str, Path]], columns: Sequence[str] = COLUMNS) -> pl.DataFrame:
    """Joins the parts, without the measurements that a later row replaces or withdraws.

    Raises:
        Refused: `damaged_part`.
    """
    rows = fates(parts, columns)
    used = pl.col("fate") == "used"
    return rows if rows.select(used.all()).item() else rows.filter(used)  # a copy is large


def labels(frame: pl.DataFrame) -> pl.DataFrame:
    """Joins replicates: one row a compound and task.

    The value is the median on the modelled scale and the qualifier the most common one. A tie that
    includes "=" is "="; of "<" and ">" equally often nothing can be said, and `sign` is null. So
    does MELLODDY-TUNER (`most_common_qualifier`), which drops the latter. A class that is named as
    often as the other has the value 0.5; MELLODDY-TUNER calls it active, here nothing is guessed.

    Args:
        frame: As `current` returns it.

    Returns:
        `compound_key`, `task`, `value`, `spread` (standard deviation on the modelled scale, 0 for
        one), `count`, `date` (the latest), `kind`, `sign` (-1, 0, 1 or null), sorted.
    """
    counts = {sign: (pl.col("qualifier") == sign).sum() for sign in _SIGNS}
    grouped = frame.group_by("compound_key", "task").agg(
        pl.col("value").median(),
        pl.col("value").std().fill_null(0.0).alias("spread"),
        pl.len().alias("count"),
        pl.col("date").max(),
        pl.col("kind").last(),
        *(count.alias(sign) for sign, count in counts.items()),
    )
    most = pl.max_horizontal(*_SIGNS)
    sign = (
        pl.when(pl.col("=") == most)
        .then(0)
        .when(pl.col("<") == pl.col(">"))
        .then(None)
        .when(pl.col("<") == most)
        .then(-1)
        .otherwise(1)
    )
    return grouped.with_columns(sign.alias("sign")).sort("compound_key", "task")


def decided(frame: pl.DataFrame) -> pl.DataFrame:
    """Returns the labels whose replicates agree on a class, or on the side of a limit."""
    split = (pl.col("kind") == "classification") & (pl.col("value") == _UNDECIDED)
    return frame.filter(~split & pl.col("sign").is_not_null())


def _compounds(frame: pl.DataFrame, kept: pl.DataFrame, fold_key: str, folds: int) -> pl.DataFrame:
    # Tautomers share a key and may differ in SMILES: the first in order stands for all.
    found = frame.group_by("compound_key").agg(pl.col("smiles", "fold_group").min())
    found = found.join(kept.select("compound_key").unique(), on="compound_key", how="semi")
    found = found.sort("compound_key").with_row_index("row")
    fold = [fold_of(group, fold_key, folds) for group in found["fold_group"]]
    return found.with_columns(pl.Series("fold", fold, dtype=pl.Int32))


def _arrays(
    kept: pl.DataFrame, compounds: pl.DataFrame, tasks: pl.DataFrame
) -> dict[str, np.ndarray[Any, Any]]:
    columns = tasks.select("task").with_row_index("col")
    placed = kept.join(compounds.select("compound_key", "row"), on="compound_key")
    placed = placed.join(columns, on="task").sort("row", "col")
    return {
        "rows": placed["row"].to_numpy().astype("<i4"),
        "cols": placed["col"].to_numpy().astype("<i4"),
        "values": placed["value"].to_numpy().astype("<f4"),
        "qualifiers": placed["sign"].to_numpy().astype("|i1"),
        "dates": np.array(placed["date"].to_list(), dtype="<U10"),
        "counts": placed["count"].to_numpy().astype("<i4"),
        "spreads": placed["spread"].to_numpy().astype("<f4"),
    }
