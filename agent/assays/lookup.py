"""Reads what `agent.assays.reference` wrote: what was measured, and what is similar."""

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.assays.reference import APPLICATION, CHUNK, FORMAT, MOST_COUNTED
from agent.errors import Refused

_COLUMNS = 4_096  # the most that a fingerprint may have, see `wire.documents.FeatureSpec`
_QUALIFIERS: dict[int, Literal["<", "=", ">"]] = {-1: "<", 0: "=", 1: ">"}
_OF_COMPOUND = """SELECT endpoint.name, value, endpoint.unit, qualifier, n, newest FROM measured
    JOIN endpoint ON endpoint.number = measured.endpoint
    WHERE compound = ? ORDER BY endpoint.number"""
_CHUNK_OF = "SELECT indptr, indices, counts FROM fingerprint WHERE first = ?"

Counts = tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]
"""A fingerprint: its columns, and how often each, 1 .. `MOST_COUNTED`."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a site measured of a compound for one endpoint.

    Attributes:
        value: In `unit`; the median of `n` measurements, taken on the scale that is modelled (of
            concentrations and rates the geometric one); 0 or 1 for a class.
        unit: The endpoint's canonical unit; empty for a class.
        qualifier: What most of them say: the value itself, or less or more than it.
        n: How many.
        newest: ISO date of the newest, or empty.
    """

    value: float
    unit: str
    qualifier: Literal["<", "=", ">"]
    n: int
    newest: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A known compound and how similar it is, 0 .. 1."""

    smiles: str
    similarity: float
    measured: dict[str, Measured]


class Reference:
    """One reference file, opened read-only; it belongs to one thread.

    Args:
        path: The file, which never changes; one that is replaced has another name.

    Raises:
        Refused: `damaged_reference`.
    """

    def __init__(self, path: Path) -> None:
        self._name = path.name
        # As a URI with its special characters quoted: a folder may have a `#` or a `?` in its name.
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with self._read():
            self._database = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            self._about = self._checked()
        except BaseException:  # re-raised: a file that is no use must not stay open
            self._database.close()
            raise
        marks = self._about.get("compositions", b"")
        # Of a hundred thousand numbers a set would take ten times as much.
        self._compositions = memoryview(marks if isinstance(marks, bytes) else b"").cast("q")

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    @property
    def shares_values(self) -> bool:
        """Whether the site shows structures and values, or fingerprints alone."""
        return self._about["share"] == "values"

    def about(self, name: str) -> str:
        """Returns a fact that the writer noted, or an empty text."""
        return str(self._about.get(name, ""))

    def may_know(self, composition: int) -> bool:
        """Tells whether a compound of this composition is here: `skeleton.composition_of_text`."""
        place = bisect_left(self._compositions, composition)
        return place < len(self._compositions) and self._compositions[place] == composition

    def has_skeleton(self, skeleton: int) -> bool:
        """Tells whether a compound of this skeleton is here: `skeleton.Graph.skeleton`.

        Raises:
            Refused: `damaged_reference`.
        """
        query = "SELECT 1 FROM compound WHERE skeleton = ? LIMIT 1"
        with self._read():
            return self._database.execute(query, (skeleton,)).fetchone() is not None

    def measured(self, key: str) -> dict[str, Measured]:
        """Returns what was measured of a compound, by endpoint; nothing where it is not here.

        Args:
            key: As `structures.identify` gives it.

        Raises:
            Refused: `damaged_reference`.
        """
        query = "SELECT number FROM compound WHERE key = ?"
        with self._read():
            found = self._database.execute(query, (bytes.fromhex(key),)).fetchone()
            return {} if found is None else self._of(found[0])

    def newest(self) -> list[str]:
        """Returns the structures of the compounds that were measured last, newest first.

        Raises:
            Refused: `damaged_reference`.
        """
        places = self._about.get("newest", b"")
        numbers = np.frombuffer(places if isinstance(places, bytes) else b"", "<i4").tolist()
        with self._read():
            return [self._smiles(number) for number in numbers]

    def neighbours(self, counts: Counts, most: int, endpoint: str | None = None) -> list[Neighbour]:
        """Finds the most similar compounds, the most similar first.

        Similarity is Tanimoto's coefficient on counts, as in `learning.similarity`. Fingerprints
        lie sorted by their size, and two whose sizes differ much cannot be similar: what cannot
        come among the first is never read (Swamidass and Baldi 2007, J. Chem. Inf. Model. 47, 302).

        Args:
            counts: The structure's fingerprint.
            most: How many to return at most.
            endpoint: Only those that were measured for it.

        Raises:
            Refused: `unknown_endpoint`, or `damaged_reference`.
        """
        with self._read():
            wanted = self._measured_for(endpoint) if endpoint is not None else None
            found = self._nearest(counts, most, wanted)
            return [
                Neighbour(self._smiles(number), similarity, self._of(number))
                for similarity, number in found
            ]

    def _nearest(
        self, counts: Counts, most: int, wanted: npt.NDArray[np.int32] | None
    ) -> list[tuple[float, int]]:
        size = int(counts[1].sum())
        best: list[tuple[float, int]] = []
        for bound, first in self._chunks(size):
            if len(best) == most and bound < best[-1][0]:
                break
            similarity = self._similarity(counts, size, first)
            if wanted is not None:
                similarity = np.where(_among(first, len(similarity), wanted), similarity, -1.0)
            near = np.argsort(-similarity, kind="stable")[:most]
            best += [(float(similarity[row]), first + row) for row in near.tolist()]
            best = sorted(
                (one for one in best if one[0] >= 0.0), key=lambda one: (-one[0], one[1])
            )[:most]
        return best

    def _chunks(self, size: int) -> list[tuple[float, int]]:
        """Returns the chunks, the most promising first: the best similarity possible, and where."""
        rows = self._database.execute("SELECT first, least, most FROM fingerprint").fetchall()
        bounds = [(_bound(size, least, most), first) for first, least, most in rows]
        return sorted(bounds, key=lambda one: (-one[0], one[1]))

    def _similarity(self, counts: Counts, size: int, first: int) -> npt.NDArray[np.float64]:
        row = self._database.execute(_CHUNK_OF, (first,)).fetchone()
        indptr = np.frombuffer(row[0], "<i8")
        indices, other = np.frombuffer(row[1], "<u2"), np.frombuffer(row[2], "u1")
        own = np.zeros(_COLUMNS, np.uint8)
        own[counts[0]] = counts[1]
        shared = np.minimum(other, own.take(indices))
        common = np.add.reduceat(shared, indptr[:-1], dtype=np.int64)
        total = size + np.add.reduceat(other, indptr[:-1], dtype=np.int64) - common
        return np.asarray(common / np.maximum(total, 1), np.float64)

    def _measured_for(self, endpoint: str) -> npt.NDArray[np.int32]:
        query = "SELECT compounds FROM endpoint WHERE name = ?"
        found = self._database.execute(query, (endpoint,)).fetchone()
        if found is None:
            sentence = "Nothing was measured here for that endpoint; see /v1/model for their names."
            raise Refused("unknown_endpoint", sentence)
        return np.frombuffer(found[0], "<i4")

    def _of(self, number: int) -> dict[str, Measured]:
        rows = self._database.execute(_OF_COMPOUND, (number,))
        return {
            name: Measured(value, unit, _QUALIFIERS[qualifier], n, newest)
            for name, value, unit, qualifier, n, newest in rows
        }

    def _smiles(self, number: int) -> str:
        query = "SELECT smiles FROM compound WHERE number = ?"
        (smiles,) = self._database.execute(query, (number,)).fetchone()
        return str(smiles)

    def _checked(self) -> dict[str, object]:
        with self._read():
            (application,) = self._database.execute("PRAGMA application_id").fetchone()
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if (application, version) != (APPLICATION, FORMAT):
                raise self._damaged()
            about = dict(self._database.execute("SELECT name, content FROM about").fetchall())
            if about.get("share") not in {"values", "similarity"}:
                raise self._damaged()
            return about

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        # What a damaged file gives instead of a row, a number or an array.
        except (sqlite3.DatabaseError, TypeError, ValueError, KeyError, IndexError) as error:
            raise self._damaged() from error

    def _damaged(self) -> Refused:
        sentence = (
            f"The reference {self._name[:12]} cannot be read; the keeper will write it again."
        )
        return Refused("damaged_reference", sentence)


def counted(indices: npt.NDArray[np.int32], values: npt.NDArray[np.float32]) -> Counts:
    """Returns a row of features as a fingerprint: its values are log1p of whole counts."""
    counts = np.rint(np.expm1(values)).clip(1, MOST_COUNTED).astype(np.uint8)
    return np.asarray(indices, np.int32), counts


def _bound(size: int, least: int, most: int) -> float:
    """Returns the greatest similarity that a row of a size between the two may have."""
    if size < least:
        return size / least
    return most / size if size > most else 1.0


def _among(first: int, length: int, wanted: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    start, end = np.searchsorted(wanted, (first, first + min(length, CHUNK)))
    mask = np.zeros(length, np.bool_)
    mask[wanted[start:end] - first] = True
    return mask
