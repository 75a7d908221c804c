"""The curated table, for people and other programs: one row a compound and task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from agent.assays.endpoints import PRIVATE, flips, invert
from agent.assays.merge import COLUMNS, current, decided, labels
from agent.assays.parts import read_source
from agent.wire.documents import Endpoint

SCHEMA: dict[str, type[pl.DataType]] = {
    "compound_key": pl.String,
    "smiles": pl.String,
    "task": pl.String,
    "endpoint": pl.String,
    "qualifier": pl.String,
    "value": pl.Float64,
    "unit": pl.String,
    "n": pl.Int64,
    "sd": pl.Float64,
    "date": pl.String,
    "source": pl.String,
}
"""Columns of the curated table.

`value` is the median of the replicates in the endpoint's canonical `unit` (1.0 or 0.0 for a class),
`qualifier` belongs to it; `n` counts the replicates, `sd` is their standard deviation on the scale
that is modelled (empty for one); `date` is the latest; `source` names the files, by store.
"""

_SIGNS = {-1: "<", 0: "=", 1: ">"}


def table(parts: Sequence[tuple[str, Path]], endpoints: Mapping[str, Endpoint]) -> pl.DataFrame:
    """Joins parts into the curated table, as training sees it.

    Args:
        parts: Store name and folder of each part, oldest first.
        endpoints: By task; a task without one keeps its modelled value and has no unit.

    Raises:
        Refused: `damaged_part`.
    """
    rows = current(parts, COLUMNS)
    kept = decided(labels(rows))
    smiles = rows.group_by("compound_key").agg(pl.col("smiles").min())
    sources = _sources(rows, parts)
    joined = kept.join(smiles, on="compound_key").join(sources, on=["compound_key", "task"])
    lines = [
        _line(row, endpoints.get(row["task"]))
        for row in joined.sort("task", "compound_key").iter_rows(named=True)
    ]
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def _sources(rows: pl.DataFrame, parts: Sequence[tuple[str, Path]]) -> pl.DataFrame:
    names = pl.DataFrame(
        {"part": range(len(parts)), "source": [read_source(folder).path for _, folder in parts]},
        schema={"part": pl.Int64, "source": pl.String},
    )
    return (
        rows.join(names, on="part")
        .group_by("compound_key", "task")
        .agg(pl.col("source").unique().sort().str.join("; "))
    )


def _line(row: dict[str, object], endpoint: Endpoint | None) -> tuple[object, ...]:
    task, sign, value = str(row["task"]), int(str(row["sign"])), float(str(row["value"]))
    if endpoint is not None and endpoint.kind == "regression":
        value = invert(value, endpoint)
        sign = -sign if flips(endpoint) else sign
    count = int(str(row["count"]))
    return (
        *(row["compound_key"], row["smiles"], task, task.removeprefix(PRIVATE), _SIGNS[sign]),
        *(value, endpoint.unit if endpoint else "", count, row["spread"] if count > 1 else None),
        *(row["date"], row["source"]),
    )
