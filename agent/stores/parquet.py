"""Parquet, read lazily in batches; nested columns are none of ours and are left out."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from polars.exceptions import PanicException, PolarsError

from agent.errors import Refused
from agent.stores.rows import Row, Table
from agent.stores.workbook import to_text

_BATCH_ROWS = 20_000
_MAX_COLUMNS = 16_384


def read_parquet(path: Path) -> Iterator[Table]:
    """Reads one Parquet file.

    Yields:
        The one table; rows are numbered from 1, as the file has no header line.

    Raises:
        Refused: `empty_file`, `unreadable_file` or `too_many_columns`; also while iterating.
    """
    try:
        if path.stat().st_size == 0:
            raise Refused("empty_file", "The file is empty; export it again.")
        # Neither a star in the file's name nor an "=" in a folder's means anything.
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = frame.collect_schema()
        names = [name for name, kind in schema.items() if not kind.is_nested()]
        if len(names) > _MAX_COLUMNS:
            raise Refused("too_many_columns", f"The file has over {_MAX_COLUMNS} columns.")
        yield Table([name.strip() for name in names], _rows(frame, names))
    except (OSError, PolarsError, PanicException) as error:
        raise _unreadable() from error


def _unreadable() -> Refused:
    return Refused(
        "unreadable_file", "The file is no Parquet, is damaged or cut short; export it again."
    )


def _rows(frame: pl.LazyFrame, names: list[str]) -> Iterator[Row]:
    header = [name.strip() for name in names]
    number = 0
    try:
        for batch in frame.select(names).collect_batches(
            chunk_size=_BATCH_ROWS, maintain_order=True
        ):
            for cells in batch.iter_rows():
                number += 1
                texts = ("" if cell is None else to_text(cell) for cell in cells)
                yield Row(number, dict(zip(header, texts, strict=True)))
    except (OSError, PolarsError, PanicException) as error:
        raise _unreadable() from error
