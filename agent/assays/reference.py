"""What predict may show beside a prediction: the site's own compounds, in a file of its own.

The keeper writes it and predict opens it read-only; it never changes, another one takes its place.
It is a SQLite file: lookups touch a few pages, and predict never holds all of it in memory.
`agent.assays.lookup` reads it.
"""

import errno
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from agent.assays.skeleton import graphs
from agent.errors import Refused
from agent.processes import Spread

FORMAT = 1  # as `releases.shelf.FORMAT`, which the keeper reads without loading RDKit
APPLICATION = 0x4F4E4752  # "ONGR": SQLite keeps it in the file's head
CHUNK = 8_192  # compounds whose fingerprints are read at once, some 2 MB
NEWEST = 2_000  # compounds that stand for what the site works on now
MOST_COUNTED = 15  # as in `learning.similarity`: a group that comes more often says nothing more
TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, content) WITHOUT ROWID;
CREATE TABLE compound (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL, skeleton INTEGER NOT NULL, smiles TEXT NOT NULL);
CREATE TABLE endpoint (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, unit TEXT NOT NULL,
    compounds BLOB NOT NULL);
CREATE TABLE measured (
    compound INTEGER NOT NULL, endpoint INTEGER NOT NULL, value REAL NOT NULL,
    qualifier INTEGER NOT NULL, n INTEGER NOT NULL, newest TEXT NOT NULL,
    PRIMARY KEY (compound, endpoint)) WITHOUT ROWID;
CREATE TABLE fingerprint (
    first INTEGER PRIMARY KEY, least INTEGER NOT NULL, most INTEGER NOT NULL,
    indptr BLOB NOT NULL, indices BLOB NOT NULL, counts BLOB NOT NULL);
"""
_INDEXES = (
    "CREATE UNIQUE INDEX compound_by_key ON compound (key)",
    "CREATE INDEX compound_by_skeleton ON compound (skeleton)",
)
_BATCH = 10_000

Array = npt.NDArray[Any]
Share = Literal["values", "similarity"]
_Spread = Spread[str, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprints:
    """Hashed counts of n compounds, one row each.

    Attributes:
        indptr: int64 (n + 1,); row i's counts are at `indptr[i]:indptr[i + 1]`.
        indices: int32 (nnz,); columns.
        counts: uint8 (nnz,), 1 .. `MOST_COUNTED`.
    """

    indptr: Array
    indices: Array
    counts: Array

    def totals(self) -> Array:
        """Returns the sum of each row's counts, int64 (n,)."""
        sums = np.zeros(len(self.indptr) - 1, np.int64)
        some = np.flatnonzero(np.diff(self.indptr))  # `reduceat` gives no 0 for an empty row
        if len(some):
            sums[some] = np.add.reduceat(self.counts, self.indptr[some], dtype=np.int64)
        return sums

    def take(self, rows: Array) -> "Fingerprints":
        """Returns the given rows, in the given order."""
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        places = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return Fingerprints(indptr, self.indices[places], self.counts[places])


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What goes into the file; rows of all labels are sorted by compound.

    Attributes:
        keys, smiles: Of each compound: its identity and its standardized parent. Shape (n,).
        endpoints: Name and unit of each.
        rows, cols: Compound and endpoint of each label, shape (m,).
        values: In the endpoints' units, float64 (m,).
        qualifiers: -1 for "<", 0 for "=", 1 for ">", on the scale of `values`; (m,).
        counts: How many measurements each label stands for, (m,).
        dates: ISO date of the newest of them or an empty text, (m,).
        fingerprints: Of each compound.
        about: Facts by name: `features`, the spec of the fingerprints as JSON, and others.
    """

    keys: Sequence[str]
    smiles: Sequence[str]
    endpoints: Sequence[tuple[str, str]]
    rows: Array
    cols: Array
    values: Array
    qualifiers: Array
    counts: Array
    dates: Array
    fingerprints: Fingerprints
    about: dict[str, str]


def write_reference(
    path: Path, contents: Contents, share: Share, processes: int = 1
) -> Iterator[int]:
    """Writes the file, and tells after every few thousand compounds how many it has.

    Args:
        path: Where; nothing may be there. It is durable once the last number was told.
        contents: What.
        share: `values` writes all of it, `similarity` fingerprints alone.
        processes: How many may read structures; 1 means this one alone, 0 one a core.

    Yields:
        How many compounds are written.

    Raises:
        Refused: `reference_not_written`; its cause says whether that may pass.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("PRAGMA page_size = 16384")  # fingerprints are long
            database.execute(f"PRAGMA application_id = {APPLICATION}")
            database.execute(f"PRAGMA user_version = {FORMAT}")
            # Nobody reads it before it is whole: without a journal, and one sync at the end.
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.executescript(TABLES)
            database.execute("BEGIN")
            yield from _filled(database, contents, share, processes)
            database.execute("COMMIT")
        with path.open("rb") as file:
            os.fsync(file.fileno())
    except sqlite3.DatabaseError as error:
        # SQLite hides the errno; a full disk is by far the likeliest cause, and it passes.
        cause = OSError(errno.ENOSPC, "No space left on device") if _is_full(error) else error
        sentence = "The reference for predict cannot be written; look at the disk."
        raise Refused("reference_not_written", sentence) from cause


def _is_full(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def _filled(
    database: sqlite3.Connection, contents: Contents, share: Share, processes: int
) -> Iterator[int]:
    totals = contents.fingerprints.totals()
    # By size: of two rows, the Tanimoto coefficient is at most the ratio of their sizes.
    order = np.argsort(totals, kind="stable")
    facts = {**contents.about, "share": share, "compounds": str(len(order))}
    database.executemany("INSERT INTO about VALUES (?, ?)", sorted(facts.items()))
    _put_fingerprints(database, contents.fingerprints, order, totals)
    if share == "values":
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        with Spread(_marks, processes) as spread:
            yield from _put_compounds(database, contents, order, spread)
        _put_labels(database, contents, place)
        for statement in _INDEXES:
            database.execute(statement)
    yield len(order)


def _put_fingerprints(
    database: sqlite3.Connection, rows: Fingerprints, order: Array, totals: Array
) -> None:
    first = int(np.searchsorted(totals[order], 1))  # what could not be featurized comes first
    for start in range(first, len(order), CHUNK):
        some = order[start : start + CHUNK]
        part = rows.take(some)
        sizes = int(totals[some[0]]), int(totals[some[-1]])
        blobs = (
            part.indptr.astype("<i8").tobytes(),
            part.indices.astype("<u2").tobytes(),
            part.counts.astype("u1").tobytes(),
        )
        line = (start, *sizes, *blobs)
        database.execute("INSERT INTO fingerprint VALUES (?, ?, ?, ?, ?, ?)", line)


def _put_compounds(
    database: sqlite3.Connection, contents: Contents, order: Array, spread: _Spread
) -> Iterator[int]:
    compositions: set[int] = set()
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH].tolist()
        smiles = [contents.smiles[row] for row in rows]
        marks = [mark for chunk in spread.answers(smiles) for mark in chunk]
        compositions.update(composition for composition, _ in marks)
        keys = (bytes.fromhex(contents.keys[row]) for row in rows)
        numbers, skeletons = itertools.count(start), (skeleton for _, skeleton in marks)
        lines = list(zip(numbers, keys, skeletons, smiles, strict=False))
        database.executemany("INSERT INTO compound VALUES (?, ?, ?, ?)", lines)
        yield start + len(lines)
    known = np.array(sorted(compositions), dtype="<i8").tobytes()
    database.execute("INSERT INTO about VALUES ('compositions', ?)", (known,))


def _marks(smiles: Sequence[str]) -> list[tuple[int, int]]:
    """Returns composition and skeleton of each parent, which is one fragment.

    One that RDKit reads no more keeps its place, and is never found.
    """
    found = (graphs(one, "smiles") for one in smiles)
    return [(one[0].composition, one[0].skeleton) if len(one) == 1 else (0, 0) for one in found]


def _put_labels(database: sqlite3.Connection, contents: Contents, place: Array) -> None:
    compounds = place[contents.rows]
    for number, (name, unit) in enumerate(contents.endpoints):
        own = np.sort(compounds[contents.cols == number]).astype("<i4").tobytes()
        database.execute("INSERT INTO endpoint VALUES (?, ?, ?, ?)", (number, name, unit, own))
    by_compound = np.argsort(compounds, kind="stable")
    for start in range(0, len(by_compound), _BATCH):
        some = by_compound[start : start + _BATCH]
        columns: Iterable[list[Any]] = (
            compounds[some].tolist(),
            contents.cols[some].tolist(),
            contents.values[some].tolist(),
            contents.qualifiers[some].tolist(),
            contents.counts[some].tolist(),
            contents.dates[some].tolist(),
        )
        lines = zip(*columns, strict=True)
        database.executemany("INSERT INTO measured VALUES (?, ?, ?, ?, ?, ?)", lines)
    newest = _newest(compounds, contents.dates, len(place)).astype("<i4").tobytes()
    database.execute("INSERT INTO about VALUES ('newest', ?)", (newest,))


def _newest(compounds: Array, dates: Array, n: int) -> Array:
    """Returns the compounds that were measured last, newest first; those without a date last."""
    latest = np.full(n, "", dtype="<U10")
    order = np.argsort(dates, kind="stable")
    latest[compounds[order]] = dates[order]
    return np.argsort(latest, kind="stable")[::-1][:NEWEST]
