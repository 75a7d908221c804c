"""A snapshot made from the last one and the parts that came since; what they do not touch is kept.

Of a million rows, a hundred new ones touch a few dozen compounds. These are joined anew from all of
their rows, by the very code that joins a whole snapshot, and put in the place of what the last
snapshot says of them: the outcome is, bit for bit, that of joining all parts.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.assays.merge import COLUMNS, joined, used_of
from agent.assays.parts import MEASUREMENTS, damaged, load_parts, load_withdrawn
from agent.assays.snapshot import Snapshot

Parts = Sequence[tuple[str, Path]]
"""Store and folder of each part, oldest first."""

_LABELS = ("values", "qualifiers", "dates", "counts", "spreads")
_ROW = ("measurement_id", "item")
_SMALL = 0.2  # of the compounds; beyond it, joining everything is as quick
_FEW = 100  # as many are always few


@dataclass(frozen=True, slots=True, eq=False)
class Grown:
    """A snapshot, and which of its compounds the last one has.

    Attributes:
        snapshot: What `build_snapshot` would make of all parts.
        places: int64, shape (n,): row of each compound in the last snapshot, or -1.
    """

    snapshot: Snapshot
    places: npt.NDArray[np.int64]


def grow(before: Snapshot, old: Parts, parts: Parts, fold_key: str, folds: int = 5) -> Grown | None:
    """Makes a snapshot from the last one.

    Args:
        before: The last snapshot.
        old: What it was joined from.
        parts: What the new one is joined from.
        fold_key: That of both.
        folds: How many folds both have.

    Returns:
        The snapshot, or `None` where the parts did not only become more, where too much is touched,
        or where they are of a version that must be read otherwise: then all parts must be joined.

    Raises:
        Refused: `damaged_part`.
    """
    if list(parts[: len(old)]) != list(old) or not all(_is_current(part) for _, part in parts):
        return None
    touched = _touched(old, parts)
    if len(touched) > max(_SMALL * len(before.compounds), _FEW):
        return None
    was, now = (Snapshot(**joined(_rows(p, touched), fold_key, folds)) for p in (old, parts))
    known = dict(zip(before.tasks, before.kinds, strict=True))
    if any(known.get(task, kind) != kind for task, kind in zip(now.tasks, now.kinds, strict=True)):
        return None
    return _spliced(before, was.conflicts, now, touched)


def _is_current(folder: Path) -> bool:
    try:
        return "item" in pl.read_parquet_schema(folder / MEASUREMENTS)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise damaged(folder) from error


def _touched(old: Parts, parts: Parts) -> frozenset[str]:
    """Returns the compounds of new rows, and of old ones whose number comes again."""
    found: set[str] = set()
    numbers: dict[str, list[pl.Series]] = {}
    for store, folder in parts[len(old) :]:
        rows = load_parts([folder], ("compound_key", "measurement_id"))
        found.update(rows["compound_key"])
        said = [rows["measurement_id"], load_withdrawn(folder)["measurement_id"]]
        numbers.setdefault(store, []).extend(said)
    for store, said in numbers.items():
        again = pl.concat(said).unique()
        again = again.filter(again != "")
        for folder in [folder for name, folder in old if name == store]:
            wanted = pl.col("measurement_id").is_in(again.implode())
            found.update(_scanned(folder, wanted, ("compound_key",)).to_series())
    return frozenset(found)


def _rows(parts: Parts, compounds: frozenset[str]) -> pl.DataFrame:
    """Returns the columns of `merge.COLUMNS` of these compounds' rows that are used, in order."""
    wanted = pl.col("compound_key").is_in(pl.Series(sorted(compounds), dtype=pl.String).implode())
    rows = _together(parts, wanted, (*COLUMNS, *_ROW))
    named = rows.filter(pl.col("measurement_id") != "")
    words = [pl.DataFrame(schema={"store": pl.String, "part": pl.Int64, **_WORD})]
    for store in named["store"].unique():
        numbers = named.filter(pl.col("store") == store)["measurement_id"].unique()
        again = pl.col("measurement_id").is_in(numbers.implode())
        words += _words(parts, str(store), again)
    return used_of(rows, pl.concat(words)).select(COLUMNS)


_WORD = {"measurement_id": pl.String, "item": pl.Int64, "cause": pl.String}


def _words(parts: Parts, store: str, again: pl.Expr) -> list[pl.DataFrame]:
    """Returns all that a store's parts say of some numbers."""
    found = []
    for place, (name, folder) in enumerate(parts):
        if name == store:
            of = {"store": pl.lit(store), "part": pl.lit(place, dtype=pl.Int64)}
            cause = pl.lit(None, dtype=pl.String)
            rows = _scanned(folder, again, _ROW).select(**of, **_cols(*_ROW), cause=cause)
            gone = load_withdrawn(folder).filter(again)
            found += [rows, gone.select(**of, **_cols(*_ROW), cause=pl.col("code"))]
    return found


def _cols(*names: str) -> dict[str, pl.Expr]:
    return {name: pl.col(name) for name in names}


def _together(parts: Parts, wanted: pl.Expr, columns: Sequence[str]) -> pl.DataFrame:
    return pl.concat(
        [
            _scanned(folder, wanted, columns).with_columns(
                store=pl.lit(store, dtype=pl.String), part=pl.lit(place, dtype=pl.Int64)
            )
            for place, (store, folder) in enumerate(parts)
        ]
    )


def _scanned(folder: Path, wanted: pl.Expr, columns: Sequence[str]) -> pl.DataFrame:
    try:
        return pl.scan_parquet(folder / MEASUREMENTS).filter(wanted).select(columns).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise damaged(folder) from error


def _spliced(before: Snapshot, conflicts: int, now: Snapshot, touched: frozenset[str]) -> Grown:
    """Puts the touched compounds into the place of what was said of them.

    Args:
        before: The last snapshot.
        conflicts: How many of its conflicts were those of touched compounds.
        now: The touched compounds alone, joined anew.
        touched: Their keys; one that is not in `now` has no label any more.
    """
    stays = np.array([key not in touched for key in before.compounds], dtype=np.bool_)
    kept = np.flatnonzero(stays)
    keys = [*compress(before.compounds, stays), *now.compounds]
    smiles = [*compress(before.smiles, stays), *now.smiles]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    moved = np.empty(len(keys), dtype=np.int64)
    moved[order] = np.arange(len(keys))
    labelled = stays[before.rows]
    tasks = _tasks(before, now, labelled)
    rows = np.concatenate(
        [moved[(np.cumsum(stays) - 1)[before.rows[labelled]]], moved[len(kept) + now.rows]]
    )
    cols = np.concatenate(
        [_columns(before, tasks)[before.cols[labelled]], _columns(now, tasks)[now.cols]]
    )
    # Both halves are sorted already, which a stable sort of one number makes use of.
    by_place = np.argsort(rows * len(tasks) + cols, kind="stable")
    content: dict[str, Any] = {
        name: np.concatenate([getattr(before, name)[labelled], getattr(now, name)])[by_place]
        for name in _LABELS
    }
    grown = Snapshot(
        compounds=tuple(keys[place] for place in order),
        smiles=tuple(smiles[place] for place in order),
        folds=np.concatenate([before.folds[kept], now.folds])[order],
        tasks=tuple(tasks),
        kinds=tuple(tasks.values()),
        conflicts=before.conflicts - conflicts + now.conflicts,
        rows=rows[by_place].astype("<i4"),
        cols=cols[by_place].astype("<i4"),
        **content,
    )
    places = [*kept.tolist(), *(_place(before, key) for key in now.compounds)]
    return Grown(grown, np.array(places, dtype=np.int64)[order])


def _tasks(before: Snapshot, now: Snapshot, labelled: npt.NDArray[np.bool_]) -> dict[str, str]:
    """Returns the kinds of the tasks that still have labels, sorted by task."""
    still = np.flatnonzero(np.bincount(before.cols[labelled], minlength=len(before.tasks)))
    found = {before.tasks[column]: before.kinds[column] for column in still}
    return dict(sorted((found | dict(zip(now.tasks, now.kinds, strict=True))).items()))


def _columns(snapshot: Snapshot, tasks: Iterable[str]) -> npt.NDArray[np.int64]:
    at = {task: place for place, task in enumerate(tasks)}
    return np.array([at.get(task, -1) for task in snapshot.tasks], dtype=np.int64)


def _place(snapshot: Snapshot, key: str) -> int:
    place = bisect_left(snapshot.compounds, key)
    found = place < len(snapshot.compounds) and snapshot.compounds[place] == key
    return place if found else -1
