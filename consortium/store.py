"""The database: transactions, and the questions that more than one module asks."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, event, func, select
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from agent.errors import Stop, TryLater
from agent.wire.documents import Catalogue, Roster
from agent.wire.signed import parse
from consortium.tables import AnswerRow, Base, EnvelopeRow, MemberRow, PublishedRow, RoundRow

_BUSY_MS = 30_000


class Store:
    """Transactions on the SQLite database; safe to use from several threads and processes.

    Args:
        path: The database file; made, with its tables, when it is not there.

    Raises:
        Stop: The file is no database.
    """

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})
        self._writer = self._engine.execution_options(onggi_write=True)
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)
        try:
            Base.metadata.create_all(self._writer)
        except DatabaseError as error:
            raise Stop(f"{path} cannot be used as a database; restore it from backup.") from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Opens a transaction that sees one consistent state and changes nothing.

        Raises:
            TryLater: The database is busy or its disk is full.
        """
        with self._session(write=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Opens the one writing transaction; it is durable when the block ends without error.

        Raises:
            TryLater: The database is busy or its disk is full; nothing was changed.
        """
        with self._session(write=True) as session:
            yield session

    @contextmanager
    def _session(self, *, write: bool) -> Iterator[Session]:
        engine = self._writer if write else self._engine
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except DatabaseError as error:
            if isinstance(error.orig, sqlite3.OperationalError):
                raise TryLater("The aggregator's database is busy or its disk is full.") from error
            raise

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


def _on_connect(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # sqlite3 would begin by itself, and too late
    # FULL: with NORMAL, a power cut loses commits whose receipts are out already.
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _on_begin(connection: Connection) -> None:
    # A transaction that starts as a reader and writes later can lose the race for the lock.
    write = connection.get_execution_options().get("onggi_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def newest(session: Session, kind: str) -> PublishedRow:
    """Returns the newest published document of a kind that `init` publishes first.

    Raises:
        Stop: There is none: the database is not the one that `init` made.
    """
    row = session.scalars(
        select(PublishedRow)
        .where(PublishedRow.kind == kind)
        .order_by(PublishedRow.number.desc())
        .limit(1)
    ).first()
    if row is None:
        raise Stop(f"The database holds no {kind}; restore it from backup or run `init` anew.")
    return row


def roster(session: Session) -> Roster:
    """Returns the roster in force; this aggregator signed it, so it is believed."""
    return Roster.parse(parse(newest(session, "roster").document).payload)


def catalogue(session: Session) -> Catalogue:
    """Returns the catalogue in force."""
    return Catalogue.parse(parse(newest(session, "catalogue").document).payload)


def members(session: Session) -> Sequence[MemberRow]:
    """Lists every silo that ever enrolled, by name."""
    return session.scalars(select(MemberRow).order_by(MemberRow.silo)).all()


def standing(session: Session) -> frozenset[str]:
    """Names the silos that are enrolled and not revoked."""
    return frozenset(row.silo for row in members(session) if not row.revoked)


def spoilt(session: Session, plan_id: str, number: int) -> Sequence[frozenset[str]]:
    """Names the silos with bad updates, for each aborted attempt at a round that had such."""
    found = session.execute(
        select(RoundRow.attempt, AnswerRow.silo)
        .join(AnswerRow, AnswerRow.round_id == RoundRow.round_id)
        .where(RoundRow.plan_id == plan_id, RoundRow.number == number)
        .where(RoundRow.state == "aborted", AnswerRow.code == "bad_update")
    )
    by_attempt: dict[int, set[str]] = {}
    for attempt, silo in found:
        by_attempt.setdefault(attempt, set()).add(silo)
    return [frozenset(by_attempt[attempt]) for attempt in sorted(by_attempt)]


def latest_round(session: Session, plan_id: str) -> RoundRow | None:
    """Returns the last attempt at the last round of a plan."""
    return session.scalars(
        select(RoundRow)
        .where(RoundRow.plan_id == plan_id)
        .order_by(RoundRow.number.desc(), RoundRow.attempt.desc())
        .limit(1)
    ).first()


def envelopes_of(session: Session, round_id: str, state: str) -> Sequence[EnvelopeRow]:
    """Lists a round's envelopes in one state, by silo: the order in which they are summed."""
    return session.scalars(
        select(EnvelopeRow)
        .where(EnvelopeRow.round_id == round_id, EnvelopeRow.state == state)
        .order_by(EnvelopeRow.silo)
    ).all()


def held_count(session: Session, round_id: str) -> int:
    """Counts the whole envelopes that wait to be aggregated; a revoked silo's is not counted."""
    return (
        session.scalar(
            select(func.count())
            .select_from(EnvelopeRow)
            .join(MemberRow, MemberRow.silo == EnvelopeRow.silo)
            .where(EnvelopeRow.round_id == round_id, EnvelopeRow.state == "held")
            .where(MemberRow.revoked.is_(False))
        )
        or 0
    )
