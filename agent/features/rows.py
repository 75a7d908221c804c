"""Feature rows: hashed counts as CSR (most are zero) beside a dense block of descriptors."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The features of n structures, in order.

    Attributes:
        indptr: int64 (n + 1,); row i's counts are at `indptr[i]:indptr[i + 1]`.
        indices: int32 (nnz,); columns of the hashed fingerprint, ascending within a row.
        values: float32 (nnz,); log1p of the counts.
        dense: float32 (n, d); scaled and clipped descriptors.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]
    dense: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def usable(self) -> npt.NDArray[np.bool_]:
        """Bool (n,): false where the structure was refused; a molecule has at least one count."""
        return np.diff(self.indptr) > 0

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]],
        dense: npt.NDArray[np.float32],
    ) -> Self:
        """Joins (indices, values) a row with the dense block of the same rows."""
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(indices) for indices, _ in rows], out=indptr[1:])
        return cls(
            indptr,
            np.concatenate([np.zeros(0, np.int32), *(indices for indices, _ in rows)]),
            np.concatenate([np.zeros(0, np.float32), *(values for _, values in rows)]),
            dense,
        )

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stacks feature rows of one spec.

        Raises:
            ValueError: There is no part, or the parts differ in their number of descriptors.
        """
        lengths = np.concatenate([np.diff(part.indptr) for part in parts])
        return cls(
            np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)]),
            np.concatenate([part.indices for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.dense for part in parts]),
        )

    def slice(self, start: int, end: int) -> Self:
        """Returns the rows from `start` to before `end`, without copying their numbers."""
        own = slice(int(self.indptr[start]), int(self.indptr[end]))
        indptr = self.indptr[start : end + 1] - self.indptr[start]
        return type(self)(indptr, self.indices[own], self.values[own], self.dense[start:end])

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Returns the given rows, in the given order; a row may come twice.

        Raises:
            IndexError: A row number lies outside 0 .. n - 1.
        """
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise IndexError(f"a row lies outside the {len(self)} rows of these features")
        lengths = self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=indptr[1:])
        # Each output position's distance from its row's start, moved to that row's old start.
        source = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return type(self)(indptr, self.indices[source], self.values[source], self.dense[rows])

    def columns(self, start: int, stop: int) -> Self:
        """Returns the counts of the columns from `start` to before `stop`, counted from `start`."""
        inside = (self.indices >= start) & (self.indices < stop)
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(inside)])[self.indptr]
        indices = (self.indices[inside] - start).astype(np.int32)
        return type(self)(indptr, indices, self.values[inside], self.dense)

    def beside(self, other: Self, start: int) -> Self:
        """Returns these rows with another's counts of the same compounds from column `start` on.

        The descriptors are these rows'.
        """
        numbers = [np.repeat(np.arange(len(one)), np.diff(one.indptr)) for one in (self, other)]
        order = np.argsort(np.concatenate(numbers), kind="stable")
        indices = np.concatenate([self.indices, (other.indices + start).astype(np.int32)])
        values = np.concatenate([self.values, other.values])
        return type(self)(self.indptr + other.indptr, indices[order], values[order], self.dense)

    def dense_counts(self, hash_size: int) -> npt.NDArray[np.float32]:
        """Returns the counts as float32 (n, hash_size), which is what the ONNX model reads."""
        counts = np.zeros((len(self), hash_size), dtype=np.float32)
        counts[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.indices] = self.values
        return counts

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Maps what `write_features` wrote into memory: only what is read is ever loaded.

        Raises:
            OSError: A file is missing.
            ValueError: A file is damaged, or they do not fit together.
        """
        indptr, indices, values, dense = (
            _mapped(folder / f"{name}.npy", kind) for name, kind in _KINDS.items()
        )
        features = cls(indptr, indices, values, dense)
        rows, counts = len(features), len(features.indices)
        whole = len(features.values) == counts and features.dense.shape[:1] == (rows,)
        if not whole or rows < 0 or features.indptr[0] != 0 or features.indptr[-1] != counts:
            raise ValueError("the arrays of these features do not fit together")
        return features


_KINDS = {"indptr": "<i8", "indices": "<i4", "values": "<f4", "dense": "<f4"}


def _mapped(path: Path, kind: str) -> Any:  # noqa: ANN401  (a different kind of array each)
    # As a plain array: a memmap hands its class on to every small array taken from it.
    array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    if array.dtype.str != kind or array.ndim != (2 if path.stem == "dense" else 1):
        raise ValueError(f"{path.name} holds another kind of array")
    return array


def write_features(folder: Path, parts: Iterable[Features]) -> None:
    """Writes features as arrays that can be memory-mapped, one part in memory at a time.

    Args:
        folder: Must exist; gets a file for each array.
        parts: Of one spec, in order, at least one.

    Raises:
        OSError: The disk is full.
        ValueError: As `Features.concat`.
    """
    rows, counts, width = 0, 0, -1
    paths = [folder / f"{name}.npy" for name in _KINDS]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for part in parts:
            if width < 0:
                width = part.dense.shape[1]
                _write_headers(files, 0, 0, width)
                files[0].write(np.zeros(1, np.int64).tobytes())
            if part.dense.shape[1] != width:
                raise ValueError("the parts differ in their number of descriptors")
            arrays = (part.indptr[1:] + counts, part.indices, part.values, part.dense)
            for file, array in zip(files, arrays, strict=True):
                file.write(np.ascontiguousarray(array).data)
            rows, counts = rows + len(part), counts + len(part.indices)
        if width < 0:
            raise ValueError("there is no part to write")
        _write_headers(files, rows, counts, width)


def _write_headers(files: Sequence[BinaryIO], rows: int, counts: int, width: int) -> None:
    # numpy pads a header so that its first axis may grow without moving the data behind it.
    shapes = ((rows + 1,), (counts,), (counts,), (rows, width))
    for file, kind, shape in zip(files, _KINDS.values(), shapes, strict=True):
        file.seek(0)
        said = {"descr": kind, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, said)
