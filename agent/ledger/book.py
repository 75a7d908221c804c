"""The ledger over SQLite: WAL and synchronous=FULL, because NORMAL loses commits on a power cut."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from agent.clock import to_text
from agent.errors import Refused, Stop
from agent.ledger.schema import VERSION, migrate
from agent.ledger.states import Kind, is_state, may_follow
from agent.records import Json

Detail = dict[str, Json]
HIGHEST_FLOOR = 2**31 - 1
_LAST_MOVE = (
    "(SELECT MAX(seq) FROM transition WHERE transition.kind = item.kind "
    "AND transition.id = item.id)"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing with a state.

    Attributes:
        number: Rises with every item of the kind, in the order of adding.
    """

    kind: Kind
    id: str
    state: str
    why: str
    detail: Detail
    created: str
    changed: str
    number: int


@dataclass(frozen=True, slots=True)
class Score:
    """One error on held-out compounds. `value` is None where it is not defined."""

    task: str
    metric: str
    value: float | None
    n_train: int
    n_test: int


class Ledger:
    """Items, signed documents, floors and scores; one writer, any number of readers.

    Args:
        path: The SQLite file; made when it is not there, unless `read_only`.
        read_only: For `onggi status` beside a running keeper.

    Raises:
        Stop: The file is missing (read only), damaged, or written by a newer program.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        if read_only and not path.exists():
            raise Stop(f"There is no ledger at {path} yet; start the keeper with `onggi run`.")
        mode = "ro" if read_only else "rwc"
        # As a URI with its special characters quoted: a folder may have a `#` or a `?` in its name.
        address = f"{path.absolute().as_uri()}?mode={mode}"
        try:
            self.connection = sqlite3.connect(address, uri=True, isolation_level=None)
        except sqlite3.DatabaseError as error:
            raise Stop(f"{path} cannot be opened as a ledger ({error}); restore it.") from error
        try:
            self._prepare(path, read_only=read_only)
        except BaseException:  # re-raised: a ledger that is no use must not stay open
            self.connection.close()
            raise

    def _prepare(self, path: Path, *, read_only: bool) -> None:
        try:
            if not read_only:
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = FULL")
                migrate(self.connection)
            (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise Stop(f"{path} cannot be opened as a ledger ({error}); restore it.") from error
        if version > VERSION:
            raise Stop(f"A newer Onggi wrote {path}; install that version again.")
        if version == 0:  # the keeper made the file a moment ago, and its tables come next
            raise Stop(f"There is no ledger at {path} yet; start the keeper with `onggi run`.")
        if version < VERSION:  # read only: it may not be brought up to date from here
            raise Stop(f"An older Onggi wrote {path}; start the keeper once with `onggi run`.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Makes what is done inside happen as a whole, durably, or not at all."""
        if self.connection.in_transaction:
            yield  # joins the transaction that is open
            return
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:  # re-raised: a half-done transaction must never stay open
            with suppress(sqlite3.OperationalError):  # a full disk: SQLite rolled back by itself
                self.connection.execute("ROLLBACK")
            raise

    def add(self, kind: Kind, item_id: str, state: str, at: datetime, detail: Detail) -> bool:
        """Adds a thing in its first state; False when it is there already."""
        if not is_state(kind, state):
            raise ValueError(f"{kind} has no state {state!r}")
        with self.transaction():
            done = self.connection.execute(
                "INSERT OR IGNORE INTO item (kind, id, state, detail, created, changed, number) "
                "VALUES (?, ?, ?, ?, ?, ?, "
                "(SELECT COALESCE(MAX(number), 0) + 1 FROM item WHERE kind = ?))",
                (kind, item_id, state, _dump(detail), to_text(at), to_text(at), kind),
            ).rowcount
            if done:
                self._note(at, kind, item_id, "", state, "")
        return bool(done)

    def move(
        self, item: Item, to: str, at: datetime, why: str = "", detail: Detail | None = None
    ) -> bool:
        """Moves a thing on, if nobody moved it since it was read.

        Args:
            item: As read; its state must still be the stored one.
            to: The next state.
            at: The time.
            why: A sentence for people; it replaces the last one.
            detail: What to add to or replace in the item's detail.

        Returns:
            False when the stored state was another one: somebody else was first.

        Raises:
            ValueError: The next state may not follow the present one (a bug, not bad input).
        """
        if not may_follow(item.kind, item.state, to):
            raise ValueError(f"{item.kind} may not go from {item.state!r} to {to!r}")
        with self.transaction():
            done = self.connection.execute(
                "UPDATE item SET state = ?, why = ?, detail = ?, changed = ? "
                "WHERE kind = ? AND id = ? AND state = ?",
                (
                    to,
                    why,
                    _dump({**item.detail, **(detail or {})}),
                    to_text(at),
                    item.kind,
                    item.id,
                    item.state,
                ),
            ).rowcount
            if done:
                self._note(at, item.kind, item.id, item.state, to, why)
        return bool(done)

    def explain(self, item: Item, why: str) -> None:
        """Says why a thing waits in its state, without moving it."""
        if item.why != why:
            with self.transaction():
                self.connection.execute(
                    "UPDATE item SET why = ? WHERE kind = ? AND id = ?", (why, item.kind, item.id)
                )

    def _note(
        self, at: datetime, kind: Kind, item_id: str, before: str, after: str, why: str
    ) -> None:
        self.connection.execute(
            "INSERT INTO transition (at, kind, id, before, after, why) VALUES (?, ?, ?, ?, ?, ?)",
            (to_text(at), kind, item_id, before, after, why),
        )

    def get(self, kind: Kind, item_id: str) -> Item | None:
        """Returns one thing, or None."""
        rows = self._items("WHERE kind = ? AND id = ?", (kind, item_id))
        return rows[0] if rows else None

    def find(self, kind: Kind, *states: str) -> list[Item]:
        """Returns the things of a kind in the order of adding, in any of the states if given."""
        if not states:
            return self._items("WHERE kind = ? ORDER BY number", (kind,))
        marks = ",".join("?" * len(states))
        return self._items(
            f"WHERE kind = ? AND state IN ({marks}) ORDER BY number", (kind, *states)
        )

    def _items(self, where: str, values: tuple[str, ...]) -> list[Item]:
        rows = self.connection.execute(
            f"SELECT kind, id, state, why, detail, created, changed, number FROM item {where}",  # noqa: S608 - `where` is ours, values are bound
            values,
        )
        return [
            Item(kind, item_id, state, why, json.loads(detail), created, changed, number)
            for kind, item_id, state, why, detail, created, changed, number in rows
        ]

    def newest(self, kind: Kind, states: Collection[str], limit: int) -> list[Item]:
        """Returns the last added things of a kind in any of the states, newest first."""
        marks = ",".join("?" * len(states))
        return self._items(
            f"WHERE kind = ? AND state IN ({marks}) ORDER BY number DESC LIMIT {limit}",
            (kind, *states),
        )

    def last_moved(self, kind: Kind, states: Collection[str], limit: int) -> list[Item]:
        """Returns the things of a kind in any of the states that moved last, newest move first.

        By the order of the moves and not by their times: this host's clock may have been set back.
        """
        marks = ",".join("?" * len(states))
        return self._items(
            f"WHERE kind = ? AND state IN ({marks}) ORDER BY {_LAST_MOVE} DESC LIMIT {limit}",
            (kind, *states),
        )

    @property
    def revision(self) -> int:
        """Rises with every change through this object; equal means that nothing changed."""
        return self.connection.total_changes

    def counts(self, kind: Kind) -> dict[str, int]:
        """Returns how many things of a kind are in each state."""
        rows = self.connection.execute(
            "SELECT state, COUNT(*) FROM item WHERE kind = ? GROUP BY state ORDER BY state", (kind,)
        )
        return dict(rows.fetchall())

    def last_transition(self, kind: Kind) -> tuple[str, str, str, str] | None:
        """Returns (time, id, state, why) of the newest change of a kind."""
        row: tuple[str, str, str, str] | None = self.connection.execute(
            "SELECT at, id, after, why FROM transition WHERE kind = ? ORDER BY seq DESC LIMIT 1",
            (kind,),
        ).fetchone()
        return row

    def put_document(self, kind: str, doc_id: str, content: bytes, at: datetime) -> None:
        """Keeps a signed document as received; the same id again replaces it."""
        with self.transaction():
            self.connection.execute(
                "INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?)",
                (kind, doc_id, content, to_text(at)),
            )

    def document(self, kind: str, doc_id: str) -> bytes | None:
        """Returns a signed document as received, or None."""
        row = self.connection.execute(
            "SELECT content FROM document WHERE kind = ? AND id = ?", (kind, doc_id)
        ).fetchone()
        return bytes(row[0]) if row else None

    def drop_document(self, kind: str, doc_id: str) -> None:
        """Destroys a document; the file's free pages are overwritten with zeros."""
        self.connection.execute("PRAGMA secure_delete = ON")
        with self.transaction():
            self.connection.execute(
                "DELETE FROM document WHERE kind = ? AND id = ?", (kind, doc_id)
            )

    def documents(self, kind: str) -> list[tuple[str, bytes]]:
        """Returns every document of a kind with its id, oldest first."""
        rows = self.connection.execute(
            "SELECT id, content FROM document WHERE kind = ? ORDER BY taken, id", (kind,)
        )
        return [(str(row[0]), bytes(row[1])) for row in rows]

    def floor(self, name: str) -> int:
        """Returns the lowest version that may still be believed; 0 when none was seen."""
        row = self.connection.execute("SELECT value FROM floor WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def raise_floor(self, name: str, value: int) -> None:
        """Raises a floor; it never sinks.

        Raises:
            Refused: `version_too_large`: a floor so high would shut out everything after it.
        """
        if value > HIGHEST_FLOOR:
            raise Refused(
                "version_too_large",
                f"The number of this {name} is over {HIGHEST_FLOOR}; publish it with a small one.",
            )
        with self.transaction():
            self.connection.execute(
                "INSERT INTO floor VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = MAX(value, excluded.value)",
                (name, value),
            )

    def lower_clock(self, name: str, value: int) -> None:
        """Lowers the floor under this host's time, which a person does; no version ever sinks.

        Raises:
            ValueError: It is another floor.
        """
        if name != "clock":
            raise ValueError(f"the floor {name!r} never sinks")
        with self.transaction():
            self.connection.execute(
                "UPDATE floor SET value = MIN(value, ?) WHERE name = ?", (value, name)
            )

    def put_scores(self, owner: str, snapshot: str, scores: Iterable[Score]) -> None:
        """Keeps a model's errors on a snapshot's held-out compounds; they never leave."""
        with self.transaction():
            self.connection.executemany(
                "INSERT OR REPLACE INTO score VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(owner, snapshot, s.task, s.metric, s.value, s.n_train, s.n_test) for s in scores],
            )

    def scores(self, owner: str, snapshot: str) -> list[Score]:
        """Returns a model's errors on a snapshot, by task."""
        rows = self.connection.execute(
            "SELECT task, metric, value, n_train, n_test FROM score "
            "WHERE owner = ? AND snapshot = ? ORDER BY task",
            (owner, snapshot),
        )
        return [Score(*row) for row in rows]


def _dump(detail: Detail) -> str:
    return json.dumps(detail, sort_keys=True, ensure_ascii=False, allow_nan=False)
