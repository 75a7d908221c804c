"""What each structure is, on disk: standardizing costs milliseconds, reading it back microseconds.

The file names the programs that filled it; with another RDKit it starts anew. Losing it costs time
only, so it is not part of what a silo must keep.
"""

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from agent import log
from agent.assays.structures import IDENTITY_VERSION
from agent.records import Compound, InvalidStructure, Structure

_LOGGER = logging.getLogger(__name__)
_BUSY_S = 30.0
_PARAMETERS = 900  # SQLite before 3.32 takes 999
_TABLES = """
CREATE TABLE IF NOT EXISTS origin (name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS identity (
    digest BLOB PRIMARY KEY, key BLOB, flat_key BLOB, smiles TEXT, weight_g_mol REAL,
    fold_group TEXT, step TEXT, cause TEXT) WITHOUT ROWID;
"""
_FIELDS = "digest, key, flat_key, smiles, weight_g_mol, fold_group, step, cause"
_ADD = f"INSERT OR REPLACE INTO identity ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608

Wanted = tuple[str, Structure]
Found = Compound | InvalidStructure
T = TypeVar("T")
Row = tuple[bytes, bytes, bytes, str, float, str, str | None, str | None]


def origin() -> str:
    """Names everything that an identity depends on besides the structure."""
    programs = ("rdkit", "chembl_structure_pipeline")
    return " ".join([f"identity-{IDENTITY_VERSION}", *(f"{p}-{version(p)}" for p in programs)])


class IdentityCache:
    """Structures and what they are, in a SQLite file that several processes may share.

    Args:
        path: The file; its folder must exist. Where it cannot be used, nothing is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._usable = True
        self._do(_prepare, None)

    def get(self, wanted: Sequence[Wanted]) -> dict[Wanted, Found]:
        """Returns what is known of the structures."""
        places = {_digest(one): one for one in wanted}
        nothing: list[Row] = []
        rows = self._do(lambda database: _rows(database, list(places)), nothing)
        return {places[bytes(row[0])]: _unpacked(row) for row in rows}

    def put(self, found: Mapping[Wanted, Found]) -> None:
        """Keeps what structures are, in one transaction."""
        self._do(lambda database: _add(database, found), None)

    def _do(self, action: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Does something with the file; where that fails the work goes on without it."""
        if not self._usable:
            return otherwise
        try:
            with closing(self._connected()) as database:
                return action(database)
        except sqlite3.DatabaseError as error:
            log.trouble(_LOGGER, "identity_cache_unusable", cause=type(error).__name__)
            self._usable = False
            # A full disk or a lock passes by itself; a damaged file never does.
            if not isinstance(error, sqlite3.OperationalError):
                self._start_anew()
            return otherwise

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        database.execute("PRAGMA journal_mode=WAL")
        # A power cut may cost the last rows, never the file's consistency.
        database.execute("PRAGMA synchronous=NORMAL")
        return database

    def _start_anew(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        with suppress(sqlite3.DatabaseError), closing(self._connected()) as database:
            _prepare(database)
            self._usable = True


def _prepare(database: sqlite3.Connection) -> None:
    database.executescript(_TABLES)
    with database:
        if database.execute("SELECT name FROM origin").fetchall() != [(origin(),)]:
            database.execute("DELETE FROM identity")
            database.execute("DELETE FROM origin")
            database.execute("INSERT INTO origin VALUES (?)", (origin(),))


def _rows(database: sqlite3.Connection, digests: Sequence[bytes]) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(digests), _PARAMETERS):
        some = digests[start : start + _PARAMETERS]
        query = f"SELECT {_FIELDS} FROM identity WHERE digest IN ({','.join('?' * len(some))})"  # noqa: S608 - marks only
        rows += database.execute(query, some).fetchall()
    return rows


def _add(database: sqlite3.Connection, found: Mapping[Wanted, Found]) -> None:
    with database:
        database.executemany(_ADD, [_packed(one, what) for one, what in found.items()])


def _digest(wanted: Wanted) -> bytes:
    text = f"{wanted[1]}\n{wanted[0]}".encode(errors="surrogatepass")
    return blake2b(text, digest_size=16).digest()


def _packed(wanted: Wanted, what: Found) -> tuple[object, ...]:
    if isinstance(what, InvalidStructure):
        return (_digest(wanted), None, None, None, None, None, what.step, what.cause)
    keys = (bytes.fromhex(what.key), bytes.fromhex(what.flat_key))
    return (_digest(wanted), *keys, what.smiles, what.weight_g_mol, what.fold_group, None, None)


def _unpacked(row: Row) -> Found:
    _, key, flat_key, smiles, weight, group, step, cause = row
    if step is not None:
        return InvalidStructure(step, cause or "")
    return Compound(key.hex(), flat_key.hex(), smiles, weight, group)
