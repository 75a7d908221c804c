"""A cache on disk, so that no compound is featurized twice.

A row's key names the spec and the RDKit release besides the compound: neither may change under a
stored row. Losing the file costs time only, so it is not part of what a silo must keep.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import rdkit

from agent import log
from agent.errors import TryLater
from agent.features.fast import Featurizer
from agent.features.rows import Features
from agent.features.views import ViewFeaturizer, ViewSpec
from agent.files import sha256_bytes
from agent.processes import Spread
from agent.wire.documents import FeatureSpec

_LOGGER = logging.getLogger(__name__)
_CHUNK = 2_000  # compounds per transaction: what a crash can lose
_BUSY_S = 30.0
_COUNT_BYTES = 8  # an int32 index and a float32 value
_TABLE = """CREATE TABLE IF NOT EXISTS feature_row (
    origin TEXT NOT NULL, compound_key TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (origin, compound_key)) WITHOUT ROWID"""
_FIND = """SELECT compound_key, content FROM feature_row
    WHERE origin = ? AND compound_key IN (SELECT value FROM json_each(?))"""
_ADD = "INSERT OR REPLACE INTO feature_row VALUES (?, ?, ?)"

_Spread = Spread[str, Features]
Spec = FeatureSpec | ViewSpec


def origin(spec: Spec) -> str:
    """Names everything that a row depends on besides the structure."""
    return f"{sha256_bytes(spec.to_bytes())}:rdkit-{rdkit.__version__}"


class FeatureCache:
    """The features of compounds under one spec, computed once and kept in a SQLite file."""

    def __init__(self, path: Path, spec: Spec, processes: int = 1) -> None:
        """Opens the cache, or starts it anew where the file is damaged.

        Args:
            path: The SQLite file; its folder must exist. Caches of several specs share it.
            spec: What the features mean.
            processes: How many may featurize; 1 means this one alone, 0 one a core. They end with
                `get_or_compute`.

        Raises:
            Refused: `unknown_descriptor`, as `Featurizer`.
            TryLater: Another process holds the file for over half a minute, or the disk is full.
        """
        self._path = path
        _featurizer(spec)
        self._work = partial(_featurized, spec)
        self._processes = processes
        self._origin = origin(spec)
        self._dense = len(spec.descriptors)
        self._hash_size = spec.hash_size
        self._prepare()

    def get_or_compute(self, keys: Sequence[str], smiles: Sequence[str]) -> Features:
        """Returns the features of compounds in the given order.

        Args:
            keys: Identity of each compound; a key stands for one structure for ever.
            smiles: The structure of each; read only where the key is not cached.

        Returns:
            One row a compound; a structure that `light_mol` refuses gives a row of zeros, which
            `Features.usable` tells, and is tried again the next time.

        Raises:
            TryLater: As the constructor.
            ValueError: `keys` and `smiles` differ in length.
        """
        wanted = dict(zip(keys, smiles, strict=True))
        distinct = list(wanted)
        starts = range(0, max(len(distinct), 1), _CHUNK)
        with Spread(self._work, self._processes) as spread:
            parts = [
                self._chunk_or_anew(part, [wanted[key] for key in part], spread)
                for part in (distinct[start : start + _CHUNK] for start in starts)
            ]
        place = {key: row for row, key in enumerate(distinct)}
        rows = np.array([place[key] for key in keys], dtype=np.int64)
        return Features.concat(parts).take(rows)

    def _chunk_or_anew(
        self, keys: Sequence[str], smiles: Sequence[str], spread: _Spread
    ) -> Features:
        try:
            return self._chunk(keys, smiles, spread)
        except sqlite3.DatabaseError:  # a damaged page shows only when it is read
            self._start_anew()
            return self._chunk(keys, smiles, spread)

    def _chunk(self, keys: Sequence[str], smiles: Sequence[str], spread: _Spread) -> Features:
        with self._open() as database:
            stored = self._stored(database, keys)
            missing = [row for row, key in enumerate(keys) if key not in stored]
            fresh = Features.concat(spread.answers([smiles[row] for row in missing]))
            fresh_keys = [keys[row] for row in missing]
            self._add(database, fresh_keys, fresh)
        known = [key for key in keys if key in stored]
        place = {key: row for row, key in enumerate([*known, *fresh_keys])}
        rows = np.array([place[key] for key in keys], dtype=np.int64)
        return Features.concat([self._unpack([stored[key] for key in known]), fresh]).take(rows)

    def _stored(self, database: sqlite3.Connection, keys: Sequence[str]) -> dict[str, bytes]:
        rows = database.execute(_FIND, (self._origin, json.dumps(list(keys))))
        found = {str(key): content for key, content in rows if self._is_sized(content)}
        if found and not self._in_range(self._unpack(list(found.values()))):
            return {key: one for key, one in found.items() if self._in_range(self._unpack([one]))}
        return found

    def _add(self, database: sqlite3.Connection, keys: Sequence[str], fresh: Features) -> None:
        rows = [
            (self._origin, key, _pack(fresh, row))
            for row, (key, usable) in enumerate(zip(keys, fresh.usable, strict=True))
            if usable
        ]
        with database:
            database.executemany(_ADD, rows)

    def _is_sized(self, content: object) -> bool:
        if not isinstance(content, bytes):
            return False
        counts = len(content) - 4 * self._dense
        return counts > 0 and counts % _COUNT_BYTES == 0

    def _in_range(self, found: Features) -> bool:
        return bool(found.indices.min() >= 0 and found.indices.max() < self._hash_size)

    def _unpack(self, contents: Sequence[bytes]) -> Features:
        # All rows at once: a loop over 300,000 of them takes seconds.
        words = np.frombuffer(b"".join(contents), "<i4")
        lengths = np.array([len(content) // 4 for content in contents], dtype=np.int64)
        sizes = (lengths - self._dense) // 2
        starts = np.cumsum(lengths) - lengths
        indptr = np.zeros(len(contents) + 1, dtype=np.int64)
        np.cumsum(sizes, out=indptr[1:])
        places = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], sizes)
        dense = (starts + 2 * sizes)[:, None] + np.arange(self._dense)
        numbers = words.view("<f4")
        return Features(
            indptr, words[places], numbers[places + np.repeat(sizes, sizes)], numbers[dense]
        )

    def _prepare(self) -> None:
        try:
            with self._open() as database:
                database.execute(_TABLE)
        except sqlite3.DatabaseError:
            self._start_anew()

    def _start_anew(self) -> None:
        log.trouble(_LOGGER, "feature_cache_damaged_and_started_anew", file=self._path.name)
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        with self._open() as database:
            database.execute(_TABLE)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_S)) as database:
                database.execute("PRAGMA journal_mode=WAL")
                # A power cut may cost the last rows, never the file's consistency; they are
                # computed again.
                database.execute("PRAGMA synchronous=NORMAL")
                yield database
        except sqlite3.OperationalError as error:
            raise TryLater(
                f"The feature cache {self._path} cannot be used now; free disk space, or wait."
            ) from error


@lru_cache(maxsize=2)
def _featurizer(spec: Spec) -> Featurizer:
    return ViewFeaturizer(spec) if isinstance(spec, ViewSpec) else Featurizer(spec)


def _featurized(spec: Spec, smiles: Sequence[str]) -> Features:
    return _featurizer(spec).featurize_smiles(smiles)[0]


def _pack(features: Features, row: int) -> bytes:
    start, end = int(features.indptr[row]), int(features.indptr[row + 1])
    indices = features.indices[start:end].astype("<i4")
    values = features.values[start:end].astype("<f4")
    return b"".join(part.tobytes() for part in (indices, values, features.dense[row]))
