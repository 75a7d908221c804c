"""What each structure is, on disk: standardizing costs milliseconds, reading it back microseconds.

The file names the programs that filled it; with another RDKit it starts anew. Losing it costs time
only, so it is not part of what a silo must keep.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

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
        with self._open() as database:
            _prepare(database)

    def get(self, wanted: Sequence[Wanted]) -> dict[Wanted, Found]:
        """Returns what is known of the structures."""
        places = {_digest(one): one for one in wanted}
        found: dict[Wanted, Found] = {}
        with self._open() as database:
            for rows in _rows(database, list(places)):
                found.update((places[bytes(row[0])], _unpacked(row)) for row in rows)
        return found

    def put(self, found: Mapping[Wanted, Found]) -> None:
        """Keeps what structures are, in one transaction."""
        with self._open() as database, database:
            database.executemany(_ADD, [_packed(one, what) for one, what in found.items()])

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Opens the file; where it is damaged it starts anew, where that fails nothing is kept."""
        try:
            with closing(self._connected()) as database:
                yield database
        except sqlite3.DatabaseError as error:
            full_or_locked = isinstance(error, sqlite3.OperationalError)
            log.trouble(_LOGGER, "identity_cache_unusable", cause=type(error).__name__)
            if full_or_locked or not self._usable:
                self._usable = False
            else:
                self._start_anew()

    def _connected(self) -> sqlite3.Connection:
        if not self._usable:
            database = sqlite3.connect(":memory:")
            _prepare(database)
            return database
        database = sqlite3.connect(self._path, timeout=_BUSY_S)
        database.execute("PRAGMA journal_mode=WAL")
        # A power cut may cost the last rows, never the file's consistency.
        database.execute("PRAGMA synchronous=NORMAL")
        return database

    def _start_anew(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._usable = False
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(self._path)) as database:
            _prepare(database)
            self._usable = True


def _prepare(database: sqlite3.Connection) -> None:
    database.executescript(_TABLES)
    with database:
        if database.execute("SELECT name FROM origin").fetchall() != [(origin(),)]:
            database.execute("DELETE FROM identity")
            database.execute("DELETE FROM origin")
            database.execute("INSERT INTO origin VALUES (?)", (origin(),))


def _rows(database: sqlite3.Connection, digests: Sequence[bytes]) -> Iterator[Iterable[Row]]:
    for start in range(0, len(digests), _PARAMETERS):
        some = digests[start : start + _PARAMETERS]
        marks = ",".join("?" * len(some))
        yield database.execute(
            f"SELECT {_FIELDS} FROM identity WHERE digest IN ({marks})",  # noqa: S608 - marks only
            some,
        )


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
