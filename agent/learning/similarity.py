"""How much a structure resembles the nearest compound that a task was trained on.

Tanimoto's coefficient on counts, the sum of the smaller over the sum of the larger ones (Grant et
al. 2006, J. Chem. Inf. Model. 46, 1912). A count of 3 is taken as the three bits ">= 1", ">= 2" and
">= 3": the sum of the smaller counts is then the number of bits in common, and that is a vector
sum over the bits that many compounds have, and a walk through short lists for the rest.

Numpy only: predict answers with it and has no torch.
"""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.files import write_atomic
from agent.learning.tasks import Labels, Rows

_MOST_COUNTED = 15  # a group that a molecule has more often says nothing more
_LEVELS = _MOST_COUNTED + 1
_POPULAR = 0.03  # the share of compounds above which a vector is faster than a list
_MOST_IN_BYTES = 255  # bits of a structure: no compound has more in common with it
_LARGE = 0.05  # the share of compounds above which a task's own list is slow to walk
_NEAR = (
    0.8  # of the greatest similarity: few compounds are nearer, and nearly every large task has one
)
_ARRAYS = ("tasks", "indptr", "indices", "counts", "task_indptr", "task_rows")

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The counts of the compounds that a model was trained on, and which task saw which.

    Attributes:
        tasks: Their names, t of them.
        indptr: int64 (n + 1,); row i's counts are at `indptr[i]:indptr[i + 1]`.
        indices: int32 (nnz,); columns of the hashed fingerprint.
        counts: uint8 (nnz,), 1 .. 15.
        task_indptr: int64 (t + 1,); task j's compounds are at `task_indptr[j]:task_indptr[j + 1]`.
        task_rows: int32 (labels,).
    """

    tasks: tuple[str, ...]
    indptr: Ints
    indices: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint8]
    task_indptr: Ints
    task_rows: npt.NDArray[np.int32]

    @classmethod
    def build(cls, features: Rows, labels: Labels, tasks: Sequence[str]) -> Self:
        """Keeps the compounds that have a label.

        Args:
            features: All rows.
            labels: What the model was trained on.
            tasks: Names, in the order of the labels' columns.
        """
        rows = np.unique(labels.rows)
        kept = features.take(rows)
        order = np.lexsort((labels.rows, labels.cols))
        sizes = np.bincount(labels.cols, minlength=len(tasks))
        return cls(
            tuple(tasks),
            kept.indptr,
            kept.indices,
            _counts(kept.values),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
            np.searchsorted(rows, labels.rows[order]).astype(np.int32),
        )

    def save(self, path: Path) -> None:
        """Writes the index, all of it or nothing.

        Raises:
            OSError: The disk is full or not writable.
        """
        handle = BytesIO()
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        np.savez_compressed(handle, allow_pickle=False, **arrays)
        write_atomic(path, handle.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            Refused: `damaged_index`.
        """
        try:
            with path.open("rb") as handle, np.load(handle, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in _ARRAYS}
            tasks = tuple(str(task) for task in arrays.pop("tasks"))
            index = cls(tasks, **arrays)
            _check(index)
        except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile) as error:
            raise Refused(
                "damaged_index", f"The index {path.name} cannot be read; build the release again."
            ) from error
        return index


class Nearest:
    """Finds the nearest trained compound of every task; safe to use from several threads."""

    def __init__(self, index: Index) -> None:
        """Turns the index inside out: for each bit, the compounds that have it."""
        # Of the index only this is kept: its counts are all here, inside out.
        self._tasks = len(index.tasks)
        self._task_rows, self._task_indptr = index.task_rows, index.task_indptr
        self._size = len(index.indptr) - 1
        self._turn(index)
        measured = np.diff(index.task_indptr)
        self._large = np.flatnonzero(measured > _LARGE * self._size)
        self._small = np.setdiff1d(np.flatnonzero(measured), self._large)
        self._has = np.zeros((self._size, len(self._large)), np.bool_)
        for column, task in enumerate(self._large.tolist()):
            self._has[self._compounds(task), column] = True
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(index.counts, dtype=np.int64)])
        sizes = np.diff(ends[index.indptr])
        self._sizes = np.maximum(sizes, 1).astype(np.float32)  # nothing has no union of 0 either

    def _turn(self, index: Index) -> None:
        """Makes a vector of each popular bit, and a list of each other one."""
        levels = list(_by_level(index))
        columns = int(index.indices.max()) + 1 if len(index.indices) else 1
        table = np.zeros((columns, _LEVELS), np.int64)
        for level, (_, having_it) in enumerate(levels):
            table[:, level] = np.bincount(having_it, minlength=columns)
        having = table.ravel()
        popular = np.flatnonzero(having > _POPULAR * self._size)
        self._column = np.full(len(having), -1, np.int64)  # of the popular bits
        self._column[popular] = np.arange(len(popular))
        dense = np.zeros(len(popular) * self._size, np.uint8)
        rare = [(np.zeros(0, np.int32), np.zeros(0, np.int32))]
        for level, (rows, having_it) in enumerate(levels):
            bits = having_it * np.int32(_LEVELS) + np.int32(level)
            place = self._column[bits]
            common = place >= 0
            dense[place[common] * self._size + rows[common]] = 1
            rare.append((bits[~common], rows[~common]))
        self._dense = dense.reshape(len(popular), self._size)
        # ">= k" is popular only where ">= k - 1" is: the vector of k adds those below it up.
        for bit in popular[popular % _LEVELS > 0].tolist():
            self._dense[self._column[bit]] += self._dense[self._column[bit - 1]]
        bits, rows = (np.concatenate(part) for part in zip(*rare, strict=True))
        self._lists = rows[np.argsort(bits)]  # within a list any order will do
        lengths = np.where(self._column < 0, having, 0)
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])

    def similarity(self, features: Rows) -> Floats:
        """Returns the greatest Tanimoto coefficient to a compound of each task.

        Args:
            features: n structures.

        Returns:
            float32 (n, tasks), 0 .. 1; 0 where a task has no compound.
        """
        rows, bits = _bits(features.indptr, features.indices, _counts(features.values))
        ends = np.searchsorted(rows, np.arange(len(features) + 1))
        found = np.zeros((len(features), self._tasks), np.float32)
        for row, (start, end) in enumerate(_pairs(ends)):
            found[row] = self._by_task(self._to_all(bits[start:end]))
        return found

    def _to_all(self, bits: Ints) -> Floats:
        """Returns one structure's similarity to each compound, float32 (compounds,)."""
        known = bits[bits < len(self._column)]
        columns = self._column[known]
        popular, rare = known[columns >= 0], known[columns < 0]
        # In bytes where they suffice, and row by row: a fancy index would copy them all, and for a
        # matrix product BLAS would wake a thread for each core.
        kind = np.uint8 if len(bits) <= _MOST_IN_BYTES else np.uint16
        some = np.bincount(self._listed(rare), minlength=self._size).astype(kind)
        for row in self._column[_highest(popular)].tolist():
            np.add(some, self._dense[row], out=some)
        common = some.astype(np.float32)
        union = self._sizes + np.float32(len(bits))
        union -= common
        common /= union
        return common

    def _listed(self, bits: Ints) -> npt.NDArray[np.int32]:
        """Returns the compounds that have each bit, one bit's behind the other's."""
        lists = [self._lists[self._starts[bit] : self._starts[bit + 1]] for bit in bits.tolist()]
        return np.concatenate([*lists, self._lists[:0]])

    def _by_task(self, similarity: Floats) -> Floats:
        best = np.zeros(self._tasks, np.float32)
        alone = self._small.tolist()
        if len(self._large):
            near = np.flatnonzero(similarity >= _NEAR * similarity.max())
            best[self._large] = (similarity[near, None] * self._has[near]).max(axis=0)
            # Whoever is far from all of a task's compounds looks at each of them.
            alone += self._large[~self._has[near].any(axis=0)].tolist()
        for task in alone:
            best[task] = similarity[self._compounds(task)].max()
        return best

    def _compounds(self, task: int) -> npt.NDArray[np.int32]:
        start, end = self._task_indptr[task : task + 2]
        return np.asarray(self._task_rows[start:end], np.int32)


def _pairs(starts: Ints) -> Iterator[tuple[int, int]]:
    return zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)


def _by_level(index: Index) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    """Yields for ">= 1", ">= 2" and so on the row and the column of each count that is as large."""
    rows = np.repeat(np.arange(len(index.indptr) - 1, dtype=np.int32), np.diff(index.indptr))
    columns, counts = index.indices, index.counts
    level = 0
    while len(rows):
        yield rows, columns
        level += 1
        more = np.flatnonzero(counts > level)
        rows, columns, counts = rows[more], columns[more], counts[more]


def _highest(bits: Ints) -> Ints:
    """Returns of a structure's ascending bits the highest of each column."""
    last = np.ones(len(bits), np.bool_)
    last[:-1] = (bits[1:] != bits[:-1] + 1) | (bits[1:] % _LEVELS == 0)
    return bits[last]


def _counts(values: Floats) -> npt.NDArray[np.uint8]:
    """Undoes the logarithm of the features: values are log1p of whole counts."""
    return np.rint(np.expm1(values)).clip(1, _MOST_COUNTED).astype(np.uint8)


def _bits(
    indptr: Ints, indices: npt.NDArray[np.int32], counts: npt.NDArray[np.uint8]
) -> tuple[Ints, Ints]:
    """Returns the row and the bit's number of every ">= k" that the counts say."""
    repeats = counts.astype(np.int64)
    rows = np.repeat(np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)), repeats)
    ends = np.cumsum(repeats)
    levels = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - repeats, repeats)
    return rows, np.repeat(indices.astype(np.int64), repeats) * _LEVELS + levels


def _check(index: Index) -> None:
    """Raises ValueError where the arrays do not fit each other."""
    offsets = (
        (index.indptr, len(index.indices)),
        (index.indptr, len(index.counts)),
        (index.task_indptr, len(index.task_rows)),
    )
    fits = len(index.task_indptr) == len(index.tasks) + 1 and all(
        starts[0] == 0 and starts[-1] == end and bool((np.diff(starts) >= 0).all())
        for starts, end in offsets
    )
    compounds, rows = len(index.indptr) - 1, index.task_rows
    inside = not len(rows) or 0 <= int(rows.min()) <= int(rows.max()) < compounds
    if not (fits and inside and bool((index.indices >= 0).all())):
        raise ValueError("the arrays do not fit each other")
