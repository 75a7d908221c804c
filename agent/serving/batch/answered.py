"""One part of a job, answered: the caller's columns and what was predicted, as a Polars frame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.errors import Refused
from agent.serving import frames
from agent.serving.batch import figures, folder
from agent.serving.batch.figures import Figures
from agent.serving.batch.folder import ROWS, SAID, Release, Table
from agent.serving.batch.measured import Finding, by_task
from agent.serving.batch.split import FAULT
from agent.serving.native import natives, rounded_all

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a job.

    Attributes:
        rows: As `split` wrote them.
        said: The figures of the rows that have some.
        places: Which rows these are.
        errors: For each row why it has none, as text; None for the others.
        measured: What the site measured itself, by endpoint; the rows are the part's.
    """

    rows: pl.DataFrame
    said: Figures
    places: npt.NDArray[np.int64]
    errors: list[str | None]
    measured: Mapping[int, Sequence[Finding]]


def read_part(job: Path, number: int, tasks: int) -> Part:
    """Reads a part that is answered.

    Raises:
        OSError: It is not there.
    """
    rows = pl.read_parquet(folder.part(job, number, ROWS))
    errors: list[str | None] = []
    parts: list[Figures] = []
    heads: list[tuple[int, frames.Head]] = []
    with folder.part(job, number, SAID).open("rb") as handle:
        while (message := frames.read(handle)) is not None:
            head, body = message
            start = len(errors)
            heads.append((start, head))
            errors += [None] * head["rows"]
            for at, step, cause in head["bad"]:
                errors[start + at] = f"{step}: {cause}"
            parts.append(figures.unpacked(body, tasks))
    places = np.flatnonzero(np.array([error is None for error in errors], bool))
    for at, fault in enumerate(rows[FAULT]):
        if fault:
            errors[at] = f"row: {fault}"
    return Part(rows, figures.joined(parts, tasks), places, errors, by_task(heads))


def chosen(release: Release, endpoints: Sequence[str]) -> list[int]:
    """Returns the columns of the endpoints that were asked for; of all of them if none was named.

    Raises:
        Refused: `unknown_endpoint`.
    """
    names = [task.task for task in release.tasks]
    if unknown := [name for name in endpoints if name not in names]:
        raise Refused(
            "unknown_endpoint",
            f"The release has no endpoint {unknown[0][:60]!r}; see /v1/model for those it has.",
        )
    return [names.index(name) for name in dict.fromkeys(endpoints)] or list(range(len(names)))


def own_columns(part: Part, table: Table) -> list[pl.Series]:
    """Returns the caller's cells as they were given; an empty one is null.

    A part of an SD file lacks the columns that its records did not bring.
    """
    there = {name for name in part.rows.columns if name.isdigit()}
    wanted = [str(at) for at in range(len(table.header))]
    filled = part.rows.select(
        pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)
        if name in there
        else pl.lit(None, pl.String).alias(name)
        for name in wanted
    )
    return filled.get_columns()


def values(part: Part, release: Release) -> Numbers:
    """Returns the predicted values, (n, tasks) in the endpoints' units."""
    return all_rounded(natives(part.said.mean, _transforms(release)))


def ends(part: Part, release: Release) -> Numbers:
    """Returns the lower and the upper ends, (2, n, tasks); NaN where there is no interval."""
    low, high = (natives(end, _transforms(release)) for end in (part.said.low, part.said.high))
    found = np.stack([np.minimum(low, high), np.maximum(low, high)])  # a transform may turn them
    found[:, ~np.isfinite(found).all(axis=0)] = np.nan
    return all_rounded(found)


def all_rounded(values: npt.NDArray[np.floating]) -> Numbers:
    """Rounds to five significant digits; what is no number stays none."""
    found = values.astype(np.float64)
    real = np.isfinite(found)
    found[real] = rounded_all(found[real])
    return found


def inside(part: Part) -> Numbers:
    """Returns 1 and 0, (n, tasks); NaN where the release has no domain."""
    return np.where(np.isnan(part.said.similarity), np.nan, part.said.outside == 0)


def placed(part: Part, column: Numbers) -> pl.Series:
    """Puts the numbers of the rows that have some into their places; NaN becomes null."""
    all_rows = np.full(len(part.errors), np.nan)
    all_rows[part.places] = column
    return pl.Series(all_rows, nan_to_null=True)


def measured(part: Part, task: int) -> list[Finding | None]:
    """Returns what the site measured itself for one endpoint, row by row."""
    all_rows: list[Finding | None] = [None] * len(part.errors)
    for finding in part.measured.get(task, ()):
        all_rows[finding.row] = finding
    return all_rows


def _transforms(release: Release) -> list[Any]:
    return [task.transform for task in release.tasks]
