"""The SQL reader: new rows of one query go into a spool, none twice, none missed.

A batch file is durable before the watermark moves, and its header carries the state that holds
after it. A reader killed in between finds the batch in the spool and adopts that state instead of
reading the same rows into a second batch.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from agent import log
from agent.errors import Stop, TryLater
from agent.files import sha256_bytes, write_atomic
from agent.stores.watermark import State, Value, to_json

_LOG = logging.getLogger(__name__)
_MAX_PASSWORD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """One configured query against one database.

    Attributes:
        url: SQLAlchemy URL without a password.
        query: A SELECT; it is used as a subquery.
        watermark_column: A column of the query that only grows for new and changed rows.
        key_column: A column of the query that is unique among rows of one watermark.
        password_file: Holds the password, or `None`.
        store: The store's name, for the batch's header.
    """

    url: str
    query: str
    watermark_column: str
    key_column: str
    password_file: Path | None = None
    store: str = ""


def read_batches(source: Source, spool: Path, state: Path, batch_rows: int = 5000) -> int:
    """Writes every new row of the query into the spool, in bounded batches.

    Args:
        source: What to read.
        spool: Folder that receives `SEQUENCE-HASH.ndjson`.
        state: File that keeps the watermark and the keys seen at it.
        batch_rows: Most rows in one batch.

    Returns:
        How many rows were written.

    Raises:
        TryLater: The database is away; calling again goes on where this call ended.
        Stop: The query, the URL, a column or the state file is wrong; a person must act.
    """
    url = _url(source)
    current = _adopt(State.load(state), spool, state)
    current.check(source.watermark_column, source.key_column)
    total = 0
    with _connection(url) as connection:
        first = True
        while rows := _fetch(connection, source, current, batch_rows, again=first):
            first = False
            current = _write(rows, current, source, spool)
            current.save(state)
            total += len(rows)
        if total or not current.sequence:
            _report_unusable(connection, source)
    return total


def _url(source: Source) -> sa.URL:
    try:
        url = sa.make_url(source.url)
    except exc.ArgumentError as error:
        raise Stop("The database URL is not one that SQLAlchemy understands.") from error
    if url.password is not None:
        raise Stop("The database URL holds a password; put it into the store's password file.")
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        # SQLite would make an empty database instead.
        raise TryLater(f"The database file {url.database} is not there; check the store's URL.")
    if source.password_file is None:
        return url
    try:
        with source.password_file.open(encoding="utf-8") as handle:
            return url.set(password=handle.read(_MAX_PASSWORD_BYTES).strip())
    except OSError as error:
        raise Stop(f"The password file {source.password_file} cannot be read.") from error


@contextmanager
def _connection(url: sa.URL) -> Iterator[sa.Connection]:
    """Opens a connection that only reads, and names what goes wrong on it."""
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            yield _read_only(connection)
    except (exc.NoSuchModuleError, exc.ArgumentError, ImportError) as error:
        raise Stop(f"The driver for {url.get_backend_name()} is not installed.") from error
    except exc.DBAPIError as error:
        raise _named(error) from error
    except exc.SQLAlchemyError as error:
        raise Stop(f"The query cannot be built ({type(error).__name__}); correct it.") from error


def _read_only(connection: sa.Connection) -> sa.Connection:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    elif connection.dialect.name == "postgresql":
        connection = connection.execution_options(postgresql_readonly=True)
    return connection


def _named(error: exc.DBAPIError) -> Stop | TryLater:
    # The driver's own text may quote a row, so only its class is told, except for SQLite's
    # complaint about a name, which is an OperationalError there and a fault of the query.
    text = str(error.orig)
    if text.startswith("no such") or "syntax error" in text:
        return Stop(f"The query does not fit the database: {text}.")
    kind = type(error.orig).__name__
    if isinstance(error, (exc.OperationalError, exc.InterfaceError, exc.InternalError)):
        return TryLater(f"The database does not answer ({kind}); the reader tries again.")
    return Stop(f"The database refuses the query ({kind}); correct the store's query or columns.")


def _subquery(source: Source) -> sa.Subquery:
    body = sa.text(source.query.strip().rstrip(";").replace(":", "\\:"))
    names = (source.watermark_column, source.key_column)
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
    return body.columns(*columns).subquery("q")


def _report_unusable(connection: sa.Connection, source: Source) -> None:
    table = _subquery(source)
    mark, key = table.c[source.watermark_column], table.c[source.key_column]
    count = sa.select(sa.func.count()).select_from(table).where(mark.is_(None) | key.is_(None))
    unusable = connection.execute(count).scalar_one()
    if unusable:
        log.trouble(_LOG, "rows_without_watermark_or_key", store=source.store, rows=unusable)


def _fetch(
    connection: sa.Connection, source: Source, state: State, batch_rows: int, *, again: bool
) -> list[dict[str, Value]]:
    """Returns the next rows after the state, in order of watermark and key.

    `again` looks at the state's own watermark once more, for rows that came late with it; later
    batches of the same call go on behind the last key, so that many equal watermarks stay linear.
    """
    table = _subquery(source)
    mark, key = table.c[source.watermark_column], table.c[source.key_column]
    query: sa.Select[Any] = sa.select(sa.literal_column("q.*")).select_from(table)
    query = query.where(mark.is_not(None), key.is_not(None)).order_by(mark, key)
    limit = batch_rows
    if state.watermark is not None and again:
        query, limit = query.where(mark >= state.watermark), batch_rows + len(state.keys)
    elif state.watermark is not None:
        behind = (mark == state.watermark) & (key > state.last_key)
        query = query.where((mark > state.watermark) | behind)
    found = [dict(row) for row in connection.execute(query.limit(limit)).mappings()]
    connection.rollback()  # ends the read: no transaction is held while a batch is written
    fresh = [row for row in found if not state.has(*_mark(row, source))]
    _check_unique([_mark(row, source) for row in fresh])
    return fresh[:batch_rows]


def _mark(row: dict[str, Value], source: Source) -> tuple[Value, Value]:
    return row[source.watermark_column], row[source.key_column]


def _check_unique(marks: Sequence[tuple[Value, Value]]) -> None:
    if len(set(marks)) != len(marks):
        raise Stop("Two rows have one watermark and one key; name a key column that is unique.")


def _write(rows: list[dict[str, Value]], state: State, source: Source, spool: Path) -> State:
    marks = [_mark(row, source) for row in rows]
    after = state.advanced(marks, source.watermark_column, source.key_column)
    header = {
        "columns": list(rows[0]),
        "store": source.store,
        "sequence": after.sequence,
        "state": after.to_document(),
    }
    lines = [json.dumps(header, ensure_ascii=False)]
    lines += [
        json.dumps([to_json(cell) for cell in row.values()], ensure_ascii=False) for row in rows
    ]
    content = ("\n".join(lines) + "\n").encode()
    write_atomic(spool / f"{after.sequence:010d}-{sha256_bytes(content)[:16]}.ndjson", content)
    return after


def _adopt(state: State, spool: Path, path: Path) -> State:
    """Takes over a batch that was written just before the reader died."""
    for batch in sorted(spool.glob(f"{state.sequence + 1:010d}-*.ndjson")):
        with batch.open(encoding="utf-8") as handle:
            state = State.from_document(json.loads(handle.readline())["state"], batch)
        state.save(path)
        log.event(_LOG, "batch_adopted", sequence=state.sequence)
        break
    return state
