"""Feature rows: hashed counts as CSR (most are zero) beside a dense block of descriptors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

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

    def dense_counts(self, hash_size: int) -> npt.NDArray[np.float32]:
        """Returns the counts as float32 (n, hash_size), which is what the ONNX model reads."""
        counts = np.zeros((len(self), hash_size), dtype=np.float32)
        counts[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.indices] = self.values
        return counts
