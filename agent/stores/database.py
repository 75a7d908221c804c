"""The SQL reader: new rows of one query go into a spool, none twice.

None is missed that was written by a transaction shorter than `overlap_s`, where the watermark is
the time of writing: each pass looks once more at that much before the watermark.

A batch file is durable before the watermark moves, and its header says how the state changed with
it. A reader killed in between finds the batches in the spool and takes those steps instead of
reading the same rows into a second batch.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from agent import log
from agent.errors import Stop, TryLater
from agent.files import sha256_bytes, write_atomic
from agent.stores.watermark import Mark, State, Value, to_json

_LOG = logging.getLogger(__name__)
_MAX_PASSWORD_BYTES = 4096
_SAVE_EVERY = 50  # batches
_DEFAULT_DRIVERS = {"postgresql": "postgresql+pg8000"}  # the one that the extra brings
# Classes of SQLSTATE (SQL:2016 and PostgreSQL's appendix A) that pass by themselves: connection,
# rollback, resources, not in the right state, operator intervention, system.
_PASSING = frozenset({"08", "40", "53", "55", "57", "58"})
_LOGIN = "28"
_READ_ONLY = "25006"


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
        overlap_s: How long a transaction may take, in seconds, without its rows being missed: a
            row bears the time at which it was written and shows only once it is committed. 0 turns
            the second look off; it means nothing for a watermark that is no time.
    """

    url: str
    query: str
    watermark_column: str
    key_column: str
    password_file: Path | None = None
    store: str = ""
    overlap_s: float = 3600.0


def read_batches(
    source: Source,
    spool: Path,
    state: Path,
    batch_rows: int = 5000,
    beat: Callable[[], None] = lambda: None,
) -> int:
    """Writes every new row of the query into the spool, in bounded batches.

    Args:
        source: What to read.
        spool: Folder that receives `SEQUENCE-HASH.ndjson`.
        state: File that keeps the watermark and the keys seen at it.
        batch_rows: Most rows in one batch.
        beat: Called after each batch: a first read may take hours.

    Returns:
        How many rows were written.

    Raises:
        TryLater: The database is away; calling again goes on where this call ended.
        Stop: The query, the URL, a column or the state file is wrong; a person must act.
    """
    url = _url(source)
    before = _adopt(State.load(state), spool, state)
    before.check(source.watermark_column, source.key_column)
    after, total = before, 0
    with _connection(url) as connection:
        for rows in _new_rows(connection, source, before, batch_rows):
            after = _write(rows, after, source, spool)
            total += len(rows)
            beat()
            unsaved = (after.sequence - before.sequence) * batch_rows
            # The state holds every row of its window: to save a long one with each batch would
            # grow with the square. The batches hold the steps.
            if unsaved >= len(after.keys) or after.sequence % _SAVE_EVERY == 0:
                after.save(state)
                before = after
        if total:
            after.save(state)
        if total or not after.sequence:
            _report_unusable(connection, source)
    return total


def _url(source: Source) -> sa.URL:
    try:
        url = sa.make_url(source.url)
    except exc.ArgumentError as error:
        raise Stop("The database URL is not one that SQLAlchemy understands.") from error
    url = url.set(drivername=_DEFAULT_DRIVERS.get(url.drivername, url.drivername))
    if url.password is not None:
        raise Stop("The database URL holds a password; put it into the store's password file.")
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        # SQLite would make an empty database instead.
        raise TryLater(f"The database file {url.database} is not there; check the store's URL.")
    if source.password_file is None:
        return url
    try:
        with source.password_file.open(encoding="utf-8") as handle:
            return url.set(password=handle.read(_MAX_PASSWORD_BYTES).rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"The password file {source.password_file} cannot be read.") from error


@contextmanager
def _connection(url: sa.URL) -> Iterator[sa.Connection]:
    """Opens a connection that only reads, and names what goes wrong on it."""
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection, _no_tidying(connection):
            yield _read_only(connection)
    except (exc.NoSuchModuleError, exc.ArgumentError, ImportError) as error:
        raise Stop(f"The driver for {url.get_backend_name()} is not installed.") from error
    except exc.DBAPIError as error:
        raise _named(error) from error
    except OSError as error:  # pg8000 lets a socket's own errors pass
        raise TryLater("The connection to the database broke; the reader tries again.") from error
    except exc.SQLAlchemyError as error:
        raise Stop(f"The query cannot be built ({type(error).__name__}); correct it.") from error


@contextmanager
def _no_tidying(connection: sa.Connection) -> Iterator[None]:
    """Gives a broken connection up: setting it back would raise the driver's own error instead."""
    try:
        yield
    except OSError:
        connection.invalidate()
        raise


def _read_only(connection: sa.Connection) -> sa.Connection:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    elif connection.dialect.name == "postgresql":
        connection = connection.execution_options(postgresql_readonly=True)
    return connection


def _named(error: exc.DBAPIError) -> Stop | TryLater:
    # The driver's own text may quote a row, so only its class is told, except for SQLite's
    # complaint about a name, which is an OperationalError there and a fault of the query.
    state = _sqlstate(error.orig)
    if state:
        return _by_sqlstate(state)
    text = str(error.orig)
    if text.startswith("no such") or "syntax error" in text:
        return Stop(f"The query does not fit the database: {text}.")
    kind = type(error.orig).__name__
    if isinstance(error, (exc.OperationalError, exc.InterfaceError, exc.InternalError)):
        return TryLater(f"The database does not answer ({kind}); the reader tries again.")
    return Stop(f"The database refuses the query ({kind}); correct the store's query or columns.")


def _sqlstate(original: BaseException | None) -> str:
    """Returns the five characters of SQLSTATE, or an empty text where the driver gives none."""
    found = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None)
    details = original.args[0] if original is not None and original.args else None
    if found is None and isinstance(details, dict):  # pg8000: the fields of the server's message
        found = details.get("C")
    return found if isinstance(found, str) else ""


def _by_sqlstate(state: str) -> Stop | TryLater:
    if state[:2] in _PASSING:
        return TryLater(f"The database broke off (SQLSTATE {state}); the reader tries again.")
    if state[:2] == _LOGIN:
        return Stop(
            f"The database refuses the login (SQLSTATE {state}); correct user and password."
        )
    if state == _READ_ONLY:
        return Stop("The query wants to write; name one that only reads.")
    return Stop(f"The database refuses the query (SQLSTATE {state}); correct the store's query.")


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


def _new_rows(
    connection: sa.Connection, source: Source, state: State, batch_rows: int
) -> Iterator[list[dict[str, Value]]]:
    """Yields the rows that the state does not know, in bounded batches.

    They come in order of watermark and key, from the beginning of the state's window to the newest
    row that shows now. What comes meanwhile is for the next pass: its window then reaches back from
    a time at which this pass had begun, however long this one takes.
    """
    newest = _newest(connection, source)
    behind: Mark | None = None
    page: list[dict[str, Value]] = []
    while newest is not None and (behind is None or len(page) == batch_rows):
        page = _page(connection, source, (state.since, newest), behind, batch_rows)
        marks = [_mark(row, source) for row in page]
        _check_unique(marks)
        fresh = [row for row, mark in zip(page, marks, strict=True) if mark not in state.keys]
        if fresh:
            yield fresh
        if not page:
            return
        behind = marks[-1]


def _newest(connection: sa.Connection, source: Source) -> Value:
    """Returns the greatest watermark, or `None` where there is no row."""
    table = _subquery(source)
    mark, key = table.c[source.watermark_column], table.c[source.key_column]
    query = sa.select(mark).where(mark.is_not(None), key.is_not(None))
    found: Value = connection.execute(query.order_by(mark.desc()).limit(1)).scalar()
    connection.rollback()
    return found


def _page(
    connection: sa.Connection,
    source: Source,
    window: tuple[Value, Value],
    behind: Mark | None,
    limit: int,
) -> list[dict[str, Value]]:
    """Reads rows within a window of watermarks (from `None`: the first), or further on in it."""
    table = _subquery(source)
    mark, key = table.c[source.watermark_column], table.c[source.key_column]
    query: sa.Select[Any] = sa.select(sa.literal_column("q.*")).select_from(table)
    since, newest = window
    query = query.where(mark.is_not(None), key.is_not(None), mark <= newest).order_by(mark, key)
    if behind is not None:
        query = query.where((mark > behind[0]) | ((mark == behind[0]) & (key > behind[1])))
    elif since is not None:
        query = query.where(mark >= since)
    found = [dict(row) for row in connection.execute(query.limit(limit)).mappings()]
    connection.rollback()  # ends the read: no transaction is held while a batch is written
    return found


def _mark(row: dict[str, Value], source: Source) -> Mark:
    return row[source.watermark_column], row[source.key_column]


def _check_unique(marks: Sequence[Mark]) -> None:
    if len(set(marks)) != len(marks):
        raise Stop("Two rows have one watermark and one key; name a key column that is unique.")


def _write(rows: list[dict[str, Value]], state: State, source: Source, spool: Path) -> State:
    marks = [_mark(row, source) for row in rows]
    columns = (source.watermark_column, source.key_column)
    after = state.advanced(marks, *columns, overlap_s=source.overlap_s)
    header = {
        "columns": list(rows[0]),
        "store": source.store,
        "sequence": after.sequence,
        "state": after.step(marks),
    }
    lines = [json.dumps(header, ensure_ascii=False)]
    lines += [
        json.dumps([to_json(cell) for cell in row.values()], ensure_ascii=False) for row in rows
    ]
    content = ("\n".join(lines) + "\n").encode()
    write_atomic(spool / f"{after.sequence:010d}-{sha256_bytes(content)[:16]}.ndjson", content)
    return after


def _adopt(state: State, spool: Path, path: Path) -> State:
    """Takes over the batches that were written before the reader died and saved its state."""
    adopted = state
    while batch := next(iter(sorted(spool.glob(f"{adopted.sequence + 1:010d}-*.ndjson"))), None):
        with batch.open(encoding="utf-8") as handle:
            adopted = adopted.after_step(json.loads(handle.readline())["state"], batch)
    if adopted.sequence != state.sequence:
        adopted.save(path)
        log.event(_LOG, "batches adopted", sequence=adopted.sequence)
    return adopted
