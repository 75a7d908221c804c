"""Parts into labels: replacements first, then replicates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from agent.assays.parts import load_parts
from agent.assays.split import fold_of

_SIGNS = {"<": -1, "=": 0, ">": 1}
_UNDECIDED = 0.5


def merged(parts: Sequence[tuple[str, Path]], fold_key: str, folds: int) -> dict[str, Any]:
    """Returns the fields of a `Snapshot`; see `snapshot.build_snapshot`."""
    frame = _current(parts)
    labels = _labels(frame)
    undecided = (pl.col("kind") == "classification") & (pl.col("value") == _UNDECIDED)
    kept = labels.filter(~undecided)
    compounds = _compounds(frame, kept, fold_key, folds)
    tasks = kept.select("task", "kind").unique("task").sort("task")
    return {
        "compounds": tuple(compounds["compound_key"]),
        "smiles": tuple(compounds["smiles"]),
        "folds": compounds["fold"].to_numpy(),
        "tasks": tuple(tasks["task"]),
        "kinds": tuple(tasks["kind"]),
        "conflicts": len(labels) - len(kept),
        **_arrays(kept, compounds, tasks),
    }


def _current(parts: Sequence[tuple[str, Path]]) -> pl.DataFrame:
    """Joins the parts, without the measurements that a later one replaces."""
    frames = [
        load_parts([folder]).with_columns(store=pl.lit(store, dtype=pl.String))
        for store, folder in parts
    ]
    frame = pl.concat(frames) if frames else load_parts([]).with_columns(store=pl.lit(""))
    named = pl.col("measurement_id") != ""
    # A row without a number can be replaced by none, so it gets its own.
    frame = frame.with_row_index("order").with_columns(
        identity=pl.when(named).then(pl.lit(-1)).otherwise(pl.col("order").cast(pl.Int64))
    )
    return frame.unique(["store", "measurement_id", "identity"], keep="last", maintain_order=True)


def _labels(frame: pl.DataFrame) -> pl.DataFrame:
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
    sign = pl.when(pl.col("=") == most).then(0).when(pl.col("<") == most).then(-1).otherwise(1)
    return grouped.with_columns(sign.alias("sign")).sort("compound_key", "task")


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
