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

_LONG = ("compound_key", "smiles", "fold_group", "task", "date")
FATES = ("used", "replaced", "retracted", "withdrawn")
_FATE = pl.Enum(FATES)
_WORD = ("store", "measurement_id", "part", "item")
_SIGNS = {"<": -1, "=": 0, ">": 1}
_UNDECIDED = 0.5


def merged(parts: Sequence[tuple[str, Path]], fold_key: str, folds: int) -> dict[str, Any]:
    """Returns the fields of a `Snapshot`; see `snapshot.build_snapshot`."""
    return _joined(_coded(parts), fold_key, folds)


def joined(rows: pl.DataFrame, fold_key: str, folds: int) -> dict[str, Any]:
    """Does what `merged` does with rows that are used, as `current` returns them."""
    return _joined(pl.DataFrame([_code(column) for column in rows]), fold_key, folds)


def _joined(frame: pl.DataFrame, fold_key: str, folds: int) -> dict[str, Any]:
    structures = frame.select("compound_key", "smiles", "fold_group").unique()
    tasks = frame["task"].unique().sort()
    # A task at a time: grouping weighs many times what comes of it.
    every = pl.concat(
        [labels(frame.clear()), *(labels(frame.filter(pl.col("task") == task)) for task in tasks)]
    ).sort("compound_key", "task")
    del frame
    kept = decided(every)
    compounds = _compounds(structures, kept)
    kinds = kept.select("task", "kind").unique("task").sort("task")
    return {
        "compounds": tuple(compounds["compound_key"]),
        "smiles": tuple(compounds["smiles"]),
        "folds": _folds(compounds["fold_group"], fold_key, folds),
        "tasks": tuple(kinds["task"]),
        "kinds": tuple(kinds["kind"]),
        "conflicts": len(every) - len(kept),
        **_arrays(kept),
    }


def _coded(parts: Sequence[tuple[str, Path]]) -> pl.DataFrame:
    """Returns what `current` returns, with each long text as a number of the same order.

    A column at a time: a million rows of text would fill a worker's memory, and numbers join and
    sort many times faster.
    """
    used = _said(parts).select(pl.col("fate") == "used").to_series()
    columns = (load_parts([folder for _, folder in parts], [name]) for name in COLUMNS)
    return pl.DataFrame([_code(column.to_series().filter(used)) for column in columns])


def _code(texts: pl.Series) -> pl.Series:
    if texts.name not in _LONG:
        return texts
    return texts.cast(pl.Enum(texts.unique().sort()))


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
    every = pl.concat(words)
    # Most numbers come once: only those that may come again need the costly join.
    doubtful = every.select((pl.col("measurement_id") != "") & _repeated(every)).to_series()
    if not doubtful.any():
        return frame.select(*_alone())
    judged = _judged(frame.with_row_index(), every, doubtful)
    alone = frame.with_row_index().filter(~doubtful.head(len(frame))).select("index", *_alone())
    return pl.concat([alone, judged]).sort("index").drop("index")


def _repeated(words: pl.DataFrame) -> pl.Series:
    """Marks the words whose number another has, too, and by a rare chance some others.

    By sorting hashes: a table of a million numbers weighs 100 MB.
    """
    hashes = words.select(pl.struct("store", "measurement_id").hash()).to_series()
    ordered = np.sort(hashes.to_numpy())
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    return hashes.is_in(pl.Series(again, dtype=pl.UInt64).implode())


def _alone() -> list[pl.Expr]:
    named = pl.col("measurement_id") != ""
    return [
        pl.lit("used").cast(_FATE).alias("fate"),
        pl.lit(None, dtype=pl.String).alias("cause"),
        pl.when(named).then("part").alias("last_part"),
        pl.when(named).then("item").alias("last_item"),
    ]


def _judged(rows: pl.DataFrame, words: pl.DataFrame, doubtful: pl.Series) -> pl.DataFrame:
    doubted = rows.filter(doubtful.head(len(rows)))
    return _with_last_word(doubted, words.filter(doubtful)).select(
        "index", _fate().cast(_FATE).alias("fate"), "cause", "last_part", "last_item"
    )


def _with_last_word(rows: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    last = (
        words.sort("part", "item")
        .unique(["store", "measurement_id"], keep="last")
        .rename({"part": "last_part", "item": "last_item"})
    )
    return rows.join(last, on=["store", "measurement_id"], how="left", maintain_order="left")


def used_of(rows: pl.DataFrame, words: pl.DataFrame) -> pl.DataFrame:
    """Returns the rows that no later word replaces or withdraws, in order.

    Args:
        rows: With `store`, `measurement_id`, `part` and `item`.
        words: All that was ever said of their numbers: the same, and `cause`.
    """
    return _with_last_word(rows, words).filter(_fate() == "used")


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


def _texts(coded: pl.Series) -> list[str]:
    return coded.dtype.categories.to_list() if isinstance(coded.dtype, pl.Enum) else []


def _compounds(structures: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    # Tautomers share a key and may differ in SMILES: the first in order stands for all.
    found = structures.group_by("compound_key").agg(pl.col("smiles", "fold_group").min())
    return found.join(kept.select("compound_key").unique(), on="compound_key", how="semi").sort(
        "compound_key"
    )


def _folds(groups: pl.Series, fold_key: str, folds: int) -> np.ndarray[Any, Any]:
    names = _texts(groups)
    by_group = np.array([fold_of(group, fold_key, folds) for group in names], dtype="<i4")
    return np.take(by_group, groups.to_physical().to_numpy())


def _arrays(kept: pl.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Returns the labels, which are sorted; places count the compounds and tasks that are kept."""
    dates = np.array(_texts(kept["date"]), dtype="<U10")
    place = pl.col("compound_key", "task").to_physical().rank("dense") - 1
    placed = kept.select(place)
    return {
        "rows": placed["compound_key"].to_numpy().astype("<i4"),
        "cols": placed["task"].to_numpy().astype("<i4"),
        "values": kept["value"].to_numpy().astype("<f4"),
        "qualifiers": kept["sign"].to_numpy().astype("|i1"),
        "dates": dates[kept["date"].to_physical().to_numpy()],
        "counts": kept["count"].to_numpy().astype("<i4"),
        "spreads": kept["spread"].to_numpy().astype("<f4"),
    }
