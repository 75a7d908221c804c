"""What is learned: tasks with their published scaling, labels, and the rows they belong to."""

import math
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from agent.errors import Refused

Kind = Literal["regression", "classification"]


class Rows(Protocol):
    """Feature rows as CSR counts beside dense descriptors (`agent.features` makes them)."""

    @property
    def indptr(self) -> npt.NDArray[np.int64]:
        """Where each row's counts start and end, int64 (n + 1,)."""
        ...

    @property
    def indices(self) -> npt.NDArray[np.int32]:
        """Columns of the hashed fingerprint, int32 (nnz,)."""
        ...

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The counts' logarithms, float32 (nnz,)."""
        ...

    @property
    def dense(self) -> npt.NDArray[np.float32]:
        """Scaled descriptors, float32 (n, d)."""
        ...

    def __len__(self) -> int: ...

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Returns the given rows in the given order."""
        ...

    def columns(self, start: int, stop: int) -> Self:
        """Returns the counts of some columns, counted from the first of them."""
        ...


View = tuple[int, int]
"""The columns of the counts that a network reads, from the first to before the second."""

_Seen = TypeVar("_Seen", bound=Rows)


def seen(rows: _Seen, view: View | None) -> _Seen:
    """Returns rows as a network sees them that reads a view of them, or all of them."""
    return rows if view is None else rows.columns(*view)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One head's column, with a scaling that no silo's data moves.

    Attributes:
        name: The head's name: an endpoint's id, or `private:NAME`.
        kind: A classification's labels are 0.0 and 1.0, and its scaling is not used.
        centre, spread: A regression's head predicts (value - centre) / spread, where value is on
            the endpoint's transformed scale; spread > 0.
        unit: For the exported model's metadata.
    """

    name: str
    kind: Kind
    centre: float = 0.0
    spread: float = 1.0
    unit: str = ""

    def __post_init__(self) -> None:
        """Checks the scaling.

        Raises:
            ValueError: The scaling is not finite or the spread is not positive.
        """
        if not (math.isfinite(self.centre) and 0 < self.spread < math.inf):
            raise ValueError(f"task {self.name}: centre must be finite and spread positive")


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Measured values as (row, column) entries; at most one a cell.

    Attributes:
        rows: int64 (m,), into the features.
        cols: int64 (m,), into the tasks.
        values: float32 (m,), on the transformed scale; 0.0 or 1.0 for a class.
        qualifiers: int8 (m,): -1 for "<", 0 for "=", +1 for ">".
        importance: float32 (m,), positive, such as a weight for recency; None for equal ones.
    """

    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    qualifiers: npt.NDArray[np.int8]
    importance: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, mask: npt.NDArray[np.bool_]) -> "Labels":
        """Returns the entries where the mask (m,) is true."""
        return Labels(
            self.rows[mask],
            self.cols[mask],
            self.values[mask],
            self.qualifiers[mask],
            None if self.importance is None else self.importance[mask],
        )

    def on_rows(self, rows: npt.NDArray[np.int64]) -> "Labels":
        """Returns the entries with other row numbers, such as those among chosen rows only."""
        return replace(self, rows=rows)

    def check(self, rows: int, tasks: int) -> None:
        """Checks the labels against what they label.

        Args:
            rows: The number of feature rows.
            tasks: The number of tasks.

        Raises:
            Refused: `no_labels`, `label_out_of_range`, `label_not_finite` or `duplicate_label`.
        """
        if not len(self):
            raise Refused("no_labels", "There is no label to learn from; add measurements.")
        if _outside(self.rows, rows) or _outside(self.cols, tasks):
            raise Refused("label_out_of_range", "A label points to no compound or to no task.")
        if not np.isfinite(self.values).all():
            raise Refused("label_not_finite", "A label is not a finite number; curate it first.")
        if len(np.unique(self.rows * tasks + self.cols)) < len(self):
            raise Refused("duplicate_label", "A compound has two labels of one task; merge them.")


def _outside(places: npt.NDArray[np.int64], size: int) -> bool:
    return int(places.min()) < 0 or int(places.max()) >= size
